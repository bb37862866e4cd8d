package segment

import (
	"context"
	"errors"

	"holdfast/actors/ondisk"
)

const (
	// scarce is how many segments beyond the reserve new data shall always find: with fewer, run
	// segments of which little is used are emptied, before anything is refused.
	scarce = 2
	// unitStep is how much one call of Compact moves out of a run segment, the last extent beyond it.
	unitStep = 64 << 20
)

// errEnough ends a step of compaction that has moved as much as it may.
var errEnough = errors.New("enough was moved")

// unitsElsewhere is the number of free units in run segments, and 0 while there are segments enough: new
// data finds its units in those, and small shards, which need a segment, are not in want of one. s.mu
// is held.
func (s *Store) unitsElsewhere() (n int) {
	if s.available() > s.o.Reserve+scarce {
		return 0
	}
	for _, g := range s.roomy {
		n += g.nfree
	}
	return n
}

// isScattered says whether a run segment is worth emptying into the free units of the others, of which,
// its own included, there are so many. The limits are those of pack segments. s.mu is held.
func (s *Store) isScattered(g *seg, free int) bool {
	limit := 40
	if s.available() <= s.o.Reserve {
		limit = 90
	}
	n := g.used.count()
	return n*100 < limit*s.units && free-g.nfree >= n
}

// empty keeps everybody from taking units of a run segment. s.mu is held.
func (s *Store) empty(g *seg) {
	g.emptying = true
	s.listRun(g)
	if s.lastRun == g {
		s.lastRun = nil
	}
}

// copyUnits copies what lies in the used units. The first frame of an extent begins a unit and names the
// shard, and the index knows its other units. Where that frame is damaged the next ones are looked for
// inside of the unit. What is found is a hint and nothing more: frames of an earlier shard may still
// lie behind those of a later one.
func (c *compaction) copyUnits(ctx context.Context, w *walker) error {
	c.s.mu.Lock()
	used := append(bitmap(nil), c.g.used...)
	c.s.mu.Unlock()
	c.tried = newBitmap(c.s.units)
	for i := range c.s.units {
		if !used.has(i) || c.tried.has(i) {
			continue
		}
		u := units{i, 1}
		w.until = u.end()
		err := w.walk(u.start(), func(f Found) error {
			err := c.met(ctx, &f)
			if err == nil && c.tried.has(i) {
				return errNext
			}
			return err
		})
		if err != nil && !errors.Is(err, errNext) && !errors.Is(err, ondisk.ErrCorrupt) {
			return err // what cannot be read stays, and is found by scrubbing
		}
	}
	return nil
}

// errNext ends the walk of a unit whose shard is known.
var errNext = errors.New("the next unit")
