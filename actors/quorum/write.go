package quorum

import (
	"time"

	"holdfast/actors/object"
)

// Reason is why a slot did not take a version.
type Reason uint8

// Reasons. All but ReasonUnknown mean that nothing was done.
const (
	ReasonAbsent  Reason = iota + 1 // offline, or the shard could not be staged
	ReasonFull                      // at its reserve
	ReasonBusy                      // mailbox full
	ReasonStale                     // the sender's bucket revision or set epoch is old (I17)
	ReasonUnknown                   // failed or timed out: it may hold the version
	reasons
)

// WriteLimits are the times of a write.
type WriteLimits struct {
	Straggler time.Duration // how long an acknowledgement waits for the slots beyond W (I2b)
	Mark      time.Duration // how long the mark waits for them
	Restamps  int           // attempts under a new stamp
}

// Write brings one version to its slots: offer, acknowledge at W, mark stable; or kill what cannot
// reach W and try again under a newer stamp, or fail. With Held set at the beginning it finishes a
// version that some slots hold already.
type Write struct {
	Shape
	limits WriteLimits

	offered, accepted, refused Slots
	failed                     [reasons]Slots
	finishing                  bool // of another coordinator's version: never killed here
	acked, marked, over        bool
	killing, killOut, dead     Slots // being told, not answered yet, marks given
	highest                    object.Stamp
	restamps                   int
	quorumAt                   time.Time // when W was reached, or became out of reach
}

// WriteEventKind says what happened.
type WriteEventKind uint8

// Events of a Write.
const (
	WriteBegin     WriteEventKind = iota + 1 // Slots to offer to; Held already have it; all others count as absent
	WriteAccepted                            // Slot
	WriteRefused                             // Slot, Highest
	WriteFailed                              // Slot, Reason
	WriteTick                                // time has passed
	WriteKilled                              // Slot: left a dead mark
	WriteNotKilled                           // Slot: did not
)

// WriteEvent is one event.
type WriteEvent struct {
	Kind    WriteEventKind
	Slot    int
	Slots   Slots
	Held    Slots
	Reason  Reason
	Highest object.Stamp
}

// WriteEffect is what to do next; several fields may be set at once.
type WriteEffect struct {
	Offer Slots // send the commit to these
	Kill  Slots // send a drop of the attempt to these
	// Restamp: the attempt is dead for ever (I8); offer the version to all again under a stamp above it.
	Restamp object.Stamp
	Ack     bool  // acknowledged (I2)
	Mark    Slots // mark stable on these
	Missed  Slots // slots that did not take it, for the mark
	Fail    bool
	Reason  Reason // of a failure: the one that would have to go for W to be met
	Unknown bool   // of a failure: the version may yet appear
	Over    bool   // no more events are awaited
	Wake    time.Time
}

// NewWrite returns a machine for one version.
func NewWrite(s Shape, limits WriteLimits) Write { return Write{Shape: s, limits: limits} }

// Accepted are the slots that took the version.
func (w *Write) Accepted() Slots { return w.accepted }

// Failed are the slots that did not for a reason.
func (w *Write) Failed(r Reason) Slots { return w.failed[r] }

// Refused are the slots that know something newer.
func (w *Write) Refused() Slots { return w.refused }

func (w *Write) notDone() Slots {
	return w.failed[ReasonAbsent] | w.failed[ReasonFull] | w.failed[ReasonBusy] | w.failed[ReasonStale]
}

func (w *Write) outstanding() Slots {
	return w.offered &^ w.accepted &^ w.refused &^ w.notDone() &^ w.failed[ReasonUnknown]
}

// Step takes one event at a time.
func (w *Write) Step(now time.Time, ev WriteEvent) WriteEffect {
	var late Slots
	switch ev.Kind {
	case WriteBegin:
		*w = Write{Shape: w.Shape, limits: w.limits, restamps: w.restamps, highest: w.highest}
		w.finishing = ev.Held != 0
		w.accepted = ev.Held
		w.offered = ev.Slots | ev.Held
		w.failed[ReasonAbsent] = AllSlots(w.N) &^ w.offered
		e := w.judge(now)
		e.Offer = ev.Slots &^ ev.Held
		return e
	case WriteAccepted:
		w.accepted |= Slot(ev.Slot)
		if w.marked {
			late = Slot(ev.Slot)
		}
	case WriteRefused:
		w.refused |= Slot(ev.Slot)
		w.highest = max(w.highest, ev.Highest)
	case WriteFailed:
		w.failed[ev.Reason] |= Slot(ev.Slot)
	case WriteKilled:
		w.killOut &^= Slot(ev.Slot)
		w.dead |= Slot(ev.Slot)
		return w.judgeKill()
	case WriteNotKilled:
		w.killOut &^= Slot(ev.Slot)
		return w.judgeKill()
	}
	if w.over {
		return WriteEffect{Over: w.outstanding() == 0}
	}
	e := w.judge(now)
	if late != 0 { // I10: W accepted long ago
		e.Mark, e.Missed = late, AllSlots(w.N)&^w.accepted
	}
	return e
}

func (w *Write) judge(now time.Time) WriteEffect {
	if w.killing != 0 {
		return WriteEffect{}
	}
	out := w.outstanding()
	if w.accepted.Len() >= w.W {
		return w.won(now, out)
	}
	if w.accepted.Len()+out.Len() >= w.W {
		return WriteEffect{} // W is still within reach
	}
	if w.quorumAt.IsZero() {
		w.quorumAt = now
	}
	if out != 0 && now.Before(w.quorumAt.Add(w.limits.Mark)) {
		return WriteEffect{Wake: w.quorumAt.Add(w.limits.Mark)} // what they say decides how to fail
	}
	return w.lost(out)
}

// won acknowledges and marks when everybody has answered, or the time for that is up.
func (w *Write) won(now time.Time, out Slots) WriteEffect {
	var e WriteEffect
	if w.quorumAt.IsZero() {
		w.quorumAt = now
	}
	ackAt, markAt := w.quorumAt.Add(w.limits.Straggler), w.quorumAt.Add(w.limits.Mark)
	if !w.acked {
		if out == 0 || !now.Before(ackAt) {
			w.acked, e.Ack = true, true
		} else {
			e.Wake = ackAt
			return e
		}
	}
	if !w.marked {
		if out == 0 || !now.Before(markAt) {
			w.marked = true
			e.Mark, e.Missed = w.accepted, AllSlots(w.N)&^w.accepted
		} else {
			e.Wake = markAt
		}
	}
	e.Over = out == 0
	return e
}

// lost ends an attempt that cannot reach W.
func (w *Write) lost(out Slots) WriteEffect {
	w.failed[ReasonUnknown] |= out
	unknown := w.failed[ReasonUnknown]
	switch {
	case w.finishing, w.accepted.Len()+unknown.Len() >= w.W:
		// It may be on W slots without our knowing, or is another's: only a resolver may end it.
		return w.fail(true)
	case w.accepted == 0 && unknown == 0:
		return w.again() // nobody holds it and nothing is under way: nothing to kill
	}
	w.killing = AllSlots(w.N) &^ unknown &^ w.failed[ReasonAbsent]
	w.killOut = w.killing
	return WriteEffect{Kill: w.killing}
}

// judgeKill waits for the dead marks: k of them prove that the attempt never reaches W (I7).
func (w *Write) judgeKill() WriteEffect {
	switch {
	case w.killOut != 0:
		return WriteEffect{}
	case w.dead.Len() >= w.K:
		return w.again()
	}
	return w.fail(true)
}

// again re-stamps after refusals, if a newer stamp could win (I8: only ever reached with proof
// that the attempt is dead).
func (w *Write) again() WriteEffect {
	if w.refused != 0 && w.accepted.Len()+w.refused.Len() >= w.W && w.restamps < w.limits.Restamps {
		w.restamps++
		w.over = true
		return WriteEffect{Restamp: w.highest + 1}
	}
	return w.fail(false)
}

func (w *Write) fail(unknown bool) WriteEffect {
	w.over = true
	e := WriteEffect{Fail: true, Unknown: unknown, Reason: ReasonAbsent, Over: true}
	have := w.accepted.Len() + w.refused.Len()
	for _, r := range []Reason{ReasonStale, ReasonFull, ReasonBusy} {
		have += w.failed[r].Len()
		if w.failed[r] != 0 && (r == ReasonStale || have >= w.W) {
			e.Reason = r
			break
		}
	}
	if unknown && e.Reason != ReasonStale {
		e.Reason = ReasonUnknown
	}
	return e
}
