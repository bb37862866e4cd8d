package quorum

import (
	"slices"

	"holdfast/actors/object"
)

// open are the judges that show an upload to be open: they hold it and no version that may have
// completed it. k of them prove that none has (I27): of W accepts of one, one would be theirs, and the
// upload goes with the version when that is stable or replaced. What this ballot overrules, since it
// is newer than the newest chosen revision, is no completion.
func (r *resolve) open(id object.WriteID) Slots {
	var open Slots
	for m := range (r.promised & r.t.Config.Judges()).All() { // a drive that leaves may have missed its end
		if slices.Contains(r.reports[m].uploads, id) {
			open |= Slot(m)
		}
	}
	found := r.newest()
	for i := range r.rows {
		if at := &r.rows[i]; at.Upload == id && at.Ref.Compare(found.Ref) <= 0 {
			open &^= at.holders
		}
	}
	return open
}

// gone says that an upload has ended for good: fewer than k members have its row, all counted that were not
// heard, so that no k judges will ever show it open. It must be so among the members after a move too, or the
// newcomer may make up k with those who missed the end; what it does not have nobody will copy to it. The row
// beside a completion that is not chosen counts: it is there again when the completion is killed. unheard are
// those who might still tell.
func (r *resolve) gone(id object.WriteID) (gone bool, unheard Slots) {
	c := &r.t.Config
	unheard = c.Unheard(r.promised)
	if r.env.Rules.Off(NoGoneForGood) {
		return r.open(id).Len()+unheard.Len() < c.K, unheard
	}
	var rows Slots
	for m := range r.granted.All() {
		if slices.Contains(r.reports[m].uploads, id) {
			rows |= Slot(m)
		}
	}
	for i := range r.rows {
		if at := &r.rows[i]; at.Upload == id && r.read.chosen(r.tally(at.Ref, at.Rev)) {
			rows &^= at.holders
		}
	}
	if (rows&c.Judges() | unheard).Len() >= c.K {
		return false, unheard
	}
	if c.Phase == Begun {
		next := unheard&^Slot(c.Moving) | c.New()&^c.Old()&^r.granted
		return (rows&c.New() | next).Len() < c.K, next
	}
	return true, 0
}

// opens is open of all uploads that any judge shows.
func (r *resolve) opens() map[object.WriteID]Slots {
	open := map[object.WriteID]Slots{}
	for m := range (r.promised & r.t.Config.Judges()).All() {
		for _, id := range r.reports[m].uploads {
			open[id] |= Slot(m)
		}
	}
	found := r.newest()
	for i := range r.rows {
		at := &r.rows[i]
		if at.Upload == (object.WriteID{}) || at.Ref.Compare(found.Ref) > 0 {
			continue
		}
		if o, ok := open[at.Upload]; ok {
			open[at.Upload] = o &^ at.holders
		}
	}
	return open
}

// openUploads are those that are open for certain.
func (r *resolve) openUploads() []object.WriteID {
	var out []object.WriteID
	open := r.opens()
	for m := range r.promised.All() {
		for _, id := range r.reports[m].uploads {
			if open[id].Len() >= r.t.Config.K {
				out = append(out, id)
				delete(open, id)
			}
		}
	}
	return out
}

// isUnclear says that an upload may be open and too few judges were heard to tell: k do not show it, and with
// those that were not heard it may have been on W when its client was told.
func (r *resolve) isUnclear(standing []row) bool {
	c, silent := &r.t.Config, r.t.Config.Unheard(r.promised)
	open, done := r.opens(), map[object.WriteID]bool{}
	for i := range standing {
		if id := standing[i].Upload; id != (object.WriteID{}) {
			done[id] = true
		}
	}
	for m := range r.promised.All() {
		for _, id := range r.reports[m].uploads {
			if open := open[id].Len(); !done[id] && open < c.K && open+silent.Len() >= c.W {
				return true
			}
		}
	}
	return false
}
