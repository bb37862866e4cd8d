package segment

import (
	"context"
	"fmt"
	"math/bits"
	"sync"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

// Shard describes a shard that is about to be written.
type Shard struct {
	OID   object.OID
	Write object.WriteID
	Frame int   // bytes of data in each frame but the last; a power of two if there are several
	Size  int64 // expected bytes, -1 if unknown
}

// Writer takes the frames of one shard in order. WriteFrame is called by one goroutine at a time;
// Abort may be called by any, at any time.
type Writer struct {
	s     *Store
	shard Shard
	run   bool // goes to a run segment
	kind  int  // fresh or moved

	mu      sync.Mutex
	err     error           // guarded by mu: ErrDone, or what spoiled the shard
	extents []ondisk.Extent // guarded by mu
	parts   []*part         // guarded by mu: what is reserved, in order
	frames  uint32          // guarded by mu: number of frames written
	data    int64           // guarded by mu: bytes of data written
	wide    bool            // guarded by mu: frames are page aligned; settled by the first one
	short   bool            // guarded by mu: the last frame was not full, so none may follow
	chunk   int             // guarded by mu: units taken last
	flushed int64           // guarded by mu: run: offset up to which writeback was begun in the last part
}

// part is one reservation: adjacent bytes of one segment.
type part struct {
	g     *seg
	h     *handle // keeps the file open until it is synced
	units units   // run segments
	next  int64   // where the next frame goes
	end   int64   // end of the reservation
	bytes int64   // pack: bytes reserved
	seq   uint64  // last write

	gathered bool // pack: in a batch, together with frames of others
	cached   bool // frames were written through the page cache
}

// Writer opens a writer for new data. Shards known to be at most PackLimit long are packed. Nothing
// is reserved before the first frame.
func (s *Store) Writer(shard Shard) (*Writer, error) { return s.writer(shard, fresh) }

func (s *Store) writer(shard Shard, kind int) (*Writer, error) {
	if shard.Frame <= 0 || shard.Frame > ondisk.MaxFrameData {
		return nil, fmt.Errorf("shard %s: %w: %d bytes in a full frame", shard.OID, ErrFrame, shard.Frame)
	}
	run := shard.Size < 0 || shard.Size > PackLimit
	return &Writer{s: s, shard: shard, run: run, kind: kind}, nil
}

// WriteFrame stores the next frame. buf holds ondisk.FrameHeaderRoom free bytes, which are
// overwritten, and behind them the data. It belongs to WriteFrame until it returns. After an error
// the writer can only be aborted.
func (w *Writer) WriteFrame(buf []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	if err := w.writeFrame(buf); err != nil {
		w.err = fmt.Errorf("write frame %d of shard %s: %w", w.frames, w.shard.OID, err)
		return w.err
	}
	return nil
}

func (w *Writer) writeFrame(buf []byte) error {
	n := len(buf) - ondisk.FrameHeaderRoom
	switch {
	case n <= 0 || n > w.shard.Frame || w.short:
		return fmt.Errorf("%w: %d bytes", ErrFrame, n)
	case w.frames > 0 && bits.OnesCount(uint(w.shard.Frame)) != 1:
		return fmt.Errorf("%w: several frames of %d bytes", ErrFrame, w.shard.Frame)
	}
	if len(w.extents) == 0 {
		w.wide = w.wide || w.run || n >= wideFrame
		if !w.wide && w.shard.Size <= int64(w.shard.Frame) {
			return w.gather(buf, n)
		}
	}
	p, err := w.place(n)
	if err != nil {
		return err
	}
	hdr := w.header(p.g)
	start, err := ondisk.PutFrame(buf, &hdr)
	if err != nil {
		return err
	}
	off := p.next
	if err := w.s.writeFrame(p, buf[start:], off); err != nil {
		return noSpace(err)
	}
	p.seq = p.g.group.wrote()
	p.next += int64(ondisk.FrameSize(n, w.wide))
	w.account(p, off, n)
	w.writeBack(p)
	return nil
}

// gather leaves a small shard to the next sync, which writes it together with others.
func (w *Writer) gather(buf []byte, n int) error {
	size := ondisk.FrameSize(n, false)
	p, off, into, b, err := w.s.takeGathered(w.kind, size)
	if err != nil {
		return err
	}
	p.gathered = true
	w.parts = append(w.parts, p)
	hdr := w.header(p.g)
	start, err := ondisk.PutFrame(buf, &hdr)
	if err == nil {
		copy(into, buf[start:])
	}
	b.filling.Done()
	if err != nil {
		return err
	}
	p.seq = p.g.group.wrote()
	w.account(p, off, n)
	w.s.mu.Lock()
	full := p.g.group.batched > maxBatched
	w.s.mu.Unlock()
	if full {
		return w.s.flush(p.g, p.h)
	}
	return nil
}

func (w *Writer) header(g *seg) ondisk.FrameHeader {
	return ondisk.FrameHeader{
		Run: w.wide, Segment: g.no, Generation: g.gen, // a segment that is written to keeps its generation
		OID: w.shard.OID, Write: w.shard.Write, Number: w.frames, Drive: w.s.tag,
	}
}

// account adds a frame that was written at off to the extents.
func (w *Writer) account(p *part, off int64, n int) {
	size := int64(ondisk.FrameSize(n, w.wide))
	last := len(w.extents) - 1
	if last < 0 || w.extents[last].Segment != p.g.no || w.extents[last].Offset+w.extents[last].Length != off {
		w.extents = append(w.extents, ondisk.Extent{
			Segment: p.g.no, Generation: p.g.gen, Offset: off, First: w.frames,
		})
		last++
	}
	e := &w.extents[last]
	e.Length += size
	e.Data += int64(n)
	e.Frames++
	w.frames++
	w.data += int64(n)
	w.short = n < w.shard.Frame
}

// place finds room for a frame of n bytes of data: the rest of the last reservation, or another.
func (w *Writer) place(n int) (*part, error) {
	size := int64(ondisk.FrameSize(n, w.wide))
	if k := len(w.parts); k > 0 && w.parts[k-1].next+size <= w.parts[k-1].end {
		return w.parts[k-1], nil
	}
	if !w.run {
		// Everything that is still expected, so that the shard lies in one piece.
		p, err := w.s.takePack(w.kind, max(size, w.expected()))
		if err != nil {
			return nil, err
		}
		w.parts = append(w.parts, p)
		return p, nil
	}
	return w.placeRun()
}

// expected is the number of bytes on disk of the frames that the hint lets expect, 0 if unknown.
func (w *Writer) expected() int64 {
	rest := w.shard.Size - w.data
	if rest <= 0 {
		return 0
	}
	f := int64(w.shard.Frame)
	n := rest / f * int64(ondisk.FrameSize(w.shard.Frame, w.wide))
	if rest%f > 0 {
		n += int64(ondisk.FrameSize(int(rest%f), w.wide))
	}
	return n
}

// placeRun takes more units: as many as are expected, else twice as many as last time.
func (w *Writer) placeRun() (*part, error) {
	var last *part
	if k := len(w.parts); k > 0 {
		last = w.parts[k-1]
	}
	want := min(max(1, 2*w.chunk), chunkUnits)
	if n := w.expected(); n > 0 {
		if last != nil {
			n -= last.end - last.next // what remains is of use if the new units are adjacent
		}
		want = int(min(max(1, (n+UnitSize-1)/UnitSize), knownUnits))
	}
	w.chunk = want
	p, err := w.s.takeUnits(w.kind, last, want, w.shard.Size >= w.s.size/2)
	if err != nil {
		return nil, err
	}
	if last != nil && p.g == last.g && p.units.start() == last.end {
		w.s.files.put(p.h)
		last.units.n += p.units.n
		last.end = p.end
		w.s.mu.Lock()
		p.g.writers-- // one reservation now
		w.s.mu.Unlock()
		return last, nil
	}
	if last != nil {
		w.trim(last)
	}
	if p.units.n == 0 {
		panic("segment: a reservation without units")
	}
	w.flushed = p.next
	w.parts = append(w.parts, p)
	return p, nil
}

// trim gives the units back that a part will not use any more.
func (w *Writer) trim(p *part) {
	if !w.run || p.next >= p.end {
		return
	}
	keep := 0
	if p.next > p.units.start() {
		keep = unitsOf(p.units.start(), p.next-p.units.start()).n
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	rest := units{p.units.first + keep, p.units.n - keep}
	w.s.unreserve(p.g, rest)
	p.units.n = keep
	p.end = p.units.end()
}

// Sync returns when everything written is durable. What it had reserved beyond that is given back.
func (w *Writer) Sync(ctx context.Context) error {
	w.mu.Lock()
	if w.err != nil {
		defer w.mu.Unlock()
		return w.err
	}
	if k := len(w.parts); k > 0 {
		w.trim(w.parts[k-1])
	}
	type want struct {
		g   *seg
		seq uint64
	}
	wants := make([]want, 0, len(w.parts))
	for _, p := range w.parts {
		wants = append(wants, want{p.g, p.seq})
	}
	w.mu.Unlock()
	for _, x := range wants {
		if err := w.s.sync(ctx, x.g, x.seq); err != nil {
			return fmt.Errorf("shard %s: %w", w.shard.OID, err)
		}
	}
	return nil
}

// Extents is where the shard lies. It is complete when the last frame is written.
func (w *Writer) Extents() []ondisk.Extent {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]ondisk.Extent(nil), w.extents...)
}

// Size is the number of bytes of data written.
func (w *Writer) Size() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.data
}

// Abort gives the space back. It is idempotent, and harmless after Commit.
func (w *Writer) Abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == ErrDone {
		return
	}
	w.err = ErrDone
	w.s.mu.Lock()
	for _, p := range w.parts {
		if w.run {
			w.s.unreserve(p.g, p.units)
		} else {
			w.s.reserved -= p.bytes
			// The end of a segment can be had back. Elsewhere the room is lost until it is recycled.
			if p.end == p.g.tail && !p.gathered {
				p.g.tail = p.end - p.bytes
			}
		}
		p.g.writers--
		w.s.recycle(p.g)
	}
	w.s.mu.Unlock()
	w.release()
}

// release lets go of the files. w.mu is held.
func (w *Writer) release() {
	for _, p := range w.parts {
		w.s.files.put(p.h)
	}
	w.parts = nil
}
