package erasureset

import (
	"context"
	"sync"
	"time"

	"holdfast/actors/drive"
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
	call int // in its drive's batch
}

// batch are the requests of one step to one drive.
type batch struct {
	d     drive.Drive
	calls []drive.Call
	asked []asking
}

// together runs operations that never wait for a time.
func (s *Store) together(ctx context.Context, list []*joint) {
	step := map[cluster.DriveID]*batch{}
	for _, j := range list {
		s.gather(step, j, &quorum.Event{Kind: quorum.EvBegin})
	}
	for len(step) > 0 {
		var wg sync.WaitGroup
		for _, b := range step {
			wg.Go(func() { b.d.DoAll(ctx, b.calls) })
		}
		wg.Wait()
		next := map[cluster.DriveID]*batch{}
		for _, b := range step {
			for _, a := range b.asked {
				if a.id == 0 {
					continue
				}
				c := &b.calls[a.call]
				ev := quorum.Event{Kind: quorum.EvReply, From: a.slot, ID: a.id, Reply: &c.Reply.Reply}
				if c.Err != nil {
					ev.Kind, ev.Reply, ev.Reason = quorum.EvLost, nil, reasonOf(c.Err)
				}
				s.gather(next, a.of, &ev)
			}
		}
		step = next
	}
}

// gather steps one operation and adds what it asks to the next step's batches.
func (s *Store) gather(step map[cluster.DriveID]*batch, j *joint, ev *quorum.Event) {
	eff := j.m.Step(time.Now(), ev)
	for i := range eff.Sends {
		send := &eff.Sends[i]
		for slot := range send.To.All() {
			id := j.t.set.Members[slot]
			b := step[id]
			if b == nil {
				b = &batch{d: j.t.drives[slot]}
				step[id] = b
			}
			b.asked = append(b.asked, asking{j, slot, send.ID, len(b.calls)})
			b.calls = append(b.calls, drive.Call{
				Req:   &drive.Request{Request: send.Req, Synced: send.Req.Kind == quorum.ReqReport},
				Reply: &drive.Reply{},
			})
		}
	}
}
