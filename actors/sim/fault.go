package sim

import (
	"slices"

	"holdfast/actors/quorum"
)

// schedule puts the plan into the queue.
func (w *World) schedule() {
	for i := range w.plan.faults {
		if f := &w.plan.faults[i]; !f.off {
			w.q.push(event{at: f.at, kind: evFault, arg: int32(i)})
		}
	}
	for i := range w.plan.clients {
		w.q.push(event{at: 0, kind: evCall, who: int16(i)})
	}
	for i := range w.plan.nodes {
		at := w.plan.pace.tick + int64(i)*ms
		if f := fate(w.seed, 0x71c5, uint64(i), 0); w.plan.pace.spread {
			at = f.between(0, w.plan.pace.tick)
		}
		w.q.push(event{at: at, kind: evTick, who: int16(i), life: 1})
	}
}

// strike begins a fault.
func (w *World) strike(i int32) {
	f := &w.plan.faults[i]
	w.note("fault %s: %s", f.kind, f)
	switch f.kind {
	case faultCrash:
		w.stopNode(f.a, f.b != 0)
		w.q.push(event{at: f.end, kind: evStart, who: f.a})
		return
	case faultPause:
		w.nodes[f.a].paused = max(w.nodes[f.a].paused, f.end)
		return
	case faultCut:
		if f.a != f.b {
			w.cut[f.a] |= 1 << f.b
		}
	case faultSplit:
		w.split(f, true)
	case faultJump:
		w.look()
		w.nodes[f.a].off += f.amount
		return
	case faultDrive:
		w.failDrive(&w.drives[f.a])
	case faultLie:
		w.drives[f.a].lying = true
	case faultFlip:
		w.rot(&w.drives[f.a], uint(f.b))
		return
	case faultRevert:
		d := &w.drives[f.a]
		d.saved.take(&d.safe, everything)
	case faultWipe:
		w.wipe(&w.drives[f.a])
	case faultLate, faultLost:
		w.skews = append(w.skews, i)
	case faultIsland:
		w.nodes[f.a].island = max(w.nodes[f.a].island, f.end)
		if f.b == 0 {
			w.isolate(f.a, true)
		}
	case faultBlackout:
		for n := range w.plan.nodes {
			if f.amount>>n&1 != 0 {
				w.stopNode(int16(n), true)
				w.q.push(event{at: f.end + int64(n)*50*us, kind: evStart, who: int16(n)})
			}
		}
		return
	default:
		w.govern(f)
		return
	}
	w.q.push(event{at: f.end, kind: evMend, arg: i})
}

// mend ends a fault.
func (w *World) mend(i int32) {
	f := &w.plan.faults[i]
	if w.calm {
		return // repaired already
	}
	w.note("mended %s: %s", f.kind, f)
	switch f.kind {
	case faultCut:
		w.cut[f.a] &^= 1 << f.b
	case faultSplit:
		w.split(f, false)
	case faultDrive:
		if d := &w.drives[f.a]; !d.open && !d.gone && w.nodes[d.node].up {
			w.openDrive(d)
		}
	case faultWipe:
		w.replaceLost()
	case faultLie:
		w.drives[f.a].repent()
	case faultLate, faultLost:
		w.skews = slices.DeleteFunc(w.skews, func(j int32) bool { return j == i })
	case faultIsland:
		w.rejoin(f)
	case faultRevert:
		d := &w.drives[f.a]
		if d.gone {
			return
		}
		w.stopNode(d.node, true)
		d.load(&d.saved)
		w.loss()
		w.startNode(d.node)
	}
}

// split cuts the nodes of a fault from the others, or ends that.
func (w *World) split(f *faultPlan, cut bool) {
	some := uint32(f.amount)
	rest := (1<<w.plan.nodes - 1) &^ some
	for i := range w.plan.nodes {
		deaf := rest // to whom it does not speak
		if some>>i&1 == 0 {
			if deaf = some; f.b != 0 {
				continue
			}
		}
		if w.cut[i] &^= deaf; cut {
			w.cut[i] |= deaf
		}
	}
}

// stopNode ends a process: its tasks, what its drives had not synced if the power went with it, and
// every answer to it.
func (w *World) stopNode(who int16, power bool) {
	n := &w.nodes[who]
	if !n.up {
		return
	}
	n.up = false
	n.life++
	w.endTasks(who)
	for i := range w.plan.drives {
		if d := &w.drives[i]; d.node == who {
			w.closeDrive(d, power)
		}
	}
}

// closeDrive ends a drive's actor and leaves what survives.
func (w *World) closeDrive(d *drive, power bool) {
	if !d.open {
		return
	}
	for _, i := range d.waiting {
		w.lost(i)
	}
	for _, i := range d.flying {
		w.lost(i)
	}
	w.restarted = true
	mode := 2
	if power {
		f := fate(w.seed, uint64(d.id)<<32|0xdead, uint64(d.life), 0)
		if mode = f.n(3); mode == 2 && f.chance(400) {
			mode = 3
		}
		if w.scripted {
			mode = 0
		}
		if d.owed.any() {
			w.loss()
		}
	}
	d.crash(mode)
	d.open = false
	d.life++
}

// startNode starts a process on what its drives hold.
func (w *World) startNode(who int16) {
	n := &w.nodes[who]
	if n.up {
		return
	}
	n.up, n.busy = true, 0
	n.life++
	for i := range w.plan.drives {
		if d := &w.drives[i]; d.node == who && !d.gone {
			w.openDrive(d)
		}
	}
	w.startEnv(who)
	w.q.push(event{at: w.now + w.plan.pace.tick, kind: evTick, who: who, life: n.life})
	for s := range w.plan.sets {
		w.q.push(event{at: w.now + 5*ms, kind: evConfig, who: who, arg: int32(s)})
	}
	if w.plan.buckets {
		w.q.push(event{at: w.now + 5*ms, kind: evBucket, who: who, arg: int32(len(w.buckets) - 1)})
	}
}

// openDrive puts a drive into service, and tells it what its node knows. One whose batch number is
// below what any node has seen of it has forgotten answers it gave: it is not in sync (I15).
func (w *World) openDrive(d *drive) {
	d.open = true
	d.life++
	// That it has forgotten is durable before it writes anything: its batch number will rise again.
	for i := range w.plan.nodes {
		d.forgot = d.forgot || w.nodes[i].seen[d.id] > d.safe.batch
	}
	if !d.forgot {
		w.unhear(d, d.safe.batch)
	}
	for s := range w.plan.sets {
		st := &d.ram.sets[s]
		rec := w.record(s, w.nodes[d.node].view[s])
		for m := range rec.cfg.Members().All() {
			if rec.drives[m] == d.id && st.Config.Epoch < rec.cfg.Epoch {
				w.adopt(d, rec, m)
			}
		}
	}
	w.refence(d)
	w.suspect(d)
	if d.forgot {
		w.note("drive %d has forgotten: batch %d", d.id, d.safe.batch)
	}
}

// suspect keeps a drive that has forgotten something out of every set.
func (w *World) suspect(d *drive) {
	if !d.forgot || w.tuning.Rules.Off(quorum.NoWatermark) {
		return
	}
	for s := range d.ram.sets {
		if st := &d.ram.sets[s]; st.State != quorum.SlotNone {
			st.State = quorum.SlotLost
		}
	}
}

// wipe takes a drive away for good and puts an empty one beside its place.
func (w *World) wipe(d *drive) {
	if d.gone || w.plan.drives == maxDrives {
		return
	}
	w.closeDrive(d, true)
	d.gone = true
	w.loss()
	e := &w.drives[w.plan.drives]
	e.disk.reset()
	e.ram.bucket = w.firstBuckets()
	e.load(&e.ram)
	e.id, e.node, e.open, e.gone, e.forgot, e.life = int16(w.plan.drives), d.node, w.nodes[d.node].up, false, false, 1
	w.plan.drives++
}

// loss counts a drive that lost what it had said was durable. One such loss is borne at any time, more
// only behind full placement: then nothing is asserted but that answers are linearizable (I29, I30).
func (w *World) loss() {
	w.losses++
	w.media = w.media || w.losses > 1 || w.plan.n == 1
}

// replaceLost has operators give the slots of lost drives to others.
func (w *World) replaceLost() {
	for s := range w.plan.sets {
		rec := w.latest(s)
		for m := range rec.cfg.N {
			if rec.cfg.Phase == quorum.Settled && w.drives[rec.drives[m]].gone {
				w.beginMove(s, m, uint64(m))
				break
			}
		}
	}
}

// failDrive is an I/O error: what was not synced may be lost, and the actor ends.
func (w *World) failDrive(d *drive) { w.closeDrive(d, true) }
