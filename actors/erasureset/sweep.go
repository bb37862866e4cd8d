package erasureset

import (
	"context"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/placement"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

const (
	sweepPage  = 1024
	sweepPause = 20 * time.Millisecond // between pages: a sweep is in no hurry
	sweepCheck = 10 * time.Second      // between looks for a reason to sweep; the first is a start
)

// sweepLoop looks for tombstones, and what drives remember of attempts that are over, of which nobody
// knows: left by a coordinator that ended before it could collect them or knew too many, or missed by a
// drive that was away. It sweeps soon after the start, when a
// drive has come back, and every Options.SweepEvery.
func (s *Store) sweepLoop() {
	tick := time.NewTicker(sweepCheck)
	defer tick.Stop()
	var last time.Time
	online := map[cluster.DriveID]bool{}
	for {
		select {
		case <-tick.C:
		case <-s.closing.Done():
			return
		}
		now, back := map[cluster.DriveID]bool{}, false
		for _, d := range s.drives(s.opt.Topology()) {
			now[d.ID()] = true
			back = back || !online[d.ID()]
		}
		online = now
		if back || time.Since(last) >= s.opt.SweepEvery {
			last = time.Now()
			s.SweepTombstones(s.closing, sweepPause)
		}
	}
}

// SweepTombstones walks all buckets once, pausing between pages, and hands the tombstones, and the
// keys with something to forget, that it meets to collection. It returns how many it handed over.
func (s *Store) SweepTombstones(ctx context.Context, pause time.Duration) int {
	found := 0
	for _, bucket := range s.opt.Buckets() {
		plan, err := s.listPlan(nil)
		if err != nil {
			return found // it comes again
		}
		for ask := range plan.Asks {
			found += s.sweepDrive(ctx, plan, ask, bucket, pause)
		}
	}
	return found
}

// sweepDrive walks the sets that a drive answers for. Every tombstone is on some member of its set
// that the plan asks, so nothing is missed that W members took.
func (s *Store) sweepDrive(ctx context.Context, plan *listPlan, ask int, bucket cluster.Bucket, pause time.Duration) int {
	found, start := 0, ""
	sets := func(name string) cluster.SetID { return placement.SetOf(plan.topo, bucket.ID, name) }
	d, a := plan.drive(ask), &plan.Asks[ask]
	witness := make([]uint64, len(a.Full))
	for i := range witness {
		witness[i] = a.Full[i] | a.Witness[i]
	}
	for ctx.Err() == nil {
		req := &drive.ScanRequest{Bucket: bucket.ID, Start: start, Limit: sweepPage, Witness: witness, Sets: sets, Tombstones: true}
		reply, err := apart(ctx, s, d, func() (drive.ScanReply, error) { return d.Scan(ctx, req) })
		if err != nil {
			return found
		}
		for i := range reply.Entries {
			switch e := &reply.Entries[i]; {
			case e.Kind == 0: // promises and the like, of attempts that are over
				s.tombs.addOver(object.Key{Bucket: bucket.ID, Name: e.Name})
				found++
			case e.Kind == quorum.Tombstone && !e.Unstable:
				s.tombs.add(object.Key{Bucket: bucket.ID, Name: e.Name}, 0)
				found++
			}
		}
		if !reply.Truncated || len(reply.Entries) == 0 {
			return found
		}
		start = reply.Entries[len(reply.Entries)-1].Name + "\x00"
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return found
}
