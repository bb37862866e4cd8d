package quorum

import (
	"time"

	"holdfast/actors/object"
)

// Clock is a hybrid logical clock: its stamps rise strictly as long as the process lives, follow the wall
// clock when that is ahead, and exceed every stamp observed (I22). Nothing of it is durable: a stamp that
// comes again in a later life names another write, and drives refuse what is not newer than all they hold.
type Clock struct {
	last   object.Stamp
	halted bool
}

// Next returns a stamp for the wall time now.
func (c *Clock) Next(now time.Time) object.Stamp {
	c.last = max(c.last+1, object.StampAt(now))
	return c.last
}

// Take is Next, unless the clock is halted.
func (c *Clock) Take(now time.Time) (object.Stamp, bool) {
	if c.halted {
		return 0, false
	}
	return c.Next(now), true
}

// Observe makes all later stamps exceed s.
func (c *Clock) Observe(s object.Stamp) { c.last = max(c.last, s) }

// Halt stops the clock: the set's drives refuse its stamps as ahead of their time. Nothing is
// coordinated with it until Resume.
func (c *Clock) Halt() { c.halted = true }

// Halted says whether it is.
func (c *Clock) Halted() bool { return c.halted }

// Resume takes the peers' time as floor in place of the clock's own past, once the node's wall clock
// agrees with theirs: what it had stamped above was refused everywhere.
func (c *Clock) Resume(peers object.Stamp) {
	c.halted = false
	c.last = peers
}
