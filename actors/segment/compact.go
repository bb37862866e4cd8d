package segment

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

// Mover is the index as compaction needs it; the drive actor is the one that ships.
type Mover interface {
	// Locate returns where the shard of oid lies; nothing if no row refers to it.
	Locate(ctx context.Context, oid object.OID) ([]ondisk.Extent, error)
	// Move replaces extent from of oid by the extents of w in the rows, in one batch that also
	// carries the rows of w.Commit and of Free(from), and returns when that is durable. It reports
	// false, having done nothing, if the shard no longer lies in from. The caller aborts w.
	Move(ctx context.Context, oid object.OID, from ondisk.Extent, w *Writer) (bool, error)
}

const (
	moveShards = 64      // shards copied between two syncs
	moveBytes  = 4 << 20 // bytes copied between two syncs
)

// Compact empties one segment by copying what is live in it, if there is one worth it, and reports
// whether there was one. Of pack segments that is one with less than 40 % live, or, when new data finds
// no segment or no space any more, less than 90 %. Of run segments, whose free units are of use to long
// shards, and go back to the file system, it is one that other run segments have room for, and only
// when segments become scarce (scarce). It may be broken off at any time; what was moved stays moved.
func (s *Store) Compact(ctx context.Context, m Mover) (bool, error) {
	g := s.victim()
	if g == nil {
		return false, nil
	}
	c := &compaction{s: s, m: m, g: g, run: g.class == ondisk.SegmentRun, seen: map[object.OID]bool{}}
	err := c.copyAll(ctx)
	done := err == nil
	full := c.run && errors.Is(err, ErrNoSpace) // others were faster
	if full || done || errors.Is(err, errEnough) {
		err = c.commit(ctx)
	}
	c.abort()
	s.mu.Lock()
	defer s.mu.Unlock()
	g.writers-- // victim's own
	// What cannot be moved is damaged; it goes when its shard is healed or deleted.
	g.stuck = done && err == nil && g.live > 0
	if c.run {
		g.emptying = g.live == 0 && len(g.pend) > 0 // a last reader has it
		s.listRun(g)
	}
	s.recycle(g)
	if err != nil {
		return true, fmt.Errorf("compact segment %d: %w", g.no, err)
	}
	return !full || c.moved > 0, nil
}

// victim picks the segment with the least live data that is worth it and keeps others from using it.
func (s *Store) victim() *seg {
	tight := s.o.Tight()
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := int64(40)
	if tight || s.available() <= s.o.Reserve {
		limit = 90
	}
	free := s.unitsElsewhere()
	var best *seg
	for _, g := range s.segs {
		if g.packing || g.stuck || g.lost || g.writers > 0 || g.live == 0 || best != nil && g.live >= best.live {
			continue
		}
		switch g.class {
		case ondisk.SegmentPack:
			if g.live*100 < (g.tail-page)*limit {
				best = g
			}
		case ondisk.SegmentRun:
			if free > 0 && s.isScattered(g, free) {
				best = g
			}
		}
	}
	if best != nil {
		best.writers++
		delete(s.partial, best.no)
		if best.class == ondisk.SegmentRun {
			s.empty(best)
		}
	}
	return best
}

// compaction is one run over one segment.
type compaction struct {
	s    *Store
	m    Mover
	g    *seg
	run  bool // of a run segment
	seen map[object.OID]bool
	buf  []byte

	moves []move
	bytes int64  // of moves
	moved int64  // bytes that were moved
	tried bitmap // run: units whose extents were copied, or cannot be
}

// move is one extent that was copied and is to be moved in the index.
type move struct {
	oid  object.OID
	from ondisk.Extent
	w    *Writer
}

// copyAll copies what is live. It moves all but the last of it.
func (c *compaction) copyAll(ctx context.Context) error {
	h, err := c.s.files.get(c.g.no, forRead)
	if err != nil {
		return corrupt(err)
	}
	defer c.s.files.put(h)
	w := &walker{f: h.file, no: c.g.no, gen: c.g.gen, tag: c.s.tag, end: c.s.size}
	if c.run {
		return c.copyUnits(ctx, w)
	}
	c.s.mu.Lock()
	w.end = c.g.end
	c.s.mu.Unlock()
	return w.walk(page, func(f Found) error { return c.met(ctx, &f) })
}

// met copies the shard that a frame belongs to.
func (c *compaction) met(ctx context.Context, f *Found) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.Damage != nil || c.seen[f.Header.OID] {
		return nil
	}
	c.seen[f.Header.OID] = true
	return c.copyShard(ctx, &f.Header)
}

// copyShard copies what lies of a shard in the segment.
func (c *compaction) copyShard(ctx context.Context, found *ondisk.FrameHeader) error {
	guard := c.s.Enter()
	defer guard.Leave()
	extents, err := c.m.Locate(ctx, found.OID)
	if err != nil {
		return err
	}
	var r *Reader
	for i := range extents {
		e := extents[i]
		if e.Segment != c.g.no || e.Generation != c.g.gen {
			continue
		}
		if c.run {
			c.tried.setAll(unitsOf(e.Offset, e.Length))
		}
		if r == nil {
			if r, err = guard.Open(found.OID, extents, 0); err != nil {
				return c.damaged(found.OID, err)
			}
			defer r.Close()
		}
		if err := c.copyExtent(ctx, r, e, found.Write); err != nil {
			return c.damaged(found.OID, err)
		}
	}
	if len(c.moves) >= moveShards || c.bytes >= moveBytes {
		if err := c.commit(ctx); err != nil {
			return err
		}
		if c.run && c.moved >= unitStep {
			return errEnough
		}
	}
	return nil
}

// damaged leaves a shard where it is if its bytes are wrong: scrubbing will find it.
func (c *compaction) damaged(oid object.OID, err error) error {
	if errors.Is(err, ondisk.ErrCorrupt) {
		c.s.log.Warn("damaged shard left behind by compaction", "segment", c.g.no, "oid", oid, "err", err)
		return nil
	}
	return err
}

func (c *compaction) copyExtent(ctx context.Context, r *Reader, e ondisk.Extent, write object.WriteID) error {
	w, err := c.s.writer(Shard{OID: r.oid, Write: write, Frame: r.frame, Size: e.Data}, moved)
	if err != nil {
		return err
	}
	w.frames, w.wide, w.run = e.First, r.wide, w.run || c.run
	for n := range int(e.Frames) {
		if err := ctx.Err(); err != nil {
			w.Abort()
			return err
		}
		if c.buf == nil {
			c.buf = make([]byte, ondisk.FrameHeaderRoom+ondisk.MaxFrameData)
		}
		data, err := r.readFrame(int(e.First)+n, c.buf)
		if err == nil {
			err = w.WriteFrame(c.buf[:ondisk.FrameHeaderRoom+len(data)])
		}
		if err != nil {
			w.Abort()
			return err
		}
	}
	c.moves = append(c.moves, move{r.oid, e, w})
	c.bytes += e.Length
	return nil
}

// commit makes the copies durable and moves the shards in the index, all at once so that they share
// batches.
func (c *compaction) commit(ctx context.Context) error {
	for _, m := range c.moves {
		if err := m.w.Sync(ctx); err != nil {
			return err
		}
	}
	errs := make([]error, len(c.moves))
	var wg sync.WaitGroup
	for i, m := range c.moves {
		wg.Go(func() {
			_, errs[i] = c.m.Move(ctx, m.oid, m.from, m.w)
		})
	}
	wg.Wait()
	c.moved += c.bytes
	c.abort() // harmless for those that were moved
	return errors.Join(errs...)
}

func (c *compaction) abort() {
	for _, m := range c.moves {
		m.w.Abort()
	}
	c.moves, c.bytes = nil, 0
}
