package sim

import (
	"fmt"

	"holdfast/actors/object"
	"holdfast/actors/quorum"
)

// settle ends all faults, lets the cluster repair itself, and reads every key at every node. Whatever
// happened, the answers must come and agree, and the members must end up equal (I28).
func (w *World) settle() {
	if w.broken != nil {
		return
	}
	w.calm = true
	w.note("faults are over")
	w.look()
	w.cut, w.skews = [maxNodes]uint32{}, w.skews[:0]
	for i := range w.plan.drives {
		if d := &w.drives[i]; d.lying {
			d.repent()
		}
	}
	for i := range w.plan.nodes {
		w.mendNode(int16(i))
	}
	for i := range w.plan.drives {
		if d := &w.drives[i]; !d.open && !d.gone {
			w.openDrive(d)
		}
	}
	for i := range w.plan.drives {
		d := &w.drives[i]
		for s := range d.ram.sets {
			if d.ram.sets[s].State == quorum.SlotLost && !d.gone {
				w.losses-- // it is the same loss
				w.wipe(d)
			}
		}
	}
	w.run(w.now + 2*s)
	for range 3 {
		w.replaceLost()
		w.run(w.now + s)
	}
	if w.plan.writesLast {
		for k := range w.plan.keys {
			w.lastWrite(k)
		}
	}
	for k := range w.plan.keys {
		w.lastComplete(k)
	}
	for round := range 2 {
		for k := range min(w.plan.keys, mostKeys) {
			w.lastRead(k, (round*3+k)%w.plan.nodes)
		}
	}
	w.scrubAll()
	// Members are healed one after the other, and nothing goes before attempts that old are over.
	for until := w.now + 2*attemptLife + int64(w.plan.n)*max(500*ms, 10*w.plan.pace.tick); w.now < until && w.broken == nil; {
		w.run(w.now + attemptLife/2)
		if w.unlike() == "" {
			return
		}
	}
	if how := w.unlike(); how != "" && w.broken == nil {
		w.fail("I28", "%s", how)
	}
}

// mendNode ends the faults of a node and tells it of the topology and buckets as they are now.
func (w *World) mendNode(i int16) {
	w.nodes[i].paused, w.nodes[i].island = 0, 0
	w.nodes[i].off, w.nodes[i].drift = 0, 0
	w.startNode(i)
	if w.plan.skewed {
		w.carryOn(i)
	}
	for s := range w.plan.sets {
		w.q.push(event{at: w.now + 10*ms, kind: evConfig, who: i, arg: int32(s)})
	}
	if w.plan.buckets {
		w.q.push(event{at: w.now + 10*ms, kind: evBucket, who: i, arg: int32(len(w.buckets) - 1)})
	}
}

// lastRead reads a key and does not take no for an answer.
func (w *World) lastRead(key, at int) {
	if w.broken != nil {
		return
	}
	who := int16(maxClients - 1)
	begin, list := w.invoke, key
	if w.plan.buckets {
		begin, list = w.invokeIn, 0
	}
	i := begin(who, int16(at), &opPlan{kind: callGet, key: uint8(key)}, 0)
	for until := w.now + 2*s; w.clients[who].busy && w.now < until && w.broken == nil; {
		w.run(w.now + 10*ms)
	}
	if b := w.lastBucket(); w.plan.buckets && b.live() {
		key = keyOfName(uint8(key), b.incarnation)
	}
	if k := &w.calls[list][i]; k.ret == never && !w.media && w.losses == 0 && !w.poisoned(key) {
		w.fail("I28", "key %d cannot be read at node %d though nothing fails any more", key, at)
	}
}

// lastWrite writes a key, at the node whose clock was wrong if one was: a few tries must do.
func (w *World) lastWrite(key int) {
	at := int16(key % w.plan.nodes)
	for i := range w.plan.faults {
		if f := &w.plan.faults[i]; f.kind == faultJump && !f.off {
			at = f.a
		}
	}
	who := int16(maxClients - 1)
	for try := range 6 {
		if w.broken != nil {
			return
		}
		i := w.invoke(who, at, &opPlan{kind: callPut, key: uint8(key), inline: true}, uint16(lastWrites+8*key+try))
		for until := w.now + 2*s; w.clients[who].busy && w.now < until && w.broken == nil; {
			w.run(w.now + 10*ms)
		}
		if k := &w.calls[key][i]; k.kind != 0 && k.ret != never {
			return
		}
		w.run(w.now + 200*ms)
	}
	if !w.media && w.losses == 0 && !w.poisoned(key) {
		w.fail("I28", "key %d cannot be written at node %d though nothing fails any more", key, at)
	}
}

// lastComplete completes an upload of which some client was told: whatever has moved since, somebody knows it.
func (w *World) lastComplete(key int) {
	if w.broken != nil || !w.plan.skewed || w.plan.buckets {
		return
	}
	who := int16(maxClients - 1)
	w.invoke(who, int16(key%w.plan.nodes), &opPlan{kind: callComplete, key: uint8(key)}, uint16(lastWrites+8*maxKeys+key))
	for until := w.now + 2*s; w.clients[who].busy && w.now < until && w.broken == nil; {
		w.run(w.now + 10*ms)
	}
}

// lastWrites are the numbers of the writes at the end.
const lastWrites = 30_000

// unlike compares the members of each key's set, and says where one is not clean or differs from another.
func (w *World) unlike() (how string) {
	if w.media || w.losses > 0 {
		return ""
	}
	for k := range w.plan.keys {
		rec := w.latest(int(w.setOf[k]))
		if w.poisoned(k) || !w.exists(k) {
			continue
		}
		var first *quorum.KeyState
		for m := range rec.cfg.Members().All() {
			d := &w.drives[rec.drives[m]]
			st := &d.ram.keys[k]
			if first == nil {
				first = st
			}
			if how := compare(k, d, st, first); how != "" {
				return how
			}
			if ref := d.ram.spoilt[k]; w.spoils>>k&1 != 0 && hasShard(st, ref) {
				return fmt.Sprintf("key %d: drive %d has a damaged shard of %v", k, d.id, ref)
			}
		}
	}
	return ""
}

// poisoned says that a key holds stamps of a time to come: of a node whose clock was far ahead and
// whose drives believed it. They can only be waited for.
func (w *World) poisoned(key int) bool {
	if !w.plan.buckets {
		return w.awaits(key)
	}
	for k := range maxKeys { // the names of several incarnations lie there
		if w.awaits(k) {
			return true
		}
	}
	return false
}

// awaits says the same of one place.
func (w *World) awaits(key int) bool {
	now := object.StampAt(w.wall(&w.nodes[0])) + 2*quorum.MaxAhead
	for m := range w.plan.drives {
		st := &w.drives[m].ram.keys[key]
		if max(st.Promise.TS, st.Decision.Ballot.TS, w.drives[m].ram.head.Horizon) > now {
			return true
		}
		for i := range st.Versions {
			if st.Versions[i].Rev > now {
				return true
			}
		}
		for i := range st.Dead {
			if st.Dead[i].Rev > now {
				return true
			}
		}
	}
	return false
}

// compare says how a member is not clean, or differs from the first.
func compare(key int, d *drive, st, first *quorum.KeyState) string {
	if len(st.Versions) != len(first.Versions) {
		return fmt.Sprintf("key %d: drive %d holds %d versions, another member %d", key, d.id, len(st.Versions), len(first.Versions))
	}
	for i := range st.Versions {
		v, u := &st.Versions[i], &first.Versions[i]
		switch {
		case v.Ref != u.Ref || v.Rev != u.Rev:
			return fmt.Sprintf("key %d: drive %d holds %v where another member holds %v", key, d.id, v.Ref, u.Ref)
		case v.Kind != u.Kind || v.Body != u.Body || v.Meta != u.Meta:
			return fmt.Sprintf("key %d: drive %d holds other contents of %v than another member", key, d.id, v.Ref)
		case !v.Stable:
			return fmt.Sprintf("key %d: drive %d holds %v in doubt", key, d.id, v.Ref)
		case v.Kind == quorum.Tombstone || v.Kind == quorum.Purged:
			return fmt.Sprintf("key %d: drive %d still holds the tombstone %v", key, d.id, v.Ref)
		case !v.Data && v.Kind == quorum.Object:
			return fmt.Sprintf("key %d: drive %d has no shard of %v", key, d.id, v.Ref)
		}
	}
	return ""
}
