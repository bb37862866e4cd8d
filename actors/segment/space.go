package segment

import (
	"fmt"
	"slices"

	"holdfast/actors/ondisk"
)

// Writer classes have each their own pack segment, so that compaction never competes with new data
// for the space it is about to free.
const (
	fresh = 0
	moved = 1
)

// seg is one segment: what its row says and what memory adds to it. All fields but no and group are
// guarded by Store.mu.
type seg struct {
	no    uint32
	file  bool // the file exists
	lost  bool // rows refer to a file that does not exist
	class ondisk.SegmentClass
	gen   uint32

	written int64  // size of the file when it was opened, or what was allocated in earlier generations
	unknown []byte // fields of the row that a newer release wrote
	live    int64  // bytes that rows refer to
	writers int    // reservations of writers that have not committed
	busy    int    // running syncs

	// Run segments, by unit.
	used     bitmap // rows refer to it
	reserved bitmap // a writer holds it
	held     bitmap // freed, but a reader may still look at it or the batch is not durable
	alloc    bitmap // known to be allocated by the file system
	idle     bitmap // was free at the last Age
	rested   bitmap // was free at the Age before that, too
	bare     bitmap // takes no space: given back, or never allocated
	nfree    int    // units in none of used, reserved, held
	emptying bool   // compaction moves its units away: nobody takes any of them

	// Pack segments.
	tail    int64 // first byte that nobody reserved
	end     int64 // everything committed lies below
	ahead   int64 // preallocated up to here
	packing bool  // it is one of Store.pack

	pins map[uint64]int // open readers by epoch
	pend []pending      // space freed and not reusable yet, in order of Free

	stuck bool // compaction could not empty it

	group group
}

// pending is space that one Free gave back.
type pending struct {
	rel     *Release
	units   []units
	durable bool
	epoch   uint64 // readers up to this one may look at it; set when durable
}

// fromRow checks a row and builds the segment it describes.
func (s *Store) fromRow(no uint32, row ondisk.SegmentRow) (*seg, error) {
	g := &seg{no: no, gen: row.Generation, class: row.Class, live: row.Live, unknown: row.Unknown}
	if row.Live == 0 {
		g.class = ondisk.SegmentFree
		return g, nil
	}
	bad := func(what string, v any) (*seg, error) {
		return nil, fmt.Errorf("%w: %s %v", ondisk.ErrCorrupt, what, v)
	}
	if row.Live < 0 || row.Live > s.size-page {
		return bad("live bytes", row.Live)
	}
	switch row.Class {
	case ondisk.SegmentPack:
		if row.End < page || row.End > s.size {
			return bad("end", row.End)
		}
		g.end = row.End
		g.tail = alignUp(row.End)
		s.retire(g)
	case ondisk.SegmentRun:
		s.initRun(g)
		for i, w := range row.Used {
			if i >= len(g.used) {
				return bad("bitmap words", len(row.Used))
			}
			g.used[i] = w
		}
		n := g.used.count()
		if len(g.used)*64 > s.units && g.used[len(g.used)-1]>>(s.units%64) != 0 && s.units%64 != 0 || n == 0 {
			return bad("bitmap", row.Used)
		}
		g.nfree = s.units - n
		s.listRun(g)
		s.loosen(g)
	default:
		return bad("class", row.Class)
	}
	return g, nil
}

func (s *Store) initRun(g *seg) {
	g.used, g.reserved, g.held = newBitmap(s.units), newBitmap(s.units), newBitmap(s.units)
	g.alloc, g.idle, g.rested = newBitmap(s.units), newBitmap(s.units), newBitmap(s.units)
	g.bare = newBitmap(s.units)
	g.nfree = s.units
}

// loosen notes that units of a run segment came free: they take space until they are punched.
// s.mu is held.
func (s *Store) loosen(g *seg) {
	if !g.lost {
		s.loose[g.no] = g
	}
}

// listRun keeps roomy true to nfree. s.mu is held.
func (s *Store) listRun(g *seg) {
	if g.nfree > 0 && !g.lost && !g.emptying {
		s.roomy[g.no] = g
	} else {
		delete(s.roomy, g.no)
	}
}

// retire ends packing into a segment for now; it is used again if it has room worth having.
// s.mu is held, or the store is not shared yet.
func (s *Store) retire(g *seg) {
	g.packing = false
	if s.size-g.tail >= 2*PackLimit || s.size-g.tail >= s.size/8 {
		s.partial[g.no] = g
	}
	s.recycle(g)
}

// isFree reports whether a unit of a run segment can be taken. s.mu is held.
func (g *seg) isFree(i int) bool {
	w, bit := i/64, uint64(1)<<(i%64)
	return (g.used[w]|g.reserved[w]|g.held[w])&bit == 0
}

// freeAt is the number of free units from i on, at most most.
func (g *seg) freeAt(i, most, units int) (n int) {
	for n < most && i+n < units && g.isFree(i+n) {
		n++
	}
	return n
}

// bestRun finds want adjacent free units, or else the longest run there is. s.mu is held.
func (g *seg) bestRun(want, total int) (best units) {
	for i := 0; i < total; {
		n := g.freeAt(i, want, total)
		if n > best.n {
			best = units{i, n}
			if n == want {
				return best
			}
		}
		i += n + 1
	}
	return best
}

// takeRun reserves up to want units in an existing run segment: behind after if possible, which is
// where the stream wrote last. ok is false if there are none. s.mu is held.
func (s *Store) takeRun(after *seg, next int, want int) (g *seg, r units, ok bool) {
	if after != nil && after.class == ondisk.SegmentRun {
		if n := after.freeAt(next, want, s.units); n > 0 {
			return after, s.reserve(after, units{next, n}), true
		}
	}
	const look = 64 // candidates examined; beyond it a good enough place will do
	var best units
	try := func(c *seg) bool {
		if r := c.bestRun(want, s.units); r.n > best.n {
			g, best = c, r
		}
		return best.n == want
	}
	if s.lastRun != nil && s.lastRun.nfree > 0 && try(s.lastRun) {
		return g, s.reserve(g, best), true
	}
	seen := 0
	for _, c := range s.roomy {
		if seen++; try(c) || seen > look {
			break
		}
	}
	if best.n == 0 {
		return nil, units{}, false
	}
	return g, s.reserve(g, best), true
}

// reserve takes free units for a writer. s.mu is held.
func (s *Store) reserve(g *seg, r units) units {
	g.reserved.setAll(r)
	g.idle.clearAll(r)
	g.rested.clearAll(r)
	g.nfree -= r.n
	g.writers++
	s.reserved += int64(r.n) * UnitSize
	s.lastRun = g
	s.listRun(g)
	return r
}

// unreserve gives units of a reservation back. s.mu is held.
func (s *Store) unreserve(g *seg, r units) {
	g.reserved.clearAll(r)
	g.nfree += r.n
	s.reserved -= int64(r.n) * UnitSize
	s.listRun(g)
	s.loosen(g)
}

// recycle moves a segment that holds nothing any more to the free pool. s.mu is held.
func (s *Store) recycle(g *seg) {
	if g.class == ondisk.SegmentFree || g.live != 0 || g.writers != 0 || g.busy != 0 || len(g.pend) != 0 || g.packing {
		return
	}
	g.written = g.allocated()
	g.class = ondisk.SegmentFree
	g.stuck, g.emptying = false, false
	g.tail, g.end, g.ahead = 0, 0, 0
	g.used, g.reserved, g.held, g.alloc, g.idle, g.rested, g.bare = nil, nil, nil, nil, nil, nil, nil
	g.nfree = 0
	g.group.drop()
	delete(s.partial, g.no)
	delete(s.roomy, g.no)
	delete(s.loose, g.no)
	if s.lastRun == g {
		s.lastRun = nil
	}
	if g.lost { // its number can be born again
		g.lost = false
		s.born--
		s.lowest = min(s.lowest, g.no)
		return
	}
	if g.file {
		s.free = append(s.free, g.no)
	}
}

// allocated is about how many bytes the file occupies. s.mu is held.
func (g *seg) allocated() int64 {
	switch g.class {
	case ondisk.SegmentRun:
		return max(page+int64(g.alloc.count())*UnitSize, g.written-int64(g.bare.count())*UnitSize)
	default:
		return max(g.written, g.ahead)
	}
}

// row is what the index should say about a segment now. s.mu is held.
func (g *seg) row() Row {
	r := Row{Segment: g.no, SegmentRow: ondisk.SegmentRow{
		Class: g.class, Generation: g.gen, Live: g.live, Unknown: g.unknown,
	}}
	switch {
	case g.live == 0:
		r.Class = ondisk.SegmentFree
	case g.class == ondisk.SegmentRun:
		r.Used = slices.Clone(g.used)
	default:
		r.End = g.end
	}
	return r
}
