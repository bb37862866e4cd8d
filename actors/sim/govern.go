package sim

import "holdfast/actors/quorum"

// mover is the task of a slot move, and how far the copying has come.
type mover struct {
	*quorum.Move
	task    int32
	gen     uint32
	copying bool
	next    int8   // key to be copied
	begun   uint64 // epoch of the move
	failed  int8   // times that a key could not be copied
}

// Result is nothing: a move has no client.
func (*mover) Result() quorum.Result { return quorum.Result{} }

// govern is what operators do.
func (w *World) govern(f *faultPlan) {
	set := int(w.setOf[int(f.a)%w.plan.keys]) // moves of sets without keys teach nothing
	rec := *w.latest(set)
	switch {
	case f.kind == faultMove && rec.cfg.Phase == quorum.Settled:
		w.beginMove(set, int(f.b), uint64(f.amount))
	case f.kind == faultCancel && rec.cfg.Phase == quorum.Begun:
		rec.cfg.Phase, rec.cfg.Moving, rec.cfg.Declared = quorum.Settled, 0, 0
		w.commit(set, rec)
	}
}

// beginMove gives a slot of a set to a drive that is no member. An operator declares off what is gone.
func (w *World) beginMove(set, slot int, pick uint64) {
	rec := *w.latest(set)
	used := uint64(0)
	for m := range rec.cfg.N {
		used |= 1 << rec.drives[m]
	}
	for i := range w.plan.drives {
		d := &w.drives[(uint64(i)+pick)%uint64(w.plan.drives)]
		if used>>d.id&1 != 0 || d.gone || d.ram.sets[set].State != quorum.SlotNone {
			continue
		}
		rec.cfg.Phase, rec.cfg.Moving = quorum.Begun, slot
		if w.drives[rec.drives[slot]].gone {
			rec.cfg.Declared = quorum.Slot(slot)
		}
		rec.drives[rec.cfg.N] = d.id
		w.commit(set, rec)
		return
	}
}

// advance is called by nodes' ticks: it starts a mover where none is at work.
func (w *World) advance(who int16) {
	n := &w.nodes[who]
	for s := range w.plan.sets {
		rec := w.record(s, n.view[s])
		mv := &w.movers[s]
		if rec.cfg.Phase == quorum.Settled || mv.Move != nil && w.tasks[mv.task].alive && w.tasks[mv.task].gen == mv.gen {
			continue
		}
		w.startMover(who, s)
	}
}

// startMover has a node carry on a set's move.
func (w *World) startMover(who int16, s int) {
	n := &w.nodes[who]
	key := -1
	for k := range w.plan.keys {
		if int(w.setOf[k]) == s {
			key = k
		}
	}
	target := quorum.Target{Config: w.record(s, n.view[s]).cfg, Revision: w.revision(n, max(key, 0))}
	w.writes++
	i := w.newTask(who, max(key, 0), settles+w.writes)
	t := &w.tasks[i]
	w.movers[s] = mover{Move: quorum.NewMove(&n.env, target), task: i, gen: t.gen}
	t.m, t.set, t.moves = &w.movers[s], int8(s), true
	w.stepTask(i, &quorum.Event{Kind: quorum.EvBegin})
}

// moved carries out what a mover wants after a step.
func (w *World) moved(i int32) {
	t := &w.tasks[i]
	set := int(t.set)
	mv := &w.movers[set]
	rec := *w.latest(set)
	if w.nodes[t.node].view[set] != rec.cfg.Epoch || w.nodes[t.node].island > w.now {
		return // it will hear of it, or can say so later
	}
	if rec.cfg.Phase == quorum.Begun && mv.begun != rec.cfg.Epoch {
		mv.begun, mv.copying, mv.failed = rec.cfg.Epoch, false, 0
	}
	switch mv.Want() {
	case quorum.MoveCopy:
		if !mv.copying {
			mv.copying, mv.next = true, -1
			w.copyNext(set)
		}
	case quorum.MoveFlip:
		if rec.cfg.Phase == quorum.Begun {
			rec.cfg.Phase = quorum.Flipped
			w.commit(set, rec)
		}
	case quorum.MoveDone:
		if rec.cfg.Phase == quorum.Flipped {
			rec.drives[rec.cfg.Moving] = rec.drives[rec.cfg.N]
			rec.cfg.Phase, rec.cfg.Moving, rec.cfg.Declared = quorum.Settled, 0, 0
			w.commit(set, rec)
		}
	}
}

// copyNext heals the next key of the set on the newcomer; behind the last one the mover is told.
func (w *World) copyNext(set int) {
	mv := &w.movers[set]
	t := &w.tasks[mv.task]
	for mv.next++; int(mv.next) < w.plan.keys; mv.next++ {
		if int(w.setOf[mv.next]) == set && w.exists(int(mv.next)) {
			w.copyKey(set)
			return
		}
	}
	if t.alive && t.gen == mv.gen {
		w.stepTask(mv.task, &quorum.Event{Kind: quorum.EvCopied})
	}
}

// copyKey starts the copy of the key whose turn it is.
func (w *World) copyKey(set int) {
	mv := &w.movers[set]
	t := &w.tasks[mv.task]
	if !t.alive || t.gen != mv.gen || mv.next < 0 || int(mv.next) >= w.plan.keys {
		return
	}
	node := t.node
	n := &w.nodes[node]
	target := w.target(n, int(mv.next))
	if target.Config.Phase != quorum.Begun {
		return
	}
	w.writes++
	j := w.newTask(node, int(mv.next), settles+w.writes)
	c := &w.tasks[j]
	c.copies, c.epoch = true, target.Config.Epoch
	c.m = quorum.NewHeal(&n.env, target, writeID(settles+w.writes), target.Config.Newcomer())
	w.stepTask(j, &quorum.Event{Kind: quorum.EvBegin})
}

// copied goes on when a key's copy has ended.
func (w *World) copied(t *task, ok bool) {
	mv := &w.movers[t.set]
	if w.latest(int(t.set)).cfg.Epoch != t.epoch {
		return // of a move that is over
	}
	if mv.failed++; ok {
		mv.failed = 0
	} else if rec := *w.latest(int(t.set)); mv.failed > 20 && rec.cfg.Phase == quorum.Begun && rec.cfg.Declared == 0 {
		// A key that the joint phase cannot resolve: five members, three hold it, two have marks.
		rec.cfg.Phase, rec.cfg.Moving = quorum.Settled, 0
		w.commit(int(t.set), rec)
		return
	}
	if !ok {
		w.q.push(event{at: w.now + 20*ms, kind: evCopy, who: t.node, life: w.nodes[t.node].life, arg: int32(t.set)})
		return
	}
	w.copyNext(int(t.set))
}

// retire lets a drive that is no longer a member of a set forget it.
func (w *World) retire(d *drive, set int) {
	w.restarted = true // its readers see an end
	d.ram.sets[set] = quorum.SetState{Config: w.record(set, w.nodes[d.node].view[set]).cfg}
	c := dirt{sets: 1 << set}
	for k := range w.plan.keys {
		if int(w.setOf[k]) == set {
			var none quorum.KeyState
			none.Tokens = d.ram.keys[k].Tokens
			d.ram.keys[k].CopyFrom(&none)
			c.keys |= 1 << k
		}
	}
	d.wrote(c, true)
	w.sync(d)
}
