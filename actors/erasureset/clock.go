package erasureset

import (
	"log/slog"
	"sync"
	"time"

	"holdfast/actors/object"
	"holdfast/actors/quorum"
)

// haltFor is how long nothing is stamped once the drives refuse the clock of this node.
const haltFor = time.Second

// clock is the node's hybrid logical clock, shared by all operations.
type clock struct {
	wall func() time.Time
	log  *slog.Logger

	mu     sync.Mutex
	hlc    quorum.Clock // guarded by mu
	halted time.Time    // guarded by mu: until when; zero: not
	peers  object.Stamp // guarded by mu: the highest stamp that drives have named
}

var _ quorum.Stamper = (*clock)(nil)

// Take implements quorum.Stamper. The time it goes by is the wall clock's, whatever clock timers use.
func (c *clock) Take(time.Time) (object.Stamp, bool) {
	now := c.wall()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.halted.IsZero() {
		if now.Before(c.halted) {
			return 0, false
		}
		c.halted = time.Time{}
		c.hlc.Resume(c.peers)
	}
	return c.hlc.Take(now)
}

// next is a stamp that no drive judges.
func (c *clock) next() object.Stamp {
	now := c.wall()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hlc.Next(now)
}

// Observe implements quorum.Stamper.
func (c *clock) Observe(s object.Stamp) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peers = max(c.peers, s)
	c.hlc.Observe(s)
}

// Halt implements quorum.Stamper: the drives refuse this node's stamps as ahead of their time. After a
// pause it goes on with their time as floor, and is halted again if its wall clock is still ahead.
func (c *clock) Halt() {
	now := c.wall()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.halted.IsZero() {
		c.log.Error("the drives refuse the stamps of this node: its clock runs ahead of theirs", "now", now, "pause", haltFor)
	}
	c.halted = now.Add(haltFor)
	c.hlc.Halt()
}

func (c *clock) isHalted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.halted.IsZero()
}
