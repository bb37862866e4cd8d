package erasureset

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// restamps is how often a refused write is offered again under a newer stamp.
const restamps = 4

// round carries one version to the slots of its set, stepping a quorum.Write. Rounds are reused:
// one goes back to the pool when its runner and every call it started are done with it.
type round struct {
	s    *Store
	t    *target
	mach quorum.Write

	base   drive.Commit           // all but Slot, Inline
	shards [maxSlots][]byte       // inline shards
	reqs   [maxSlots]drive.Commit // what the drives see; not reused before their calls return
	row    []byte                 // encoded version, reused
	buf    []byte                 // inline data and parity, reused

	events  chan roundEvent // never full: see maxEvents
	attempt int
	refs    atomic.Int32
	ctx     context.Context
	cancel  context.CancelFunc
	cleanup func() // called once, when nothing uses the round any more
	timer   *time.Timer
}

type roundEvent struct {
	attempt int
	ev      quorum.WriteEvent
}

// maxEvents bounds the answers of one round: each attempt sends a commit and a drop to each slot.
const maxEvents = (restamps + 1) * 2 * maxSlots

func (s *Store) newRound(t *target) *round {
	r, _ := s.rounds.Get().(*round)
	if r == nil {
		r = &round{s: s, events: make(chan roundEvent, maxEvents), timer: time.NewTimer(time.Hour)}
	}
	r.t, r.attempt = t, 0
	r.refs.Store(1)
	s.background.Add(1)
	return r
}

// done gives up one use of the round.
func (r *round) done() {
	if r.refs.Add(-1) != 0 {
		return
	}
	if r.cancel != nil {
		r.cancel()
	}
	if r.cleanup != nil {
		r.cleanup()
	}
	for len(r.events) > 0 {
		<-r.events
	}
	s := r.s
	*r = round{s: s, events: r.events, row: r.row[:0], buf: r.buf, timer: r.timer}
	s.rounds.Put(r)
	s.background.Done()
}

// prepare fills the part of the commit that all slots share. v has everything but its stamp.
func (r *round) prepare(v *Info, write object.WriteID) error {
	t := r.t
	v.Write = write
	v.Epochs = append(v.Epochs[:0], t.set.Epoch)
	row, err := ondisk.AppendVersion(r.row[:0], v)
	if err != nil {
		return fmt.Errorf("encode version: %w", err)
	}
	r.row = row
	r.base = drive.Commit{
		Set: t.id, Epoch: t.set.Epoch, BucketRev: t.bucket.Revision, Key: t.key,
		Row: row, Kind: v.Kind, Size: v.Size, Versioned: t.bucket.Versioned(),
	}
	if len(v.Refs) > 0 {
		r.base.OID = v.Refs[0].OID
	}
	return nil
}

// run offers v to slots and returns when the outcome is known. The caller holds the key's turn and
// has given up its use of the round when run returns.
func (r *round) run(v *Info, slots quorum.Slots) error {
	r.mach = quorum.NewWrite(r.t.shape, r.limits())
	r.stamp(v, r.s.clock.next())
	return r.drive(v, quorum.WriteEvent{Kind: quorum.WriteBegin, Slots: slots})
}

// finish offers another coordinator's version, whose stamp is set, to slots beside those that hold it.
func (r *round) finish(v *Info, held, slots quorum.Slots) error {
	r.mach = quorum.NewWrite(r.t.shape, r.limits())
	r.base.Ref, r.base.Rev = object.VersionRef{TS: v.TS, Write: v.Write}, v.Rev
	return r.drive(v, quorum.WriteEvent{Kind: quorum.WriteBegin, Slots: slots, Held: held})
}

func (r *round) limits() quorum.WriteLimits {
	return quorum.WriteLimits{Straggler: r.s.opt.StragglerLimit, Mark: r.s.opt.MarkLimit, Restamps: restamps}
}

func (r *round) stamp(v *Info, ts object.Stamp) {
	v.TS, v.Rev = ts, ts
	r.base.Ref, r.base.Rev = object.VersionRef{TS: ts, Write: v.Write}, ts
}

func (r *round) drive(v *Info, begin quorum.WriteEvent) error {
	// The commit outlives a client that goes away: half a write helps nobody.
	r.ctx, r.cancel = context.WithTimeout(context.Background(), r.s.opt.CommitLimit)
	all := begin.Slots
	for ev := begin; ; {
		eff := r.mach.Step(time.Now(), ev)
		r.apply(eff)
		switch {
		case eff.Restamp != 0:
			r.s.metrics.restamps.Inc()
			r.stamp(v, r.s.clock.after(eff.Restamp))
			r.attempt++
			ev = quorum.WriteEvent{Kind: quorum.WriteBegin, Slots: all}
			continue
		case eff.Fail:
			err := r.failure(eff)
			r.done()
			return err
		case eff.Ack && eff.Over:
			r.done()
			return nil
		case eff.Ack:
			r.s.background.Go(func() { r.rest(eff) })
			return nil
		}
		ev = r.wait(eff.Wake)
	}
}

// rest follows the stragglers of an acknowledged round.
func (r *round) rest(eff quorum.WriteEffect) {
	for !eff.Over {
		eff = r.mach.Step(time.Now(), r.wait(eff.Wake))
		r.apply(eff)
	}
	r.done()
}

// wait returns the next event of the present attempt.
func (r *round) wait(wake time.Time) quorum.WriteEvent {
	var up <-chan time.Time
	if !wake.IsZero() {
		r.timer.Reset(time.Until(wake))
		defer r.timer.Stop()
		up = r.timer.C
	}
	for {
		select {
		case e := <-r.events:
			if e.attempt == r.attempt {
				return e.ev
			}
		case <-up:
			return quorum.WriteEvent{Kind: quorum.WriteTick}
		}
	}
}

// apply carries out what the machine wants.
func (r *round) apply(eff quorum.WriteEffect) {
	for i := range eff.Offer.All() {
		r.refs.Add(1)
		if r.attempt == 0 {
			r.fill(&r.reqs[i], i)
			r.s.crew.run(r, i)
			continue
		}
		req := new(drive.Commit) // the call of an earlier attempt may still read its request
		r.fill(req, i)
		go r.offer(i, r.attempt, req)
	}
	if eff.Kill != 0 {
		r.s.doom(r.base.Ref)
	}
	for i := range eff.Kill.All() {
		r.refs.Add(1)
		go r.kill(i, r.attempt, r.base.Ref)
	}
	if eff.Mark != 0 {
		r.s.marks.add(r.t, eff.Mark, drive.Mark{
			Key: r.t.key, Set: r.t.id, Ref: r.base.Ref, Missed: uint16(eff.Missed), Versioned: r.base.Versioned,
		})
		if eff.Missed == 0 && r.base.Kind == ondisk.KindTombstone {
			r.s.tombs.add(r.t, drive.Tomb{Key: r.t.key, Set: r.t.id, Ref: r.base.Ref})
		}
		if eff.Missed != 0 {
			r.s.metrics.degraded.Inc()
		}
	}
}

// fill makes the request of one slot.
func (r *round) fill(req *drive.Commit, slot int) {
	*req = r.base
	req.Slot, req.Inline = uint8(slot), r.shards[slot]
}

// do implements doer: the offer of the first attempt to a slot.
func (r *round) do(slot int) { r.offer(slot, 0, &r.reqs[slot]) }

func (r *round) offer(slot, attempt int, req *drive.Commit) {
	defer r.done()
	ev := quorum.WriteEvent{Slot: slot}
	reply, err := r.t.drives[slot].Commit(r.ctx, req)
	switch {
	case err != nil:
		ev.Kind, ev.Reason = quorum.WriteFailed, reasonOf(err)
		if ev.Reason == quorum.ReasonUnknown {
			r.s.log.Warn("commit failed", "drive", r.t.set.Members[slot], "set", r.t.id, "err", err)
		}
	case reply.Accepted:
		ev.Kind = quorum.WriteAccepted
		r.s.watermarks.note(r.t.set.Members[slot], reply.Batch)
	default:
		ev.Kind, ev.Highest = quorum.WriteRefused, reply.Highest
	}
	r.events <- roundEvent{attempt, ev}
}

func (r *round) kill(slot, attempt int, ref object.VersionRef) {
	defer r.done()
	ev := quorum.WriteEvent{Kind: quorum.WriteKilled, Slot: slot}
	if err := r.t.drives[slot].Drop(r.ctx, r.t.key, r.t.id, ref); err != nil {
		ev.Kind = quorum.WriteNotKilled
	}
	r.events <- roundEvent{attempt, ev}
}

// reasonOf says what a drive's error means for a write.
func reasonOf(err error) quorum.Reason {
	switch {
	case errors.Is(err, drive.ErrOffline), errors.Is(err, drive.ErrNoShard), errors.Is(err, drive.ErrNotInSync), errors.Is(err, drive.ErrNoUpload):
		return quorum.ReasonAbsent
	case errors.Is(err, drive.ErrFull):
		return quorum.ReasonFull
	case errors.Is(err, drive.ErrBusy):
		return quorum.ReasonBusy
	case errors.Is(err, drive.ErrStale):
		return quorum.ReasonStale
	}
	return quorum.ReasonUnknown
}

// failure puts a lost write into words.
func (r *round) failure(eff quorum.WriteEffect) error {
	t, m := r.t, &r.mach
	switch eff.Reason {
	case quorum.ReasonStale:
		return fmt.Errorf("set %d: bucket %q has changed: %w", t.id, t.bucket.Name, cluster.ErrBucketSealed)
	case quorum.ReasonFull:
		return fmt.Errorf("set %d: %d of %d drives are full: %w", t.id, m.Failed(quorum.ReasonFull).Len(), t.n(), object.ErrStorageFull)
	case quorum.ReasonBusy:
		return fmt.Errorf("set %d: %d of %d drives have a full mailbox: %w", t.id, m.Failed(quorum.ReasonBusy).Len(), t.n(), object.ErrBusy)
	}
	more := ""
	if m.Refused() != 0 {
		more = fmt.Sprintf(", %d refused its stamp", m.Refused().Len())
	}
	if eff.Unknown {
		more += "; the outcome is unknown"
	}
	return t.writeQuorum(m.Accepted(), more)
}
