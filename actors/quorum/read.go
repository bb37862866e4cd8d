package quorum

import (
	"slices"

	"holdfast/actors/object"
)

// Seen is one version in a drive's report.
type Seen struct {
	Ref    object.VersionRef
	Rev    object.Stamp
	Stable bool
}

// tally is what the answers say of one version.
type tally struct {
	ref             object.VersionRef
	rev             object.Stamp
	holders, stable Slots
}

// Read finds the version that a key's readers may see. It asks k slots, and the others only when
// those do not settle it. GET, HEAD, copies, conditions and lists use it alike (I32).
type Read struct {
	Shape
	usable   Slots // believed to answer, asked first
	asked    Slots
	answered Slots // gave evidence
	unknown  Slots // erred: neither present nor absent (I15)
	versions []tally
	few      [4]tally // first home of versions

	// Condemned says of an attempt that this coordinator has begun to kill it, on proof that it
	// cannot reach W. It is never finished afterwards: a kill that was given up may still arrive
	// (research on the protocol: "the kill belongs to its ballot", P5). Nil: none.
	Condemned func(object.VersionRef) bool
}

// ReadEventKind says what happened.
type ReadEventKind uint8

// Events of a Read.
const (
	ReadBegin   ReadEventKind = iota + 1 // Slots: those believed to answer
	ReadAnswer                           // Slot, Seen
	ReadUnknown                          // Slot: error, timeout, damaged, not in sync
	ReadSlow                             // answers take long: ask another slot
)

// ReadEvent is one event.
type ReadEvent struct {
	Kind  ReadEventKind
	Slot  int
	Slots Slots
	Seen  []Seen
}

// Outcome is what a read comes to.
type Outcome uint8

// Outcomes of a Read.
const (
	Waiting  Outcome = iota // for answers
	NoQuorum                // fewer than k slots can answer (I4)
	Absent                  // no version that may be returned
	Found                   // Ref may be returned (I3)
	InDoubt                 // Ref may neither be returned nor skipped: it must be resolved first
)

// ReadEffect is what to do next.
type ReadEffect struct {
	Ask     Slots // send a report request to these
	Outcome Outcome
	Ref     object.VersionRef
	Rev     object.Stamp
	Holders Slots // slots that reported Ref
}

// NewRead returns a machine for one read of one key.
func NewRead(s Shape) Read { return Read{Shape: s} }

// Step takes one event. No event may follow a final outcome but answers to Plan's all-slot read.
func (r *Read) Step(ev ReadEvent) ReadEffect {
	switch ev.Kind {
	case ReadBegin:
		r.usable = ev.Slots
		return ReadEffect{Ask: r.ask(r.K)}
	case ReadAnswer:
		r.answered |= Slot(ev.Slot)
		for _, s := range ev.Seen {
			r.count(ev.Slot, s)
		}
	case ReadUnknown:
		r.unknown |= Slot(ev.Slot)
	case ReadSlow:
		return ReadEffect{Ask: r.ask(1)}
	}
	return r.judge()
}

// ask books the next m slots: usable ones first, in slot order, so that data shards come before parity.
func (r *Read) ask(m int) Slots {
	next := (r.usable &^ r.asked).First(m)
	next |= (AllSlots(r.N) &^ r.usable &^ r.asked).First(m - next.Len())
	r.asked |= next
	return next
}

func (r *Read) count(slot int, s Seen) {
	if r.versions == nil {
		r.versions = r.few[:0]
	}
	i, ok := slices.BinarySearchFunc(r.versions, s, func(t tally, s Seen) int { // newest first
		if c := s.Ref.Compare(t.ref); c != 0 {
			return c
		}
		return int(min(1, max(-1, int64(s.Rev)-int64(t.rev))))
	})
	if !ok {
		r.versions = slices.Insert(r.versions, i, tally{ref: s.Ref, rev: s.Rev})
	}
	t := &r.versions[i]
	t.holders |= Slot(slot)
	if s.Stable {
		t.stable |= Slot(slot)
	}
}

// judge draws the conclusion of all answers so far.
func (r *Read) judge() ReadEffect {
	out := r.asked &^ r.answered &^ r.unknown
	if a := r.answered.Len(); a < r.K { // I4
		if a+out.Len() >= r.K {
			return ReadEffect{}
		}
		if ask := r.ask(r.K - a - out.Len()); ask != 0 {
			return ReadEffect{Ask: ask}
		}
		if out != 0 {
			return ReadEffect{}
		}
		return ReadEffect{Outcome: NoQuorum}
	}
	for i := range r.versions {
		t := &r.versions[i]
		switch {
		case r.chosen(t): // I3: nothing newer can have been acknowledged, k + W > n
			return ReadEffect{Outcome: Found, Ref: t.ref, Rev: t.rev, Holders: t.holders}
		case r.dead(t): // I5
			continue
		}
		if ask := r.ask(r.N); ask != 0 || out != 0 {
			return ReadEffect{Ask: ask}
		}
		return ReadEffect{Outcome: InDoubt, Ref: t.ref, Rev: t.rev, Holders: t.holders}
	}
	return ReadEffect{Outcome: Absent}
}

// chosen says that a version is acknowledged, or might as well be: stable somewhere or on W slots.
func (r *Read) chosen(t *tally) bool { return t.stable != 0 || t.holders.Len() >= r.W }

// dead says that a version cannot have been acknowledged: even if all who are silent held it, they
// would be fewer than W.
func (r *Read) dead(t *tally) bool {
	return t.holders.Len()+r.N-r.answered.Len() < r.W || r.condemned(t)
}

func (r *Read) condemned(t *tally) bool { return r.Condemned != nil && r.Condemned(t.ref) }

// Answered are the slots that gave evidence.
func (r *Read) Answered() Slots { return r.answered }

// ActionKind says how an unfinished version ends.
type ActionKind uint8

// Kinds of Action.
const (
	ActMark   ActionKind = iota + 1 // chosen: tell the holders that it is stable
	ActDrop                         // not acknowledged and never will be: kill it
	ActFinish                       // may have been acknowledged: bring it to W slots, then mark
	ActStuck                        // may have been acknowledged and cannot be finished now
)

// Action is one step of a resolution.
type Action struct {
	Kind    ActionKind
	Ref     object.VersionRef
	Rev     object.Stamp
	Holders Slots
	// Known is that some slot marked Ref stable: it may be read even if it cannot be marked elsewhere.
	Known bool
}

// AskAll makes the machine ask every slot, for a resolution.
func (r *Read) AskAll() Slots {
	r.usable = AllSlots(r.N)
	return r.ask(r.N)
}

// Plan says, once every slot has answered or failed, how each unfinished version of the key ends,
// newest first. The caller has made sure that no coordinator is at work on the key: it holds the
// key's queue. The plan ends with the first version that stands. keep says that a version that
// could be killed shall be finished instead if that is possible.
func (r *Read) Plan(keep func(object.VersionRef) bool) []Action {
	var plan []Action
	for i := range r.versions {
		t := &r.versions[i]
		a := Action{Ref: t.ref, Rev: t.rev, Holders: t.holders, Known: t.stable != 0}
		finishable := t.holders.Len() >= r.K && r.answered.Len() >= r.W
		switch {
		case r.chosen(t):
			a.Kind = ActMark
			return append(plan, a)
		case r.condemned(t), r.dead(t) && !(finishable && keep(t.ref)):
			a.Kind = ActDrop
			plan = append(plan, a)
			continue
		case r.answered.Len() >= r.W:
			a.Kind = ActFinish
		default:
			a.Kind = ActStuck
		}
		return append(plan, a)
	}
	return plan
}
