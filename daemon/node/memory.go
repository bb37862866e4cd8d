package node

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
)

// memoryPlan divides one budget at start. The parts are bounds, not reservations: only what is used
// is resident. What is left over is for connections, the raft store and the garbage collector.
type memoryPlan struct {
	Total    int64
	Cache    int64 // blocks in the one cache shared by all drives
	MemTable int64 // one memtable of one drive; a drive has at most a few at a time
	Slabs    int64 // frames of bodies in flight, both ways
}

// Bounds of the division.
const (
	memoryBase     = 128 << 20
	memoryPerDrive = 32 << 20
	memTableMin    = 1 << 20
	memTableMax    = 32 << 20
	slabsMin       = 16 << 20
	// Below leastBase and leastPerDrive the bounds do not fit the budget any more: with 16 drives and
	// 256 MiB the process peaked at 333 (scripts/memory).
	leastBase     = 128 << 20
	leastPerDrive = 16 << 20
	// liveMemTables are those of a drive under load: one takes writes, one is flushed, and one that was
	// flushed is kept by the index for the next. Without the third the heap of a store that was written
	// to lay at the memory limit, and the block cache held nothing.
	liveMemTables = 3
	// gcPercent lets the heap, which is small beside the budget, grow between two collections. At the
	// runtime's 100 a fifth of the processor time of a small GET was collection; the memory limit
	// still bounds it.
	gcPercent = 300
)

// planMemory divides budget (0 = the default) among drives.
func planMemory(budget int64, drives int) memoryPlan {
	if budget == 0 {
		budget = memoryBase + memoryPerDrive*int64(drives)
		if ram := physicalMemory(); ram > 0 {
			budget = min(budget, ram/4)
		}
	}
	p := memoryPlan{Total: budget}
	p.Cache = budget / 8
	// The memtables of all drives fill a quarter of the budget.
	p.MemTable = min(max(budget/4/liveMemTables/int64(drives), memTableMin), memTableMax)
	p.Slabs = max(budget/3, slabsMin)
	return p
}

// leastMemory is the smallest budget that so many drives keep under load.
func leastMemory(drives int) int64 { return leastBase + leastPerDrive*int64(drives) }

// cacheSize is what the block cache must be told: the index counts its memtables against it, and a
// cache of no more than their size holds no blocks at all while the drives are written to.
func (p memoryPlan) cacheSize(drives int) int64 {
	return p.Cache + liveMemTables*p.MemTable*int64(drives)
}

// apply tells the runtime. A blocking fdatasync holds its P until the system monitor takes it away,
// so with the default GOMAXPROCS a few syncing drives starve a small machine and group commit
// degenerates to one operation per sync; one P more per drive cures it.
func (p memoryPlan) apply(drives int) (h *heapLimit, undo func()) {
	h = &heapLimit{total: p.Total, least: p.Total - p.Slabs}
	limit := debug.SetMemoryLimit(h.limit())
	percent := 0
	if os.Getenv("GOGC") == "" {
		percent = debug.SetGCPercent(gcPercent)
	}
	procs := runtime.GOMAXPROCS(0)
	if os.Getenv("GOMAXPROCS") == "" {
		cores := runtime.NumCPU()
		runtime.GOMAXPROCS(max(cores+drives, cores+4))
	}
	return h, func() {
		h.end()
		debug.SetMemoryLimit(limit)
		if percent != 0 {
			debug.SetGCPercent(percent)
		}
		runtime.GOMAXPROCS(procs)
	}
}

// heapLimit lets the Go heap have what the slabs leave of the budget. While no long bodies are on their way
// that is all of it: a heap full of memtables that was kept below its share of the worst case was
// collected up to fifty times a second, which took a third of the processor time of a DELETE.
type heapLimit struct {
	total, least int64

	mu    sync.Mutex
	slabs map[int]int64 // guarded by mu: bytes mapped, by pool
	ended bool          // guarded by mu
}

// pool returns what a pool of slabs tells about the memory it takes.
func (h *heapLimit) pool(i int) (mapped func(bytes int64)) {
	return func(bytes int64) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.slabs == nil {
			h.slabs = map[int]int64{}
		}
		h.slabs[i] = bytes
		if !h.ended {
			debug.SetMemoryLimit(h.limit())
		}
	}
}

// limit is the share of the heap. Slabs lie outside of it, and so does an eighth that the runtime does not
// count or gives back late: stacks of threads, pages freed but not returned. Slabs that are wanted at once
// find an eighth of the budget free until the heap has shrunk. The caller holds mu.
func (h *heapLimit) limit() int64 {
	slabs := int64(0)
	for _, n := range h.slabs {
		slabs += n
	}
	return max(h.total-max(slabs, h.total/8), h.least) / 8 * 7
}

// end makes the pools' later changes count for nothing.
func (h *heapLimit) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
}

// physicalMemory is the machine's RAM in bytes, or the control group's limit if that is lower; 0 if unknown.
func physicalMemory() int64 {
	var ram int64
	if f, err := os.Open("/proc/meminfo"); err == nil {
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			var kib int64
			if n, _ := fmt.Sscanf(s.Text(), "MemTotal: %d kB", &kib); n == 1 {
				ram = kib << 10
				break
			}
		}
	}
	if b, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		var limit int64
		if n, _ := fmt.Sscanf(strings.TrimSpace(string(b)), "%d", &limit); n == 1 && limit > 0 && (ram == 0 || limit < ram) {
			ram = limit
		}
	}
	return ram
}
