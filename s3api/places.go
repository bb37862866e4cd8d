package s3api

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"holdfast/actors/throttle"
)

// connSet knows the open connections: fasthttp leaves them running when a shutdown runs out of
// time. When their places run short it cuts those that wait, so that a crowd of connections that
// ask for nothing keeps nobody out.
type connSet struct {
	limit  int           // connections at which new ones wait for those that were cut to end
	places int           // ... and at which those that wait are cut
	spare  int           // places made free at a time
	cuts   atomic.Uint64 // connections cut for their place
	lines  throttle.Throttle
	log    *slog.Logger

	mu   sync.Mutex
	ends sync.Cond          // of mu: one of those that were cut has ended
	all  map[*conn]struct{} // guarded by mu
	gone int                // guarded by mu: how many of all are cut and about to end
}

// newConnSet keeps a sixteenth of limit free for those that come.
func newConnSet(limit int, log *slog.Logger) *connSet {
	reserve := max(limit/16, 1)
	s := &connSet{limit: limit, places: limit - reserve, spare: max(reserve/2, 1), log: log, all: make(map[*conn]struct{})}
	s.ends.L = &s.mu
	return s
}

// slack is how many more connections fasthttp takes than there are places: what ends gives its
// place back a little later there. Beyond it fasthttp refuses, with an answer that is not S3's.
func slack(limit int) int { return max(limit/16, 16) }

// What a connection does, in conn.waits.
const (
	connBusy = 0  // a request is being served
	connCut  = -1 // it is being closed for its place
	// Any other value is the time, in Unix nanoseconds, since when it waits for (the rest of) a request's head.
)

// busy says that the head of a request was read; false if the connection has been cut.
func (c *conn) busy() bool {
	c.asked.Store(true)
	return c.waits.Swap(connBusy) != connCut
}

// idle says that an answer is out.
func (c *conn) idle() { c.waits.Store(time.Now().UnixNano()) }

// connState is fasthttp's hook.
func connState(c *conn, state fasthttp.ConnState) {
	if c != nil && state == fasthttp.StateIdle {
		c.idle()
	}
}

// waiter is a connection that waited for a request's head when it was looked at.
type waiter struct {
	c     *conn
	since int64
}

// waiters lists the connections that wait, the longest wait first: those on which no request ever
// came, and those that rest between two. s.mu is held.
func (s *connSet) waiters() (silent, resting []waiter) {
	for c := range s.all {
		switch since := c.waits.Load(); {
		case since <= connBusy:
		case c.asked.Load():
			resting = append(resting, waiter{c, since})
		default:
			silent = append(silent, waiter{c, since})
		}
	}
	for _, list := range [][]waiter{silent, resting} {
		slices.SortFunc(list, func(a, b waiter) int { return cmp.Compare(a.since, b.since) })
	}
	return silent, resting
}

// makeRoom cuts connections that wait if too few places are left. Those on which no request ever
// came go first while they are the majority: then they are a crowd, and not just the latest to come.
// s.mu is held.
func (s *connSet) makeRoom() {
	excess := len(s.all) - s.gone - s.places
	if excess <= 0 {
		return
	}
	silent, resting := s.waiters()
	n := 0
	for range min(excess+s.spare, len(silent)+len(resting)) {
		from := &resting
		if len(silent) > len(resting) {
			from = &silent
		}
		w := (*from)[0]
		*from = (*from)[1:]
		if w.c.waits.CompareAndSwap(w.since, connCut) { // else its request has just come
			w.c.Conn.Close() // the transport's own close: its goroutine notices and removes it
			w.c.cut = true
			n++
		}
	}
	if n == 0 {
		return
	}
	s.gone += n
	s.cuts.Add(uint64(n))
	if left, ok := s.lines.Admit(time.Now()); ok {
		s.log.Warn("connections are running short: those that ask for nothing are cut", "open", len(s.all), "cut", n, "left_out", left)
	}
}
