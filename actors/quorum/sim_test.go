package quorum

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"holdfast/actors/object"
)

// A throwaway world around the machines: one key, drives that obey Accept and Kill, a network that
// delays, reorders and loses, a coordinator that dies and is followed by another, drives that come
// and go and forget marks. What clients saw must be linearizable, and nothing may stay in doubt.

type simVersion struct {
	ref    object.VersionRef
	stable bool
}

type simDrive struct {
	versions   []simVersion // newest first
	dead       []object.VersionRef
	superseded []object.VersionRef
	away       bool
}

func (d *simDrive) view(ref object.VersionRef) KeyView {
	v := KeyView{Dead: slices.Contains(d.dead, ref), Superseded: slices.Contains(d.superseded, ref)}
	for i, s := range d.versions {
		if i == 0 {
			v.Newest = s.ref
		}
		if s.ref == ref {
			v.Holds, v.Stable = true, s.stable
		}
	}
	return v
}

func (d *simDrive) accept(ref object.VersionRef) Verdict {
	view := d.view(ref)
	v := Accept(&view, Plain(ref))
	if v.Accepted && !v.Repeat {
		d.versions = slices.Insert(d.versions, 0, simVersion{ref: ref})
	}
	return v
}

func (d *simDrive) mark(ref object.VersionRef) {
	for i := range d.versions {
		if d.versions[i].ref == ref {
			d.versions[i].stable = true
			for _, old := range d.versions[i+1:] {
				if !old.stable {
					d.superseded = append(d.superseded, old.ref)
				}
			}
			d.versions = d.versions[:i+1]
			return
		}
	}
}

func (d *simDrive) kill(ref object.VersionRef) bool {
	view := d.view(ref)
	switch Kill(&view, ref) {
	case KillHeld:
		return false
	case KillDrop:
		d.versions = slices.DeleteFunc(d.versions, func(v simVersion) bool { return v.ref == ref })
	}
	d.dead = append(d.dead, ref)
	return true
}

func (d *simDrive) report() []Seen {
	var out []Seen
	for _, v := range d.versions {
		out = append(out, Seen{Ref: v.ref, Rev: v.ref.TS, Stable: v.stable})
		if v.stable {
			break
		}
	}
	return out
}

// simOp is one operation of a client, for the checker.
type simOp struct {
	write      bool
	value      byte // written or read; 0 = absent
	start, end int  // end 0 = never heard of
	failed     bool // a read without an answer, or a write that certainly did nothing
}

type sim struct {
	rng    *rand.Rand
	shape  Shape
	drives []simDrive
	pool   []func() // what may happen next, in any order
	queue  KeyQueue[int]
	turns  map[int]func()
	life   int // of the coordinator: replies to an earlier one are lost
	clock  Clock
	now    int
	doomed map[object.VersionRef]bool // attempts that this life began to kill
	ops    []*simOp
	next   int  // ticket
	dense  bool // faults and clients have stopped
}

func (s *sim) time() time.Time {
	return time.Unix(1000, 0).Add(time.Duration(s.now) * time.Millisecond)
}

// send delivers a call to a drive some time, and its answer some time later. Calls and answers are
// lost, and calls take effect after their caller gave up. With the coordinator's process, which the
// drives share in this release, calls under way die too.
func (s *sim) send(slot int, call func(d *simDrive) func(), lost func()) {
	life := s.life
	later := func(fn func()) {
		s.pool = append(s.pool, func() {
			if s.life == life {
				fn()
			}
		})
	}
	later(func() {
		d := &s.drives[slot]
		fate := s.rng.IntN(24)
		if s.dense {
			fate = 23
		}
		switch {
		case d.away, fate < 3: // never arrives
			later(lost)
		case fate < 6: // arrives, and the answer is lost
			call(d)
			later(lost)
		case fate < 9: // arrives after the caller gave up
			later(lost)
			later(func() { later(func() { call(d) }) })
		default:
			later(call(d))
		}
	})
}

func (s *sim) lock(fn func(unlock func())) {
	s.next++
	who, life := s.next, s.life
	run := func() {
		fn(func() {
			if s.life != life {
				return
			}
			if next, ok := s.queue.Leave(object.Key{}, who); ok {
				s.turns[next]()
			}
		})
	}
	s.turns[who] = run
	if s.queue.Enter(object.Key{}, who) {
		run()
	}
}

var simLimits = WriteLimits{Straggler: 5 * time.Millisecond, Mark: 20 * time.Millisecond, Restamps: 3}

func (s *sim) online() Slots {
	var m Slots
	for i := range s.drives {
		if !s.drives[i].away {
			m |= Slot(i)
		}
	}
	return m
}

// write is a PUT of value.
func (s *sim) write(value byte) {
	op := &simOp{write: true, value: value, start: s.now}
	s.ops = append(s.ops, op)
	s.lock(func(unlock func()) {
		w := NewWrite(s.shape, simLimits)
		id := object.WriteID{value}
		s.runWrite(&w, object.VersionRef{TS: s.clock.Next(s.time()), Write: id}, WriteEvent{Kind: WriteBegin, Slots: s.online()}, func(ok, unknown bool) {
			if ok {
				op.end = s.now
			} else if !unknown {
				op.failed = true
			}
			unlock()
		})
	})
}

func (s *sim) runWrite(w *Write, ref object.VersionRef, begin WriteEvent, done func(ok, unknown bool)) {
	attempt := 0
	var step func(a int, ev WriteEvent)
	step = func(a int, ev WriteEvent) {
		if a != attempt {
			return
		}
		e := w.Step(s.time(), ev)
		for i := range e.Offer.All() {
			r := ref
			s.send(i, func(d *simDrive) func() {
				v := d.accept(r)
				kind := WriteRefused
				if v.Accepted {
					kind = WriteAccepted
				}
				return func() { step(a, WriteEvent{Kind: kind, Slot: i, Highest: v.Highest}) }
			}, func() { step(a, WriteEvent{Kind: WriteFailed, Slot: i, Reason: ReasonUnknown}) })
		}
		for i := range e.Kill.All() {
			r := ref
			s.doomed[r] = true
			s.send(i, func(d *simDrive) func() {
				kind := WriteNotKilled
				if d.kill(r) {
					kind = WriteKilled
				}
				return func() { step(a, WriteEvent{Kind: kind, Slot: i}) }
			}, func() { step(a, WriteEvent{Kind: WriteNotKilled, Slot: i}) })
		}
		for i := range e.Mark.All() {
			r := ref
			s.send(i, func(d *simDrive) func() { d.mark(r); return func() {} }, func() {})
		}
		switch {
		case e.Ack:
			done(true, false)
		case e.Fail:
			done(false, e.Unknown)
		case e.Restamp != 0:
			s.clock.Observe(e.Restamp)
			ref.TS = s.clock.Next(s.time())
			attempt++
			s.pool = append(s.pool, func() { step(attempt, WriteEvent{Kind: WriteBegin, Slots: s.online()}) })
			return
		}
		if !e.Wake.IsZero() {
			s.pool = append(s.pool, func() {
				s.now += 5
				step(a, WriteEvent{Kind: WriteTick})
			})
		}
	}
	step(0, begin)
}

// read is a GET.
func (s *sim) read() {
	op := &simOp{start: s.now}
	s.ops = append(s.ops, op)
	r := NewRead(s.shape)
	r.Condemned = func(ref object.VersionRef) bool { return s.doomed[ref] }
	var over bool
	var step func(ev ReadEvent)
	step = func(ev ReadEvent) {
		if over {
			return
		}
		e := r.Step(ev)
		s.ask(e.Ask, step)
		switch e.Outcome {
		case Waiting:
			return
		case Found:
			op.value, op.end = e.Ref.Write[0], s.now
		case Absent:
			op.end = s.now
		case NoQuorum:
			op.failed = true
		case InDoubt:
			s.lock(func(unlock func()) {
				s.resolve(func(ref object.VersionRef, ok bool) {
					if ok {
						op.value, op.end = ref.Write[0], s.now
					} else {
						op.failed = true
					}
					unlock()
				})
			})
		}
		over = true
	}
	step(ReadEvent{Kind: ReadBegin, Slots: s.online()})
}

func (s *sim) ask(slots Slots, step func(ReadEvent)) {
	for i := range slots.All() {
		s.send(i, func(d *simDrive) func() {
			seen := d.report()
			return func() { step(ReadEvent{Kind: ReadAnswer, Slot: i, Seen: seen}) }
		}, func() { step(ReadEvent{Kind: ReadUnknown, Slot: i}) })
	}
}

// resolve ends every unfinished version and gives what stands; the key's turn is held.
func (s *sim) resolve(done func(ref object.VersionRef, ok bool)) {
	r := NewRead(s.shape)
	r.Condemned = func(ref object.VersionRef) bool { return s.doomed[ref] }
	left := 0
	step := func(ev ReadEvent) {
		r.Step(ev)
		if left--; left == 0 {
			if r.Answered().Len() < s.shape.K {
				done(object.VersionRef{}, false)
				return
			}
			keep := s.rng.IntN(2) == 0
			s.carryOut(r.Plan(func(object.VersionRef) bool { return keep }), r.Answered(), done)
		}
	}
	ask := r.AskAll()
	left = ask.Len()
	s.ask(ask, step)
}

func (s *sim) carryOut(plan []Action, answered Slots, done func(ref object.VersionRef, ok bool)) {
	if len(plan) == 0 {
		done(object.VersionRef{}, true)
		return
	}
	a := plan[0]
	switch a.Kind {
	case ActMark:
		for i := range a.Holders.All() {
			s.send(i, func(d *simDrive) func() { d.mark(a.Ref); return func() {} }, func() {})
		}
		done(a.Ref, true)
	case ActStuck:
		done(object.VersionRef{}, false)
	case ActFinish:
		w := NewWrite(s.shape, simLimits)
		s.runWrite(&w, a.Ref, WriteEvent{Kind: WriteBegin, Held: a.Holders, Slots: answered &^ a.Holders}, func(ok, _ bool) { done(a.Ref, ok) })
	case ActDrop: // marks first, then the holders
		s.kills(answered&^a.Holders, a.Ref, func(marked int) {
			if marked < s.shape.K {
				s.carryOut(plan[1:], answered, done)
				return
			}
			s.kills(a.Holders, a.Ref, func(int) { s.carryOut(plan[1:], answered, done) })
		})
	}
}

func (s *sim) kills(slots Slots, ref object.VersionRef, done func(marked int)) {
	s.doomed[ref] = true
	left, marked := slots.Len(), 0
	if left == 0 {
		done(0)
		return
	}
	count := func(n int) func() {
		return func() {
			marked += n
			if left--; left == 0 {
				done(marked)
			}
		}
	}
	for i := range slots.All() {
		s.send(i, func(d *simDrive) func() {
			if d.kill(ref) {
				return count(1)
			}
			return count(0)
		}, count(0))
	}
}

// crash ends the coordinator: what it waited for is lost, what it sent may still arrive.
func (s *sim) crash() {
	s.life++
	s.queue, s.turns, s.doomed = NewKeyQueue[int](), map[int]func(){}, map[object.VersionRef]bool{}
	s.clock = Clock{} // and it may have lost a second
}

func (s *sim) run(t *testing.T) {
	value := byte(0)
	for step := 0; step < 60 || len(s.pool) > 0; step++ {
		s.now++
		switch x := s.rng.IntN(40); {
		case step >= 60 || s.dense:
		case x < 3 && len(s.ops) < 12:
			value++
			s.write(value)
		case x < 6 && len(s.ops) < 12:
			s.read()
		case x == 6:
			s.crash()
		case x == 7:
			d := &s.drives[s.rng.IntN(len(s.drives))]
			d.away = !d.away
		}
		if len(s.pool) > 0 {
			i := s.rng.IntN(len(s.pool))
			fn := s.pool[i]
			s.pool[i] = s.pool[len(s.pool)-1]
			s.pool = s.pool[:len(s.pool)-1]
			fn()
		}
		if step > 100_000 {
			t.Fatal("it does not end")
		}
	}
}

// settle brings all drives back and reads: the answer may not be in doubt.
func (s *sim) settle(t *testing.T) {
	for i := range s.drives {
		s.drives[i].away = false
	}
	s.dense = true
	s.crash()
	for range 2 {
		s.now += 10
		s.read()
		s.run(t)
		if op := s.ops[len(s.ops)-1]; op.failed || op.end == 0 {
			t.Fatal("the last read has no answer")
		}
	}
}

// linearizable searches for an order of the operations that a register would show.
func linearizable(ops []*simOp) bool {
	var list []*simOp
	for _, o := range ops {
		if o.failed || !o.write && o.end == 0 {
			continue
		}
		list = append(list, o)
	}
	type state struct {
		done  uint32
		value byte
	}
	seen := map[state]bool{}
	var search func(st state) bool
	search = func(st state) bool {
		if seen[st] {
			return false
		}
		seen[st] = true
		all, first := true, 1<<62 // first end among what is not done: later starts must wait
		for i, o := range list {
			if st.done>>i&1 == 0 && o.end != 0 {
				all = false
				first = min(first, o.end)
			}
		}
		if all {
			return true
		}
		for i, o := range list {
			if st.done>>i&1 != 0 || o.start > first {
				continue
			}
			next := state{st.done | 1<<i, st.value}
			if o.write {
				next.value = o.value
			} else if o.value != st.value {
				continue
			}
			if search(next) {
				return true
			}
		}
		return false
	}
	return search(state{})
}

func TestRandomSchedulesAreLinearizable(t *testing.T) {
	seeds := uint64(8000)
	if testing.Short() {
		seeds = 500
	}
	for _, n := range []int{1, 4, 6, 8} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			for seed := range seeds {
				s := &sim{rng: rand.New(rand.NewPCG(seed, uint64(n))), shape: ShapeOf(n), drives: make([]simDrive, n)}
				s.crash()
				s.run(t)
				s.settle(t)
				if !linearizable(s.ops) {
					for _, o := range s.ops {
						t.Logf("%+v", *o)
					}
					t.Fatalf("n=%d seed %d is not linearizable", n, seed)
				}
			}
		})
	}
}

func TestCheckerFindsWrongHistories(t *testing.T) {
	for name, ops := range map[string][]*simOp{
		"lost write":    {{write: true, value: 1, start: 1, end: 2}, {value: 0, start: 3, end: 4}},
		"new, then old": {{write: true, value: 1, start: 1, end: 2}, {write: true, value: 2, start: 3}, {value: 2, start: 4, end: 5}, {value: 1, start: 6, end: 7}},
		"never written": {{value: 9, start: 1, end: 2}},
	} {
		if linearizable(ops) {
			t.Errorf("%s passes", name)
		}
	}
	if !linearizable([]*simOp{{write: true, value: 1, start: 1}, {value: 0, start: 2, end: 3}, {value: 1, start: 4, end: 5}}) {
		t.Error("a write of unknown outcome may take effect late")
	}
}
