package node

import (
	"runtime/debug"
	"testing"
)

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

// The heap has what the slabs leave, never less than its share of the plan, and a plan that was undone
// leaves the runtime alone.
func TestHeapHasWhatSlabsLeave(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	p := planMemory(256<<20, 4)
	h, undo := p.apply(4)
	reads, writes := h.pool(0), h.pool(1)
	for _, c := range []struct {
		name          string
		reads, writes int64
		want          int64
	}{
		{"no slabs", 0, 0, p.Total / 8 * 7 / 8 * 7},
		{"some", 20 << 20, 30 << 20, (p.Total - 50<<20) / 8 * 7},
		{"all", p.Slabs / 2, p.Slabs - p.Slabs/2, (p.Total - p.Slabs) / 8 * 7},
		{"more than planned, lent to drives that hang", p.Slabs, p.Slabs, (p.Total - p.Slabs) / 8 * 7},
		{"none again", 0, 0, p.Total / 8 * 7 / 8 * 7},
	} {
		reads(c.reads)
		writes(c.writes)
		if got := debug.SetMemoryLimit(-1); got != c.want {
			t.Errorf("%s: limit %d, want %d", c.name, got, c.want)
		}
	}
	undo()
	reads(1 << 20)
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("limit %d after the end, %d before the start", got, before)
	}
}
