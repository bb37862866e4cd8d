package erasureset

import (
	"context"
	"sync"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// joint is one of many operations that go step by step together, so that each drive gets one batch of
// requests per step.
type joint struct {
	t *target
	m machine
}

// asking is one request of such a step.
type asking struct {
	of   *joint
	slot int
	id   uint32
	call *stepCall
}

// step are the requests of one step, by drive.
type step struct {
	mem    *stepMem
	time   time.Time // of all that is gathered
	drives map[cluster.DriveID]*stepBatch
}

// stepBatch are those to one drive.
type stepBatch struct {
	d      drive.Drive
	calls  []drive.Call
	asked  []asking
	floors map[quorum.Fence]*stepCall // what raises the floor of a set
}

// stepCall is one of them.
type stepCall struct {
	at    int // in its drive's batch, -1 if it is free
	req   drive.Request
	reply drive.Reply
}

// stepMem keeps memory from one step to another.
type stepMem struct {
	calls   []*stepCall
	batches []*stepBatch
}

func (p *stepMem) call() *stepCall {
	n := len(p.calls)
	if n == 0 {
		return &stepCall{}
	}
	c := p.calls[n-1]
	p.calls = p.calls[:n-1]
	return c
}

func (p *stepMem) batch(d drive.Drive) *stepBatch {
	n := len(p.batches)
	if n == 0 {
		return &stepBatch{d: d}
	}
	b := p.batches[n-1]
	p.batches = p.batches[:n-1]
	b.d = d
	return b
}

func (p *stepMem) put(b *stepBatch) {
	lost := false
	for i := range b.asked {
		c := b.asked[i].call
		if c.at < 0 {
			continue // one that raises a floor for several
		}
		if b.calls[c.at].Err != nil { // a drive that did not answer may yet use it
			lost = true
			continue
		}
		c.at, c.req.Key = -1, object.Key{} // lets go of the name
		p.calls = append(p.calls, c)
	}
	if !lost {
		clear(b.calls)
		clear(b.asked)
		clear(b.floors)
		b.d, b.calls, b.asked = nil, b.calls[:0], b.asked[:0]
		p.batches = append(p.batches, b)
	}
}

func newStep(mem *stepMem) *step {
	return &step{mem: mem, time: time.Now(), drives: map[cluster.DriveID]*stepBatch{}}
}

// together runs operations that never wait for a time.
func together(ctx context.Context, list []*joint, mem *stepMem) {
	now, ev := newStep(mem), quorum.Event{Kind: quorum.EvBegin}
	for _, j := range list {
		now.gather(j, &ev)
	}
	for len(now.drives) > 0 {
		now.run(ctx)
		next := newStep(mem)
		for _, b := range now.drives {
			for i := range b.asked {
				a := &b.asked[i]
				if a.id == 0 {
					continue
				}
				ev := quorum.Event{Kind: quorum.EvReply, From: a.slot, ID: a.id, Reply: &a.call.reply.Reply}
				if err := b.calls[a.call.at].Err; err != nil {
					ev.Kind, ev.Reply, ev.Reason = quorum.EvLost, nil, reasonOf(err)
				}
				next.gather(a.of, &ev)
			}
		}
		now.end()
		now = next
	}
}

// run has every drive carry out its requests.
func (st *step) run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, b := range st.drives {
		wg.Go(func() { b.d.DoAll(ctx, b.calls) })
	}
	wg.Wait()
}

// end gives the memory back.
func (st *step) end() {
	for _, b := range st.drives {
		st.mem.put(b)
	}
}

// gather steps one operation and adds what it asks.
func (st *step) gather(j *joint, ev *quorum.Event) {
	eff := j.m.Step(st.time, ev)
	for i := range eff.Sends {
		st.add(j, &eff.Sends[i])
	}
}

// add adds what an operation asks of some members.
func (st *step) add(j *joint, send *quorum.Send) {
	for slot := range send.To.All() {
		id := j.t.set.Members[slot]
		b := st.drives[id]
		if b == nil {
			b = st.mem.batch(j.t.drives[slot])
			st.drives[id] = b
		}
		b.asked = append(b.asked, asking{j, slot, send.ID, b.call(st.mem, send)})
	}
}

// call adds a request. Floors of one set are raised once, to the highest.
func (b *stepBatch) call(mem *stepMem, send *quorum.Send) *stepCall {
	floor := send.Req.Kind == quorum.ReqFloor
	set := quorum.Fence{Set: send.Req.Set, Epoch: send.Req.Epoch}
	if c := b.floors[set]; floor && c != nil {
		c.req.Floor = max(c.req.Floor, send.Req.Floor)
		return c
	}
	c := mem.call()
	c.at = len(b.calls)
	c.req.Request = send.Req
	c.req.Synced = send.Req.Kind == quorum.ReqReport // a collection's, which needs no uploads
	c.req.NoUploads = c.req.Synced
	if floor {
		c.req.Key = object.Key{} // it is of the whole set
		if b.floors == nil {
			b.floors = map[quorum.Fence]*stepCall{}
		}
		b.floors[set] = c
	}
	b.calls = append(b.calls, drive.Call{Req: &c.req, Reply: &c.reply})
	return c
}
