package guardfs

import "sync/atomic"

// watchAges is how many ticks back calls are told apart. Older ones are as old.
const watchAges = 64

// watch counts the calls under way by the tick in which they began, so that calls which do not come
// back are seen without a clock or a lock on the way of each call.
type watch struct {
	cur  atomic.Uint32 // where calls that begin now are counted
	open [watchAges]atomic.Int64
	done atomic.Uint64 // syncs and the like that came back

	// What follows is Tick's alone.
	now   int            // number of the tick
	began [watchAges]int // when cur was set to this place last
	seen  uint64         // done at the last tick
	moved int            // tick at which done was found changed last
}

// enter counts a call that begins; its result goes to leave.
func (w *watch) enter() uint32 {
	i := w.cur.Load()
	w.open[i].Add(1)
	return i
}

// leave counts a call that came back.
func (w *watch) leave(i uint32) { w.open[i].Add(-1) }

// settles tells calls that come back only when the device did something from those that the page
// cache may take while the device hangs.
func settles(op string) bool { return op != "write" && op != "write back" && op != "close" }

// Tick is called by one goroutine at a steady pace. It returns for how many ticks the drive has not
// answered: a call is under way as long as that at least, and no sync or other change of the medium
// came back meanwhile. Ticks and not a clock, so that a process which was stopped, or a machine that
// slept, takes no drive for dead when it goes on.
func (h *Health) Tick() int {
	w := &h.watch
	w.now++
	if done := w.done.Load(); done != w.seen {
		w.seen, w.moved = done, w.now
	}
	oldest := w.now
	for i := range w.open {
		if w.open[i].Load() > 0 {
			oldest = min(oldest, w.began[i])
		}
	}
	// The next place without calls; if all have some, the present one goes on.
	cur := w.cur.Load()
	for i := uint32(1); i < watchAges; i++ {
		next := (cur + i) % watchAges
		if w.open[next].Load() == 0 {
			w.began[next] = w.now
			w.cur.Store(next)
			break
		}
	}
	return max(0, w.now-max(oldest+1, w.moved)) // it began in the course of that tick
}
