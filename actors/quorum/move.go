package quorum

import (
	"time"

	"holdfast/actors/object"
)

// Move is one slot move of one set as the node that runs it sees it: it spreads each epoch, says when
// the newcomer may be filled and when the next step may be proposed to the control plane. A step that
// comes too early loses acknowledged writes (H13); the waits are the W and k of I16.
type Move struct {
	env     *Env
	t       Target // Config is the present one; no key
	c       calls
	adopted Slots
	floor   object.Stamp // highest GC floor of the old members
	asked   uint32       // round in which the newcomer was told it
	floored bool         // ... and has it
	copied  bool
	want    MoveStep
	wake    time.Time
}

// MoveStep is what a Move wants of its owner.
type MoveStep uint8

// Steps.
const (
	MoveWait  MoveStep = iota
	MoveCopy           // list the keys of k old members under this epoch, Heal each on the newcomer, then send EvCopied
	MoveFlip           // propose Flipped
	MoveDone           // propose Settled with the newcomer in its slot; the old drive forgets the set
	MoveEnded          // the set has settled: done, or cancelled
)

// adoptEvery is how often members that have not adopted an epoch are told again.
const adoptEvery = 500 * time.Millisecond

// NewMove returns the machine of a move that has begun: t.Config is in the phase Begun or Flipped.
func NewMove(env *Env, t Target) *Move { return &Move{env: env, t: t} }

// Want is what the owner is to do now. It may be asked for again after a restart of the machine.
func (m *Move) Want() MoveStep { return m.want }

// Step takes one event: EvBegin; EvConfig when the control plane has applied a step; EvCopied; and
// the answers to its messages.
func (m *Move) Step(now time.Time, ev *Event) Effect {
	m.c.begin()
	switch {
	case ev.Kind == EvBegin:
		m.spread(now)
	case ev.Kind == EvConfig:
		if ev.Config.Epoch > m.t.Config.Epoch {
			if ev.Config.Phase == Begun { // another move: nothing of the last one counts
				m.floor, m.floored, m.copied = 0, false, false
			}
			m.t.Config, m.adopted = *ev.Config, 0
			if m.t.Config.Phase == Begun { // another move: this node never heard of the end of the one before
				m.copied, m.floored = false, false
			}
			m.spread(now)
		}
	case ev.Kind == EvCopied:
		m.copied = true
	case m.asked != 0 && ev.ID == m.asked && ev.Kind == EvReply:
		m.floored = m.floored || ev.Reply.OK
	case m.c.take(ev):
		if ev.Kind == EvReply && ev.Reply.OK && ev.Reply.Config.Epoch == m.t.Config.Epoch {
			m.adopted |= Slot(ev.From)
			if m.t.Config.Old().Has(ev.From) {
				m.floor = max(m.floor, ev.Reply.Floor)
			}
		}
	case ev.Kind == EvTick:
		if !m.wake.IsZero() && !now.Before(m.wake) {
			m.spread(now)
		}
	}
	m.judge()
	m.tellFloor()
	return Effect{Sends: m.c.sends, Wake: m.wake, Over: m.want == MoveEnded}
}

// spread tells all members that have not adopted the epoch.
func (m *Move) spread(now time.Time) {
	missing := m.t.Config.Members() &^ m.adopted
	m.c.round++
	m.c.out, m.wake, m.asked = missing, time.Time{}, 0
	if (missing != 0 || !m.floored) && m.t.Config.Phase != Settled {
		m.wake = now.Add(adoptEvery)
	}
	for i := range missing.All() {
		m.c.post(Slot(i), m.c.round, &m.t, &Request{Kind: ReqAdopt, Config: m.t.Config, Member: i})
	}
}

// tellFloor gives the newcomer the GC floor: a key that was collected is unknown to it, and it must
// not swear that it never saw what the others have forgotten (P1).
func (m *Move) tellFloor() {
	if m.want == MoveWait || m.t.Config.Phase != Begun || m.floored || m.asked != 0 || m.env.Rules.Off(NoCopyFloors) {
		return
	}
	m.asked = m.c.round | 1<<31
	m.c.post(Slot(m.t.Config.Newcomer()), m.asked, &m.t, &Request{Kind: ReqFloor, Floor: m.floor})
}

// judge says which step is due (I16).
func (m *Move) judge() {
	c, off := &m.t.Config, m.env.Rules
	old := ((m.adopted | c.Declared) & c.Old()).Len()
	switch c.Phase {
	case Settled:
		m.want = MoveEnded
	case Begun: // no acknowledgement of the epoch before can follow once k old members left it
		switch {
		case m.copied && (m.floored || off.Off(NoCopyFloors)) || off.Off(NoFlipWait):
			m.want = MoveFlip
		case old >= c.K || off.Off(NoBeginWait):
			m.want = MoveCopy
		default:
			m.want = MoveWait
		}
	case Flipped: // no reader can find k old members that still answer for the epoch before
		m.want = MoveWait
		if old >= c.W || off.Off(NoDoneWait) {
			m.want = MoveDone
		}
	}
}
