package sim

import (
	"slices"

	"holdfast/actors/quorum"
)

// packet is a request from a task on a node to a drive, and then its answer. Packets are used again
// and again; a duplicate is a packet of its own, so what it keeps is its own, too.
type packet struct {
	req      quorum.Request
	rep      quorum.Reply
	versions []quorum.Version // home of rep's slices
	seats    []quorum.Seat
	dead     []quorum.DeadMark
	hints    []quorum.Hint

	span     *ask // the message and its answer, if it is a span's
	task     int32
	gen      uint32 // of the task: an answer to an earlier one is dropped
	id       uint32 // of the request, as the machine numbers them
	nth      uint32 // of the task's messages
	deadline int64  // then the sender takes it for lost
	batch    uint64 // of the drive, durable when it answered
	from     int16  // node
	drive    int16
	member   int8
	key      int8
	life     uint16 // of the node that sent it: its answers die with it
	spoke    uint16 // life of the drive that answered
	label    int16  // of a Schedule's operation
}

// keep copies a reply, whose slices alias the drive's state.
func (p *packet) keep(r *quorum.Reply) {
	p.rep = *r
	p.versions = append(p.versions[:0], r.Versions...)
	p.seats = p.seats[:0]
	for i := range r.Versions {
		p.seats = append(p.seats, r.Versions[i].Seats...)
	}
	for i, at := 0, 0; i < len(p.versions); i++ {
		n := len(p.versions[i].Seats)
		p.versions[i].Seats = p.seats[at : at+n : at+n]
		at += n
	}
	p.dead = append(p.dead[:0], r.Dead...)
	p.rep.Uploads = slices.Clone(r.Uploads)
	p.hints = append(p.hints[:0], r.Hints...)
	p.rep.Versions, p.rep.Dead, p.rep.Hints = p.versions, p.dead, p.hints
}

// twin copies a packet into another place.
func (w *World) twin(i int32) int32 {
	j := w.alloc()
	a, b := &w.packets[i], &w.packets[j]
	versions, seats, dead, hints := b.versions, b.seats, b.dead, b.hints
	*b = *a
	b.versions, b.seats, b.dead, b.hints = versions, seats, dead, hints
	b.keep(&a.rep)
	return j
}

// luckOf is the luck of a packet's way there (0) or back (1).
func (w *World) luckOf(p *packet, way uint64) rng {
	return fate(w.seed, uint64(w.tasks[p.task].name)<<32|uint64(p.nth)<<8|way, uint64(p.req.Kind)<<16|uint64(p.member), uint64(p.drive))
}

// send puts a packet on its way. A drive on the sender's own node is reached without the network, and
// what is on its way there dies with the node.
func (w *World) send(i int32) {
	p := &w.packets[i]
	f := w.luckOf(p, 0)
	w.transmit(&f, evDeliver, i, p.from, w.drives[p.drive].node)
}

// reply sends the answer back.
func (w *World) reply(i int32) {
	p := &w.packets[i]
	d := &w.drives[p.drive]
	p.batch, p.spoke = d.told, d.life
	w.witness(p)
	if p.gen == 0 {
		w.free(i)
		return
	}
	f := w.luckOf(p, 1)
	w.transmit(&f, evAnswer, i, d.node, p.from)
}

// transmit decides what the network does with a message: lose it, deliver it late, deliver it twice.
func (w *World) transmit(f *rng, kind eventKind, i int32, from, to int16) {
	p := &w.packets[i]
	e := event{kind: kind, who: to, arg: i}
	if kind == evAnswer {
		e.life = p.life
	}
	if w.scripted {
		w.enqueue(e)
		return
	}
	if from == to {
		if kind == evDeliver {
			e.life = w.nodes[to].life
		}
		e.at = w.now + 10*us + int64(f.n(40))
		w.enqueue(e)
		return
	}
	l := w.plan.luck
	if w.calm {
		l = luck{}
	}
	if w.cut[from]>>to&1 != 0 || f.chance(l.loss) {
		w.lost(i)
		return
	}
	delay := 100*us + int64(f.n(int(2*ms)))
	if f.chance(l.slow) {
		delay += int64(f.n(int(l.slowMax)))
	}
	if f.chance(l.dup) {
		j := w.twin(i)
		again := e
		again.arg, again.at = j, w.now+delay+int64(f.n(int(20*ms)))
		w.enqueue(again)
	}
	e.at = w.now + delay
	if len(w.skews) > 0 {
		if e.at = w.skewed(p, kind, e.at); e.at == never {
			w.lost(i)
			return
		}
	}
	if e.at > w.packets[i].deadline {
		w.lost(w.twin(i))
	}
	w.enqueue(e)
}

// enqueue books a delivery.
func (w *World) enqueue(e event) {
	if w.manual {
		w.bag = append(w.bag, e)
		return
	}
	w.q.push(e)
}

// lost makes the packet the notice to its sender that it is.
func (w *World) lost(i int32) {
	p := &w.packets[i]
	e := event{at: max(w.now, p.deadline), kind: evLost, who: p.from, life: p.life, arg: i}
	if w.scripted {
		w.bag = append(w.bag, e)
		return
	}
	w.q.push(e)
}

func (w *World) alloc() int32 {
	if n := len(w.spare); n > 0 {
		i := w.spare[n-1]
		w.spare = w.spare[:n-1]
		return i
	}
	if n := len(w.packets); n < cap(w.packets) {
		w.packets = w.packets[:n+1] // with the memory it had in an earlier run
		return int32(n)
	}
	w.packets = append(w.packets, packet{})
	return int32(len(w.packets) - 1)
}

func (w *World) free(i int32) { w.spare = append(w.spare, i) }
