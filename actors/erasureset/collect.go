package erasureset

import (
	"context"
	"sync"
	"time"

	"holdfast/actors/drive"
	"holdfast/raftfsm/cluster"
)

const (
	maxTombs     = 256 << 10 // tombstones that wait; those beyond are found again by the sweep
	tombsAtOnce  = 4096      // in one round of collection
	collectLimit = 30 * time.Second
)

// collector drops tombstones that every member of their set holds stable. It only knows those that
// this store saw accepted by all (or, after a restart, found by the sweep); others stay.
type collector struct {
	s    *Store
	mu   sync.Mutex
	todo []tomb // guarded by mu, in order of arrival
}

type tomb struct {
	drive.Tomb
	members []cluster.DriveID
}

func newCollector(s *Store) *collector { return &collector{s: s} }

func (c *collector) add(t *target, dt drive.Tomb) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.todo) < maxTombs {
		c.todo = append(c.todo, tomb{dt, t.set.Members})
	}
}

func (c *collector) loop() {
	tick := time.NewTicker(c.s.opt.CollectEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.s.closing.Done():
			return
		}
		ctx, cancel := context.WithTimeout(c.s.closing, collectLimit)
		for c.s.closing.Err() == nil && c.once(ctx) == tombsAtOnce {
		}
		cancel()
	}
}

// CollectTombstones runs collection until nothing more can be collected now, and returns how many
// tombstones it dropped.
func (s *Store) CollectTombstones(ctx context.Context) int {
	total := 0
	for {
		n := s.tombs.once(ctx)
		total += n
		if n == 0 {
			return total
		}
	}
}

// once collects one batch: first a barrier on every member, behind which the marks of the
// tombstones are durable and what they supersede is reclaimed (P3), then the tombstones themselves.
// Those with a member that did not pass the barrier wait for a later round.
func (c *collector) once(ctx context.Context) int {
	c.mu.Lock()
	n := min(len(c.todo), tombsAtOnce)
	batch := append([]tomb(nil), c.todo[:n]...)
	c.todo = append(c.todo[:0], c.todo[n:]...)
	c.mu.Unlock()
	if n == 0 {
		return 0
	}
	c.s.marks.flush()
	members := map[cluster.DriveID][]drive.Tomb{}
	for _, t := range batch {
		for _, m := range t.members {
			members[m] = nil
		}
	}
	passed := c.all(ctx, members)
	var later []tomb
	for _, t := range batch {
		ready := true
		for _, m := range t.members {
			ready = ready && passed[m]
		}
		if !ready {
			later = append(later, t)
			continue
		}
		for _, m := range t.members {
			members[m] = append(members[m], t.Tomb)
		}
	}
	for m, tombs := range members {
		if len(tombs) == 0 {
			delete(members, m)
		}
	}
	c.all(ctx, members)
	c.mu.Lock()
	c.todo = append(c.todo, later...)
	c.mu.Unlock()
	c.s.metrics.collected.Add(float64(n - len(later)))
	return n - len(later)
}

// all calls Collect on each drive and returns those that did it.
func (c *collector) all(ctx context.Context, work map[cluster.DriveID][]drive.Tomb) map[cluster.DriveID]bool {
	var mu sync.Mutex
	var wg sync.WaitGroup
	done := map[cluster.DriveID]bool{}
	for id, tombs := range work {
		wg.Go(func() {
			if err := c.s.opt.Drives(id).Collect(ctx, tombs); err != nil {
				return // it is tried again later
			}
			mu.Lock()
			done[id] = true
			mu.Unlock()
		})
	}
	wg.Wait()
	return done
}
