package segment

import (
	"fmt"

	"holdfast/actors/ondisk"
)

// takePack reserves n bytes in one piece, from a page boundary on, for frames that the writer
// writes itself.
func (s *Store) takePack(kind int, n int64) (*part, error) {
	for {
		s.mu.Lock()
		g := s.pack[kind]
		if g != nil {
			off := alignUp(g.tail)
			if off+n <= g.ahead {
				g.tail = off + n
				p := s.packPart(g, off, n)
				s.mu.Unlock()
				return s.opened(p)
			}
		}
		s.mu.Unlock()
		if err := s.makeRoom(kind, g, n); err != nil {
			return nil, err
		}
	}
}

// takeGathered reserves n bytes in a batch.
func (s *Store) takeGathered(kind, n int) (p *part, off int64, into []byte, b *batch, err error) {
	for {
		s.mu.Lock()
		g := s.pack[kind]
		if g != nil && alignUp(g.tail)+int64(n)+page <= g.ahead {
			off, into, b = s.gather(g, n)
			p = s.packPart(g, off, int64(n))
			s.mu.Unlock()
			if p, err = s.opened(p); err != nil {
				b.filling.Done()
			}
			return p, off, into, b, err
		}
		s.mu.Unlock()
		if err := s.makeRoom(kind, g, int64(n)+2*page); err != nil {
			return nil, 0, nil, nil, err
		}
	}
}

// packPart counts a reservation. s.mu is held.
func (s *Store) packPart(g *seg, off, n int64) *part {
	g.writers++
	s.reserved += n
	return &part{g: g, next: off, end: off + n, bytes: n}
}

// opened gives a new part its file, or takes its reservation back.
func (s *Store) opened(p *part) (*part, error) {
	h, err := s.files.get(p.g.no, forWrite)
	if err == nil {
		p.h = h
		return p, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.g.class == ondisk.SegmentRun {
		s.unreserve(p.g, p.units)
	} else {
		s.reserved -= p.bytes
	}
	p.g.writers--
	s.recycle(p.g)
	return nil, fmt.Errorf("segment %d: %w", p.g.no, err)
}

// makeRoom changes where shards are packed, or preallocates more of it, after tried had no room for
// n bytes from a page boundary on.
func (s *Store) makeRoom(kind int, tried *seg, n int64) error {
	s.growing.Lock()
	defer s.growing.Unlock()
	s.mu.Lock()
	g := s.pack[kind]
	if g != tried {
		s.mu.Unlock()
		return nil // somebody else made room meanwhile
	}
	if g != nil {
		end := alignUp(g.tail) + n
		if end <= g.ahead {
			s.mu.Unlock()
			return nil
		}
		if end <= s.size {
			s.mu.Unlock()
			h, err := s.files.get(g.no, forWrite)
			if err != nil {
				return err
			}
			defer s.files.put(h)
			return s.extend(g, h, end)
		}
	}
	replace := func(next *seg) {
		next.packing = true
		s.pack[kind] = next
		if g != nil {
			s.retire(g)
		}
	}
	next := s.resume(n)
	if next != nil {
		replace(next)
	}
	s.mu.Unlock()
	if next != nil {
		return nil
	}
	_, err := s.newSegment(ondisk.SegmentPack, kind, replace)
	return err
}

// resume picks a pack segment that was left with room for n bytes. s.mu is held.
func (s *Store) resume(n int64) *seg {
	for no, g := range s.partial {
		if g.tail+n <= s.size {
			delete(s.partial, no)
			return g
		}
	}
	return nil
}

// takeUnits reserves up to want units for a stream, whole asks for a segment of its own to begin with.
// What is moved takes no segment into use: that is what it shall bring.
func (s *Store) takeUnits(kind int, last *part, want int, whole bool) (*part, error) {
	var after *seg
	next := 0
	if last != nil {
		after, next = last.g, last.units.first+last.units.n
	}
	s.mu.Lock()
	g, r, ok := s.pickUnits(after, next, want, whole && last == nil && kind == fresh)
	s.mu.Unlock()
	if !ok && kind == moved {
		return nil, ErrNoSpace
	}
	if !ok {
		var err error
		if g, r, err = s.growRun(after, next, want, whole && last == nil); err != nil {
			return nil, err
		}
	}
	p, err := s.opened(&part{g: g, units: r, next: r.start(), end: r.end()})
	if err != nil {
		return nil, err
	}
	if err := s.allocate(p); err != nil {
		s.mu.Lock()
		s.unreserve(g, r)
		g.writers--
		s.recycle(g)
		s.mu.Unlock()
		s.files.put(p.h)
		return nil, err
	}
	return p, nil
}

// pickUnits takes from what there is, unless a whole segment is wanted and to be had. s.mu is held.
func (s *Store) pickUnits(after *seg, next, want int, whole bool) (*seg, units, bool) {
	if whole && s.available() > s.o.Reserve {
		return nil, units{}, false
	}
	return s.takeRun(after, next, want)
}

// growRun takes another run segment into use and units from it.
func (s *Store) growRun(after *seg, next, want int, whole bool) (*seg, units, error) {
	s.growing.Lock()
	defer s.growing.Unlock()
	s.mu.Lock()
	g, r, ok := s.pickUnits(after, next, want, whole)
	s.mu.Unlock()
	if ok { // somebody else grew meanwhile
		return g, r, nil
	}
	g, err := s.newSegment(ondisk.SegmentRun, fresh, func(g *seg) {
		r = s.reserve(g, g.bestRun(want, s.units))
	})
	if err != nil {
		// What is too scattered or not a whole segment is still better than nothing.
		s.mu.Lock()
		defer s.mu.Unlock()
		if g, r, ok := s.takeRun(after, next, want); ok {
			return g, r, nil
		}
		return nil, units{}, err
	}
	return g, r, nil
}

// allocate makes sure that the units of a part have space in the file system.
func (s *Store) allocate(p *part) error {
	s.mu.Lock()
	known := true
	p.units.each(func(i int) { known = known && p.g.alloc.has(i) })
	s.mu.Unlock()
	if known {
		return nil
	}
	if err := s.preallocate(p.h, p.units.start(), p.units.end()-p.units.start()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.g.alloc.setAll(p.units)
	p.g.bare.clearAll(p.units)
	return nil
}
