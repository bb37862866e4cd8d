package segment

import (
	"golang.org/x/sys/unix"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// writePages writes b at off and fills the last page up with zeros: a page written in part would
// have to be read first where a recycled file is not in memory.
func (s *Store) writePages(h *handle, b []byte, off int64) error {
	end := off + int64(len(b))
	last := end &^ (page - 1)
	if last == end || last <= off {
		_, err := h.file.WriteAt(b, off)
		return err
	}
	buf := s.bufs.Get().(*[]byte)
	defer s.bufs.Put(buf)
	rest := (*buf)[:page]
	clear(rest[copy(rest, b[last-off:]):])
	if _, err := h.file.WriteAt(b[:last-off], off); err != nil {
		return err
	}
	_, err := h.file.WriteAt(rest, last)
	return err
}

// writeBack tells the kernel to begin writing what a big stream has filled, so that the sync at its
// end is short. Shards of a chunk or less are not worth it: on recycled segments it costs more than
// it brings.
func (w *Writer) writeBack(p *part) {
	const step = chunkUnits * UnitSize
	if !w.run || p.next-w.flushed < step || w.shard.Size >= 0 && w.shard.Size < 2*step {
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
