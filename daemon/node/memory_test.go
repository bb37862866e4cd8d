package node

import "testing"

// The parts of the plan fit the budget, and the block cache keeps its share while every drive has
// the memtables of a busy one: the index takes their size off the cache's.
func TestMemoryPlanAddsUp(t *testing.T) {
	for _, drives := range []int{1, 4, 16} {
		for _, budget := range []int64{0, 256 << 20, 4 << 30} {
			p := planMemory(budget, drives)
			tables := liveMemTables * p.MemTable * int64(drives)
			if left := p.cacheSize(drives) - tables; left < p.Total/8 {
				t.Errorf("%d drives, budget %d: %d bytes of cache beside memtables, want %d", drives, budget, left, p.Total/8)
			}
			if sum := p.Cache + tables + p.Slabs; sum > p.Total {
				t.Errorf("%d drives, budget %d: parts have %d bytes of %d", drives, budget, sum, p.Total)
			}
		}
	}
}
