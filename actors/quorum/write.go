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
	SetConfig
	limits WriteLimits
	off    Rules

	offered, accepted, refused Slots
	failed                     [reasons]Slots
	finishing                  bool // of another coordinator's version: never killed here
	moved                      bool // the attempt's epoch is over: what holds it proves no quorum
	chosen                     bool // somebody knows it stable
	ahead                      Slots
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
	WriteHeld                                // Slot: asked for a mark, it says that it accepted the version; Chosen
	WriteMoved                               // Config: the set has a newer epoch; the attempt can only be killed there
)

// WriteEvent is one event.
type WriteEvent struct {
	Kind    WriteEventKind
	Slot    int
	Slots   Slots
	Held    Slots
	Reason  Reason
	Highest object.Stamp
	Ahead   bool // WriteRefused: for its clock alone
	Finish  bool // WriteBegin: another's version, under a ballot; all Slots are asked, holders too
	Chosen  bool // WriteHeld: and knows it stable
	Config  *SetConfig
}

// WriteEffect is what to do next; several fields may be set at once.
type WriteEffect struct {
	Offer Slots // send the commit to these
	Kill  Slots // ask these for a dead mark of the attempt
	Drop  Slots // the attempt is proved dead: tell these to drop it
	// Restamp: the attempt is dead for ever (I8); offer the version to all again under a stamp above it.
	Restamp object.Stamp
	Ack     bool  // acknowledged (I2)
	Mark    Slots // mark stable on these
	Missed  Slots // slots that did not take it, for the mark
	Fail    bool
	Reason  Reason // of a failure: the one that would have to go for W to be met
	Unknown bool   // of a failure: the version may yet appear
	Ahead   bool   // of a failure: the stamp was refused for its clock (I22)
	Over    bool   // no more events are awaited
	Wake    time.Time
}

// NewWrite returns a machine for one version in a set that does not move.
func NewWrite(s Shape, limits WriteLimits) Write {
	return Write{SetConfig: SetConfig{Shape: s}, limits: limits}
}

// NewWriteIn returns a machine for one version under a configuration.
func NewWriteIn(c *SetConfig, limits WriteLimits, off Rules) Write {
	return Write{SetConfig: *c, limits: limits, off: off}
}

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
		*w = Write{SetConfig: w.SetConfig, limits: w.limits, off: w.off, restamps: w.restamps, highest: w.highest}
		w.finishing = ev.Held != 0 || ev.Finish
		w.accepted = ev.Held
		w.offered = ev.Slots | ev.Held
		w.failed[ReasonAbsent] = w.Members() &^ w.offered
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
		if ev.Ahead {
			w.ahead |= Slot(ev.Slot)
		}
	case WriteFailed:
		w.failed[ev.Reason] |= Slot(ev.Slot)
	case WriteKilled:
		w.killOut &^= Slot(ev.Slot)
		w.dead |= Slot(ev.Slot)
		return w.judgeKill(now)
	case WriteHeld:
		w.killOut &^= Slot(ev.Slot)
		w.accepted |= Slot(ev.Slot)
		w.chosen = w.chosen || ev.Chosen
		return w.judgeKill(now)
	case WriteMoved:
		return w.move(now, ev.Config)
	case WriteNotKilled:
		w.killOut &^= Slot(ev.Slot)
		return w.judgeKill(now)
	}
	if w.over {
		return WriteEffect{Over: w.outstanding() == 0}
	}
	e := w.judge(now)
	if late != 0 { // I10: W accepted long ago
		e.Mark, e.Missed = late, w.SlotsOf(w.Members()&^w.accepted)
	}
	return e
}

func (w *Write) judge(now time.Time) WriteEffect {
	if w.killing != 0 {
		return WriteEffect{}
	}
	out := w.outstanding()
	if w.Acks(w.accepted, w.off) {
		return w.won(now, out)
	}
	if w.Acks(w.accepted|out, w.off) {
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
			e.Mark, e.Missed = w.accepted, w.SlotsOf(w.Members()&^w.accepted)
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
	case w.finishing:
		return w.fail(true) // it is another's: only a resolver may end it
	case w.accepted == 0 && unknown == 0 && w.ahead == 0, w.off.Off(NoSameWriteID):
		// Nobody holds it and nothing is under way: nothing to kill. One that came too early may come again in time.
		return w.again()
	}
	return w.kill(w.Members() &^ w.accepted)
}

func (w *Write) kill(slots Slots) WriteEffect {
	w.killing, w.killOut = slots, slots
	if slots == 0 {
		return w.fail(true)
	}
	return WriteEffect{Kill: slots}
}

// judgeKill waits for the dead marks: k of them prove that the attempt never reaches W (I7). If it
// turns out to be held by W, it is acknowledged after all.
func (w *Write) judgeKill(now time.Time) WriteEffect {
	switch {
	case w.killOut != 0:
		return WriteEffect{}
	case w.chosen, !w.moved && w.Acks(w.accepted, w.off):
		w.killing = 0
		return w.won(now, 0)
	case w.Kills(w.dead, w.off):
		e := w.again()
		e.Drop = w.accepted
		return e
	}
	return w.fail(true)
}

// move ends the attempt in its own epoch: an accept that is still under way will be refused there,
// and a commit is never sent again. What remains is to kill it afresh among the new members.
func (w *Write) move(now time.Time, c *SetConfig) WriteEffect {
	switch {
	case w.over:
		return WriteEffect{Over: true}
	case w.acked, c.Epoch <= w.Epoch:
		return w.judge(now) // only the marks are left, or it is no news
	}
	stale := w.failed[ReasonStale]
	w.SetConfig, w.moved = *c, true
	if w.finishing {
		return w.fail(true)
	}
	// Nobody took it and nobody will: in this epoch nothing of it exists.
	if w.accepted == 0 && w.failed[ReasonUnknown] == 0 && w.offered == w.refused|w.notDone()|stale {
		return w.again()
	}
	w.dead, w.refused = 0, w.refused|stale
	return w.kill(w.Members())
}

// again re-stamps after refusals, if a newer stamp could win (I8: only ever reached with proof
// that the attempt is dead).
func (w *Write) again() WriteEffect {
	able := w.refused != 0 && w.accepted.Len()+w.refused.Len() >= w.W && w.ahead.Len() < w.K
	if (able || w.moved) && w.restamps < w.limits.Restamps {
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
	e.Ahead = w.ahead.Len() >= w.K && !w.off.Off(NoStaleAhead)
	return e
}
