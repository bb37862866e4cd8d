package sim

import (
	"holdfast/actors/object"
	"holdfast/actors/quorum"
)

// attempt is what the simulator knows of a stamped try of a write, from above: which members said
// durably, in which epoch, that they accepted it. No machine sees this.
type attempt struct {
	ref    object.VersionRef
	rev    object.Stamp
	kind   quorum.Kind
	body   uint64
	meta   uint64
	epochs [4]struct {
		epoch uint64
		slots quorum.Slots
	}
	chosen bool
	buried bool // proved dead: a drop was accepted
}

// try finds or makes the record of an attempt.
func (w *World) try(key int, v *quorum.Version) *attempt {
	list := w.attempts[key]
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].ref == v.Ref && list[i].rev == v.Rev {
			return &list[i]
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
	switch p.req.Kind {
	case quorum.ReqCommit:
		if p.rep.OK {
			w.accepted(int(p.key), w.try(int(p.key), &p.req.Version), p.req.Epoch, p.drive)
		}
	case quorum.ReqReport, quorum.ReqPrepare:
		for i := range p.rep.Versions {
			v := &p.rep.Versions[i]
			for _, seat := range v.Seats {
				w.accepted(int(p.key), w.try(int(p.key), v), seat.Epoch, p.drive)
			}
		}
	case quorum.ReqKill:
		if p.rep.Kill == quorum.KillHeld {
			v := quorum.Version{Ref: p.req.Attempt.Ref, Rev: p.req.Attempt.Rev}
			w.accepted(int(p.key), w.try(int(p.key), &v), p.req.Attempt.Epoch, p.drive)
		}
	}
}

// accepted notes that a drive holds an attempt that it accepted in an epoch.
func (w *World) accepted(key int, a *attempt, epoch uint64, drive int16) {
	rec := w.record(int(w.setOf[key]), epoch)
	for i := range a.epochs {
		e := &a.epochs[i]
		if e.epoch != 0 && e.epoch != epoch {
			continue
		}
		e.epoch = epoch
		for m := range rec.cfg.Members().All() {
			if rec.drives[m] == drive {
				e.slots |= quorum.Slot(m)
			}
		}
		if !a.chosen && rec.cfg.Acks(e.slots, 0) {
			a.chosen = true
			w.elected(key, a)
		}
		return
	}
}

// elected checks a newly chosen attempt: one write is chosen at one stamp only (I8), and nothing that
// was proved dead is chosen (I7).
func (w *World) elected(key int, a *attempt) {
	if a.buried && w.losses == 0 && !w.media {
		w.fail("I7", "key %d: %v was proved dead and is chosen", key, a.ref)
	}
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
	case quorum.ReqMark:
		if a := w.known(key, req.Version.Ref, req.Version.Rev); rep.Refused == quorum.RefusedNot && (a == nil || !a.chosen) {
			w.fail("I10", "drive %d key %d: %v is marked stable and was never chosen", d.id, key, req.Version.Ref)
		}
	}
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
		if t.kind == callGet {
			rule = "I3"
		}
		w.fail(rule, "key %d: client %d is told of %v, which is not chosen", t.key, t.client, r.Version.Ref)
	}
}

// excuse marks what answers cannot be held to: versions in a list whose write was never answered, and
// refusals of uploads of which a completion was left unfinished. Overwritten before it was
// settled, nobody can tell whether it took place, and the upload counts as gone.
func excuse(calls []call) {
	for i := range calls {
		a := &calls[i]
		for j := range calls {
			b := &calls[j]
			if !b.reads() && b.ret == never && b.kind != 0 && a.kind == callVersions {
				for r := range a.list.n {
					row := &a.list.row[r]
					row.late = row.late || row.value&^isMarker == b.value
				}
			}
			if a.refused && (a.kind == callComplete || a.kind == callAbort) && b.completes && b.want == a.want && b.ret == never {
				a.maybe = true
			}
		}
	}
}

// judge checks the histories at the end.
func (w *World) judge() {
	for k := range w.plan.keys {
		if w.broken != nil {
			return
		}
		excuse(w.calls[k])
		ok := false
		if w.plan.versioned {
			ok = w.checkAll.linearizable(w.calls[k])
		} else {
			ok = w.check.linearizable(w.calls[k])
		}
		if !ok {
			w.fail("linearizable", "key %d: %d calls have no order that the specification allows", k, len(w.calls[k]))
		}
	}
}
