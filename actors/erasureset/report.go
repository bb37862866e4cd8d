package erasureset

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
)

// reports is one round of report requests for a key. Answers that come after it was closed give
// their pins back themselves. Like rounds they are reused, once their user and every call they
// started are done with them.
type reports struct {
	s         *Store
	t         *target
	withShard bool
	mach      quorum.Read
	seen      []quorum.Seen // scratch

	arrived chan int // slots, capacity maxSlots
	timer   *time.Timer
	ctx     context.Context // of all its requests; nil: none was sent
	req     drive.ReportRequest
	refs    atomic.Int32 // its user and the requests under way

	mu      sync.Mutex
	closed  bool                   // guarded by mu
	answers [maxSlots]drive.Report // guarded by mu until its slot arrived
	errs    [maxSlots]error        // guarded by mu until its slot arrived
}

// found is the version a reader may see, and what came with it.
type found struct {
	info    *Info // nil: absent
	row     []byte
	holders quorum.Slots
	rep     *reports // closed by whoever took over the result
}

func (s *Store) newReports(t *target, withShard bool) *reports {
	r, _ := s.asks.Get().(*reports)
	if r == nil {
		r = &reports{s: s, arrived: make(chan int, maxSlots), timer: time.NewTimer(time.Hour)}
	}
	r.t, r.withShard, r.mach = t, withShard, quorum.NewRead(t.shape)
	r.mach.Condemned = s.condemned
	r.refs.Store(1)
	return r
}

// ask sends the request to slots. ctx is the same each time.
func (r *reports) ask(ctx context.Context, slots quorum.Slots) {
	if slots == 0 {
		return
	}
	if r.ctx == nil {
		r.ctx = ctx
		r.req = drive.ReportRequest{Set: r.t.id, Epoch: r.t.set.Epoch, Key: r.t.key, WithShard: r.withShard}
	}
	for i := range slots.All() {
		r.refs.Add(1)
		r.s.background.Add(1)
		r.s.crew.run(r, i)
	}
}

// do implements doer: it asks one slot.
func (r *reports) do(slot int) {
	rep, err := r.t.drives[slot].Report(r.ctx, &r.req)
	r.take(slot, rep, err)
	s := r.s
	r.done()
	s.background.Done()
}

// take keeps an answer, unless it comes too late.
func (r *reports) take(slot int, rep drive.Report, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		rep.Release()
		return
	}
	r.answers[slot], r.errs[slot] = rep, err
	r.arrived <- slot
}

// done gives up one use of the reports; the last makes them ready for another key.
func (r *reports) done() {
	if r.refs.Add(-1) != 0 {
		return
	}
	for len(r.arrived) > 0 {
		<-r.arrived
	}
	n := r.t.n()
	clear(r.answers[:n])
	clear(r.errs[:n])
	clear(r.seen[:cap(r.seen)])
	r.t, r.ctx, r.req, r.mach, r.closed = nil, nil, drive.ReportRequest{}, quorum.Read{}, false
	r.s.asks.Put(r)
}

// close gives back every pin but those of keep, and the reports themselves: it is called once, and
// nothing of them is used after it but the versions that they brought.
func (r *reports) close(keep quorum.Slots) {
	r.mu.Lock()
	r.closed = true
	for i := range r.answers {
		if !keep.Has(i) {
			r.answers[i].Release()
		}
	}
	r.mu.Unlock()
	r.done()
}

// event turns an arrived answer into one for the machine.
func (r *reports) event(slot int) quorum.ReadEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.errs[slot]; err != nil {
		if !errors.Is(err, drive.ErrOffline) && !errors.Is(err, context.Canceled) {
			r.s.log.Warn("report failed", "drive", r.t.set.Members[slot], "set", r.t.id, "err", err)
		}
		return quorum.ReadEvent{Kind: quorum.ReadUnknown, Slot: slot}
	}
	r.seen = r.seen[:0]
	for i := range r.answers[slot].Versions {
		v := &r.answers[slot].Versions[i]
		r.seen = append(r.seen, quorum.Seen{
			Ref: object.VersionRef{TS: v.Version.TS, Write: v.Version.Write}, Rev: v.Version.Rev, Stable: v.Stable,
		})
	}
	return quorum.ReadEvent{Kind: quorum.ReadAnswer, Slot: slot, Seen: r.seen}
}

// run steps the machine to an outcome, asking further slots when answers are late.
func (r *reports) run(ctx context.Context) (quorum.ReadEffect, error) {
	eff := r.mach.Step(quorum.ReadEvent{Kind: quorum.ReadBegin, Slots: r.t.online()})
	slow := r.timer
	slow.Reset(r.s.opt.HedgeAfter)
	defer slow.Stop()
	var awaited quorum.Slots
	for {
		r.ask(ctx, eff.Ask)
		awaited |= eff.Ask
		if eff.Outcome != quorum.Waiting {
			return eff, nil
		}
		select {
		case slot := <-r.arrived:
			if !awaited.Has(slot) {
				eff = quorum.ReadEffect{} // given up
				continue
			}
			awaited &^= quorum.Slot(slot)
			eff = r.mach.Step(r.event(slot))
		case <-slow.C:
			slow.Reset(r.s.opt.HedgeAfter)
			eff = r.late(&awaited)
		case <-ctx.Done():
			return eff, fmt.Errorf("%w: %w", r.t.readQuorum(r.mach.Answered(), ""), ctx.Err())
		}
	}
}

// late is what follows from answers that take long.
func (r *reports) late(awaited *quorum.Slots) quorum.ReadEffect {
	for i := range (*awaited &^ r.t.online()).All() {
		// A drive that hangs may never come back from its call. The next look sees to the next one.
		*awaited &^= quorum.Slot(i)
		return r.mach.Step(quorum.ReadEvent{Kind: quorum.ReadUnknown, Slot: i})
	}
	r.s.metrics.hedges.Inc()
	return r.mach.Step(quorum.ReadEvent{Kind: quorum.ReadSlow})
}

// version finds the reported version, in any of the holders' reports.
func (r *reports) version(ref object.VersionRef, holders quorum.Slots) (*Info, []byte) {
	for i := range holders.All() {
		for j := range r.answers[i].Versions {
			v := &r.answers[i].Versions[j]
			if v.Version.TS == ref.TS && v.Version.Write == ref.Write {
				return &v.Version, v.Row
			}
		}
	}
	return nil, nil
}

// read finds what a reader of the key may see. locked says that the caller holds the key's turn;
// otherwise it is taken when an unfinished version stands in the way, which also waits for a write
// that is under way. The reports in the result are open.
func (s *Store) read(ctx context.Context, t *target, withShard, locked bool) (found, error) {
	r := s.newReports(t, withShard)
	eff, err := r.run(ctx)
	if err != nil {
		r.close(0)
		return found{}, err
	}
	switch eff.Outcome {
	case quorum.Absent:
		return found{rep: r}, nil
	case quorum.NoQuorum:
		err := t.readQuorum(r.mach.Answered(), "")
		r.close(0)
		return found{}, err
	case quorum.Found:
		info, row := r.version(eff.Ref, eff.Holders)
		return found{info: info, row: row, holders: eff.Holders, rep: r}, nil
	}
	r.close(0)
	if locked {
		return s.resolve(ctx, t, withShard)
	}
	tk, err := s.locks.lock(ctx, t)
	if err != nil {
		return found{}, err
	}
	defer s.locks.unlock(t, tk)
	return s.resolve(ctx, t, withShard)
}

// live turns markers and tombstones into absence.
func (f *found) live() *Info {
	if f.info == nil || f.info.Kind != ondisk.KindObject {
		return nil
	}
	return f.info
}

// judge evaluates a condition on the resolved state of a key whose turn the caller holds (I13).
func (s *Store) judge(ctx context.Context, t *target, cond Condition) error {
	if cond == nil {
		return nil
	}
	f, err := s.read(ctx, t, false, true)
	if err != nil {
		return err
	}
	f.rep.close(0)
	return cond(f.live())
}
