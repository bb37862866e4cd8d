package drive

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/segment"
)

const (
	// reclaimStep is how many shards one message gives back, so that foreground batches stay short.
	reclaimStep = 64
	// reclaimExtents is how many extents it gives back before it goes, the last shard's beyond it.
	reclaimExtents = 4096
	// reclaimPause is the least time between two messages: it bounds the rate of the job.
	reclaimPause = 2 * time.Millisecond
	// hurriedTrims is how many steps a hurried reclaimer trims before it looks how full the drive is.
	hurriedTrims = 4
	compactEvery = time.Second
)

// reclaimer gives dead data back in the background. Its work list is the G rows, and the fences of
// removed buckets: both are durable, every step is one batch, and a step that was done before finds
// nothing to do, so it goes on where a crash left it.
type reclaimer struct {
	wake   chan struct{} // capacity 1
	urgent chan struct{} // capacity 1: a write waits for space
	hope   *hope
	from   uint64      // owned by runReclaim: G rows below it were worked on in this pass
	steps  uint64      // owned by runReclaim: counts what gave space back
	anew   atomic.Bool // a row that was passed over can be worked on: begin another pass
}

func (r *reclaimer) init(h *hope) {
	r.wake, r.urgent, r.hope = make(chan struct{}, 1), make(chan struct{}, 1), h
}

// wakeUp tells the reclaimer that there may be work. It never waits.
func (r *reclaimer) wakeUp() {
	r.hope.raise()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// again tells the reclaimer that rows it passed over can be worked on. It never waits.
func (r *reclaimer) again() {
	r.anew.Store(true)
	r.wakeUp()
}

// hurry tells the reclaimer that a write waits for space. It never waits.
func (r *reclaimer) hurry() {
	select {
	case r.urgent <- struct{}{}:
	default:
	}
}

// runReclaim is the reclaimer's goroutine. All that changes or removes X rows happens here, one
// after the other.
func (a *Actor) runReclaim() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-a.act.Stopping():
		case <-a.health.Failed():
		case <-ctx.Done():
		}
		cancel()
	}()
	trim := time.NewTicker(trimEvery)
	defer trim.Stop()
	age := time.NewTicker(ageEvery)
	defer age.Stop()
	var seen trimmer
	compact := time.NewTicker(compactEvery)
	defer compact.Stop()
	a.reclaim.wakeUp() // what an earlier life left
	for {
		var err error
		select {
		case <-a.act.Stopping():
			return nil
		case <-a.reclaim.wake:
			var more bool
			if more, err = a.collectGarbage(ctx); more {
				a.reclaim.wakeUp()
			} else if err == nil {
				err = a.purgeBuckets(ctx)
			}
		case <-a.reclaim.urgent:
			err = a.makeRoom(ctx)
		case <-trim.C:
			err = errors.Join(a.trim(ctx, &seen), a.sweep())
		case <-age.C:
			a.store.Age()
		case <-a.flushed:
			err = a.noteFlush()
		case <-a.emptying.wake:
			var more bool
			if more, err = a.emptyFile(ctx); more {
				a.emptying.wakeUp()
			}
		case <-compact.C:
			if err = a.purgeBuckets(ctx); err == nil {
				_, err = a.store.Compact(ctx, mover{a})
			}
			a.journal.Tick()
			a.emptying.wakeUp()
		}
		if err != nil && ctx.Err() == nil && a.health.Err() == nil && !a.pulse.silent() {
			a.m.error("reclaim")
			a.log.Warn("giving space back", "err", err)
		}
		if errors.Is(err, errSilent) { // the drive answers again, and what it was asked for was not done
			a.reclaim.again()
		}
	}
}

// makeRoom gives space back without a pause, until the drive takes new data again or there is
// nothing to give.
func (a *Actor) makeRoom(ctx context.Context) error {
	for a.space.full() && ctx.Err() == nil {
		before := a.reclaim.steps
		more, err := a.giveBack(ctx)
		if err != nil || !more {
			return err
		}
		if err := a.space.look(); err != nil {
			return err
		}
		if a.reclaim.steps != before { // and not merely rows passed over
			a.space.hope.raise()
		}
	}
	return ctx.Err()
}

// giveBack does a step of whatever gives space back, copying last, and reports whether there may be
// more.
func (a *Actor) giveBack(ctx context.Context) (more bool, err error) {
	if more, err = a.collectGarbage(ctx); err != nil {
		return more, err
	}
	for range hurriedTrims {
		n, err := a.store.Trim(true)
		if err != nil {
			return more, err
		}
		if n == 0 {
			break
		}
		a.reclaim.steps++
		more = true
	}
	for range hurriedTrims {
		swept, err := a.sweepStep(true)
		if err != nil {
			return more, err
		}
		if !swept {
			break
		}
		a.reclaim.steps++
		more = true
	}
	if more {
		return true, nil
	}
	if err := a.purgeBuckets(ctx); err != nil {
		return false, err
	}
	for _, copying := range []func(context.Context) (bool, error){a.compactSegments, a.flushLog, a.emptyFile} {
		if more, err := copying(ctx); more || err != nil {
			a.reclaim.steps++
			return more, err
		}
	}
	return false, nil
}

func (a *Actor) compactSegments(ctx context.Context) (more bool, err error) {
	return a.store.Compact(ctx, mover{a})
}

// garbage is one G row that is being worked on.
type garbage struct {
	seq uint64
	ondisk.Garbage
}

// collectGarbage works through the next few G rows, oldest first, and reports whether there may be
// more: who deletes without a break must not keep trimming and compaction from their turn. A row
// that cannot be worked on is passed over until the next pass.
func (a *Actor) collectGarbage(ctx context.Context) (more bool, err error) {
	if a.reclaim.anew.Swap(false) {
		a.reclaim.from = 0
	}
	list, err := a.garbageFrom(a.reclaim.from)
	if len(list) == 0 || err != nil {
		a.reclaim.from = 0
		return false, err
	}
	a.reclaim.from = list[len(list)-1].seq + 1
	step := &reclaimMsg{reply: newReply()}
	for _, g := range list {
		if g.Parts {
			err = a.reclaimObject(ctx, g)
		} else {
			err = step.add(a, g.OID, g.Inline, g.seq)
		}
		if err == nil && len(step.extents) >= reclaimExtents {
			if err := a.reclaimStep(ctx, step); err != nil {
				return false, err
			}
			step = &reclaimMsg{reply: newReply()}
		}
		if err != nil {
			// The row stays, for the next start and for people; the others are not held up.
			a.m.error("reclaim")
			a.log.Error("garbage cannot be given back", "oid", g.OID.String(), "err", err)
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			if errors.Is(err, errSilent) {
				return false, err
			}
		}
	}
	err = a.reclaimStep(ctx, step)
	return err == nil, err
}

// garbageFrom reads up to reclaimStep G rows.
func (a *Actor) garbageFrom(from uint64) (list []garbage, err error) {
	it, err := a.db.NewIter(&pebble.IterOptions{
		LowerBound: ondisk.AppendGarbageKey(nil, from),
		UpperBound: ondisk.AppendKindAfter(nil, ondisk.RowGarbage),
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok && len(list) < reclaimStep; ok = it.Next() {
		seq, err := ondisk.ParseGarbageKey(it.Key())
		if err != nil {
			return list, err
		}
		g, err := ondisk.DecodeGarbage(it.Value())
		if err != nil {
			return list, err
		}
		list = append(list, garbage{seq: seq, Garbage: g})
	}
	return list, it.Error()
}

// reclaimObject gives back a multipart object that nobody reads.
func (a *Actor) reclaimObject(ctx context.Context, g garbage) error {
	if !a.holds.begin(g.OID) {
		return nil // its last reader calls again
	}
	if err := a.reclaimParts(ctx, g); err != nil {
		return err
	}
	a.holds.end(g.OID)
	return nil
}

// reclaimParts gives back the parts of a multipart object, then its part table and the G row. After
// a crash the parts that are gone already are found gone.
func (a *Actor) reclaimParts(ctx context.Context, g garbage) error {
	m, err := a.manifest(g.OID)
	if err != nil && !errors.Is(err, ErrNoShard) {
		return err
	}
	step := &reclaimMsg{reply: newReply()}
	for i := range m.Parts {
		ref := m.Parts[i].Ref
		if ref.OID.IsZero() {
			continue
		}
		if err := step.add(a, ref.OID, ref.Inline, 0); err != nil {
			return fmt.Errorf("part %d: %w", m.Parts[i].Number, err)
		}
		if len(step.oids)+len(step.inline) >= reclaimStep || len(step.extents) >= reclaimExtents {
			if err := a.reclaimStep(ctx, step); err != nil {
				return err
			}
			step = &reclaimMsg{reply: newReply()}
		}
	}
	step.tables = append(step.tables, g.OID)
	step.seqs = append(step.seqs, g.seq)
	return a.reclaimStep(ctx, step)
}

// reclaimStep sends one step to the loop, as slowly as the rate allows.
func (a *Actor) reclaimStep(ctx context.Context, step *reclaimMsg) error {
	if len(step.seqs)+len(step.oids)+len(step.tables) == 0 {
		return nil
	}
	a.reclaim.steps++
	return a.pacedDo(ctx, step)
}

// pacedDo sends a message of a background job, waits for its answer and then a little, unless new
// data waits for what the job gives back.
func (a *Actor) pacedDo(ctx context.Context, m message) error {
	for {
		err := a.conclude(ctx, m)
		if err != nil && !errors.Is(err, ErrBusy) {
			return err
		}
		if err == nil && a.space.wasFull.Load() {
			return nil
		}
		select {
		case <-time.After(reclaimPause):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err == nil {
			return nil
		}
	}
}

// reclaimMsg is one step of the reclaimer in the mailbox.
type reclaimMsg struct {
	reply
	oids    []object.OID // shards whose rows go
	tables  []object.OID // part tables whose rows go
	extents []ondisk.Extent
	inline  []object.OID
	seqs    []uint64 // G rows that are done
}

func (*reclaimMsg) isMsg()        {}
func (m *reclaimMsg) weight() int { return 64 * (len(m.oids) + len(m.inline) + len(m.extents)) }

// add looks up one shard; only the reclaimer removes X rows, so they cannot change meanwhile.
func (m *reclaimMsg) add(a *Actor, oid object.OID, inline bool, seq uint64) error {
	if inline {
		m.inline = append(m.inline, oid)
	} else {
		x, err := a.manifest(oid)
		if err != nil && !errors.Is(err, ErrNoShard) {
			return err
		}
		if err == nil {
			m.oids = append(m.oids, oid)
			m.extents = append(m.extents, x.Extents...)
		}
	}
	if seq != 0 {
		m.seqs = append(m.seqs, seq)
	}
	return nil
}

// apply implements message.
func (m *reclaimMsg) apply(b *batch) error {
	var rel *segment.Release
	if len(m.extents) > 0 {
		rel = b.a.store.Free(m.extents)
		b.setSegments(rel.Rows)
	}
	for _, list := range [][]object.OID{m.oids, m.tables} {
		for _, oid := range list {
			b.deleteManifest(oid)
		}
	}
	for _, oid := range m.inline {
		b.deleteInline(oid)
	}
	for _, seq := range m.seqs {
		b.buf = ondisk.AppendGarbageKey(b.buf[:0], seq)
		b.delete(b.buf)
	}
	if rel != nil {
		b.durable = append(b.durable, rel.Durable)
	}
	return nil
}

// deleteManifest removes the X rows of an oid: the first chunk, and by a range what a long table has more.
func (b *batch) deleteManifest(oid object.OID) {
	prefix := ondisk.AppendManifestPrefix(nil, oid)
	b.fail(b.pb.DeleteRange(prefix, ondisk.AppendPrefixEnd(nil, prefix), nil))
}
