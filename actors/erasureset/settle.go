package erasureset

import (
	"context"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
)

// settleLoop looks every few seconds for versions that a dead coordinator, or a dead drive, left
// unfinished.
func (s *Store) settleLoop() {
	tick := time.NewTicker(s.opt.ResolveEvery)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(s.closing, time.Minute)
		s.ResolvePending(ctx)
		cancel()
		select {
		case <-tick.C:
		case <-s.closing.Done():
			return
		}
	}
}

// ResolvePending resolves what the drives report as unfinished for Options.ResolveAge, and returns
// how many keys it settled.
func (s *Store) ResolvePending(ctx context.Context) int {
	keys := map[object.Key]struct{}{}
	for _, d := range s.drives(s.opt.Topology()) {
		list, err := d.Pending(ctx, s.opt.ResolveAge, 1024)
		if err != nil {
			continue // it has no say now
		}
		for _, p := range list {
			keys[p.Key] = struct{}{}
		}
	}
	settled, stuck := 0, error(nil)
	for key := range keys {
		t, ok := s.targetOf(key)
		if !ok {
			continue // of a bucket that is gone
		}
		if _, err := s.settle(ctx, t); err != nil {
			stuck = err
			continue
		}
		settled++
	}
	if stuck != nil && ctx.Err() == nil {
		s.log.Warn("versions stay unfinished until more drives answer", "count", len(keys)-settled, "err", stuck)
	}
	return settled
}

// targetOf is the target of a key that a drive named, in its bucket as it is now.
func (s *Store) targetOf(key object.Key) (*target, bool) {
	if s.opt.Bucket == nil {
		return nil, false
	}
	b, ok := s.opt.Bucket(key.Bucket)
	if !ok {
		return nil, false
	}
	return s.target(&b, key.Name), true
}

// drives are the members of any set that are in service, each once.
func (s *Store) drives(topo *cluster.Topology) []drive.Drive {
	var out []drive.Drive
	for _, d := range topo.Drives {
		if dr := s.opt.Drives(d.ID); dr.Health().State == drive.Online {
			out = append(out, dr)
		}
	}
	return out
}
