package drive

import (
	"context"
	"errors"
	"slices"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/segment"
)

// mover is the index as compaction of segments sees it. Compaction runs in the reclaimer's
// goroutine: nobody else changes X rows that are there.
type mover struct{ a *Actor }

var _ segment.Mover = mover{}

// Locate implements segment.Mover.
func (m mover) Locate(_ context.Context, oid object.OID) ([]ondisk.Extent, error) {
	x, err := m.a.manifest(oid)
	if errors.Is(err, ErrNoShard) {
		return nil, nil
	}
	return x.Extents, err
}

// Move implements segment.Mover.
func (m mover) Move(ctx context.Context, oid object.OID, from ondisk.Extent, w *segment.Writer) (bool, error) {
	msg := &moveMsg{reply: newReply(), oid: oid, from: from, w: w}
	if err := m.a.conclude(ctx, msg); err != nil {
		return false, err
	}
	return msg.moved, nil
}

// moveMsg replaces one extent of a shard by its copy.
type moveMsg struct {
	reply
	oid   object.OID
	from  ondisk.Extent
	w     *segment.Writer
	moved bool
}

func (*moveMsg) isMsg()      {}
func (*moveMsg) weight() int { return 512 }

// apply implements message.
func (m *moveMsg) apply(b *batch) error {
	x, err := b.manifest(m.oid) // another extent of the shard may have moved in this very batch
	if errors.Is(err, ErrNoShard) {
		return nil
	} else if err != nil {
		return err
	}
	i := slices.Index(x.Extents, m.from)
	if i < 0 {
		return nil
	}
	to := m.w.Extents()
	x.Extents = slices.Concat(x.Extents[:i], to, x.Extents[i+1:])
	chunks, err := ondisk.EncodeManifest(&x)
	if err != nil {
		return err
	}
	rows, err := m.w.Commit()
	if err != nil {
		return err
	}
	b.setSegments(rows)
	rel := b.a.store.Free([]ondisk.Extent{m.from})
	b.setSegments(rel.Rows)
	b.durable = append(b.durable, rel.Durable)
	b.deleteManifest(m.oid)
	b.setManifest(m.oid, chunks)
	b.written(m.oid, x)
	m.moved = true
	return nil
}
