package sim

import (
	"math/bits"

	"holdfast/actors/quorum"
)

// What a skewed world's faults do to messages, nodes and the pace of background work.

// ways of a message, in the amount of a faultLate or faultLost beside the kinds of requests.
const (
	wayThere = int64(1) << 62
	wayBack  = int64(1) << 61
)

// someOf is the amount of a fault that strikes some kinds of requests.
func someOf(kinds ...quorum.RequestKind) (amount int64) {
	for _, k := range kinds {
		amount |= 1 << k
	}
	return amount
}

// skewed is when a message arrives that faults of the world's network may strike; never if it is lost.
func (w *World) skewed(p *packet, way eventKind, at int64) int64 {
	for _, i := range w.skews {
		f := &w.plan.faults[i]
		ways := wayThere
		if way == evAnswer {
			ways = wayBack
		}
		if p.span != nil || f.amount>>p.req.Kind&1 == 0 || f.amount&ways == 0 || f.a>>p.drive&1 == 0 {
			continue
		}
		luck := fate(w.seed, uint64(w.tasks[p.task].name)<<32|uint64(p.nth)<<8|uint64(way), uint64(i)<<16|uint64(p.member), 0x5ced)
		switch {
		case !luck.chance(int(f.b)):
		case f.kind == faultLost:
			return never
		default:
			at = max(at, f.end+int64(luck.n(int(3*ms))))
		}
	}
	return at
}

// isolate cuts a node off from all others, or ends that.
func (w *World) isolate(who int16, cut bool) {
	for i := range w.plan.nodes {
		if i == int(who) {
			continue
		}
		w.cut[i] &^= 1 << who
		w.cut[who] &^= 1 << i
		if cut {
			w.cut[i] |= 1 << who
			w.cut[who] |= 1 << i
		}
	}
}

// rejoin ends a faultIsland.
func (w *World) rejoin(f *faultPlan) {
	if f.b == 0 {
		w.isolate(f.a, false)
	}
	w.carryOn(f.a)
}

// carryOn has a node's movers say what they could not say while it was on an island.
func (w *World) carryOn(who int16) {
	for s := range w.plan.sets {
		mv := &w.movers[s]
		if mv.Move == nil || w.nodes[who].island > w.now {
			continue
		}
		if t := &w.tasks[mv.task]; t.alive && t.gen == mv.gen && t.node == who {
			w.moved(mv.task)
		}
	}
}

// lazy says that a drive leaves its stable marks unsynced for now: nobody waits for them.
func (w *World) lazy(d *drive) bool {
	if w.plan.pace.lazy == 0 || w.calm {
		return false
	}
	f := fate(w.seed, 0x1a27, uint64(w.now), uint64(d.id))
	return f.chance(w.plan.pace.lazy)
}

// preferred are the k judges that a reader asks first: those it believes to answer soonest.
func (w *World) preferred(t *task, c *quorum.SetConfig) (some quorum.Slots) {
	f := fate(w.seed, 0x9efe, uint64(t.name), uint64(t.client))
	judges := c.Judges()
	for some.Len() < min(c.K, judges.Len()) {
		some |= quorum.Slot(f.n(bits.Len32(uint32(judges)))) & judges
	}
	return some
}

// undo notes that a client was told that its write was not done and never will be.
func (w *World) undo(key uint8, k *call) {
	if w.plan.buckets || !k.makes() || k.kind == callCreate {
		return
	}
	w.undone[key] = append(w.undone[key], k.write)
	for i := range w.attempts[key] {
		w.denied(int(key), &w.attempts[key][i])
	}
}

// denied holds a chosen attempt to what its client was told (I7: dead for ever).
func (w *World) denied(key int, a *attempt) {
	if !a.chosen || a.rev != a.ref.TS || w.media || w.losses > 0 {
		return
	}
	for _, v := range w.undone[key] {
		if writeNumber(a.ref.Write) == uint32(v) {
			w.fail("I7", "key %d: %v is chosen, and its client was told that it was not done", key, a.ref)
		}
	}
}
