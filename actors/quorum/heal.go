package quorum

import (
	"time"

	"holdfast/actors/object"
)

// Heal brings one member up to the others for one key: a returning drive, or the newcomer of a slot
// move (I19, I16). It opens a token on the target, resolves the key, and only then copies, so that
// anything that reached the target meanwhile wins.
type Heal struct {
	env    *Env
	t      Target
	write  object.WriteID
	member int

	state  healState
	c      calls
	settle *Update
	token  uint64
	rows   []row
	tries  int
	wake   time.Time
	done   bool
	result Result
}

type healState uint8

const (
	healToken healState = iota + 1
	healSettling
	healWriting
	healWaiting
	healOver
)

// NewHeal returns the machine that heals one key on one member.
func NewHeal(env *Env, t Target, write object.WriteID, member int) *Heal {
	return &Heal{env: env, t: t, write: write, member: member}
}

// Result is what it came to, once Effect.Done was said.
func (h *Heal) Result() Result { return h.result }

// Step takes one event.
func (h *Heal) Step(now time.Time, ev *Event) Effect {
	h.c.begin()
	before := h.done
	var more []Send
	switch {
	case ev.Kind == EvBegin:
		h.open()
	case h.state == healSettling:
		more = h.settled(now, ev)
	case ev.Kind == EvConfig:
		h.finish(StatusStale)
	case h.state == healToken && h.c.take(ev):
		if ev.Kind == EvLost || ev.Reply.Refused != RefusedNot {
			h.finish(StatusUnavailable)
			break
		}
		h.token = ev.Reply.Token
		h.state = healSettling
		h.settle = NewUpdate(h.env, h.t, Intent{Kind: Settle, Write: h.write})
		h.settle.filling = h.newcomer()
		h.settle.c.round = h.c.round
		more = h.settled(now, &Event{Kind: EvBegin})
	case h.state == healWriting && h.c.take(ev):
		h.written(now, ev)
	case h.state == healWaiting && !now.Before(h.wake):
		h.open()
	}
	return Effect{Sends: append(h.c.sends, more...), Wake: h.wake, Done: h.done && !before, Over: h.state == healOver}
}

func (h *Heal) newcomer() bool {
	return h.t.Config.Phase != Settled && h.member == h.t.Config.Newcomer()
}

func (h *Heal) open() {
	h.state, h.wake = healToken, time.Time{}
	h.c.start(Slot(h.member), &h.t, &Request{Kind: ReqToken})
}

// settled steps the resolution, then copies what it found.
func (h *Heal) settled(now time.Time, ev *Event) []Send {
	e := h.settle.Step(now, ev)
	h.wake = e.Wake
	if !h.settle.done {
		return e.Sends
	}
	u := h.settle
	h.c.round = u.c.round
	if u.result.Status != StatusOK || u.t.Config.Epoch != h.t.Config.Epoch {
		h.finish(StatusUnavailable)
		return e.Sends
	}
	h.wake = time.Time{}
	h.copy(u)
	return e.Sends
}

// copy writes what the others hold to the target (original stamps, ids and contents, I19). Shards
// are coded from k others.
func (h *Heal) copy(u *Update) {
	off := h.env.Rules
	h.rows = u.rows()
	req := Request{Kind: ReqHeal, Token: h.token}
	newcomer := h.newcomer()
	if newcomer && u.r.isUnclear(h.rows) && !off.Off(NoCopyUploads) { // it would leave with those who know of it
		h.finish(StatusUnavailable)
		return
	}
	var hints map[revision]Slots
	if newcomer {
		hints = u.r.hints()
	}
	for i := range h.rows {
		at := &h.rows[i]
		v := at.Version
		if v.Kind == Tombstone && newcomer && off.Off(NoCopyTombstones) {
			continue
		}
		if v.Data = v.Kind == Object; v.Data && (at.data&^Slot(h.member)).Len() < h.t.Config.K && !at.data.Has(h.member) {
			h.finish(StatusUnavailable)
			return
		}
		if held := at.stable.Has(h.member) && (!v.Data || at.data.Has(h.member)); !held { // else the heal changes nothing of it
			req.Versions = append(req.Versions, v)
		}
		if missed := hints[at.revision()]; missed != 0 { // those who know may leave as well
			req.Hints = append(req.Hints, Hint{Ref: v.Ref, Rev: v.Rev, Missed: missed})
		}
	}
	// A newcomer swears what the others have sworn: of k marks that proved something dead one may be that of
	// the drive which leaves.
	req.Dead = u.r.buried
	if !newcomer || !off.Off(NoCopyFloors) {
		req.Decision = u.r.newest()
	}
	req.Uploads = u.r.openUploads()
	h.state = healWriting
	h.c.start(Slot(h.member), &h.t, &req)
}

// written ends the hints of what the target has now.
func (h *Heal) written(now time.Time, ev *Event) {
	switch {
	case ev.Kind == EvLost || ev.Reply.Refused != RefusedNot:
		h.finish(StatusUnavailable)
	case !ev.Reply.OK: // something came to the key: begin anew
		if h.tries++; h.tries > h.env.Limits.Tries {
			h.finish(StatusUnavailable)
			return
		}
		h.state, h.wake = healWaiting, now.Add(time.Millisecond)
	default:
		if h.t.Config.Phase != Settled { // a hint may mean the one drive or the other of the slot that moves
			h.rows = h.rows[:0]
		}
		if len(h.rows) > 0 { // the hints of all older ones go with the newest one's
			h.c.tell(h.t.Config.Members(), &h.t, &Request{Kind: ReqHinted, Version: h.rows[0].Version, Missed: Slot(h.member)})
		}
		h.finish(StatusOK)
	}
}

func (h *Heal) finish(s Status) {
	h.result.Status = s
	h.done, h.state, h.wake = true, healOver, time.Time{}
}
