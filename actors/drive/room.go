package drive

import (
	"context"
	"sync"
	"time"
)

const (
	// roomLimit is the longest time that new data waits on a drive at its reserve.
	roomLimit = 3 * time.Second
	// hopeFor is how long a step towards free space gives hope of the next: a deletion is followed by
	// its mark within 50 ms on a quiet set, that by the reclaimer's first step at once.
	hopeFor = time.Second
)

// hope remembers when something last happened that gives space back: a deletion, a row for the
// reclaimer, a step of its work. New data waits on a full drive as long as such steps follow each
// other, so that who deletes and then stores is not refused for what is about to be free.
type hope struct {
	mu   sync.Mutex
	last time.Time     // guarded by mu
	next chan struct{} // guarded by mu: closed at the next step, nil if nobody waits
}

// raise says that a step was done.
func (h *hope) raise() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = time.Now()
	if h.next != nil {
		close(h.next)
		h.next = nil
	}
}

// left is how long there is still hope, at most 0 if there is none.
func (h *hope) left() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return hopeFor - time.Since(h.last)
}

// step is closed at the next step.
func (h *hope) step() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.next == nil {
		h.next = make(chan struct{})
	}
	return h.next
}

// awaitRoom returns nil when the drive takes new data: at once as a rule, and on one at its reserve
// when enough was given back. ErrFull: there is no hope of that, or it takes too long. The context's
// error: it ended first.
func (a *Actor) awaitRoom(ctx context.Context) error {
	if !a.space.full() {
		return nil
	}
	limit := time.NewTimer(roomLimit)
	defer limit.Stop()
	for {
		step := a.space.hope.step() // before the look, so that none is missed
		if !a.space.full() {
			return nil
		}
		left := a.space.hope.left()
		if left <= 0 {
			break
		}
		a.reclaim.hurry()
		idle := time.NewTimer(left)
		select {
		case <-step:
			idle.Stop()
			continue
		case <-idle.C:
			continue
		case <-limit.C:
		case <-ctx.Done():
		case <-a.health.Failed():
		case <-a.closing:
		case <-a.pulse.lost():
		}
		idle.Stop()
		break
	}
	if err := a.usable(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err // who left early has not learnt that there is no room
	}
	a.m.error("full")
	return a.wrap(ErrFull)
}
