package erasureset

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"holdfast/actors/digest"
)

const (
	// behindSize is the length in bytes from which a body is hashed behind all else that wants a core: its
	// client waits for tenths of a second anyway, and those of small objects for a part of one.
	behindSize = 16 << 20
	// behindNice is the nice value that this takes: a ninth of the weight of other threads (sched(7)).
	behindNice = 10
)

// behind does work on a thread of its own that yields to others. The thread ends with the work, for none may
// take its priority back.
func behind(work func()) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() { // the main thread cannot end, and its priority passes for that of the process
		defer runtime.UnlockOSThread()
		done := make(chan struct{})
		go func() {
			defer close(done)
			behind(work)
		}()
		<-done
		return
	}
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), behindNice) // refused, it works as any other
	work()
}

// digestsOf returns who hashes bodies of a size. Streams lead each other's hashing in turns, so long ones
// keep to themselves: a short one must not wait for a thread that yields.
func (s *Store) digestsOf(size int64) *digest.Pool {
	if size >= behindSize {
		return s.long
	}
	return s.digests
}

// hasher computes the digests of rows in their own order, beside the lanes: of several in a
// goroutine, of a single one in wait.
type hasher struct {
	st   *staging
	sum  *digest.Hash // nil: nothing is hashed
	rows chan *row    // nil unless started
	done chan struct{}
	last *row // the single one
}

func (h *hasher) start() {
	h.rows, h.done = make(chan *row, 1), make(chan struct{})
	if h.st.size >= behindSize {
		go behind(h.run)
	} else {
		go h.run()
	}
}

func (h *hasher) run() {
	defer close(h.done)
	i := 0
	for r := range h.rows {
		h.hash(r, i)
		i++
	}
}

func (h *hasher) hash(r *row, i int) {
	for _, p := range h.st.geo.Pieces(nil, h.st.size, i, 0, h.st.size) {
		if h.sum == nil {
			break
		}
		_, _ = h.sum.Write(r.bufs[p.Shard].Data()[p.Off : p.Off+p.Len])
	}
	r.release()
}

// add takes over the caller's use of the row.
func (h *hasher) add(r *row) {
	if h.rows != nil {
		h.rows <- r
	} else {
		h.last = r
	}
}

// wait returns when all rows are hashed.
func (h *hasher) wait() {
	if h.rows != nil {
		close(h.rows)
		<-h.done
	} else if h.last != nil {
		h.hash(h.last, 0)
	}
}
