// Package throttle bounds how often something is said: what goes wrong on a drive or in a quorum goes
// wrong thousands of times a second, and the metrics count it anyway. It knows no logger.
package throttle

import (
	"sync"
	"time"
)

const (
	// Burst is how many lines pass at once after a rest.
	Burst  = 20
	refill = 200 * time.Millisecond
)

// Throttle lets a burst of lines through, and then one per refill. The zero value is ready to use, by
// any number of goroutines.
type Throttle struct {
	mu      sync.Mutex
	tokens  int       // guarded by mu
	last    time.Time // guarded by mu: when tokens was brought up to date
	dropped int       // guarded by mu: lines since the last one that passed
}

// Admit says whether a line may be written, and how many were left out before it.
func (t *Throttle) Admit(now time.Time) (dropped int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := int(now.Sub(t.last) / refill); n > 0 {
		t.tokens, t.last = min(t.tokens+n, Burst), now
	}
	if t.tokens == 0 {
		t.dropped++
		return 0, false
	}
	t.tokens--
	dropped, t.dropped = t.dropped, 0
	return dropped, true
}
