package drive

import (
	"context"
	"sync"
	"sync/atomic"
)

// gate holds readers back from rows that a crash could still take away. The index shows a batch whose
// record was synced, and one that nobody waits for also without; each row carries its batch number,
// and a reader that meets one above the durable number waits here.
type gate struct {
	durable atomic.Uint64

	mu   sync.Mutex
	wait chan struct{} // guarded by mu: closed at the next advance, nil if nobody waits
}

// advance says that batch and all before it are durable. Called by the writer loop alone.
func (g *gate) advance(batch uint64) {
	g.durable.Store(batch)
	g.mu.Lock()
	if g.wait != nil {
		close(g.wait)
		g.wait = nil
	}
	g.mu.Unlock()
}

// pass returns once batch is durable, with an error if ctx or the drive ends first.
func (g *gate) pass(ctx context.Context, batch uint64, failed <-chan struct{}) error {
	for g.durable.Load() < batch {
		g.mu.Lock()
		if g.durable.Load() >= batch {
			g.mu.Unlock()
			return nil
		}
		if g.wait == nil {
			g.wait = make(chan struct{})
		}
		wait := g.wait
		g.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		case <-failed:
			return ErrFailed
		}
	}
	return nil
}
