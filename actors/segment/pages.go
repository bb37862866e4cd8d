package segment

import (
	"io"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/guardfs"
)

// writeDirect writes whole pages past the page cache, which takes a fraction of the CPU time and
// leaves nothing for a sync to write. It reports false, having failed nobody, if this file system or
// this memory cannot do it; the caller then writes as usual.
func (s *Store) writeDirect(no uint32, b []byte, off int64) (bool, error) {
	if !s.direct.Load() || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%page != 0 || len(b)%page != 0 {
		return false, nil
	}
	h, err := s.files.get(no, forDirect)
	if err != nil {
		return false, err
	}
	defer s.files.put(h)
	if !s.direct.Load() {
		return false, nil
	}
	refused := func(err error) bool { return unsupported(err) || guardfs.IsNoSpace(err) }
	err = s.health.Change("write", fileName(no), refused, func() error {
		for len(b) > 0 {
			t := s.enterDirect()
			n, err := unix.Pwrite(int(h.file.Fd()), b[:min(len(b), directStep)], off)
			s.leaveDirect(t)
			if err == unix.EINTR {
				continue
			}
			if err == nil && n == 0 {
				err = io.ErrShortWrite
			}
			if err != nil {
				return err
			}
			b, off = b[n:], off+int64(n)
		}
		return nil
	})
	if err != nil && unsupported(err) {
		s.direct.Store(false)
		return false, nil
	}
	return err == nil, err
}

// writeFrame writes a frame of a part at off.
func (s *Store) writeFrame(p *part, b []byte, off int64) error {
	whole := len(b) &^ (page - 1)
	ok, err := s.writeDirect(p.g.no, b[:whole], off)
	if err != nil {
		return err
	}
	if ok {
		if b, off = b[whole:], off+int64(whole); len(b) == 0 {
			return nil
		}
	}
	p.cached = p.cached || !ok
	return s.writePages(p.h, b, off)
}

// writePages writes b at off and fills the last page up with zeros: a page written in part would
// have to be read first where a recycled file is not in memory.
func (s *Store) writePages(h *handle, b []byte, off int64) error {
	end := off + int64(len(b))
	last := end &^ (page - 1)
	if last == end || last < off {
		_, err := h.file.WriteAt(b, off)
		return err
	}
	buf := s.blocks.Get().(*[]byte)
	defer s.blocks.Put(buf)
	rest := (*buf)[:page]
	clear(rest[copy(rest, b[last-off:]):])
	if last > off {
		if _, err := h.file.WriteAt(b[:last-off], off); err != nil {
			return err
		}
	}
	_, err := h.file.WriteAt(rest, last)
	return err
}

// writeBack tells the kernel to begin writing what a big stream has filled, so that the sync at its
// end is short. Shards of a chunk or less are not worth it: on recycled segments it costs more than
// it brings.
func (w *Writer) writeBack(p *part) {
	const step = chunkUnits * UnitSize
	if !w.run || !p.cached || p.next-w.flushed < step || w.shard.Size >= 0 && w.shard.Size < 2*step {
		return
	}
	from := w.flushed
	w.flushed = p.next
	if fd := p.h.file.Fd(); fd != vfs.InvalidFd {
		// An error means that the file system lacks the call, or that a page could not be written,
		// which is for the health to judge: the sync that follows might not be told again.
		_ = w.s.health.Change("write back", fileName(p.g.no), unsupported, func() error {
			return unix.SyncFileRange(int(fd), from, p.next-from, unix.SYNC_FILE_RANGE_WRITE)
		})
	}
}
