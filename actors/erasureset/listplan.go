package erasureset

import (
	"fmt"
	"slices"
	"sync"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// listPlan says which drives answer a list for which sets: every set by k in-sync slots, by as few
// drives as a greedy cover finds, one of the k sending whole rows.
type listPlan struct {
	topo   *cluster.Topology
	online []bool // by index in topo.Drives, as the plan was made for
	drives []planned
	sets   [][]int // set -> indexes in drives
}

type planned struct {
	d             drive.Drive
	id            cluster.DriveID
	full, witness []uint64 // bitmaps of sets
}

// planCache keeps the last plan of each rotation. Rotating the drive that the cover begins with
// spreads lists over all drives.
type planCache struct {
	mu    sync.Mutex
	plans []*listPlan // guarded by mu: by rotation
	turn  int         // guarded by mu
}

// listPlan returns a plan without the excluded drives.
func (s *Store) listPlan(exclude map[cluster.DriveID]bool) (*listPlan, error) {
	topo := s.opt.Topology()
	online := make([]bool, len(topo.Drives))
	for i, d := range topo.Drives {
		online[i] = !exclude[d.ID] && s.opt.Drives(d.ID).Health().State == drive.Online
	}
	c := &s.plans
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.plans) != len(topo.Drives) {
		c.plans = make([]*listPlan, len(topo.Drives))
	}
	c.turn = (c.turn + 1) % len(topo.Drives)
	if p := c.plans[c.turn]; p != nil && p.topo == topo && slices.Equal(p.online, online) {
		return p, nil
	}
	p, err := s.makePlan(topo, online, c.turn)
	if err != nil {
		return nil, err
	}
	c.plans[c.turn] = p
	return p, nil
}

func (s *Store) makePlan(topo *cluster.Topology, online []bool, first int) (*listPlan, error) {
	count := len(topo.Sets)
	p := &listPlan{topo: topo, online: online, sets: make([][]int, count)}
	index := map[cluster.DriveID]int{}
	for i, d := range topo.Drives {
		index[d.ID] = i
	}
	member := make([][]int, len(topo.Drives)) // drive -> sets
	need := make([]int, count)                // answers still wanted
	open := 0
	for id, set := range topo.Sets {
		need[id] = set.K()
		have := 0
		for _, d := range set.Members {
			if i, ok := index[d]; ok && online[i] {
				member[i] = append(member[i], id)
				have++
			}
		}
		if have < set.K() {
			return nil, fmt.Errorf("set %d: %d of %d drives answer, %d are needed: %w", id, have, set.N(), set.K(), object.ErrReadQuorum)
		}
		open += set.K()
	}
	used := make([]bool, len(topo.Drives))
	for open > 0 {
		best, gain := -1, 0
		for j := range topo.Drives {
			i, g := (first+j)%len(topo.Drives), 0
			if used[i] {
				continue
			}
			for _, id := range member[i] {
				if need[id] > 0 {
					g++
				}
			}
			if g > gain {
				best, gain = i, g
			}
		}
		used[best] = true
		pd := planned{d: s.opt.Drives(topo.Drives[best].ID), id: topo.Drives[best].ID, full: make([]uint64, (count+63)/64), witness: make([]uint64, (count+63)/64)}
		for _, id := range member[best] {
			if need[id] > 0 {
				need[id]--
				open--
				p.sets[id] = append(p.sets[id], len(p.drives))
			}
		}
		p.drives = append(p.drives, pd)
	}
	for id, list := range p.sets {
		for j, i := range list {
			if j == id%len(list) {
				p.drives[i].full[id/64] |= 1 << (id % 64)
			} else {
				p.drives[i].witness[id/64] |= 1 << (id % 64)
			}
		}
	}
	return p, nil
}

// judge merges what the drives of a plan say of one key or version; at[i] is drive i's entry or nil.
// live says which kinds belong into the list.
func (p *listPlan) judge(set cluster.SetID, at []*drive.Entry, live func(ondisk.VersionKind) bool) (quorum.ListVerdict, *drive.Entry) {
	var ws [maxSlots]quorum.Witness
	var full *drive.Entry
	list := p.sets[set]
	for j, i := range list {
		if e := at[i]; e != nil {
			ws[j] = quorum.Witness{Present: true, Ref: e.Ref, Rev: e.Rev, Live: live(e.Kind), Unstable: e.Unstable}
			if e.Row != nil {
				full = e
			}
		}
	}
	return quorum.JudgeListed(ws[:len(list)]), full
}
