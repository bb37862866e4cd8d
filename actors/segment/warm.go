package segment

import (
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/guardfs"
	"holdfast/actors/ondisk"
)

// ReadWarm reads n bytes of data at offset off, fewer where their frame ends, if they are in memory and
// their file is open; false says nothing about them, and ReadAt finds out. Whole blocks are read into
// buf, which holds ondisk.FrameHeaderRoom bytes and those, and are verified; the result aliases it.
func (r *Reader) ReadWarm(buf []byte, off int64, n int) ([]byte, bool) {
	if off < 0 || n <= 0 || off+int64(n) > r.size {
		return nil, false
	}
	no, at := int(off/int64(r.frame)), int(off%int64(r.frame))
	p, err := r.place(no)
	if err != nil {
		return nil, false
	}
	n = min(n, p.data-at)
	first := at / ondisk.BlockSize
	from := first * ondisk.BlockSize
	to := min((at+n+ondisk.BlockSize-1)/ondisk.BlockSize*ondisk.BlockSize, p.data)
	if len(buf) < ondisk.FrameHeaderRoom+to-from {
		return nil, false
	}
	f := r.atHand(p.ext.Segment)
	if f == nil {
		return nil, false
	}
	defer func() {
		r.mu.Lock()
		r.drop(f)
		r.mu.Unlock()
	}()
	h, ok := r.warmHeader(f.file, buf, p, no)
	data := buf[ondisk.FrameHeaderRoom:][:to-from]
	if !ok || !guardfs.ReadNow(f.file, data, p.off+int64(h.Size()+from)) {
		return nil, false
	}
	for i, rest := first, data; len(rest) > 0; i++ {
		size := h.BlockLen(i)
		if h.VerifyBlock(i, rest[:size]) != nil {
			return nil, false
		}
		rest = rest[size:]
	}
	return data[at-from:][:n], true
}

// warmHeader is header as far as it is in memory; room is long enough for any.
func (r *Reader) warmHeader(file vfs.File, room []byte, p place, no int) (h ondisk.FrameHeader, ok bool) {
	r.mu.Lock()
	if ok = r.known == no; ok {
		h = r.hdr
	}
	r.mu.Unlock()
	if ok {
		return h, true
	}
	b := room[:ondisk.FrameHeaderSize(p.data, r.wide)]
	return h, guardfs.ReadNow(file, b, p.off) && r.takeHeader(&h, b, p, no) == nil
}

// atHand returns the reader's own descriptor of a file, nil if it has none; drop gives it back. Short
// shards, which have none, are read in one go anyway.
func (r *Reader) atHand(no uint32) *ownFile {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.own
	if f == nil || f.no != no {
		return nil
	}
	f.refs++
	return f
}
