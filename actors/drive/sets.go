package drive

import (
	"context"
	"fmt"

	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

// enter checks a change's epoch against the set's and adopts a newer one, writing the E row.
func (b *batch) enter(id cluster.SetID, epoch uint64) (ondisk.SetRow, error) {
	a := b.a
	row := a.set(id)
	switch {
	case epoch < row.Epoch:
		return row, a.wrap(fmt.Errorf("%w: set %d is at epoch %d, request has %d", ErrStale, id, row.Epoch, epoch))
	case row.State != 0 && row.State != ondisk.SetInSync:
		return row, a.wrap(fmt.Errorf("%w: set %d", ErrNotInSync, id))
	case epoch > row.Epoch:
		row.Epoch, row.State = epoch, ondisk.SetInSync
		b.setRow(id, row)
	}
	return row, nil
}

// setRow writes an E row and keeps it in memory.
func (b *batch) setRow(id cluster.SetID, row ondisk.SetRow) {
	b.val = ondisk.AppendSetRow(b.val[:0], &row)
	b.buf = ondisk.AppendSetKey(b.buf[:0], id)
	b.set(b.buf, b.val)
	b.a.mu.Lock()
	b.a.sets[id] = row
	b.a.mu.Unlock()
}

// set is what the drive knows of a set: the zero row before it met it.
func (a *Actor) set(id cluster.SetID) ondisk.SetRow {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.sets[id]
}

// vouch says whether the drive may answer for a set: its slot is in sync and the asker's epoch is
// not older than its own.
func (a *Actor) vouch(id cluster.SetID, epoch uint64) error {
	row := a.set(id)
	if epoch < row.Epoch {
		return a.wrap(fmt.Errorf("%w: set %d is at epoch %d, request has %d", ErrStale, id, row.Epoch, epoch))
	}
	if row.State != 0 && row.State != ondisk.SetInSync {
		return a.wrap(fmt.Errorf("%w: set %d", ErrNotInSync, id))
	}
	return nil
}

// fenceMsg is a Fence in the mailbox.
type fenceMsg struct {
	reply
	bucket cluster.BucketID
	fence  ondisk.Fence
}

func (*fenceMsg) isMsg()      {}
func (*fenceMsg) weight() int { return 64 }

// Fence implements Fencer.
func (a *Actor) Fence(ctx context.Context, bucket cluster.BucketID, revision uint64, sealed, removed bool) error {
	_, err := a.do(ctx, &fenceMsg{
		reply: newReply(), bucket: bucket,
		fence: ondisk.Fence{Revision: revision, Sealed: sealed, Removed: removed},
	})
	return err
}

// apply implements message.
func (m *fenceMsg) apply(b *batch) error {
	a := b.a
	old := a.fence(m.bucket)
	if old.Removed || m.fence.Revision < old.Revision || m.fence == old {
		return nil // news of the past; a bucket that is gone never comes back under its id
	}
	b.val = ondisk.AppendFence(b.val[:0], &m.fence)
	b.buf = ondisk.AppendFenceKey(b.buf[:0], m.bucket)
	b.set(b.buf, b.val)
	a.mu.Lock()
	a.fences[m.bucket] = m.fence
	a.mu.Unlock()
	if m.fence.Removed {
		b.durable = append(b.durable, a.reclaim.wakeUp)
	}
	return nil
}

func (a *Actor) fence(bucket cluster.BucketID) ondisk.Fence {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.fences[bucket]
}

// fenced refuses a change of a bucket that was sent under an older revision than the drive knows,
// and any change of one that is being deleted.
func (a *Actor) fenced(bucket cluster.BucketID, revision uint64) error {
	f := a.fence(bucket)
	if revision < f.Revision || f.Sealed || f.Removed {
		return a.wrap(fmt.Errorf("%w: bucket %d is at revision %d (sealed %t), request has %d",
			ErrStale, bucket, f.Revision, f.Sealed || f.Removed, revision))
	}
	return nil
}
