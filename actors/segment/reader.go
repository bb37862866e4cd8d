package segment

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

// Reader reads one shard and keeps its space from being reused until Close. It is safe for
// concurrent use. Errors wrap ondisk.ErrCorrupt when stored bytes are wrong, missing or unreadable.
type Reader struct {
	s       *Store
	oid     object.OID
	extents []ondisk.Extent
	pinned  []*seg // one per extent
	wide    bool   // frames are page aligned
	epoch   uint64
	frame   int
	size    int64
	frames  int

	mu     sync.Mutex
	closed bool               // guarded by mu
	hdr    ondisk.FrameHeader // guarded by mu: header read last by ReadAt
	known  int                // guarded by mu: number of that frame, -1 if none
	own    *ownFile           // guarded by mu: long: the file read last
}

// Open pins the extents of a shard, which were looked up under the guard. frame is the size of its
// full frames if the caller knows it, else 0. The reader keeps extents.
func (g *Guard) Open(oid object.OID, extents []ondisk.Extent, frame int) (*Reader, error) {
	if frame == 0 {
		frame = FrameBytes(extents)
	}
	r := &Reader{
		s: g.s, oid: oid, extents: extents, epoch: g.epoch, frame: frame, known: -1,
		pinned: make([]*seg, 0, len(extents)),
	}
	for i := range extents {
		e := &extents[i]
		if int(e.First) != r.frames || e.Frames == 0 || e.Data <= 0 || e.Data > int64(e.Frames)*int64(frame) ||
			r.size != int64(r.frames)*int64(frame) {
			return nil, fmt.Errorf("open shard %s: %w: extent %d", oid, ondisk.ErrCorrupt, i)
		}
		r.frames += int(e.Frames)
		r.size += e.Data
	}
	if r.frames > 0 && r.size <= int64(r.frames-1)*int64(frame) {
		return nil, fmt.Errorf("open shard %s: %w: %d bytes in %d frames", oid, ondisk.ErrCorrupt, r.size, r.frames)
	}
	s := g.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range extents {
		e := &extents[i]
		x := s.segs[e.Segment]
		if x == nil || x.gen != e.Generation || x.class == ondisk.SegmentFree {
			s.unpin(r)
			return nil, fmt.Errorf("open shard %s: %w: segment %d has no generation %d", oid, ondisk.ErrCorrupt, e.Segment, e.Generation)
		}
		if x.pins == nil {
			x.pins = map[uint64]int{}
		}
		x.pins[r.epoch]++
		r.pinned = append(r.pinned, x)
		// The writer looked at its first frame, which is a full one or the only one.
		r.wide = x.class == ondisk.SegmentRun || min(int64(frame), r.size) >= wideFrame
	}
	return r, nil
}

// unpin takes a reader's pins back. s.mu is held.
func (s *Store) unpin(r *Reader) {
	for _, g := range r.pinned {
		if g.pins[r.epoch]--; g.pins[r.epoch] == 0 {
			delete(g.pins, r.epoch)
			if s.freeing[g] {
				s.settle(g)
			}
		}
	}
	r.pinned = nil
}

// Close lets the space go. It is idempotent; reads that are under way must have returned.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed = true
		r.drop(r.own)
		r.own = nil
		r.s.mu.Lock()
		r.s.unpin(r)
		r.s.mu.Unlock()
	}
	return nil
}

// Size is the shard's length in bytes.
func (r *Reader) Size() int64 { return r.size }

// Frame is the number of data bytes in each frame but the last.
func (r *Reader) Frame() int { return r.frame }

// Frames is the number of frames.
func (r *Reader) Frames() int { return r.frames }

// place is where a frame lies.
type place struct {
	ext  *ondisk.Extent
	off  int64
	data int // bytes of data it must have
}

func (r *Reader) place(n int) (place, error) {
	if n < 0 || n >= r.frames {
		return place{}, fmt.Errorf("frame %d of %d", n, r.frames)
	}
	i := sort.Search(len(r.extents), func(i int) bool { return int(r.extents[i].First) > n }) - 1
	e := &r.extents[i]
	p := place{ext: e, data: int(min(int64(r.frame), r.size-int64(n)*int64(r.frame)))}
	p.off = e.Offset + int64(n-int(e.First))*int64(ondisk.FrameSize(r.frame, r.wide))
	if p.off+int64(ondisk.FrameSize(p.data, r.wide)) > e.Offset+e.Length {
		return place{}, fmt.Errorf("%w: frame %d lies outside its extent", ondisk.ErrCorrupt, n)
	}
	return p, nil
}

// check compares a header with what the index says.
func (r *Reader) check(h *ondisk.FrameHeader, p place, n int) error {
	if h.OID != r.oid || int(h.Number) != n || h.Segment != p.ext.Segment || h.Generation != p.ext.Generation ||
		h.Drive != r.s.tag || h.Data != p.data || h.Run != r.wide {
		return fmt.Errorf("%w: found frame %d of %s, segment %d generation %d of drive %08x", ondisk.ErrCorrupt, h.Number, h.OID, h.Segment, h.Generation, h.Drive)
	}
	return nil
}

// ReadFrames reads frames first, first+1.. into dst, up to the end of the shard, and returns their
// data, verified. Each buffer of dst holds ondisk.FrameHeaderRoom bytes and a full frame; the
// results alias them.
func (r *Reader) ReadFrames(first int, dst [][]byte) ([][]byte, error) {
	out := make([][]byte, 0, len(dst))
	for i, buf := range dst {
		n := first + i
		if n >= r.frames {
			break
		}
		data, err := r.readFrame(n, buf)
		if err != nil {
			return out, fmt.Errorf("read frame %d of shard %s: %w", n, r.oid, err)
		}
		out = append(out, data)
	}
	return out, nil
}

func (r *Reader) readFrame(n int, buf []byte) ([]byte, error) {
	p, err := r.place(n)
	if err != nil {
		return nil, err
	}
	if len(buf) < ondisk.FrameHeaderRoom+p.data {
		return nil, fmt.Errorf("buffer of %d bytes", len(buf))
	}
	head := ondisk.FrameHeaderSize(p.data, r.wide)
	b := buf[ondisk.FrameHeaderRoom-head : ondisk.FrameHeaderRoom+p.data]
	if err := r.readAt(p.ext.Segment, b, p.off); err != nil {
		return nil, err
	}
	var h ondisk.FrameHeader
	if err := ondisk.DecodeFrameHeader(&h, b[:head]); err != nil {
		return nil, err
	}
	if err := r.check(&h, p, n); err != nil {
		return nil, err
	}
	data := b[head:]
	return data, h.VerifyData(data)
}

// ReadAt reads len(p) bytes of data at offset off, reading and verifying no more than the blocks of
// 64 KiB that they touch.
func (r *Reader) ReadAt(p []byte, off int64) error {
	if off < 0 || off+int64(len(p)) > r.size {
		return fmt.Errorf("read shard %s: bytes %d to %d of %d: %w", r.oid, off, off+int64(len(p)), r.size, io.ErrUnexpectedEOF)
	}
	for len(p) > 0 {
		n := int(off / int64(r.frame))
		done, err := r.readPart(p, n, int(off%int64(r.frame)))
		if err != nil {
			return fmt.Errorf("read shard %s, frame %d: %w", r.oid, n, err)
		}
		p = p[done:]
		off += int64(done)
	}
	return nil
}

// readPart reads bytes of one frame, from byte at of its data on, up to its end.
func (r *Reader) readPart(p []byte, n, at int) (int, error) {
	pl, err := r.place(n)
	if err != nil {
		return 0, err
	}
	h, err := r.header(pl, n)
	if err != nil {
		return 0, err
	}
	total := min(len(p), h.Data-at)
	data := pl.off + int64(h.Size())
	var scratch *[]byte
	defer func() {
		if scratch != nil {
			r.s.blocks.Put(scratch)
		}
	}()
	for done := 0; done < total; {
		i := (at + done) / ondisk.BlockSize
		in := at + done - i*ondisk.BlockSize
		size := h.BlockLen(i)
		if in == 0 && total-done >= size {
			n, err := r.readBlocks(p[done:min(total, done+readStep)], &h, i, pl.ext.Segment, data)
			if err != nil {
				return 0, err
			}
			done += n
			continue
		}
		if scratch == nil {
			scratch = r.s.blocks.Get().(*[]byte)
		}
		block := (*scratch)[:size]
		if err := r.readAt(pl.ext.Segment, block, data+int64(i)*ondisk.BlockSize); err != nil {
			return 0, err
		}
		if err := h.VerifyBlock(i, block); err != nil {
			return 0, err
		}
		done += copy(p[done:total], block[in:])
	}
	return total, nil
}

// readStep is how much is read before it is verified: little enough to be in the cache of the core
// still, and enough that calls do not count.
const readStep = 256 << 10

// readBlocks fills p with as many whole blocks of a frame as fit, beginning with block i, and
// verifies each. data is where the frame's data begins.
func (r *Reader) readBlocks(p []byte, h *ondisk.FrameHeader, i int, segment uint32, data int64) (int, error) {
	n, last := 0, i
	for last*ondisk.BlockSize < h.Data && n+h.BlockLen(last) <= len(p) {
		n += h.BlockLen(last)
		last++
	}
	if err := r.readAt(segment, p[:n], data+int64(i)*ondisk.BlockSize); err != nil {
		return 0, err
	}
	for at := 0; i < last; i++ {
		size := h.BlockLen(i)
		if err := h.VerifyBlock(i, p[at:at+size]); err != nil {
			return 0, err
		}
		at += size
	}
	return n, nil
}

// header reads the header of a frame, or takes the one that was read last.
func (r *Reader) header(p place, n int) (ondisk.FrameHeader, error) {
	r.mu.Lock()
	if r.known == n {
		defer r.mu.Unlock()
		return r.hdr, nil
	}
	r.mu.Unlock()
	var room [ondisk.FrameHeaderRoom]byte
	b := room[:ondisk.FrameHeaderSize(p.data, r.wide)]
	var h ondisk.FrameHeader
	if err := r.readAt(p.ext.Segment, b, p.off); err != nil {
		return h, err
	}
	return h, r.takeHeader(&h, b, p, n)
}

// takeHeader decodes the header of frame n and remembers it.
func (r *Reader) takeHeader(h *ondisk.FrameHeader, b []byte, p place, n int) error {
	if err := ondisk.DecodeFrameHeader(h, b); err != nil {
		return err
	}
	if err := r.check(h, p, n); err != nil {
		return err
	}
	r.mu.Lock()
	r.hdr, r.known = *h, n
	r.mu.Unlock()
	return nil
}

// ownFile is a descriptor that one reader has for itself. A descriptor that many share looks to the
// kernel as if it were read at random: it reads little ahead, and keeps what it reads in single
// pages, which cost more to copy from.
type ownFile struct {
	no   uint32
	file vfs.File
	refs int // guarded by Reader.mu
}

// readAt fills b from a segment file; a long shard is read through descriptors of the reader's own.
func (r *Reader) readAt(no uint32, b []byte, off int64) error {
	if r.size < longShard {
		return r.s.readAt(no, b, off)
	}
	f, err := r.open(no)
	if err != nil {
		return corrupt(err)
	}
	err = readFull(f.file, b, off)
	r.mu.Lock()
	r.drop(f)
	r.mu.Unlock()
	return err
}

// open returns the reader's descriptor of a file, after which drop has to be called.
func (r *Reader) open(no uint32) (*ownFile, error) {
	r.mu.Lock()
	if f := r.own; f != nil && f.no == no {
		f.refs++
		r.mu.Unlock()
		return f, nil
	}
	r.mu.Unlock()
	file, err := r.s.openFile(no, forRead)
	if err != nil {
		return nil, err
	}
	f := &ownFile{no: no, file: file, refs: 1}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.drop(r.own)
		r.own = f
		f.refs++
	}
	return f, nil
}

// drop gives a descriptor back; the last user closes it. r.mu is held.
func (r *Reader) drop(f *ownFile) {
	if f == nil {
		return
	}
	if f.refs--; f.refs == 0 {
		_ = f.file.Close() // nothing was written through it
	}
}

// readAt fills b from a segment file. Bytes that cannot be had are damage, whatever the reason.
func (s *Store) readAt(no uint32, b []byte, off int64) error {
	h, err := s.files.get(no, forRead)
	if err != nil {
		return corrupt(err)
	}
	defer s.files.put(h)
	return readFull(h.file, b, off)
}

func readFull(f vfs.File, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return corrupt(err)
}

func corrupt(err error) error {
	if errors.Is(err, ondisk.ErrCorrupt) {
		return err
	}
	return fmt.Errorf("%w: %w", ondisk.ErrCorrupt, err)
}
