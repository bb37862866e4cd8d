package erasureset

import "sync"

// maxIdle is how many goroutines of a crew wait for work; those beyond end.
const maxIdle = 64

// doer is work for a crew: do is called once for each time it was handed over, with the argument
// of that time.
type doer interface{ do(arg int) }

// crew calls drives in goroutines that it uses again. A fresh one begins with a stack of a few KiB,
// and growing it anew for each call down to the index was a sixth of the cost of a HEAD.
type crew struct {
	wg sync.WaitGroup

	mu     sync.Mutex
	idle   []chan chore // guarded by mu; the last to have worked is the first to work again
	closed bool         // guarded by mu
}

type chore struct {
	d   doer
	arg int
}

// run has d.do(arg) called by some goroutine, at once. It may be called until close.
func (c *crew) run(d doer, arg int) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		hand := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		hand <- chore{d, arg}
		return
	}
	c.mu.Unlock()
	hand := make(chan chore, 1)
	hand <- chore{d, arg}
	c.wg.Go(func() { c.serve(hand) })
}

// serve is one goroutine of the crew.
func (c *crew) serve(hand chan chore) {
	for w := range hand {
		w.d.do(w.arg)
		c.mu.Lock()
		if c.closed || len(c.idle) >= maxIdle {
			c.mu.Unlock()
			return
		}
		c.idle = append(c.idle, hand)
		c.mu.Unlock()
	}
}

// close ends the goroutines and waits for those that are at work.
func (c *crew) close() {
	c.mu.Lock()
	c.closed = true
	for _, hand := range c.idle {
		close(hand)
	}
	c.idle = nil
	c.mu.Unlock()
	c.wg.Wait()
}
