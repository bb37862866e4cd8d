package segment

import (
	"fmt"
	"slices"

	"holdfast/actors/ondisk"
)

// Row is a changed S row.
type Row struct {
	Segment uint32
	ondisk.SegmentRow
}

// Commit counts the shard as data that rows refer to and returns the S rows to put in the batch
// that holds those rows. Later rows of a segment replace earlier ones, also within a batch. There
// is no way back: a batch that fails takes the drive with it.
func (w *Writer) Commit() ([]Row, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return nil, fmt.Errorf("commit shard %s: %w", w.shard.OID, w.err)
	}
	for _, p := range w.parts {
		p.g.group.mu.Lock()
		synced := p.g.group.synced >= p.seq
		p.g.group.mu.Unlock()
		if !synced {
			return nil, fmt.Errorf("commit shard %s: %w", w.shard.OID, ErrNotSynced)
		}
	}
	w.err = ErrDone
	s := w.s
	s.mu.Lock()
	for i := range w.extents {
		e := &w.extents[i]
		g := s.segs[e.Segment]
		g.live += e.Length
		if w.run {
			r := unitsOf(e.Offset, e.Length)
			g.used.setAll(r)
		} else {
			g.end = max(g.end, e.Offset+e.Length)
		}
	}
	var rows []Row
	for _, p := range w.parts {
		p.g.writers--
		if w.run {
			p.units.each(func(i int) {
				if !p.g.used.has(i) {
					p.g.nfree++ // reserved, but never needed
				}
			})
			p.g.reserved.clearAll(p.units)
			s.reserved -= int64(p.units.n) * UnitSize
			s.listRun(p.g)
			s.loosen(p.g)
		} else {
			s.reserved -= p.bytes
		}
		if !slices.ContainsFunc(rows, func(r Row) bool { return r.Segment == p.g.no }) {
			rows = append(rows, p.g.row())
		}
	}
	s.mu.Unlock()
	w.release()
	return rows, nil
}

// Release is space that rows no longer refer to.
type Release struct {
	Rows []Row // S rows to put in the batch that removes the references

	s    *Store
	segs []*seg
}

// Free takes the extents of a shard out of what rows refer to. The space may be used again when
// the batch with Rows is durable, which the caller says by Durable, and no reader that was there
// before looks at it any more. Extents that the store does not know as live are left out, and logged.
func (s *Store) Free(extents []ondisk.Extent) *Release {
	rel := &Release{s: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range extents {
		e := &extents[i]
		g := s.segs[e.Segment]
		if err := s.checkLive(g, e); err != nil {
			s.log.Error("freed extent is not live", "segment", e.Segment, "offset", e.Offset, "err", err)
			continue
		}
		g.live -= e.Length
		g.stuck = false
		if !slices.Contains(rel.segs, g) {
			rel.segs = append(rel.segs, g)
			g.pend = append(g.pend, pending{rel: rel})
		}
		if g.class == ondisk.SegmentRun {
			r := unitsOf(e.Offset, e.Length)
			g.used.clearAll(r)
			g.held.setAll(r)
			p := &g.pend[len(g.pend)-1]
			p.units = append(p.units, r)
		}
	}
	for _, g := range rel.segs {
		rel.Rows = append(rel.Rows, g.row())
	}
	return rel
}

// checkLive tells whether an extent is one that rows may refer to. s.mu is held.
func (s *Store) checkLive(g *seg, e *ondisk.Extent) error {
	switch {
	case g == nil || g.class == ondisk.SegmentFree || g.gen != e.Generation:
		return fmt.Errorf("%w: no segment of generation %d", ondisk.ErrCorrupt, e.Generation)
	case e.Offset < page || e.Length <= 0 || e.Offset > s.size-e.Length || e.Length > g.live:
		return fmt.Errorf("%w: extent of %d bytes", ondisk.ErrCorrupt, e.Length)
	case g.class == ondisk.SegmentRun:
		ok := true
		unitsOf(e.Offset, e.Length).each(func(i int) { ok = ok && g.used.has(i) })
		if !ok {
			return fmt.Errorf("%w: units are not in use", ondisk.ErrCorrupt)
		}
	case e.Offset+e.Length > g.end:
		return fmt.Errorf("%w: extent behind the end %d", ondisk.ErrCorrupt, g.end)
	}
	return nil
}

// Durable says that the batch with Rows is durable and visible: who looks rows up from now on does
// not find the data. It is called once.
func (r *Release) Durable() {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range r.segs {
		for i := range g.pend {
			if g.pend[i].rel == r {
				g.pend[i].durable = true
				g.pend[i].epoch = s.epoch
			}
		}
		s.freeing[g] = true
	}
	s.epoch++
	for _, g := range r.segs {
		s.settle(g)
	}
}

// settle gives back the space of a segment that no reader looks at any more. s.mu is held.
func (s *Store) settle(g *seg) {
	if len(g.pend) == 0 {
		delete(s.freeing, g)
		return
	}
	oldest := s.epoch
	for e := range s.guards {
		oldest = min(oldest, e)
	}
	for e := range g.pins {
		oldest = min(oldest, e)
	}
	g.pend = slices.DeleteFunc(g.pend, func(p pending) bool {
		if !p.durable || p.epoch >= oldest {
			return false
		}
		for _, r := range p.units {
			g.held.clearAll(r)
			g.nfree += r.n
		}
		return true
	})
	if len(g.pend) == 0 {
		delete(s.freeing, g)
	}
	if g.class == ondisk.SegmentRun {
		s.listRun(g)
		s.loosen(g)
	}
	s.recycle(g)
}

// Guard holds back the reuse of space while its owner looks up where data lies. It is short-lived:
// readers that it opened hold their own segments.
type Guard struct {
	s     *Store
	epoch uint64
	left  bool
}

// Enter is called before rows are looked up, and before the iterator or snapshot is made that they
// are looked up in.
func (s *Store) Enter() *Guard {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guards[s.epoch]++
	return &Guard{s: s, epoch: s.epoch}
}

// Leave ends the look-up. It is idempotent.
func (g *Guard) Leave() {
	if g.left {
		return
	}
	g.left = true
	s := g.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.guards[g.epoch]--; s.guards[g.epoch] > 0 {
		return
	}
	delete(s.guards, g.epoch)
	for e := range s.guards {
		if e < g.epoch {
			return // an older one still holds whatever this one held
		}
	}
	for x := range s.freeing {
		s.settle(x)
	}
}
