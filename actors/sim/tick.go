package sim

import (
	"time"

	"holdfast/actors/object"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// tick is the background work of a node: for the keys of those sets whose lowest live slot it has, it
// settles what is in doubt, heals, collects and forgets. Now and then another node does so as well:
// who is live is gossip, and two nodes may think differently (I31).
func (w *World) tick(who int16) {
	n := &w.nodes[who]
	w.q.push(event{at: w.now + w.plan.pace.tick, kind: evTick, who: who, life: n.life})
	w.resume(n)
	w.advance(who)
	for i := range w.plan.drives {
		if d := &w.drives[i]; d.node == who && d.open && d.old.any() && !w.lazy(d) {
			w.sync(d) // marks are synced within a while also when nobody writes
		}
	}
	for k := range w.plan.keys {
		if w.tended(n, k) {
			w.tendKey(who, k)
		}
	}
	w.liftSeal(who)
}

// tendKey looks at one key on each drive of the node that is a member of its set.
func (w *World) tendKey(who int16, key int) {
	n := &w.nodes[who]
	rec := w.record(int(w.setOf[key]), n.view[w.setOf[key]])
	f := fate(w.seed, 0x71c4, uint64(w.now), uint64(who)<<8|uint64(key))
	var lower quorum.Slots   // members before that seem to be alive
	work := workKind(f.n(3)) // no kind waits for another for ever
	for m := range rec.cfg.Members().All() {
		if n.busy>>key&1 != 0 {
			return
		}
		d := &w.drives[rec.drives[m]]
		if !d.open || !w.nodes[d.node].up {
			continue
		}
		if d.node == who && d.ram.rotten>>key&1 == 0 {
			w.age(d, key)
			w.tend(who, key, d, lower, work)
		}
		if !f.chance(30) {
			lower |= quorum.Slot(m)
		}
	}
}

// age lets a drive forget what its horizon has passed.
func (w *World) age(d *drive, key int) {
	st := &d.ram.keys[key]
	if len(st.Superseded) == 0 && len(st.Versions) < 2 {
		return
	}
	set := w.setOf[key]
	req := quorum.Request{Kind: quorum.ReqForget, Key: keyOf(key), Version: quorum.Version{}}
	req.Fence = quorum.Fence{Set: cluster.SetID(set), Epoch: d.ram.sets[set].Config.Epoch, Revision: d.ram.bucket[incarnationOf(key)-1].Revision}
	w.stepDrive(d, key, &req)
}

// workKind is a kind of background work.
type workKind uint8

const (
	workSettle workKind = iota
	workHeal
	workCollect
)

// tend starts what a key on one of the node's drives needs. What is in doubt is settled by the node of
// the lowest live slot, or by another after a while: the lowest may not hold it.
func (w *World) tend(who int16, key int, d *drive, lower quorum.Slots, work workKind) {
	n := &w.nodes[who]
	st := &d.ram.keys[key]
	wait := time.Duration(w.plan.pace.pending*int64(1+lower.Len())) * time.Microsecond
	old := object.StampAt(w.wall(n).Add(-wait))
	target := w.target(n, key)
	var m machine
	switch work {
	case workSettle:
		for i := range st.Versions {
			v := &st.Versions[i]
			if stamp := max(v.Rev, v.Ballot.TS); !v.Stable && (stamp < old || stamp > object.StampAt(w.wall(n))+2*quorum.MaxAhead) {
				w.writes++
				m = quorum.NewUpdate(&n.env, target, quorum.Intent{Kind: quorum.Settle, Write: writeID(settles + w.writes)})
				break
			}
		}
	case workHeal:
		m = w.heal(n, d, key, target, lower)
	case workCollect:
		if f := fate(w.seed, 0xc011, uint64(w.now), uint64(d.id)); lower != 0 && !f.chance(200) {
			break // the lowest may have dropped it already
		}
		if m = w.audit(n, d, key, target); m == nil {
			m = w.collect(n, d, key, target)
		}
	}
	if m == nil {
		return
	}
	w.writes++
	i := w.newTask(who, key, settles+w.writes)
	t := &w.tasks[i]
	t.m, t.background = m, true
	n.busy |= 1 << key
	w.stepTask(i, &quorum.Event{Kind: quorum.EvBegin})
}

// settles is above the numbers of all writes of clients.
const settles = 1 << 16

// heal brings what a member missed to it: work of the lowest live member that did not miss it, as a
// rule; it may have been healed itself and know of no debt.
func (w *World) heal(n *node, d *drive, key int, target quorum.Target, lower quorum.Slots) machine {
	for _, h := range d.ram.keys[key].Hints {
		missed := h.Missed & target.Config.Members()
		f := fate(w.seed, 0x4ea1, uint64(w.now), uint64(d.id))
		own := missed.Has(d.ram.sets[w.setOf[key]].Member) // a shard that was found damaged: nobody else may know
		if missed == 0 || f.chance(500) || !own && lower&^missed != 0 && f.chance(600) {
			continue
		}
		skip := f.n(missed.Len()) // one that cannot be healed now does not keep the others waiting
		for m := range missed.All() {
			if skip--; skip < 0 {
				w.writes++
				return quorum.NewHeal(&n.env, target, writeID(settles+w.writes), m)
			}
		}
	}
	return nil
}

// collect ends tombstones, and what is remembered of attempts that are over.
func (w *World) collect(n *node, d *drive, key int, target quorum.Target) machine {
	st := &d.ram.keys[key]
	quiet := object.Stamp(w.plan.pace.quiet) << 10
	now := object.StampAt(w.wall(n))
	if st.Promise.TS+quiet >= now || st.Decision.Ballot.TS+quiet >= now {
		return nil
	}
	due := len(st.Dead)+len(st.Superseded) > 0 || st.Promise != quorum.Ballot{}
	for i := range st.Versions {
		due = due || st.Versions[i].Kind == quorum.Tombstone || st.Versions[i].Kind == quorum.Purged
	}
	if !due {
		return nil
	}
	return quorum.NewCollect(&n.env, target)
}

// audit compares the stable rows with those of another member, as digests of leaves do, and heals the one
// whose first row that differs is the older. It finds what no hint tells of.
func (w *World) audit(n *node, d *drive, key int, target quorum.Target) machine {
	rec := w.record(int(w.setOf[key]), target.Config.Epoch)
	f := fate(w.seed, 0xa0d1, uint64(w.now), uint64(d.id))
	m := f.n(rec.cfg.N)
	o := &w.drives[rec.drives[m]]
	if rec.cfg.Phase != quorum.Settled || o == d || !o.open || o.ram.rotten>>key&1 != 0 {
		return nil
	}
	mine, theirs := d.ram.keys[key].Versions, o.ram.keys[key].Versions
	at := 0
	for at < len(mine) && at < len(theirs) && mine[at].Is(theirs[at].Ref, theirs[at].Rev) {
		at++
	}
	if at == len(mine) || at == len(theirs) || !mine[at].Stable || !theirs[at].Stable {
		return nil
	}
	lacks := m
	if c := mine[at].Ref.Compare(theirs[at].Ref); c < 0 || c == 0 && mine[at].Rev < theirs[at].Rev {
		for i := range rec.cfg.N {
			if rec.drives[i] == d.id {
				lacks = i
			}
		}
	}
	w.writes++
	return quorum.NewHeal(&n.env, target, writeID(settles+w.writes), lacks)
}
