package erasureset

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// distrustFor is how long a drive is not asked again for sets of which it said that it does not vouch:
// otherwise every page would ask in vain first.
const distrustFor = time.Second

// listPlan says which drives answer a list for which sets. Drives go by their index in the topology.
type listPlan struct {
	*quorum.ListDeal
	topo   *cluster.Topology
	drives []drive.Drive // by index in topo.Drives
	online []bool        // likewise, as the plan was made for
	bars   []quorum.ListBar
}

// drive is the one that an ask is for.
func (p *listPlan) drive(ask int) drive.Drive { return p.drives[p.Asks[ask].Drive] }

// planCache keeps the last plan of each rotation. Rotating the drive that the cover begins with
// spreads lists over all drives.
type planCache struct {
	mu    sync.Mutex
	plans []*listPlan       // guarded by mu: by rotation
	turn  int               // guarded by mu
	bars  []quorum.ListBar  // guarded by mu: what drives said that they do not vouch for
	until time.Time         // guarded by mu: bars hold so long
	of    *cluster.Topology // guarded by mu: bars count its drives
}

// distrust notes that a drive does not vouch for sets.
func (c *planCache) distrust(topo *cluster.Topology, d int, sets []cluster.SetID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.After(c.until) || c.of != topo {
		c.bars, c.until, c.of = nil, now.Add(distrustFor), topo
	}
	for _, set := range sets {
		if bar := (quorum.ListBar{Drive: d, Set: set}); !slices.Contains(c.bars, bar) {
			c.bars = append(c.bars, bar)
		}
	}
}

// listPlan returns a plan that asks nothing which bars forbid.
func (s *Store) listPlan(bars []quorum.ListBar) (*listPlan, error) {
	topo := s.opt.Topology()
	online := make([]bool, len(topo.Drives))
	for i, d := range topo.Drives {
		online[i] = s.opt.Drives(d.ID).Health().State == drive.Online
	}
	c := &s.plans
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.plans) != len(topo.Drives) {
		c.plans = make([]*listPlan, len(topo.Drives))
	}
	c.turn = (c.turn + 1) % len(topo.Drives)
	known := bars
	if len(c.bars) > 0 && c.of == topo && time.Now().Before(c.until) {
		known = slices.Concat(c.bars, bars)
	}
	if p := c.plans[c.turn]; p != nil && p.topo == topo && slices.Equal(p.online, online) && slices.Equal(p.bars, known) {
		return p, nil
	}
	p, err := s.makePlan(topo, online, c.turn, known)
	if err != nil && len(known) > len(bars) { // what was true a moment ago need not be
		p, err = s.makePlan(topo, online, c.turn, bars)
	}
	if err == nil {
		c.plans[c.turn] = p
	}
	return p, err
}

func (s *Store) makePlan(topo *cluster.Topology, online []bool, first int, bars []quorum.ListBar) (*listPlan, error) {
	p := &listPlan{topo: topo, online: online, bars: slices.Clone(bars), drives: make([]drive.Drive, len(topo.Drives))}
	index := map[cluster.DriveID]int{}
	for i, d := range topo.Drives {
		p.drives[i] = s.opt.Drives(d.ID)
		if index[d.ID] = i; !online[i] {
			index[d.ID] = -1
		}
	}
	sets := make([]quorum.ListSet, len(topo.Sets))
	for id := range sets {
		set, list := &topo.Sets[id], &sets[id]
		list.Config = drive.ConfigOf(cluster.SetID(id), set)
		for m, d := range set.Members {
			i, ok := index[d]
			if list.Drives[m] = i; !ok {
				list.Drives[m] = -1
			}
		}
	}
	deal, lacking, have := quorum.DealList(sets, len(topo.Drives), first, bars, 0)
	if deal == nil {
		c := &sets[lacking].Config
		return nil, fmt.Errorf("set %d: %d of %d drives answer, %d are needed: %w", lacking, have, c.N, c.K, object.ErrReadQuorum)
	}
	p.ListDeal = deal
	return p, nil
}
