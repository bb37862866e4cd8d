package quorum

import (
	"time"

	"holdfast/actors/object"
)

// Update is every change of a key: puts and deletes, conditional or not, metadata revisions, the
// removal of a version, completing and aborting an upload, and the mere resolution of what is in
// doubt. A plain write is one round of messages (stage and one round if it is streamed); everything
// else prepares, resolves, decides and commits under one ballot (I12).
type Update struct {
	env   *Env
	t     Target
	in    Intent
	state updateState
	c     calls
	w     Write
	r     resolve
	v     Version
	dec   Decision

	filling  bool // Settle: of a newcomer
	staged   Slots
	bare     Slots // of those that took a revision: they lack the object's shard
	highest  object.Stamp
	accepted Slots // of an abort, or the opening of an upload
	refused  Slots
	wonAt    time.Time
	restamps int
	killed   bool // an attempt that somebody may have taken
	began    time.Time
	done     bool
	result   Result
}

type updateState uint8

const (
	updateStaging updateState = iota + 1
	updateWriting
	updateResolving
	updateAborting
	updateOpening
	updateOver
)

// NewUpdate returns the machine of one change.
func NewUpdate(env *Env, t Target, in Intent) *Update { return &Update{env: env, t: t, in: in} }

// Reset makes u the machine of another change; it keeps the memory of the one before.
func (u *Update) Reset(env *Env, t *Target, in *Intent) {
	sends := u.c.sends
	*u = Update{env: env, t: *t, in: *in}
	u.c.sends = sends[:0]
}

// Written names the version that the change writes, once it has been offered.
func (u *Update) Written() object.VersionRef { return u.v.Ref }

// Write is the last attempt, if there was one.
func (u *Update) Write() *Write { return &u.w }

// Heard are the members that promised the last ballot.
func (u *Update) Heard() Slots { return u.r.granted }

// Result is what it came to, once Effect.Done was said.
func (u *Update) Result() Result { return u.result }

// Rows are what a finished resolution found chosen, newest first, with the members that hold each.
func (u *Update) rows() []row { return u.r.standing() }

// Step takes one event.
func (u *Update) Step(now time.Time, ev *Event) Effect {
	u.c.begin()
	before := u.done
	var wake time.Time
	switch {
	case ev.Kind == EvBegin:
		u.began = now
		wake = u.begin(now)
	case u.state == updateStaging:
		wake = u.stage(now, ev)
	case u.state == updateWriting:
		wake = u.writing(now, ev)
	case u.state == updateResolving:
		wake = u.resolving(now, u.r.step(now, ev))
	case u.state == updateAborting:
		u.aborting(ev)
	case u.state == updateOpening:
		wake = u.opening(now, ev)
	}
	return Effect{
		Sends: u.c.sends, Wake: wake,
		Done: u.done && !before, Over: u.state == updateOver,
	}
}

func (u *Update) begin(now time.Time) time.Time {
	if u.in.Kind == Open {
		return u.open(now)
	}
	if u.in.Kind != Put || u.in.Cond.Kind != CondNone {
		return u.prepare(now)
	}
	if u.in.Staged {
		u.state = updateStaging
		u.c.start(u.t.Config.Members(), &u.t, &Request{Kind: ReqStage})
		return time.Time{}
	}
	u.staged = u.t.Config.Members()
	return u.plain(now)
}

// stage waits for the shards to be in place; the answers carry the stamps to exceed, so that a plain
// write seldom collides.
func (u *Update) stage(now time.Time, ev *Event) time.Time {
	if u.c.take(ev) && ev.Kind == EvReply && ev.Reply.OK {
		u.staged |= Slot(ev.From)
		u.highest = max(u.highest, ev.Reply.Highest)
	}
	if u.c.out != 0 {
		return time.Time{}
	}
	return u.plain(now)
}

// plain stamps a write and offers it.
func (u *Update) plain(now time.Time) time.Time {
	ts, ok := u.env.stamp(now, u.highest)
	if !ok {
		u.finish(StatusUnavailable, nil)
		return time.Time{}
	}
	ref := object.VersionRef{TS: ts, Write: u.in.Write}
	u.offer(ref, ts, ref)
	return u.start(now, WriteEvent{Kind: WriteBegin, Slots: u.staged})
}

// offer fixes the version to be written.
func (u *Update) offer(ref object.VersionRef, rev object.Stamp, b Ballot) {
	u.v = Version{
		Ref: ref, Rev: rev, Ballot: b, Kind: u.in.What, Null: u.in.Null, Body: u.in.Body, Meta: u.in.Meta,
		Upload: u.in.Upload, Epoch: u.t.Config.Epoch, Data: u.in.What == Object,
	}
}

func (u *Update) start(now time.Time, begin WriteEvent) time.Time {
	u.state = updateWriting
	u.w = NewWriteIn(&u.t.Config, u.env.Limits.Write, u.env.Rules)
	u.w.restamps = u.restamps
	return u.write(now, u.w.Step(now, begin))
}

// writing hands an answer to the write.
func (u *Update) writing(now time.Time, ev *Event) time.Time {
	var we WriteEvent
	switch {
	case ev.Kind == EvTick:
		we.Kind = WriteTick
	case ev.Kind == EvConfig:
		if ev.Config.Epoch > u.t.Config.Epoch {
			u.t.Config = *ev.Config
		}
		we = WriteEvent{Kind: WriteMoved, Config: ev.Config}
	case !u.c.take(ev):
		return time.Time{}
	case u.w.killing != 0:
		we = u.killEvent(ev)
	default:
		we = writeEvent(ev)
	}
	u.highest = max(u.highest, we.Highest)
	if we.Kind == WriteAccepted && ev.Reply.Bare {
		u.bare |= Slot(ev.From) // a hint of the version itself may be lost, or not be booked yet (I2b)
	}
	if ev.Kind == EvReply && ev.Reply.Refused == RefusedEpoch && ev.Reply.Config.Epoch > u.t.Config.Epoch {
		u.t.Config = ev.Reply.Config
	}
	return u.write(now, u.w.Step(now, we))
}

// killEvent is what an answer to a kill means. A holder counts as an accept if it took the attempt
// under its own ballot: what a resolution brought somewhere under another counts with that alone.
func (u *Update) killEvent(ev *Event) WriteEvent {
	we := WriteEvent{Kind: WriteNotKilled, Slot: ev.From}
	if ev.Kind == EvReply && ev.Reply.Refused == RefusedNot {
		rep := ev.Reply
		switch own := rep.Held.Ballot == u.v.Ballot || u.env.Rules.Off(NoBallotCount); {
		case rep.Kill == KillMark:
			we.Kind = WriteKilled
		case rep.Kill == KillHeld && (own || rep.Chosen):
			we.Kind, we.Chosen = WriteHeld, rep.Chosen
		}
	}
	return we
}

// write carries out what the Write wants, among the members that it knows: the same numbers are other
// drives in another epoch.
func (u *Update) write(now time.Time, e WriteEffect) time.Time {
	t := u.t
	t.Config = u.w.SetConfig
	if e.Offer != 0 {
		u.c.start(e.Offer, &t, &Request{Kind: ReqCommit, Version: u.v, Ballot: u.v.Ballot, Decision: u.dec})
	}
	attempt := u.v.Attempt()
	if e.Kill != 0 {
		u.killed = true
		u.c.start(e.Kill, &t, &Request{Kind: ReqKill, Attempt: attempt})
	}
	u.c.tell(e.Drop, &t, &Request{Kind: ReqDrop, Attempt: attempt})
	u.c.tell(e.Mark, &t, &Request{Kind: ReqMark, Version: u.v, Missed: e.Missed | t.Config.SlotsOf(u.bare)})
	if e.Ack {
		u.result = Result{Status: StatusOK, Version: u.v}
		u.done = true
	}
	switch {
	case e.Restamp != 0 && u.in.Staged && u.w.moved: // the shards lie with drives that may be gone
		u.finish(StatusStale, nil)
	case e.Restamp != 0 && u.isOver(now):
		u.finish(StatusUnknown, nil)
	case e.Restamp != 0: // I8: the same write id, under a newer stamp
		u.restamps++
		u.highest = max(u.highest, e.Restamp)
		if u.r.env != nil {
			return u.prepare(now)
		}
		return u.plain(now)
	case e.Fail:
		return u.failed(now, e)
	case e.Over:
		u.state = updateOver
	}
	return e.Wake
}

// failed ends a write short of W. If the set has moved on, the attempt is killed afresh there.
func (u *Update) failed(now time.Time, e WriteEffect) time.Time {
	if u.t.Config.Epoch > u.w.Epoch {
		u.w.over = false
		return u.write(now, u.w.Step(now, WriteEvent{Kind: WriteMoved, Config: &u.t.Config}))
	}
	status := StatusUnavailable
	switch {
	case e.Unknown, u.isOver(now):
		status = StatusUnknown
	case e.Ahead:
		status = StatusAhead
		u.env.Clock.Halt()
	case e.Reason == ReasonStale:
		status = StatusStale
	}
	u.finish(status, nil)
	return time.Time{}
}

// isOver says that drives may have forgotten what they knew of the attempt: nothing is proved any more.
func (u *Update) isOver(now time.Time) bool { return now.Sub(u.began) > u.env.Limits.Life/2 }

// finish ends the operation. A completion that was killed may have been replaced first, by something that
// stands, where it was held: there the upload went with it (I27), so nobody may say that nothing was done.
func (u *Update) finish(s Status, v *Version) {
	if u.in.Kind == Complete && u.killed && s != StatusOK && !u.env.Rules.Off(NoKilledUnknown) {
		s, v = StatusUnknown, nil
	}
	u.result = Result{Status: s}
	if v != nil {
		u.result.Version = *v
	}
	u.done, u.state = true, updateOver
}

// prepare begins a prepared operation.
func (u *Update) prepare(now time.Time) time.Time {
	u.state = updateResolving
	u.r = resolve{
		env: u.env, t: &u.t, write: u.in.Write, highest: u.highest, c: &u.c, tries: u.r.tries,
		all: u.in.Kind != Put && (u.in.Kind != Revise || u.in.At.Named), thorough: u.in.Kind == Settle, filling: u.filling,
		null:   u.in.Null && (u.in.Kind == Put || u.in.Kind == Complete),
		unique: u.in.Kind == Revise || u.in.Kind == Purge || u.in.Kind == Complete,
	}
	return u.resolving(now, u.r.begin(now))
}

// resolving goes on when the key is resolved.
func (u *Update) resolving(now time.Time, res resolution) time.Time {
	switch res {
	case resolveGoing:
		return u.r.wake
	case resolveFailed:
		status := StatusUnavailable
		if u.r.ahead.Len() >= u.t.Config.K {
			status = StatusAhead
			u.env.Clock.Halt()
		}
		u.finish(status, nil)
		return time.Time{}
	}
	return u.decide(now)
}

// decide judges the intent on the resolved state (I13) and commits under the same ballot.
func (u *Update) decide(now time.Time) time.Time {
	rows := u.r.standing()
	u.r.settleMarks(rows)
	list := make([]Version, len(rows))
	for i := range rows {
		list[i] = rows[i].Version
	}
	cur := Current(list)
	u.dec = u.r.newest()
	b := u.r.ballot
	switch u.in.Kind {
	case Settle:
		u.finish(StatusOK, cur)
		u.result.Versions = list
		return time.Time{}
	}
	if u.r.hopeless() || !u.r.sure() { // better no half of a write
		u.finish(StatusUnavailable, nil)
		return time.Time{}
	}
	switch u.in.Kind {
	case Complete, Abort:
		return u.decideUpload(now, list, cur)
	case Revise, Purge:
		return u.decideRevision(now, list, cur)
	}
	if !u.in.Cond.Holds(cur) {
		u.finish(StatusFailed, cur)
		return time.Time{}
	}
	u.offer(object.VersionRef{TS: b.TS, Write: u.in.Write}, b.TS, b)
	return u.start(now, WriteEvent{Kind: WriteBegin, Slots: u.t.Config.Members()})
}

// decideRevision commits new metadata, or the end, of a version.
func (u *Update) decideRevision(now time.Time, list []Version, cur *Version) time.Time {
	at := cur
	if u.in.At.Named {
		at = Named(list, u.in.At)
	}
	switch {
	case at == nil:
		u.finish(StatusAbsent, nil)
		return time.Time{}
	case !u.in.Cond.Holds(at):
		u.finish(StatusFailed, at)
		return time.Time{}
	}
	u.bare, u.v = 0, *at
	u.v.Rev, u.v.Ballot, u.v.Epoch = u.r.ballot.TS, u.r.ballot, u.t.Config.Epoch
	u.v.Stable, u.v.Synced, u.v.Seats, u.v.Data = false, false, nil, false
	if u.in.Kind == Purge {
		u.v.Kind = Purged
	} else {
		u.v.Meta = u.in.Meta
	}
	return u.start(now, WriteEvent{Kind: WriteBegin, Slots: u.t.Config.Members()})
}

// decideUpload completes or aborts an upload: one decision under the key's ballots (I27). An upload
// is open if k judges show it so, and gone if no k members ever will: in between, nobody knows yet.
func (u *Update) decideUpload(now time.Time, list []Version, cur *Version) time.Time {
	for i := range list {
		if list[i].Ref.Write == u.in.Upload { // completed before
			if u.in.Kind == Complete && list[i].Kind != Purged {
				u.finish(StatusOK, &list[i])
			} else {
				u.finish(StatusNoUpload, nil)
			}
			return time.Time{}
		}
	}
	gone, unheard := u.r.gone(u.in.Upload)
	switch {
	case u.r.open(u.in.Upload).Len() >= u.t.Config.K:
	case gone:
		u.finish(StatusNoUpload, nil)
		return time.Time{}
	case u.r.c.out&unheard != 0:
		u.state = updateResolving // the others may say
		u.r.state = preparing
		return time.Time{}
	default:
		u.finish(StatusUnavailable, nil)
		return time.Time{}
	}
	b := u.r.ballot
	if u.in.Kind == Abort {
		u.state, u.accepted = updateAborting, 0
		u.c.start(u.t.Config.Members(), &u.t, &Request{Kind: ReqDecide, Upload: u.in.Upload, Ballot: b, Decision: u.dec})
		return time.Time{}
	}
	if !u.in.Cond.Holds(cur) {
		u.finish(StatusFailed, cur)
		return time.Time{}
	}
	u.offer(object.VersionRef{TS: b.TS, Write: u.in.Upload}, b.TS, b)
	return u.start(now, WriteEvent{Kind: WriteBegin, Slots: u.t.Config.Members()})
}

// aborting counts who ended the upload.
func (u *Update) aborting(ev *Event) {
	if !u.c.take(ev) {
		return
	}
	if ev.Kind == EvReply && ev.Reply.Refused == RefusedNot && ev.Reply.OK {
		u.accepted |= Slot(ev.From)
	}
	switch {
	case u.c.out != 0:
	case u.t.Config.Acks(u.accepted, u.env.Rules):
		u.finish(StatusOK, nil)
	default:
		u.finish(StatusUnknown, nil)
	}
}

// open stamps the opening of an upload and offers it.
func (u *Update) open(now time.Time) time.Time {
	ts, ok := u.env.stamp(now, u.highest)
	if !ok {
		u.finish(StatusUnavailable, nil)
		return time.Time{}
	}
	u.state, u.accepted, u.refused, u.wonAt = updateOpening, 0, 0, time.Time{}
	b := Ballot{TS: ts, Write: u.in.Write}
	u.c.start(u.t.Config.Members(), &u.t, &Request{Kind: ReqUpload, Upload: u.in.Write, Ballot: b})
	return time.Time{}
}

// opening counts who has the upload: W must, and all who answer within the stragglers' limit. Who was
// refused knows a higher stamp; the same upload is offered above that, which harms nothing: nobody
// ends what nobody was told of.
func (u *Update) opening(now time.Time, ev *Event) time.Time {
	c := &u.t.Config
	switch {
	case ev.Kind == EvConfig && ev.Config.Epoch > c.Epoch:
		*c = *ev.Config
		return u.openAgain(now)
	case u.c.take(ev) && ev.Kind == EvReply:
		switch rep := ev.Reply; {
		case rep.Refused == RefusedEpoch && rep.Config.Epoch > c.Epoch:
			*c = rep.Config
			return u.openAgain(now)
		case rep.Refused == RefusedBucket:
			u.finish(StatusStale, nil)
			return time.Time{}
		case rep.Refused == RefusedNot && rep.OK:
			u.accepted |= Slot(ev.From)
		case rep.Refused == RefusedNot:
			u.refused |= Slot(ev.From)
			u.highest = max(u.highest, rep.Highest)
		}
	}
	switch {
	case c.Acks(u.accepted, u.env.Rules):
		if u.wonAt.IsZero() {
			u.wonAt = now
		}
		if until := u.wonAt.Add(u.env.Limits.Write.Straggler); u.c.out != 0 && now.Before(until) {
			return until
		}
		u.finish(StatusOK, nil)
	case u.c.out != 0:
	case u.refused != 0:
		return u.openAgain(now)
	default:
		u.finish(StatusUnavailable, nil)
	}
	return time.Time{}
}

// openAgain offers the upload under a newer stamp.
func (u *Update) openAgain(now time.Time) time.Time {
	if u.restamps++; u.restamps > u.env.Limits.Write.Restamps {
		u.finish(StatusUnavailable, nil)
		return time.Time{}
	}
	return u.open(now)
}
