package quorum

import (
	"slices"
	"time"

	"holdfast/actors/object"
)

// Collect ends what a key no longer needs: a tombstone, a purged version, or what drives remember of
// attempts that are over. It does so only on the word of every member that all of them hold the same
// and hold it stable and synced (I18, P3); a slot that moves, or a drive that is away, stops it.
type Collect struct {
	env      *Env
	t        Target
	state    collectState
	c        calls
	told     Slots
	rows     []row
	unsure   bool // somebody holds something in doubt, or has not synced its mark
	floor    object.Stamp
	promised object.Stamp
	raised   object.Stamp // lowest GC floor of the members
	passed   object.Stamp // lowest horizon
	now      object.Stamp // lowest clock
	rounds   int
	due      Version // to be collected when the floors are raised
	done     bool
	result   Result
}

type collectState uint8

const (
	collectAsking collectState = iota + 1
	collectRaising
	collectDropping
	collectOver
)

// NewCollect returns the machine for one key.
func NewCollect(env *Env, t Target) *Collect { return &Collect{env: env, t: t} }

// Reset makes c the machine for another key. Its memory is used again.
func (c *Collect) Reset(env *Env, t *Target) {
	*c = Collect{env: env, t: *t, rows: c.rows[:0], c: calls{sends: c.c.sends[:0]}}
}

// Result is what it came to, once Effect.Done was said: StatusOK if everything went that may go.
func (c *Collect) Result() Result { return c.result }

// Step takes one event.
func (c *Collect) Step(_ time.Time, ev *Event) Effect {
	c.c.begin()
	before := c.done
	switch {
	case ev.Kind == EvBegin:
		if c.t.Config.Phase != Settled {
			c.finish(StatusUnavailable)
			break
		}
		c.ask()
	case ev.Kind == EvConfig:
		c.finish(StatusStale)
	case c.state == collectAsking && c.c.take(ev):
		c.answer(ev)
		if c.c.out == 0 {
			c.judge()
		}
	case c.state == collectRaising && c.c.take(ev):
		if ev.Kind == EvReply && ev.Reply.OK {
			c.told |= Slot(ev.From)
		}
		if c.c.out == 0 {
			c.risen()
		}
	case c.state == collectDropping && c.c.take(ev):
		if ev.Kind == EvReply && ev.Reply.OK {
			c.told |= Slot(ev.From)
		}
		if c.c.out == 0 {
			status := StatusUnavailable
			if c.told == c.t.Config.Members() {
				status = StatusOK
			}
			c.finish(status)
		}
	}
	return Effect{Sends: c.c.sends, Done: c.done && !before, Over: c.state == collectOver}
}

// ask asks all members what they hold.
func (c *Collect) ask() {
	c.told, c.rows, c.unsure, c.floor, c.promised, c.now = 0, c.rows[:0], false, 0, 0, 0
	c.state = collectAsking
	c.c.start(c.t.Config.Members(), &c.t, &Request{Kind: ReqReport, All: true})
}

// answer notes what one member holds and remembers.
func (c *Collect) answer(ev *Event) {
	if ev.Kind == EvLost || ev.Reply.Refused != RefusedNot || !ev.Reply.Judge {
		return
	}
	rep := ev.Reply
	m := Slot(ev.From)
	if c.told == 0 {
		c.raised, c.passed = rep.Floor, rep.Horizon
	}
	c.raised, c.passed = min(c.raised, rep.Floor), min(c.passed, rep.Horizon)
	c.told |= m
	if c.now == 0 || rep.Now < c.now {
		c.now = rep.Now
	}
	if !c.env.Rules.Off(NoRaiseFloor) {
		c.floor = max(c.floor, rep.Promise.TS, rep.Decision.Ballot.TS)
		for i := range rep.Dead {
			if m := &rep.Dead[i]; m.binds(rep.Now, rep.Highest) {
				c.floor = max(c.floor, m.Rev)
			}
		}
	}
	c.promised = max(c.promised, rep.Promise.TS)
	c.unsure = c.unsure || !rep.Complete
	c.rows = spread(c.rows, rep.Versions, (*row).revision, (*Version).revision, unreported)
	for i := range rep.Versions {
		v := &rep.Versions[i]
		c.unsure = c.unsure || !v.Stable || !v.Synced && !c.env.Rules.Off(NoCollectSynced)
		c.floor = max(c.floor, v.Ballot.TS, v.Rev)
		j, known := search(c.rows, v.revision(), (*row).revision)
		if !known {
			c.rows = slices.Insert(c.rows, j, unreported(v))
		}
		at := &c.rows[j]
		at.holders |= m
		if v.Ballot.Compare(at.Ballot) > 0 {
			at.Ballot = v.Ballot
		}
	}
}

// unreported is the row of a revision before anybody's report of it counts.
func unreported(v *Version) row { return row{Version: *v} }

// judge decides what may go.
func (c *Collect) judge() {
	all := c.t.Config.Members()
	enough := c.told == all
	if c.env.Rules.Off(NoCollectAll) {
		enough = c.t.Config.Acks(c.told, 0)
		all = c.told
	}
	told := c.told
	c.told = 0
	// A ballot of a time to come would raise the floor, and shut the whole set until then (H17).
	ahead := c.floor > c.now+MaxAhead && !c.env.Rules.Off(NoClockBound)
	if !enough || c.unsure || ahead {
		if c.t.Config.Acks(told, 0) { // at least the horizon goes on
			c.c.tell(told, &c.t, &Request{Kind: ReqForget, Now: c.now})
		}
		c.finish(StatusUnavailable)
		return
	}
	for i := range c.rows {
		at := &c.rows[i]
		// A tombstone alone; members that hold nothing have dropped it before, or take the floor only.
		alone := len(c.rows) == 1 && at.Kind == Tombstone
		if alone || at.Kind == Purged && !c.hasOther(i) {
			c.due = at.Version
			c.raise(len(c.rows) == 1)
			return
		}
	}
	for i := range c.rows {
		if c.rows[i].holders != all {
			c.finish(StatusUnavailable) // a healer's work comes first
			return
		}
	}
	c.state = collectDropping
	c.c.start(c.t.Config.Members(), &c.t, &Request{Kind: ReqForget, Floor: c.floor, Now: c.now})
}

// raise has every member refuse what comes late before it is asked what it holds, and any of them drops
// the row: one that was told of the end and never of the version would take it as new. An unknown key is
// guarded by the set's floor, one that goes on by the horizon.
func (c *Collect) raise(unknown bool) {
	switch {
	case !unknown && c.passed < max(c.due.Rev, c.due.Ballot.TS, c.promised) && !c.env.Rules.Off(NoHorizon):
		c.c.tell(c.t.Config.Members(), &c.t, &Request{Kind: ReqForget, Now: c.now})
		c.finish(StatusUnavailable)
	case unknown && c.raised < c.floor && !c.env.Rules.Off(NoFloorFirst):
		c.state = collectRaising
		c.c.start(c.t.Config.Members(), &c.t, &Request{Kind: ReqFloor, Floor: c.floor})
	default:
		c.state = collectDropping
		c.c.start(c.t.Config.Members(), &c.t, &Request{Kind: ReqCollect, Version: c.due, Now: c.now})
	}
}

// risen asks afresh, now that nothing late can come between the answers and the end.
func (c *Collect) risen() {
	if c.rounds++; c.rounds > 2 || c.told != c.t.Config.Members() && !c.env.Rules.Off(NoCollectAll) {
		c.finish(StatusUnavailable)
		return
	}
	c.ask()
}

// hasOther says whether somebody holds another revision of the version of row i.
func (c *Collect) hasOther(i int) bool {
	ref := c.rows[i].Ref
	return i > 0 && c.rows[i-1].Ref == ref || i+1 < len(c.rows) && c.rows[i+1].Ref == ref
}

func (c *Collect) finish(s Status) {
	c.result.Status = s
	c.done, c.state = true, collectOver
}
