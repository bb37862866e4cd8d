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

// Compact empties one pack segment by copying what is live in it, if there is one worth it: less
// than 40 % live, or, when new data finds no segment or no space any more, less than 90 %. It
// reports whether there was one. It may be broken off at any time; what was moved stays moved.
func (s *Store) Compact(ctx context.Context, m Mover) (bool, error) {
	g := s.victim()
	if g == nil {
		return false, nil
	}
	c := &compaction{s: s, m: m, g: g, seen: map[object.OID]bool{}}
	err := c.run(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	g.writers-- // victim's own
	// What cannot be moved is damaged; it goes when its shard is healed or deleted.
	g.stuck = err == nil && g.live > 0
	s.recycle(g)
	if err != nil {
		return true, fmt.Errorf("compact segment %d: %w", g.no, err)
	}
	return true, nil
}

// victim picks the pack segment with the least live data and keeps others from using it.
func (s *Store) victim() *seg {
	tight := s.o.Tight()
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := int64(40)
	if tight || s.available() <= s.o.Reserve {
		limit = 90
	}
	var best *seg
	for _, g := range s.segs {
		if g.class != ondisk.SegmentPack || g.packing || g.stuck || g.lost || g.writers > 0 || g.live == 0 {
			continue
		}
		if g.live*100 < (g.tail-page)*limit && (best == nil || g.live < best.live) {
			best = g
		}
	}
	if best != nil {
		best.writers++
		delete(s.partial, best.no)
	}
	return best
}

// compaction is one run over one segment.
type compaction struct {
	s    *Store
	m    Mover
	g    *seg
	seen map[object.OID]bool
	buf  []byte

	moves []move
	bytes int64
}

// move is one extent that was copied and is to be moved in the index.
type move struct {
	oid  object.OID
	from ondisk.Extent
	w    *Writer
}

func (c *compaction) run(ctx context.Context) error {
	defer c.abort()
	c.s.mu.Lock()
	end := c.g.end
	c.s.mu.Unlock()
	h, err := c.s.files.get(c.g.no, forRead)
	if err != nil {
		return corrupt(err)
	}
	defer c.s.files.put(h)
	w := &walker{f: h.file, no: c.g.no, gen: c.g.gen, tag: c.s.tag, end: end}
	err = w.walk(page, func(f Found) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if f.Damage != nil || c.seen[f.Header.OID] {
			return nil
		}
		c.seen[f.Header.OID] = true
		return c.copyShard(ctx, &f.Header)
	})
	if err != nil {
		return err
	}
	return c.commit(ctx)
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
		if r == nil {
			if r, err = guard.Open(found.OID, extents, 0); err != nil {
				return c.damaged(found.OID, err)
			}
			defer r.Close()
		}
		if err := c.copyExtent(r, e, found.Write); err != nil {
			return c.damaged(found.OID, err)
		}
	}
	if len(c.moves) >= moveShards || c.bytes >= moveBytes {
		return c.commit(ctx)
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

func (c *compaction) copyExtent(r *Reader, e ondisk.Extent, write object.WriteID) error {
	w, err := c.s.writer(Shard{OID: r.oid, Write: write, Frame: r.frame, Size: e.Data}, moved)
	if err != nil {
		return err
	}
	w.frames, w.wide = e.First, r.wide
	for n := range int(e.Frames) {
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
	c.abort() // harmless for those that were moved
	return errors.Join(errs...)
}

func (c *compaction) abort() {
	for _, m := range c.moves {
		m.w.Abort()
	}
	c.moves, c.bytes = nil, 0
}
