package segment

import (
	"context"
	"fmt"
	"sync"
)

const (
	batchSize  = 256 << 10 // bytes of small frames gathered for one write
	maxBatched = 1 << 20   // bytes gathered in one segment before a writer must flush them itself
)

// group makes the callers that want one segment durable share a write and a sync: those that come
// while a sync runs are served by the next one, all together. The zero value is ready.
type group struct {
	mu      sync.Mutex
	running bool   // guarded by mu
	next    *round // guarded by mu: the sync that has not begun; nil if nobody waits for one
	written uint64 // guarded by mu: numbers the writes, each after it is done
	synced  uint64 // guarded by mu: writes up to this one are durable

	// flushing is held while gathered frames are written out, so that a sync which finds none knows
	// that they have reached the file.
	flushing sync.Mutex

	batches []*batch // guarded by Store.mu: frames gathered and not written
	batched int      // guarded by Store.mu: bytes in them
}

// round is one sync and those who wait for it.
type round struct {
	done chan struct{}
	err  error // set before done is closed
}

// batch is a run of small frames that goes out in one write. Room in it is given out under
// Store.mu; the frames are copied in without it.
type batch struct {
	off     int64
	buf     *[]byte
	filling sync.WaitGroup
}

func (b *batch) end() int64 { return b.off + int64(len(*b.buf)) }

// wrote numbers a write that is done.
func (g *group) wrote() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.written++
	return g.written
}

// sync returns when write seq of a segment is durable, or ctx ends.
func (s *Store) sync(ctx context.Context, g *seg, seq uint64) error {
	gr := &g.group
	gr.mu.Lock()
	if gr.synced >= seq {
		gr.mu.Unlock()
		return nil
	}
	if gr.next == nil {
		gr.next = &round{done: make(chan struct{})}
	}
	r := gr.next
	start := !gr.running
	gr.running = true
	gr.mu.Unlock()
	if start {
		if !s.startSyncs(g) {
			return ErrClosed
		}
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("sync segment %d: %w", g.no, ctx.Err())
	}
}

// startSyncs runs rounds until nobody waits for one.
func (s *Store) startSyncs(g *seg) bool {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.syncs.Add(1)
		g.busy++
	}
	s.mu.Unlock()
	if closed {
		s.endSyncs(g, ErrClosed)
		return false
	}
	go func() {
		defer s.syncs.Done()
		defer s.idle(g)
		gr := &g.group
		for {
			gr.mu.Lock()
			r, seq := gr.next, gr.written
			gr.next = nil
			if r == nil {
				gr.running = false
				gr.mu.Unlock()
				return
			}
			gr.mu.Unlock()
			r.err = s.syncNow(g)
			if r.err == nil {
				gr.mu.Lock()
				gr.synced = max(gr.synced, seq)
				gr.mu.Unlock()
			}
			close(r.done)
		}
	}()
	return true
}

// idle ends what kept a segment from being recycled: a sync whose callers have all gone may still
// write what they had gathered, and must not do so into the next generation.
func (s *Store) idle(g *seg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.busy--
	s.recycle(g)
}

// endSyncs answers those who wait for a round that will not come.
func (s *Store) endSyncs(g *seg, err error) {
	gr := &g.group
	gr.mu.Lock()
	defer gr.mu.Unlock()
	gr.running = false
	if r := gr.next; r != nil {
		gr.next = nil
		r.err = err
		close(r.done)
	}
}

func (s *Store) syncNow(g *seg) error {
	h, err := s.files.get(g.no, forWrite)
	if err != nil {
		return fmt.Errorf("sync segment %d: %w", g.no, err)
	}
	defer s.files.put(h)
	if err := s.flush(g, h); err != nil {
		return fmt.Errorf("sync segment %d: %w", g.no, err)
	}
	if err := h.file.SyncData(); err != nil {
		return fmt.Errorf("sync segment %d: %w", g.no, err)
	}
	return nil
}

// flush writes out the frames gathered for a segment, each batch padded to whole pages.
func (s *Store) flush(g *seg, h *handle) error {
	g.group.flushing.Lock()
	defer g.group.flushing.Unlock()
	s.mu.Lock()
	batches := g.group.batches
	g.group.batches, g.group.batched = nil, 0
	s.mu.Unlock()
	var first error
	for _, b := range batches {
		b.filling.Wait()
		buf := *b.buf
		n := len(buf)
		buf = buf[:alignUp(int64(n))]
		clear(buf[n:])
		if first == nil {
			_, first = h.file.WriteAt(buf, b.off)
		}
		*b.buf = buf[:0]
		s.bufs.Put(b.buf)
	}
	// Room for it was preallocated. If there is none after all, those who were told that their
	// frames are taken cannot be answered otherwise.
	if first != nil {
		s.health.Fail(fmt.Errorf("write gathered frames: %w", first))
	}
	return first
}

// gather reserves n bytes in the open batch of a pack segment, or in a new one. It returns where
// they lie in the file and in memory; the caller fills them and calls filling.Done. s.mu is held.
func (s *Store) gather(g *seg, n int) (off int64, into []byte, b *batch) {
	gr := &g.group
	if k := len(gr.batches); k > 0 {
		b = gr.batches[k-1]
	}
	if b == nil || b.end() != g.tail || len(*b.buf)+n > batchSize {
		b = &batch{off: alignUp(g.tail), buf: s.bufs.Get().(*[]byte)}
		gr.batches = append(gr.batches, b)
	}
	off = b.end()
	*b.buf = (*b.buf)[:len(*b.buf)+n]
	gr.batched += n
	b.filling.Add(1)
	g.tail = off + int64(n)
	return off, (*b.buf)[len(*b.buf)-n:], b
}

// drop forgets gathered frames of a segment that holds nothing any more. Store.mu is held.
func (g *group) drop() { g.batches, g.batched = nil, 0 }
