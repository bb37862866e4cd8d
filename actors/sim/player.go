package sim

import (
	"slices"
	"strings"

	"holdfast/actors/quorum"
)

// scriptOp is how a schedule names an operation of a client.
type scriptOp struct {
	text string
	kind callKind
}

// scriptOps lists them; a name that another begins with comes later.
func scriptOps() []scriptOp {
	return []scriptOp{
		{"GET", callGet}, {"HEAD", callGet}, {"PUT if absent", callPutIfAbsent}, {"PUT if match", callPutIfMatch}, {"PUT null", callPutNull},
		{"PUT", callPut}, {"DELETE if match", callDeleteIfMatch}, {"DELETE", callDelete}, {"TAG", callTag},
		{"UPLOAD", callUpload}, {"COMPLETE", callComplete}, {"ABORT", callAbort}, {"PURGE", callPurge}, {"VERSIONS", callVersions},
		{"CREATE", callCreate}, {"DROP", callDrop}, {"FREEZE", callFreeze}, {"LIST", callList}, {"PAGES", callPages},
	}
}

// begin starts an operation: COORDINATOR KIND [of what] [staged] [key b].
func (p *player) begin(name string, f []string) {
	w := p.w
	if len(f) < 2 || p.ops[name] != nil {
		p.bad("an operation wants a coordinator, a kind and a new name")
	}
	at := p.node(f[0])
	rest := strings.Join(f[1:], " ")
	o := &scripted{label: int16(len(p.names)), client: -1}
	p.names = append(p.names, name)
	p.ops[name] = o
	if before, key, ok := strings.Cut(rest, " key "); ok {
		rest, o.key = before, key[0]-'a'
	}
	rest, staged := strings.CutSuffix(rest, " staged")
	w.now += ms
	w.step++
	w.label = o.label
	for i := range w.plan.nodes {
		if w.nodes[i].up {
			w.resume(&w.nodes[i])
		}
	}
	for _, s := range scriptOps() {
		what, ok := strings.CutPrefix(rest, s.text)
		if !ok {
			continue
		}
		p.value++
		o.value = p.value
		p.head = s.text == "HEAD"
		p.call(o, at, s.kind, staged, strings.TrimSpace(what))
		return
	}
	p.background(o, at, strings.Fields(rest))
}

// call begins what a client wants.
func (p *player) call(o *scripted, at int16, kind callKind, staged bool, what string) {
	w := p.w
	o.client = int16(o.label)
	k := call{kind: kind, name: o.key, invoke: w.step, ret: never, client: o.client, deadline: never}
	var of *call
	lists := kind == callList || kind == callPages
	if what != "" && !lists {
		t := p.op(what)
		of = &w.calls[t.key][t.call]
	} else if kind == callPurge || kind == callComplete || kind == callAbort || kind == callPutIfMatch || kind == callDeleteIfMatch {
		p.bad("of what?")
	}
	switch kind {
	case callPut, callPutIfAbsent, callPutNull, callPutIfMatch:
		k.value = o.value
	case callDelete, callDeleteIfMatch:
		if w.plan.versioned {
			k.value = o.value
		}
	case callTag:
		k.tag = o.value
	case callUpload:
		k.value, k.upload = o.value, w.uploads[o.key]
		w.uploads[o.key]++
	}
	if of != nil {
		k.want, k.upload, k.ref, k.completes = of.value, of.upload, of.ref, kind == callComplete
		if k.completes {
			k.tag = o.value // each of its own parts
		}
	}
	plan := opPlan{kind: kind, client: o.client, key: o.key, inline: !staged, head: p.head, one: lists && what == "one"}
	if w.plan.buckets {
		o.key = 0 // there is one history
	}
	c := &w.clients[o.client]
	o.call = int32(len(w.calls[o.key]))
	w.calls[o.key] = append(w.calls[o.key], k)
	c.busy, c.key, c.call = true, o.key, o.call
	c.turn++
	w.note("client %d at node %d: %s key %d value %d want %d", o.client, at, kind, plan.key, o.value, k.want)
	w.begin(o.client, at, &plan, &w.calls[o.key][o.call], o.value)
}

// background begins what no client asked for: SETTLE, HEAL 3, COLLECT or MOVE.
func (p *player) background(o *scripted, at int16, f []string) {
	w := p.w
	n := &w.nodes[at]
	target := w.target(n, int(o.key))
	w.writes++
	id := writeID(settles + w.writes)
	var m machine
	switch f[0] {
	case "SETTLE":
		m = quorum.NewUpdate(&n.env, target, quorum.Intent{Kind: quorum.Settle, Write: id})
	case "HEAL":
		member := -1
		rec := w.record(int(w.setOf[o.key]), target.Config.Epoch)
		for i := range target.Config.Members().All() {
			if rec.drives[i] == p.node(f[1]) {
				member = i
			}
		}
		if member < 0 {
			p.bad("drive %s is no member", f[1])
		}
		m = quorum.NewHeal(&n.env, target, id, member)
	case "COLLECT":
		m = quorum.NewCollect(&n.env, target)
	case "MOVE":
		w.startMover(at, 0)
		return
	default:
		p.bad("%q is no operation", f[0])
	}
	i := w.newTask(at, int(o.key), settles+w.writes)
	w.tasks[i].m = m
	w.stepTask(i, &quorum.Event{Kind: quorum.EvBegin})
}

// find returns the place in the bag of the first message of an operation that is for or from one of
// the drives: requests (on their way there), answers and notices of loss (on their way back), or both.
func (p *player) find(label int16, kind string, mask uint32, there, back bool) int {
	return slices.IndexFunc(p.w.bag, func(e event) bool {
		m := &p.w.packets[e.arg]
		return m.label == label && (kind == "*" || m.kind() == kind) && mask>>m.drive&1 != 0 &&
			(e.kind == evDeliver && there || e.kind != evDeliver && back)
	})
}

// take takes a message out of the bag.
func (p *player) take(i int) event {
	e := p.w.bag[i]
	p.w.bag = slices.Delete(p.w.bag, i, i+1)
	return e
}

// deliver lets a message of the bag arrive.
func (p *player) deliver(i int) {
	e := p.take(i)
	p.w.step++
	p.w.label = p.w.packets[e.arg].label
	p.w.onNode(&e)
}

// messages does something to all messages of one kind to some drives. It reports whether there were any.
func (p *player) messages(verb, name, kind string, mask uint32) (some bool) {
	w := p.w
	label := p.op(name).label
	kind = strings.ReplaceAll(kind, "-", " ")
	for d := range w.plan.drives {
		one := mask & (1 << d)
		if one == 0 {
			continue
		}
		if verb == "send" || verb == "do" || verb == "twice" {
			if i := p.find(label, kind, one, true, false); i >= 0 {
				some = true
				if verb == "twice" {
					e := w.bag[i]
					e.arg = w.twin(e.arg)
					w.packets[e.arg].gen = 0 // its answer is of no use
					w.bag = append(w.bag, e)
				} else {
					p.deliver(i)
				}
			}
		}
		if verb == "back" || verb == "do" {
			for i := p.find(label, kind, one, false, true); i >= 0 && w.broken == nil; i = p.find(label, kind, one, false, true) {
				some = true
				p.deliver(i)
			}
		}
		if verb == "give" || verb == "lose" {
			for i := p.find(label, kind, one, true, true); i >= 0; i = p.find(label, kind, one, true, true) {
				some = true
				p.giveUp(i, verb == "lose")
				if verb == "give" {
					break
				}
			}
		}
	}
	return some
}

// giveUp tells a message's sender that it is lost. Unless it is, it stays under way.
func (p *player) giveUp(i int, lost bool) {
	w := p.w
	e := w.bag[i]
	j := e.arg
	if lost {
		p.take(i)
	} else {
		j = w.twin(e.arg)
	}
	w.step++
	w.label = w.packets[j].label
	from := w.packets[j].from
	if n := &w.nodes[from]; n.up && n.life == w.packets[j].life {
		w.answered(j, true)
	}
}

// run lets an operation go on until nothing is left to do. Messages to the drives of held stay under way;
// they are given up when there is nothing else to wait for.
func (p *player) run(o *scripted, held uint32) {
	w := p.w
	for range 20_000 {
		if w.broken != nil {
			return
		}
		if i := p.find(o.label, "*", ^held, true, true); i >= 0 {
			p.deliver(i)
			continue
		}
		if p.wake(o.label, false) || p.expire(o.label) {
			continue
		}
		return
	}
	p.bad("it does not end")
}

// expire gives up one message that an operation still waits for.
func (p *player) expire(label int16) bool {
	w := p.w
	for i := range w.bag {
		m := &w.packets[w.bag[i].arg]
		t := &w.tasks[m.task]
		if m.label != label || !t.alive || t.gen != m.gen || m.gen == 0 {
			continue
		}
		for _, a := range t.asked {
			if a.id == m.id && a.out.Has(int(m.member)) {
				p.giveUp(i, false)
				return true
			}
		}
	}
	return false
}

// wake lets the earliest timer of an operation go off; a mover's only if all are meant, as it has one always.
func (p *player) wake(label int16, all bool) bool {
	w := p.w
	first := -1
	for i := range w.tasks {
		if t := &w.tasks[i]; t.alive && t.label == label && t.wake != 0 && (all || !t.moves) && (first < 0 || t.wake < w.tasks[first].wake) {
			first = i
		}
	}
	if first < 0 {
		return false
	}
	t := &w.tasks[first]
	w.now = max(w.now, t.wake)
	w.step++
	w.label = label
	w.woken(&event{at: w.now, arg: int32(first), gen: t.gen})
	return true
}
