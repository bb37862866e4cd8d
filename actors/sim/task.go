package sim

import (
	"time"

	"holdfast/actors/object"
	"holdfast/actors/quorum"
)

// machine is an operation of the protocol.
type machine interface {
	Step(now time.Time, ev *quorum.Event) quorum.Effect
	Result() quorum.Result
}

// asked are the members that a request went to and that have not answered.
type asked struct {
	id  uint32
	out quorum.Slots
}

// task is an operation under way on a node, for a client or in the background.
type task struct {
	m          machine
	intent     quorum.Intent
	asked      []asked
	kind       callKind // of a client's operation
	head       bool     // a GET reads no shards
	told       bool     // the client knows the outcome
	alive      bool
	gen        uint32
	name       uint32 // for the luck of its messages
	sent       uint32
	fuse       int8 // messages until its coordinator dies; 0 = it does not
	burnt      bool
	node       int16
	client     int16 // or -1
	turn       uint32
	key        int8
	set        int8
	tries      int8
	wake       int64
	off        int64  // of the node's clock when the task began: timers do not see it jump
	moves      bool   // a slot move
	copies     bool   // a key to the newcomer of one
	epoch      uint64 // of that move
	background bool
	label      int16 // of a Schedule's operation
	span       span  // in place of m: an operation over many sets
	name3      uint8 // of its key, in a world with bucket life
	within     bool  // it is part of the span of task parent
	parent     int32
	parentGen  uint32
}

func (w *World) resetTasks() {
	for i := range w.tasks {
		t := &w.tasks[i]
		*t = task{asked: t.asked[:0], gen: t.gen + 1}
	}
	w.idle = w.idle[:0]
	for i := len(w.tasks) - 1; i >= 0; i-- {
		w.idle = append(w.idle, int32(i))
	}
	w.writes = 0
}

// newTask finds a place for a task.
func (w *World) newTask(node int16, key int, name uint32) int32 {
	if len(w.idle) == 0 {
		w.tasks = append(w.tasks, task{gen: 1})
		w.idle = append(w.idle, int32(len(w.tasks)-1))
	}
	i := w.idle[len(w.idle)-1]
	w.idle = w.idle[:len(w.idle)-1]
	t := &w.tasks[i]
	*t = task{asked: t.asked[:0], gen: t.gen + 1, alive: true, node: node, key: int8(key), set: w.setOf[key], client: -1, name: name, off: w.nodes[node].off, label: w.label}
	return i
}

func (w *World) endTask(i int32) {
	t := &w.tasks[i]
	if !t.alive {
		return
	}
	t.alive, t.m, t.span = false, nil, nil
	t.gen++
	if t.background {
		w.nodes[t.node].busy &^= 1 << t.key
	}
	w.idle = append(w.idle, i)
}

// endTasks ends those of a node that stopped. Their clients learn nothing.
func (w *World) endTasks(node int16) {
	for i := range w.tasks {
		t := &w.tasks[i]
		if !t.alive || t.node != node {
			continue
		}
		if t.client >= 0 && !t.told {
			w.returned(t.client, t.turn, outcome{unknown: true})
		}
		w.endTask(int32(i))
	}
}

// writeID names a write: its number, which is also the value of what it writes.
func writeID(n uint32) (id object.WriteID) {
	id[0], id[1], id[2], id[3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	id[15] = byte(mix(uint64(n))) // jitter is taken from it
	return id
}

// writeNumber is the inverse.
func writeNumber(id object.WriteID) uint32 {
	return uint32(id[0])<<24 | uint32(id[1])<<16 | uint32(id[2])<<8 | uint32(id[3])
}

// begin starts a client's operation on a node.
func (w *World) begin(who, at int16, o *opPlan, k *call, value uint16) {
	i := w.newTask(at, int(o.key), uint32(value)) // with bucket life the key depends on the incarnation
	t := &w.tasks[i]
	t.client, t.turn = who, w.clients[who].turn
	t.kind, t.head, k.write = o.kind, o.head, value
	in := quorum.Intent{
		Kind: quorum.Put, What: quorum.Object, Write: writeID(uint32(value)), Null: !w.plan.versioned,
		Body: uint64(value), Meta: uint64(value), Staged: !o.inline,
	}
	switch o.kind {
	case callDelete, callDeleteIfMatch, callDeleteNull:
		in.What, in.Body, in.Meta, in.Staged = quorum.Tombstone, 0, 0, false
		if w.plan.versioned {
			in.What, in.Null = quorum.Marker, o.kind == callDeleteNull
		}
	case callTag, callTagAt:
		in.Kind, in.What, in.Body, in.Staged = quorum.Revise, 0, 0, false
	case callPutNull:
		in.Null = true
	case callUpload:
		in.Kind, in.What, in.Staged = quorum.Open, 0, false
	case callComplete, callAbort:
		in.Upload, in.Body, in.Meta, in.Staged = writeID(uint32(k.want)), uint64(k.want), uint64(k.want), false
		in.Kind, in.Meta = quorum.Complete, max(in.Meta, uint64(k.tag))
		if o.kind == callAbort {
			in.Kind = quorum.Abort
		}
	case callPurge:
		if in.Kind = quorum.Purge; k.locked {
			in.Cond = quorum.Cond{Kind: quorum.CondOwner, Judge: func(at *quorum.Version) bool { return at.Kind != quorum.Object || !isHeld(uint16(at.Meta)) }}
		}
	case callVersions:
		in.Kind, in.What, in.Body, in.Staged = quorum.Settle, 0, 0, false
	}
	switch o.kind {
	case callPutIfAbsent:
		in.Cond = quorum.Cond{Kind: quorum.CondAbsent}
	case callPutIfMatch, callDeleteIfMatch:
		in.Cond = quorum.Cond{Kind: quorum.CondBody, Body: uint64(k.want)}
	}
	if o.kind == callPurge || o.kind == callGetAt || o.kind == callTagAt {
		in.At = object.IDOf(k.ref, k.null)
	}
	t.intent = in
	if f := fate(w.seed, 0xf05e, uint64(value), uint64(o.at)); !w.calm && f.chance(w.plan.luck.die) {
		t.fuse = int8(1 + f.n(3*w.plan.n))
	}
	t.name3 = o.key
	if t.span = w.spanOf(o, uint64(value)); t.span != nil {
		t.span.begin(w, i)
		if t = &w.tasks[i]; t.alive && t.burnt {
			w.abandon(i)
		}
		return
	}
	w.launch(i)
}

// launch makes the machine of a task under its node's view of the set, and starts it.
func (w *World) launch(i int32) {
	t := &w.tasks[i]
	n := &w.nodes[t.node]
	if w.plan.buckets && !w.bucketBegins(t) {
		w.endTask(i)
		return
	}
	target := w.target(n, int(t.key))
	switch t.kind {
	case callGet, callGetAt:
		w.writes++
		g := quorum.NewGetAt(&n.env, target, writeID(settles+w.writes), t.head || w.manual && !w.scripted, t.intent.At)
		if w.plan.skewed && t.head {
			g.Reset(&n.env, &target, writeID(settles+w.writes), t.intent.At, w.preferred(t, &target.Config))
		}
		t.m = g
	default:
		t.m = quorum.NewUpdate(&n.env, target, t.intent)
	}
	w.stepTask(i, &quorum.Event{Kind: quorum.EvBegin})
}

// stepTask gives a task an event and carries out what it wants.
func (w *World) stepTask(i int32, ev *quorum.Event) {
	t := &w.tasks[i]
	n := &w.nodes[t.node]
	eff := t.m.Step(w.clockOf(t), ev)
	for s := range eff.Sends {
		w.dispatch(i, &eff.Sends[s])
	}
	if t.burnt {
		w.abandon(i)
		return
	}
	if eff.Wake.IsZero() {
		t.wake = 0
	} else if at := w.now + max(1, eff.Wake.Sub(w.clockOf(t)).Microseconds()); at != t.wake {
		{
			t.wake = at
			w.q.push(event{at: at, kind: evTask, who: t.node, life: n.life, arg: i, gen: t.gen})
		}
	}
	if t.moves {
		w.moved(i)
		if !t.alive {
			return
		}
	}
	if eff.Done && !t.told {
		t.told = true
		if w.finished(i) {
			return
		}
	}
	if eff.Over {
		w.endTask(i)
	}
}

// abandon ends a task whose coordinator died. Its client learns nothing.
func (w *World) abandon(i int32) {
	t := &w.tasks[i]
	w.note("task %d dies", t.name)
	if t.client >= 0 && !t.told {
		w.returned(t.client, t.turn, outcome{unknown: true})
	}
	if t.copies {
		w.copied(t, false)
	}
	w.endTask(i)
}

// clockOf is the time that a task sees.
func (w *World) clockOf(t *task) time.Time {
	return time.UnixMicro(epoch + w.now + t.off + w.now/1000*w.nodes[t.node].drift/1000)
}

// dispatch sends one request to its members.
func (w *World) dispatch(i int32, s *quorum.Send) {
	t := &w.tasks[i]
	rec := w.record(int(t.set), s.Req.Epoch)
	gen := t.gen
	if s.ID == 0 {
		gen = 0 // nobody waits for an answer
	} else {
		t.asked = append(t.asked, asked{s.ID, s.To})
	}
	for m := range s.To.All() {
		if t.burnt {
			return
		}
		if t.fuse > 0 {
			t.fuse--
			t.burnt = t.fuse == 0
		}
		j := w.alloc()
		p := &w.packets[j]
		p.req, p.span = s.Req, nil
		p.task, p.gen, p.id, p.deadline = i, gen, s.ID, w.now+w.plan.pace.deadline
		t.sent++
		p.nth = t.sent
		p.from, p.life, p.label = t.node, w.nodes[t.node].life, t.label
		p.drive, p.member, p.key = rec.drives[m], int8(m), t.key
		if w.spoils != 0 && !w.makes(t, &w.drives[p.drive], &s.Req) {
			w.lost(j)
			continue
		}
		w.send(j)
	}
}

// answered hands a reply, or the loss of one, to its task.
func (w *World) answered(i int32, lost bool) {
	p := &w.packets[i]
	if !lost && w.drives[p.drive].open && p.spoke != w.drives[p.drive].life {
		lost = true // a drive that opens has every node drop what its earlier lives said (I15)
	}
	if !lost {
		n := &w.nodes[p.from]
		n.seen[p.drive] = max(n.seen[p.drive], p.batch)
	}
	t := &w.tasks[p.task]
	if p.span != nil {
		if t.gen == p.gen && t.expects(p.id, int(p.member)) {
			a := *p.span
			a.outstanding = !lost
			t.span.answer(w, p.task, &a)
			if t = &w.tasks[w.packets[i].task]; t.alive && t.burnt {
				w.abandon(w.packets[i].task)
			}
		}
		w.free(i)
		return
	}
	if t.gen == p.gen && t.expects(p.id, int(p.member)) {
		ev := quorum.Event{Kind: quorum.EvLost, From: int(p.member), ID: p.id}
		if !lost {
			ev.Kind, ev.Reply = quorum.EvReply, &p.rep
			if p.rep.Refused == quorum.RefusedEpoch {
				w.learn(p.from, int(t.set), p.rep.Config.Epoch)
			}
		}
		if t.gen == p.gen { // learning may have ended it
			w.stepTask(p.task, &ev)
		}
	}
	w.free(i)
}

// expects says whether the task waits for this answer, and strikes it out. A second answer, or one
// after the sender gave up, is not expected.
func (t *task) expects(id uint32, member int) bool {
	for k := len(t.asked) - 1; k >= 0; k-- {
		if a := &t.asked[k]; a.id == id && a.out.Has(member) {
			a.out &^= quorum.Slot(member)
			return true
		}
	}
	return false
}

// woken is a task's timer.
func (w *World) woken(e *event) {
	t := &w.tasks[e.arg]
	if t.gen == e.gen && t.wake != 0 && t.wake <= e.at {
		t.wake = 0
		w.stepTask(e.arg, &quorum.Event{Kind: quorum.EvTick})
	}
}

// finished tells the client what became of its operation. It reports whether the task is gone.
func (w *World) finished(i int32) (gone bool) {
	t := &w.tasks[i]
	r := t.m.Result()
	if t.copies {
		w.copied(t, r.Status == quorum.StatusOK)
	}
	if t.within {
		if p := &w.tasks[t.parent]; p.alive && p.gen == t.parentGen {
			p.span.resolved(w, t.parent, t.name3, r)
		}
		return false
	}
	if t.client < 0 {
		return false
	}
	stale := r.Status == quorum.StatusStale || r.Status == quorum.StatusAbsent && !w.current(t.key)
	if stale && t.tries < 3 {
		w.learnBucket(t.node, len(w.buckets)-1)
		t = &w.tasks[i]
		t.tries++
		t.told = false
		t.asked = t.asked[:0]
		t.gen++
		w.launch(i)
		return true
	}
	if r.Cut && !w.restarted {
		w.fail("I21", "key %d: a shard that client %d streamed is gone", t.key, t.client)
	}
	o := outcome{}
	switch r.Status {
	case quorum.StatusOK:
		switch t.kind {
		case callGet, callGetAt:
			o.value, o.tag = uint16(r.Version.Body), uint16(r.Version.Meta)
		case callVersions:
			o.list = shelfOf(r.Versions)
		}
		o.ref = r.Version.Ref
		if t.kind != callUpload && t.kind != callAbort {
			w.confirm(t, &r)
		}
	case quorum.StatusNoUpload:
		o.refused = true
	case quorum.StatusAbsent:
		o.refused = t.kind != callGet && t.kind != callGetAt
		o.failed = stale
	case quorum.StatusFailed:
		o.refused, o.held = true, t.kind == callPurge
	case quorum.StatusUnknown:
		o.unknown = true
	default:
		o.failed = true
	}
	w.returned(t.client, t.turn, o)
	return false
}
