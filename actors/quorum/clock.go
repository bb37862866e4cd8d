package quorum

import (
	"time"

	"holdfast/actors/object"
)

// Clock is a hybrid logical clock: its stamps rise strictly, follow the wall clock when that is
// ahead, and exceed every stamp observed (I22).
type Clock struct{ last object.Stamp }

// Next returns a stamp for the wall time now.
func (c *Clock) Next(now time.Time) object.Stamp {
	c.last = max(c.last+1, object.StampAt(now))
	return c.last
}

// Observe makes all later stamps exceed s.
func (c *Clock) Observe(s object.Stamp) { c.last = max(c.last, s) }
