package main

import (
	"time"

	"github.com/anishathalye/porcupine"

	"holdfast/actors/sim"
)

// op is an operation as the models take it.
type op struct {
	*sim.Operation
	open bool // never answered: it happened at some time behind its invocation, or not at all
	// rival: another completion of the same upload was never answered. Overwritten before it was settled, it
	// leaves the upload gone and nothing to be seen.
	rival bool
	// doubt has the writes that were never answered. What they made may come to light late, and lie below newer
	// versions, where its stamp puts it: no list is held to it.
	doubt map[uint16]bool
}

// step is what a model does with one operation: what stands behind it, and whether it could have had its
// answer where s stood. An open operation has none, and whose condition does not hold did nothing.
type step[S any] func(s S, o op) (after S, ok bool)

// modelOf makes porcupine's model of a specification.
func modelOf[S any](first S, next step[S], equal func(a, b S) bool, hash func(S) uint64) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return first },
		Step: func(before, input, _ any) (bool, any) {
			o := input.(op)
			after, ok := next(before.(S), o)
			if o.open && !ok {
				return true, before
			}
			return ok, after
		},
		Equal: func(a, b any) bool { return equal(a.(S), b.(S)) },
		Hash:  func(s any) uint64 { return hash(s.(S)) },
	}
}

// models are those of the three specifications.
func models() map[sim.Spec]porcupine.Model {
	return map[sim.Spec]porcupine.Model{
		sim.SpecRegister: modelOf(object{}, object.step, func(a, b object) bool { return a == b }, object.hash),
		sim.SpecVersions: modelOf(stack{}, stack.step, stack.equal, stack.hash),
		sim.SpecBucket:   modelOf(bucket{}, bucket.step, func(a, b bucket) bool { return a == b }, bucket.hash),
	}
}

// judge asks porcupine about a history, for no longer than limit.
func judge(model porcupine.Model, h *sim.History, limit time.Duration) sim.Verdict {
	switch porcupine.CheckOperationsTimeout(model, operations(h.Ops), limit) {
	case porcupine.Ok:
		return sim.Linearizable
	case porcupine.Illegal:
		return sim.NotLinearizable
	}
	return sim.Undecided
}

// operations are a history's in porcupine's form.
func operations(ops []sim.Operation) []porcupine.Operation {
	doubt, completed := map[uint16]bool{}, map[uint16]bool{}
	for i := range ops {
		switch o := &ops[i]; {
		case o.Return != sim.Never || o.Kind == sim.Upload:
		case o.Kind == sim.Complete:
			completed[o.Want], doubt[o.Want] = true, true
		case o.Value != 0:
			doubt[o.Value] = true
		}
	}
	var out []porcupine.Operation
	for i := range ops {
		o := &ops[i]
		if o.Kind == sim.ListedAt && !o.Null && doubt[o.Want] {
			continue
		}
		rival := (o.Kind == sim.Complete || o.Kind == sim.Abort) && completed[o.Want]
		out = append(out, porcupine.Operation{
			ClientId: o.Client, Call: o.Invoke, Return: o.Return,
			Input: op{Operation: o, open: o.Return == sim.Never, rival: rival, doubt: doubt},
		})
	}
	return out
}

// mix spreads a number over all bits.
func mix(x uint64) uint64 {
	x = (x ^ x>>31) * 0x9e3779b97f4a7c15
	return (x ^ x>>29) * 0xbf58476d1ce4e5b9
}
