package main

import (
	"math/rand/v2"
	"slices"

	"holdfast/actors/sim"
)

// spoil changes one answer of a history: to what another operation says, or to its contrary. Most often the
// history is wrong then. It returns false if there is no answer to change.
func spoil(h *sim.History, r *rand.Rand) (sim.History, bool) {
	out := *h
	out.Ops, out.Verdict = slices.Clone(h.Ops), 0
	for _, i := range r.Perm(len(out.Ops)) {
		if o := &out.Ops[i]; o.Return != sim.Never && !o.Gone && change(o, h.Ops[r.IntN(len(h.Ops))], r) {
			return out, true
		}
	}
	return out, false
}

// change gives an operation another answer, and says whether it is another.
func change(o *sim.Operation, like sim.Operation, r *rand.Rand) bool {
	switch o.Kind {
	case sim.Get, sim.GetAt, sim.Listed, sim.ListedAt:
		was := o.Value
		if o.Value = like.Value; o.Kind == sim.ListedAt && was == 0 {
			o.Value = o.Want
		} else if r.IntN(4) == 0 {
			o.Value = 0
		}
		if o.Kind == sim.Get || o.Kind == sim.GetAt {
			o.Tag = o.Value
		}
		return o.Value != was
	case sim.Versions:
		if len(o.List) == 0 {
			return false
		}
		i := r.IntN(len(o.List))
		if o.List = slices.Clone(o.List); i > 0 && r.IntN(2) == 0 {
			o.List[i], o.List[i-1] = o.List[i-1], o.List[i]
		} else {
			o.List = slices.Delete(o.List, i, i+1)
		}
		return true
	case sim.PutIfAbsent, sim.PutIfMatch, sim.DeleteIfMatch, sim.Tag, sim.Complete, sim.Abort, sim.TagAt, sim.Purge, sim.Create, sim.Drop:
		o.Refused, o.Held = !o.Refused, false
		return true
	}
	return false
}
