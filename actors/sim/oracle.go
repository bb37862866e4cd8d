package sim

import (
	"fmt"
	"slices"

	"holdfast/actors/object"
	"holdfast/actors/quorum"
)

// attempt is what the simulator knows of a stamped try of a write, from above: which members said
// durably, in which epoch and under which ballot, that they accepted it. No machine sees this.
type attempt struct {
	ref    object.VersionRef
	rev    object.Stamp
	kind   quorum.Kind
	body   uint64
	meta   uint64
	votes  []vote
	graves []vote // decisions that bury it
	chosen bool
	buried bool // proved dead: a drop was accepted, or W accepted a decision that buries it
}

// vote is who accepted something in one epoch and under one ballot.
type vote struct {
	epoch  uint64
	ballot quorum.Ballot
	slots  quorum.Slots
	batch  [maxN + 1]uint64 // of the drive, by which it was durable
}

// cast books a drive's accept, and says whether it makes the vote a won one.
func (w *World) cast(votes *[]vote, set int, epoch uint64, b quorum.Ballot, d *drive) (won bool) {
	i := slices.IndexFunc(*votes, func(v vote) bool { return v.epoch == epoch && v.ballot == b })
	if i < 0 {
		i = len(*votes)
		*votes = append(*votes, vote{epoch: epoch, ballot: b})
	}
	v, rec := &(*votes)[i], w.record(set, epoch)
	for m := range rec.cfg.Members().All() {
		if rec.drives[m] == d.id && !v.slots.Has(m) {
			v.slots |= quorum.Slot(m)
			v.batch[m] = d.told
		}
	}
	return rec.cfg.Acks(v.slots, 0)
}

// unhear takes back what a drive had accepted and nobody heard: its disk has forgotten it, no answer told
// of a batch as new as that, and so nobody can tell that it ever was.
func (w *World) unhear(d *drive, batch uint64) {
	for k := range w.plan.keys {
		for i := range w.attempts[k] {
			a := &w.attempts[k][i]
			a.chosen = w.recount(a.votes, int(w.setOf[k]), d, batch)
			a.buried = a.buried && w.recount(a.graves, int(w.setOf[k]), d, batch)
		}
	}
}

// recount forgets a drive's votes of later batches and says whether any vote is still won.
func (w *World) recount(votes []vote, set int, d *drive, batch uint64) (won bool) {
	for i := range votes {
		v := &votes[i]
		rec := w.record(set, v.epoch)
		for m := range v.slots.All() {
			if rec.drives[m] == d.id && v.batch[m] > batch {
				v.slots &^= quorum.Slot(m)
			}
		}
		won = won || rec.cfg.Acks(v.slots, 0)
	}
	return won
}

// try finds or makes the record of an attempt.
func (w *World) try(key int, v *quorum.Version) *attempt {
	list := w.attempts[key]
	for i := len(list) - 1; i >= 0; i-- {
		if a := &list[i]; a.ref == v.Ref && a.rev == v.Rev {
			if told := v.Kind != 0 && a.kind != 0; told && (a.kind != v.Kind || a.body != v.Body || a.meta != v.Meta) && !w.media && w.losses == 0 {
				w.fail("I12", "key %d: %v revision %d names two contents", key, v.Ref, v.Rev)
			}
			if a.kind == 0 {
				a.kind, a.body, a.meta = v.Kind, v.Body, v.Meta
			}
			return a
		}
	}
	w.attempts[key] = append(list, attempt{ref: v.Ref, rev: v.Rev, kind: v.Kind, body: v.Body, meta: v.Meta})
	return &w.attempts[key][len(list)]
}

// known finds the record of an attempt, or nil.
func (w *World) known(key int, ref object.VersionRef, rev object.Stamp) *attempt {
	list := w.attempts[key]
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].ref == ref && list[i].rev == rev {
			return &list[i]
		}
	}
	return nil
}

// witness sees every durable answer as it leaves its drive: an accept, and whatever else shows that the
// drive holds an attempt.
func (w *World) witness(p *packet) {
	if p.rep.Refused != quorum.RefusedNot || p.key < 0 {
		return
	}
	key, d := int(p.key), &w.drives[p.drive]
	switch p.req.Kind {
	case quorum.ReqCommit:
		if p.rep.OK {
			w.accepted(key, w.try(key, &p.req.Version), p.req.Epoch, p.req.Ballot, d)
		}
	case quorum.ReqReport, quorum.ReqPrepare:
		for i := range p.rep.Versions {
			v := &p.rep.Versions[i]
			for _, seat := range v.Seats {
				w.accepted(key, w.try(key, v), seat.Epoch, seat.Ballot, d)
			}
		}
	case quorum.ReqKill:
		if p.rep.Kill == quorum.KillHeld {
			v := quorum.Version{Ref: p.req.Attempt.Ref, Rev: p.req.Attempt.Rev}
			if at := &p.rep.Held; at.Epoch != 0 {
				w.accepted(key, w.try(key, &v), at.Epoch, at.Ballot, d)
			}
		}
	case quorum.ReqDecide:
		if p.rep.OK {
			w.grave(key, p, d)
		}
	}
}

// grave notes that a drive accepted a decision that buries attempts. When W have, they are dead.
func (w *World) grave(key int, p *packet, d *drive) {
	for i := range p.req.Dead {
		a := w.known(key, p.req.Dead[i].Ref, p.req.Dead[i].Rev)
		if a == nil {
			continue
		}
		if w.cast(&a.graves, int(w.setOf[key]), p.req.Epoch, p.req.Ballot, d) {
			a.buried = true
			if a.chosen && w.losses == 0 && !w.media {
				w.fail("I7", "key %d: %v is chosen and is buried by W", key, a.ref)
			}
		}
	}
}

// accepted notes that a drive holds an attempt that it accepted in an epoch under a ballot.
func (w *World) accepted(key int, a *attempt, epoch uint64, b quorum.Ballot, d *drive) {
	if w.cast(&a.votes, int(w.setOf[key]), epoch, b, d) && !a.chosen {
		a.chosen = true
		w.elected(key, a)
	}
}

// elected checks a newly chosen attempt: one write is chosen at one stamp only (I8), and nothing that
// was proved dead is chosen (I7).
func (w *World) elected(key int, a *attempt) {
	if a.buried && w.losses == 0 && !w.media {
		w.fail("I7", "key %d: %v was proved dead and is chosen", key, a.ref)
	}
	w.denied(key, a)
	if a.rev != a.ref.TS {
		return
	}
	for i := range w.attempts[key] {
		b := &w.attempts[key][i]
		if b != a && b.chosen && b.ref.Write == a.ref.Write && b.ref.TS != a.ref.TS && b.rev == b.ref.TS {
			w.fail("I8", "key %d: write %v is chosen at %d and at %d", key, a.ref.Write, b.ref.TS, a.ref.TS)
		}
	}
}

// inspect checks what a drive did to a key.
func (w *World) inspect(d *drive, key int, req *quorum.Request, rep *quorum.Reply) {
	st := &d.ram.keys[key]
	for i := range st.Versions {
		v := &st.Versions[i]
		if i > 0 {
			if u := &st.Versions[i-1]; u.Ref.Compare(v.Ref) < 0 || u.Ref == v.Ref && u.Rev <= v.Rev {
				w.fail("I11", "drive %d key %d: %v before %v", d.id, key, u.Ref, v.Ref)
			}
		}
		for k := range st.Dead {
			if st.Dead[k].Ref == v.Ref && st.Dead[k].Rev == v.Rev {
				w.fail("I7", "drive %d key %d holds %v and marks it dead", d.id, key, v.Ref)
			}
		}
	}
	if w.media || w.losses > 0 {
		return // a disk that lied or lost leaves no oath to hold anybody to
	}
	switch req.Kind {
	case quorum.ReqDrop:
		if a := w.known(key, req.Attempt.Ref, req.Attempt.Rev); a != nil && rep.Refused == quorum.RefusedNot {
			if a.chosen {
				w.fail("I7", "drive %d key %d: told to drop %v, which was chosen", d.id, key, a.ref)
			}
			a.buried = true
		}
	case quorum.ReqDecide:
		// It may come late, and bury on one drive what was finished since at W others; but never one of the W.
		for i := range req.Dead {
			a := w.known(key, req.Dead[i].Ref, req.Dead[i].Rev)
			if a != nil && rep.OK && a.chosen && w.voted(a, int(w.setOf[key]), d) {
				w.fail("I7", "drive %d key %d: told to bury %v, which was chosen with it", d.id, key, a.ref)
			}
		}
	case quorum.ReqMark:
		if a := w.known(key, req.Version.Ref, req.Version.Rev); rep.Refused == quorum.RefusedNot && (a == nil || !a.chosen) {
			w.fail("I10", "drive %d key %d: %v is marked stable and was never chosen", d.id, key, req.Version.Ref)
		}
	}
}

// voted says whether a drive is among those that chose an attempt.
func (w *World) voted(a *attempt, set int, d *drive) bool {
	for i := range a.votes {
		v := &a.votes[i]
		rec := w.record(set, v.epoch)
		for m := range v.slots.All() {
			if rec.drives[m] == d.id && rec.cfg.Acks(v.slots, 0) {
				return true
			}
		}
	}
	return false
}

// confirm checks what a client is told.
func (w *World) confirm(t *task, r *quorum.Result) {
	if w.media || w.losses > 0 || t.kind == callVersions || r.Version.Ref == (object.VersionRef{}) {
		return
	}
	a := w.known(int(t.key), r.Version.Ref, r.Version.Rev)
	switch {
	case a == nil || !a.chosen:
		rule := "I2"
		if t.kind == callGet || t.kind == callGetAt {
			rule = "I3"
		}
		w.fail(rule, "key %d: client %d is told of %v, which is not chosen", t.key, t.client, r.Version.Ref)
	}
}

// excuse marks what answers cannot be held to: versions in a list whose write was never answered, and
// uploads of which a completion was left unfinished. Overwritten before it was settled, nobody can tell
// whether it took place, and who is refused sees the upload gone; in a list its version lies where its stamp
// says.
func excuse(calls []call) {
	byNull := slices.ContainsFunc(calls, func(c call) bool { return c.null })
	for i := range calls {
		a := &calls[i]
		a.hidden = a.ret == never && !byNull
		if a.kind == callListedAt && !a.null && slices.ContainsFunc(calls, func(b call) bool {
			return b.kind != 0 && b.ret == never && (b.makes() && b.value == a.want || b.completes && b.want == a.want)
		}) {
			a.kind = 0 // it speaks of what was never answered
		}
		for j := range calls {
			b := &calls[j]
			if !b.reads() && b.ret == never && b.kind != 0 && a.kind == callVersions {
				for r := range a.list.n {
					row := &a.list.row[r]
					row.late = row.late || row.value&^isMarker == b.value || b.completes && row.value == b.want
				}
			}
			if (a.kind == callComplete || a.kind == callAbort) && b.completes && b.kind != 0 && b.want == a.want && b.ret == never {
				a.maybe = true
			}
		}
	}
}

// judge checks the histories at the end. One that cannot be judged says so if no other is wrong. Behind a
// broken rule it goes on only if somebody takes the histories.
func (w *World) judge() {
	var open *Violation
	for k := range w.plan.keys {
		if w.broken != nil && w.take == nil || w.plan.buckets && k > 0 {
			break
		}
		var seen History
		if w.take != nil {
			seen = w.historyOf(k)
		}
		calls := w.calls[k]
		excuse(calls)
		verdict := w.search(k)
		switch verdict {
		case NotLinearizable:
			w.fail("linearizable", "key %d: %d calls have no order that the specification allows", k, len(calls))
		case Undecided:
			open = &Violation{Rule: RuleUndecided, Detail: fmt.Sprintf("key %d: %d calls have too many orders", k, len(calls)), At: w.now}
		}
		if w.take != nil {
			seen.Verdict = verdict
			w.take(seen)
		}
	}
	if w.broken == nil {
		w.broken = open
	}
}

// search judges the calls of a key and counts how wide that was.
func (w *World) search(k int) Verdict {
	var ok bool
	var wide int
	switch calls := w.calls[k]; {
	case w.plan.buckets:
		ok, wide = w.checkIn.judge(calls)
	case w.plan.versioned:
		ok, wide = w.checkAll.judge(calls)
	default:
		ok, wide = w.check.judge(calls)
	}
	w.Widest = max(w.Widest, uint64(wide))
	return verdictOf(ok, wide)
}
