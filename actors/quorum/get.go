package quorum

import (
	"slices"
	"time"

	"holdfast/actors/object"
)

// Get reads the current version of a key, or a named one, and, for an object, its shards: k clean answers from
// in-sync slots suffice (I4). A version in doubt is given one mark interval, then resolved (I3).
// Versions stay pinned on the drives until the last byte (I21).
type Get struct {
	env    *Env
	t      Target
	write  object.WriteID // of ballots, if it comes to that
	head   bool           // no shards are read
	at     object.VersionID
	usable Slots // asked first; zero: all alike

	state   getState
	c       calls
	read    Read
	settle  *Update
	rows    []row
	pinned  Slots
	pin     PinID  // of the present round
	seen    []Seen // scratch
	tries   int
	all     bool
	waited  bool
	wake    time.Time
	stood   object.VersionRef // what the last round came to, and may be gone since
	lacking Slots             // who did not hold it then, nor anything newer
	version Version
	data    Slots // pinned shards of version
	piece   int
	got     Slots
	done    bool
	result  Result
}

type getState uint8

const (
	getReading getState = iota + 1
	getWaiting
	getSettling
	getFetching
	getOver
)

// pieces is in how many requests a shard is read.
const pieces = 2

// NewGet returns the machine of one read. write names it among ballots.
func NewGet(env *Env, t Target, write object.WriteID, head bool) *Get {
	return &Get{env: env, t: t, write: write, head: head}
}

// NewGetAt returns the machine that reads a named version.
func NewGetAt(env *Env, t Target, write object.WriteID, head bool, at object.VersionID) *Get {
	return &Get{env: env, t: t, write: write, head: head, at: at}
}

// Reset makes g the machine of another read, of the version that at names or else the current one; it
// keeps the memory of the one before. The owner reads the shards by itself. usable are the members that
// it believes to answer: they are asked first.
func (g *Get) Reset(env *Env, t *Target, write object.WriteID, at object.VersionID, usable Slots) {
	sends, rows, seen := g.c.sends, g.rows, g.seen
	*g = Get{env: env, t: *t, write: write, at: at, head: true, usable: usable}
	g.c.sends, g.rows, g.seen = sends[:0], rows[:0], seen[:0]
}

// Answered are the members that gave evidence in the last round.
func (g *Get) Answered() Slots { return g.read.answered }

// Holders are the members that reported the version read with its shard.
func (g *Get) Holders() Slots { return g.data }

// Result is what it came to, once Effect.Done was said.
func (g *Get) Result() Result { return g.result }

// Step takes one event.
func (g *Get) Step(now time.Time, ev *Event) Effect {
	g.c.begin()
	before := g.done
	var more []Send
	switch {
	case ev.Kind == EvBegin:
		g.begin(now)
	case ev.Kind == EvConfig:
		if g.settle != nil {
			more = g.settled(now, ev)
		} else if ev.Config.Epoch > g.t.Config.Epoch && g.state != getFetching { // pins lie with the members that were read
			g.t.Config = *ev.Config
			if g.state == getReading { // answers of two epochs are not evidence together
				g.again(now)
			}
		}
	case g.state == getReading:
		if g.c.take(ev) {
			g.answer(now, ev)
		} else if ev.Kind == EvTick && !g.wake.IsZero() && !now.Before(g.wake) {
			g.ask(now, g.read.Step(ReadEvent{Kind: ReadSlow}).Ask)
		}
	case g.state == getWaiting:
		if !now.Before(g.wake) {
			g.begin(now)
		}
	case g.state == getSettling:
		more = g.settled(now, ev)
	case g.state == getFetching:
		if g.c.take(ev) {
			g.fetched(now, ev)
		}
	}
	if g.state == getSettling && g.settle == nil {
		in := Intent{Kind: Settle, Write: g.write}
		g.settle = NewUpdate(g.env, g.t, in)
		g.settle.c.round = g.c.round
		more = g.settled(now, &Event{Kind: EvBegin})
	}
	return Effect{Sends: append(g.c.sends, more...), Wake: g.wake, Done: g.done && !before, Over: g.state == getOver}
}

// ask sends the report request of the present round to further members.
func (g *Get) ask(now time.Time, to Slots) {
	if g.wake = (time.Time{}); g.env.Limits.Hedge > 0 {
		g.wake = now.Add(g.env.Limits.Hedge)
	}
	g.c.more(to, &g.t, &Request{Kind: ReqReport, Pin: g.pin, All: g.all, At: g.at})
}

// begin asks k judges.
func (g *Get) begin(now time.Time) {
	g.unpin()
	g.state, g.rows = getReading, g.rows[:0]
	if !g.head {
		g.pin = PinID{Op: g.write, Round: g.c.round + 1}
	}
	known := g.read.decision.Ballot
	if known.Compare(g.read.known) < 0 {
		known = g.read.known
	}
	if g.read.Epoch != g.t.Config.Epoch { // the numbers of slots are others' now
		g.lacking = 0
	}
	g.read = NewReadIn(&g.t.Config, g.env.Rules)
	g.read.known, g.read.stood, g.read.earlier = known, g.stood, g.lacking
	g.read.At = g.at
	if g.usable == 0 {
		g.usable = g.t.Config.Judges()
	}
	g.c.start(0, &g.t, &Request{})
	g.ask(now, g.read.Step(ReadEvent{Kind: ReadBegin, Slots: g.usable}).Ask)
}

// answer counts one report.
func (g *Get) answer(now time.Time, ev *Event) {
	re := ReadEvent{Kind: ReadUnknown, Slot: ev.From}
	if ev.Kind == EvReply {
		rep := ev.Reply
		switch {
		case rep.Refused == RefusedEpoch:
			if rep.Config.Epoch > g.t.Config.Epoch {
				g.t.Config = rep.Config
				g.again(now)
				return
			}
		case rep.Refused == RefusedBucket:
			g.finish(StatusStale)
			return
		case rep.Refused == RefusedNot:
			re = ReadEvent{Kind: ReadAnswer, Slot: ev.From, Decision: rep.Decision, Partial: !rep.Complete, Witness: !rep.Judge, Dead: rep.Dead, Floor: max(rep.Floor, rep.Horizon)}
			g.pinned |= Slot(ev.From)
			g.seen = g.seen[:0]
			for i := range rep.Versions {
				v := &rep.Versions[i]
				g.seen = append(g.seen, Seen{
					Ref: v.Ref, Rev: v.Rev, Stable: v.Stable, Purged: v.Kind == Purged, Null: v.Null, Ballot: v.Ballot, Epoch: v.Epoch, Seats: v.Seats,
				})
				g.note(Slot(ev.From), v)
			}
			re.Seen = g.seen
		}
	}
	e := g.read.Step(re)
	if e.Ask != 0 {
		g.ask(now, e.Ask)
	}
	switch e.Outcome {
	case Deeper:
		g.all = true
		g.again(now)
	case NoQuorum:
		g.finish(StatusUnavailable)
	case Absent:
		g.finish(StatusAbsent)
	case InDoubt:
		if !g.waited {
			g.waited, g.state, g.wake = true, getWaiting, now.Add(g.env.Limits.Interval)
			return
		}
		g.state, g.wake = getSettling, time.Time{}
	case Found:
		g.found(now, e)
	}
}

// note merges one reported row.
func (g *Get) note(m Slots, v *Version) {
	i := slices.IndexFunc(g.rows, func(r row) bool { return r.Is(v.Ref, v.Rev) })
	if i < 0 {
		i = len(g.rows)
		g.rows = append(g.rows, row{Version: *v})
	}
	g.rows[i].holders |= m
	if v.Data {
		g.rows[i].data |= m
	}
}

// found reads the version's shards, k at least; they may belong to an older revision's rows. What may be gone
// by now is asked for once more.
func (g *Get) found(now time.Time, e ReadEffect) {
	for i := range g.rows {
		if g.rows[i].Is(e.Ref, e.Rev) {
			g.version = g.rows[i].Version
		}
	}
	if g.version.Kind != Object {
		g.finish(StatusAbsent)
		g.result.Version = g.version
		return
	}
	if g.read.collected(e.Ref) {
		g.stood, g.lacking = e.Ref, g.read.lacking(e.Ref)
		if g.tries++; g.tries > g.env.Limits.Tries {
			g.finish(StatusUnavailable)
			return
		}
		g.begin(now)
		return
	}
	g.data = 0
	for i := range g.rows {
		if g.rows[i].Ref == e.Ref {
			g.data |= g.rows[i].data
		}
	}
	if g.head {
		g.finish(StatusOK)
		return
	}
	if g.data.Len() < g.t.Config.K {
		if ask := g.read.ask(g.t.Config.N + 1); ask != 0 || g.c.out != 0 {
			g.ask(now, ask)
			return
		}
		g.finish(StatusUnavailable) // never 404
		return
	}
	g.state, g.piece, g.wake = getFetching, 0, time.Time{}
	g.fetch()
}

// fetch asks k shards for the next piece.
func (g *Get) fetch() {
	g.got = 0
	g.c.start(g.data.First(g.t.Config.K), &g.t, &Request{Kind: ReqFetch, Version: g.version})
}

// fetched takes a piece; a shard that failed is replaced by another.
func (g *Get) fetched(now time.Time, ev *Event) {
	if ev.Kind == EvReply && ev.Reply.OK {
		g.got |= Slot(ev.From)
	} else {
		g.data &^= Slot(ev.From)
		g.result.Cut = g.result.Cut || ev.Kind == EvReply && ev.Reply.Refused == RefusedNot
		next := (g.data &^ g.got &^ g.c.out).First(1)
		g.c.more(next, &g.t, &Request{Kind: ReqFetch, Version: g.version})
	}
	switch {
	case g.got.Len() >= g.t.Config.K:
		if g.piece++; g.piece < pieces {
			g.fetch()
			return
		}
		g.result.Cut = false
		g.finish(StatusOK)
	case g.c.out == 0 && g.piece == 0 && !g.result.Cut:
		g.again(now) // those who were not asked may have shards, too
	case g.c.out == 0:
		g.finish(StatusUnavailable) // a visible end (I20)
	}
}

// again reads once more, unless it has been tried often enough.
func (g *Get) again(now time.Time) {
	if g.tries++; g.tries > g.env.Limits.Tries {
		g.finish(StatusUnavailable)
		return
	}
	g.state, g.wake = getWaiting, now.Add(time.Millisecond)
}

// settled steps the resolution; when that is over the key is read afresh.
func (g *Get) settled(now time.Time, ev *Event) []Send {
	e := g.settle.Step(now, ev)
	g.wake = e.Wake
	if g.settle.done {
		g.t.Config, g.c.round = g.settle.t.Config, g.settle.c.round
		status := g.settle.result.Status
		g.settle = nil
		if status != StatusOK {
			g.finish(StatusUnavailable)
		} else {
			g.again(now)
		}
	}
	return e.Sends
}

func (g *Get) finish(s Status) {
	g.unpin()
	g.result.Status = s
	if s == StatusOK {
		g.result.Version = g.version
	}
	g.done, g.state, g.wake = true, getOver, time.Time{}
}

// unpin lets go of what the reports pinned. The pin of an answer that comes too late lasts until
// the drive's lease on it ends.
func (g *Get) unpin() {
	if g.pin != (PinID{}) {
		g.c.tell(g.pinned, &g.t, &Request{Kind: ReqUnpin, Pin: g.pin})
	}
	g.pinned = 0
}
