package segment

import (
	"fmt"

	"holdfast/actors/guardfs"
	"holdfast/actors/ondisk"
)

// aheadStep is how far ahead of its tail a pack segment is preallocated: enough that fallocate is
// rare, little enough that a small store stays small.
const aheadStep = 64 << 20

// newSegment takes a segment into use: an emptied one if there is any, else a new file. Its header
// is durable before it returns, so that no frame of the new generation can precede it. use takes
// what the caller wants of it before anybody else sees it. s.growing is held; s.mu is not, but it
// is while use runs.
func (s *Store) newSegment(class ondisk.SegmentClass, kind int, use func(*seg)) (*seg, error) {
	s.mu.Lock()
	g, err := s.pickSegment(kind)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	gen, err := s.prepare(g, class)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if g.file {
			s.free = append(s.free, g.no)
		} else {
			s.born--
		}
		return nil, fmt.Errorf("segment %d: %w", g.no, err)
	}
	existed := g.file
	g.gen, g.class, g.file = gen, class, true
	switch class {
	case ondisk.SegmentRun:
		s.initRun(g)
		if !existed {
			g.bare.setAll(units{0, s.units})
		}
		s.listRun(g)
		s.loosen(g)
	default:
		g.tail, g.end = page, page
		g.ahead = min(s.size, aheadStep)
	}
	use(g)
	return g, nil
}

// pickSegment decides which segment is used next and counts it as born. s.mu is held.
func (s *Store) pickSegment(kind int) (*seg, error) {
	left := s.available()
	if left == 0 || kind == fresh && left <= s.o.Reserve {
		return nil, ErrNoSpace
	}
	if n := len(s.free); n > 0 {
		g := s.segs[s.free[n-1]]
		s.free = s.free[:n-1]
		return g, nil
	}
	s.born++
	for no := s.lowest; ; no++ {
		g := s.segs[no]
		s.lowest = no
		if g == nil {
			g = &seg{no: no}
			s.segs[no] = g
			return g, nil
		}
		if !g.file && !g.lost && g.class == ondisk.SegmentFree { // its file was removed
			return g, nil
		}
	}
}

// prepare makes the file ready for a new generation, which it returns.
func (s *Store) prepare(g *seg, class ondisk.SegmentClass) (gen uint32, err error) {
	existed := g.file // nobody else changes it: g is in no list
	h, err := s.files.get(g.no, forWrite)
	if err != nil {
		return 0, noSpace(err)
	}
	defer s.files.put(h)
	defer func() {
		if err != nil && !existed {
			s.files.drop(g.no)
			_ = s.fs.Remove(s.path(g.no)) // a file without a row is free space in any case
		}
	}()
	if gen = g.gen + 1; existed {
		gen = s.nextGeneration(g, h)
	}
	if class == ondisk.SegmentPack {
		if err := s.preallocate(h, 0, min(s.size, aheadStep)); err != nil {
			return 0, err
		}
	}
	hdr := ondisk.SegmentHeader{
		Drive: s.drive, Segment: g.no, Generation: gen, Class: class, Size: s.size, Extent: UnitSize,
	}
	if class != ondisk.SegmentRun {
		hdr.Extent = 0
	}
	if _, err := h.file.WriteAt(ondisk.AppendSegmentHeader(nil, &hdr), 0); err != nil {
		return 0, noSpace(err)
	}
	if err := h.file.SyncData(); err != nil {
		return 0, err
	}
	if !existed {
		err = s.syncDir(s.dir)
	}
	return gen, err
}

// nextGeneration is above every generation that frames in the file may carry. The row knows the
// last one that was committed, the header the last one that was begun. A header that cannot be
// read was torn while it was written, so that no frame followed it, or it rotted: then a leap is
// taken over all the generations that may have been begun since.
func (s *Store) nextGeneration(g *seg, h *handle) uint32 {
	const leap = 1 << 16
	var b [ondisk.SegmentHeaderSize]byte
	if _, err := h.file.ReadAt(b[:], 0); err != nil {
		return g.gen + leap
	}
	hdr, err := ondisk.DecodeSegmentHeader(b[:])
	if err != nil {
		return g.gen + leap
	}
	return max(g.gen, hdr.Generation) + 1
}

// preallocate asks the file system for the space now, so that a full one is met here and not in a
// sync, where it would cost the drive.
func (s *Store) preallocate(h *handle, off, length int64) error {
	s.mu.Lock()
	skip := s.noAlloc
	s.mu.Unlock()
	if skip {
		return nil
	}
	err := h.file.Preallocate(off, length)
	if err != nil && guardfs.IsUnsupported(err) {
		s.log.Info("file system cannot preallocate")
		s.mu.Lock()
		s.noAlloc = true
		s.mu.Unlock()
		return nil
	}
	return noSpace(err)
}

// extend preallocates a pack segment up to at least end. s.growing is held; s.mu is not.
func (s *Store) extend(g *seg, h *handle, end int64) error {
	s.mu.Lock()
	from := g.ahead
	s.mu.Unlock()
	to := min(s.size, max(end, from+aheadStep))
	if err := s.preallocate(h, from, to-from); err != nil {
		return err
	}
	s.mu.Lock()
	g.ahead = max(g.ahead, to)
	s.mu.Unlock()
	return nil
}

func (s *Store) path(no uint32) string { return s.fs.PathJoin(s.dir, fileName(no)) }

// noSpace marks a clean refusal for want of space.
func noSpace(err error) error {
	if err != nil && guardfs.IsNoSpace(err) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
