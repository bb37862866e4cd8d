package quorum

import (
	"time"

	"holdfast/actors/object"
)

// reserve is how far a clock's durable ceiling is raised above its stamps at a time.
const reserve = object.Stamp(2_000_000 << 10)

// Clock is a hybrid logical clock: its stamps rise strictly, follow the wall clock when that is
// ahead, and exceed every stamp observed (I22). A clock with a ceiling gives no stamp above it, so
// that the stamps of the next life, which begin above the durable ceiling, are higher than all.
type Clock struct {
	last    object.Stamp
	ceiling object.Stamp // 0: no ceiling is kept
	halted  bool
}

// ResumeClock is the clock of a node whose durable ceiling was found to be c, which may be zero.
func ResumeClock(c object.Stamp) Clock { return Clock{last: c, ceiling: max(c, 1)} }

// Next returns a stamp for the wall time now.
func (c *Clock) Next(now time.Time) object.Stamp {
	c.last = max(c.last+1, object.StampAt(now))
	return c.last
}

// Take is Next under the ceiling: false if it must be raised first, or the clock is halted.
func (c *Clock) Take(now time.Time) (object.Stamp, bool) {
	next := max(c.last+1, object.StampAt(now))
	if c.halted || c.ceiling != 0 && next > c.ceiling {
		return 0, false
	}
	c.last = next
	return next, true
}

// Observe makes all later stamps exceed s.
func (c *Clock) Observe(s object.Stamp) { c.last = max(c.last, s) }

// Reserve says which ceiling to make durable next, if it is time to raise it.
func (c *Clock) Reserve(now time.Time) (ceiling object.Stamp, due bool) {
	next := max(c.last, object.StampAt(now))
	return next + reserve, c.ceiling != 0 && next+reserve/2 > c.ceiling
}

// Reserved tells that a ceiling is durable.
func (c *Clock) Reserved(ceiling object.Stamp) { c.ceiling = max(c.ceiling, ceiling) }

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
	if c.ceiling != 0 {
		c.ceiling = 1
	}
}
