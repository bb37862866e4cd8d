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

// round carries one version to the slots of its set, stepping a quorum.Write in the goroutine that
// runs it. Rounds are reused: one goes back to the pool when its runner and every call it started are
// done with it.
type round struct {
	s    *Store
	t    *target
	mach quorum.Write

	base   drive.Commit     // all but Slot, Inline
	shards [maxSlots][]byte // inline shards
	row    []byte           // encoded version, reused
	buf    []byte           // inline data and parity, reused
	req    drive.Commit     // scratch of offers that do not wait

	in       *inbox       // answers
	taken    []roundEvent // owned by the runner: answers it has taken from the inbox
	stepped  int          // owned by the runner: how many of them had their step
	attempt  int
	started  quorum.Slots // owned by the runner: commits of this attempt under way at drives that do not wait
	calls    int          // owned by the runner: the same, of all attempts
	deadline time.Time    // of all calls
	late     bool         // the deadline has passed
	refs     atomic.Int32 // the runner, and calls that wait
	ctx      context.Context
	cancel   context.CancelFunc
	cleanup  func() // called once, when nothing uses the round any more
	timer    *time.Timer
}

func (s *Store) newRound(t *target) *round {
	r, _ := s.rounds.Get().(*round)
	if r == nil {
		r = &round{s: s, in: &inbox{wake: make(chan struct{}, 1)}, timer: time.NewTimer(time.Hour)}
	}
	r.t, r.attempt = t, 0
	r.refs.Store(1)
	s.background.Add(1)
	return r
}

// end gives up the runner's use of the round, when all calls that nobody waits in were answered.
func (r *round) end() {
	if r.calls == 0 {
		r.done()
		return
	}
	r.in.await(0)
	r.s.background.Go(func() {
		for r.calls > 0 {
			r.next(time.Time{})
		}
		r.done()
	})
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
	s := r.s
	if !r.late { // else a drive may yet answer
		r.taken = r.in.take(r.taken[:0])
		clear(r.taken[:cap(r.taken)])
		*r = round{s: s, in: r.in, taken: r.taken[:0], row: r.row[:0], buf: r.buf, timer: r.timer}
		s.rounds.Put(r)
	}
	s.background.Done()
}

// prepare fills the part of the commit that all slots share. v has everything but its stamp.
func (r *round) prepare(v *Info, write object.WriteID) error {
	t := r.t
	v.Write = write
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
	now := time.Now()
	r.deadline = now.Add(r.s.opt.CommitLimit)
	all := begin.Slots
	for ev := begin; ; {
		eff := r.mach.Step(now, ev)
		r.apply(eff)
		switch {
		case eff.Restamp != 0:
			r.s.metrics.restamps.Inc()
			r.stamp(v, r.s.clock.after(eff.Restamp))
			r.attempt++
			r.started = 0
			now, ev = time.Now(), quorum.WriteEvent{Kind: quorum.WriteBegin, Slots: all}
			continue
		case eff.Fail:
			err := r.failure(eff)
			r.end()
			return err
		case eff.Ack && eff.Over:
			r.end()
			return nil
		case eff.Ack:
			r.in.await(0)
			r.s.background.Go(func() { r.rest(eff) })
			return nil
		}
		now, ev = r.wait(eff.Wake)
	}
}

// rest follows the stragglers of an acknowledged round.
func (r *round) rest(eff quorum.WriteEffect) {
	for !eff.Over {
		eff = r.mach.Step(r.wait(eff.Wake))
		r.apply(eff)
	}
	r.end()
}

// wait returns the next event of the present attempt.
func (r *round) wait(wake time.Time) (time.Time, quorum.WriteEvent) {
	for {
		e, ok := r.next(wake)
		switch {
		case !ok:
			return time.Now(), quorum.WriteEvent{Kind: quorum.WriteTick}
		case e.attempt == r.attempt:
			r.note(&e)
			return e.at, e.ev
		}
	}
}

// note keeps what an answer says beside its event.
func (r *round) note(e *roundEvent) {
	switch e.ev.Kind {
	case quorum.WriteAccepted:
		r.s.watermarks.note(r.t.set.Members[e.ev.Slot], e.batch)
	case quorum.WriteFailed:
		if e.ev.Reason == quorum.ReasonUnknown {
			r.s.log.Warn("commit failed", "drive", r.t.set.Members[e.ev.Slot], "set", r.t.id, "err", e.err)
		}
	}
}

// next returns the next answer; false when wake, unless zero, comes first.
//
// The runner is not woken for acceptances that decide nothing. So that one which reached W still
// starts the time of the stragglers, which begins when it came, the runner looks at least that often.
func (r *round) next(wake time.Time) (roundEvent, bool) {
	for r.stepped == len(r.taken) {
		r.taken, r.stepped = r.in.take(r.taken[:0]), 0
		now := time.Now()
		switch {
		case len(r.taken) > 0:
		case !r.late && !now.Before(r.deadline):
			if r.giveUp(now); len(r.taken) == 0 {
				return roundEvent{}, false
			}
		case !wake.IsZero() && !now.Before(wake):
			return roundEvent{}, false
		default:
			r.sleep(now, wake)
		}
	}
	e := r.taken[r.stepped]
	r.stepped++
	if e.free {
		r.calls--
		if e.attempt == r.attempt {
			r.started &^= quorum.Slot(e.ev.Slot)
		}
	}
	return e, true
}

// sleep returns when the runner is woken, or it is time to look.
func (r *round) sleep(now, wake time.Time) {
	look := r.s.opt.StragglerLimit
	if !wake.IsZero() {
		look = wake.Sub(now)
	}
	if !r.late {
		look = min(look, r.deadline.Sub(now))
	}
	r.timer.Reset(look)
	select {
	case <-r.in.wake:
		r.timer.Stop()
	case <-r.timer.C:
	}
}

// giveUp takes the drives that have not answered by the deadline for failed. If they answer later
// nobody listens.
func (r *round) giveUp(now time.Time) {
	r.late, r.calls = true, 0
	for i := range r.started.All() {
		e := answered(i, drive.CommitReply{}, context.DeadlineExceeded)
		e.attempt, e.at = r.attempt, now
		r.taken = append(r.taken, e)
	}
	r.started = 0
}

// apply carries out what the machine wants.
func (r *round) apply(eff quorum.WriteEffect) {
	if eff.Offer != 0 {
		r.in.await(eff.Offer.Len())
		for i := range eff.Offer.All() {
			r.send(i)
		}
	}
	if eff.Kill != 0 {
		r.s.doom(r.base.Ref)
		r.in.await(0)
	}
	for i := range eff.Kill.All() {
		r.refs.Add(1)
		go r.kill(r.context(), i, r.attempt, r.base.Ref)
	}
	if eff.Mark != 0 {
		r.s.marks.add(r.t, eff.Mark, drive.Mark{
			Key: r.t.key, Set: r.t.id, Ref: r.base.Ref, Rev: r.base.Rev, Missed: eff.Missed,
		})
		if eff.Missed == 0 && r.base.Kind == ondisk.KindTombstone {
			r.s.tombs.add(r.t, drive.Tomb{Key: r.t.key, Set: r.t.id, Ref: r.base.Ref})
		}
		if eff.Missed != 0 {
			r.s.metrics.degraded.Inc()
		}
	}
}

// context is that of the calls that wait.
func (r *round) context() context.Context {
	if r.ctx == nil {
		r.ctx, r.cancel = context.WithDeadline(context.Background(), r.deadline)
	}
	return r.ctx
}

// fill makes the request of one slot.
func (r *round) fill(req *drive.Commit, slot int) {
	*req = r.base
	req.Slot, req.Inline = uint8(slot), r.shards[slot]
}

// send offers the version to a slot.
func (r *round) send(slot int) {
	if d, ok := r.t.drives[slot].(drive.CommitStarter); ok {
		r.fill(&r.req, slot)
		started, err := d.StartCommit(&r.req, r.in, r.attempt*maxSlots+slot)
		switch {
		case started:
			r.started |= quorum.Slot(slot)
			r.calls++
			return
		case err != nil:
			e := answered(slot, drive.CommitReply{}, err)
			e.attempt = r.attempt
			r.in.push(e)
			return
		}
	}
	o := &offer{r: r, ctx: r.context(), attempt: r.attempt}
	r.fill(&o.req, slot)
	r.refs.Add(1)
	r.s.crew.run(o, slot)
}

// offer is a commit in whose call a goroutine waits. Its request is not the round's: the call of an
// earlier attempt may still read it.
type offer struct {
	r       *round
	ctx     context.Context
	attempt int
	req     drive.Commit
}

// do implements doer.
func (o *offer) do(slot int) {
	r := o.r
	defer r.done()
	reply, err := r.t.drives[slot].Commit(o.ctx, &o.req)
	e := answered(slot, reply, err)
	e.attempt = o.attempt
	r.in.push(e)
}

func (r *round) kill(ctx context.Context, slot, attempt int, ref object.VersionRef) {
	defer r.done()
	e := roundEvent{attempt: attempt, ev: quorum.WriteEvent{Kind: quorum.WriteKilled, Slot: slot}}
	if err := r.t.drives[slot].Drop(ctx, r.t.key, r.t.id, ref); err != nil {
		e.ev.Kind = quorum.WriteNotKilled
	}
	e.at = time.Now()
	r.in.push(e)
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
