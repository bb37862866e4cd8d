package segment

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/ondisk"
)

// Found is one thing that a walk met in a segment file.
type Found struct {
	Off    int64
	Size   int64              // bytes on disk, header and padding included; 0 if that is not known
	Header ondisk.FrameHeader // zero if the header itself is damaged
	Damage error              // what is wrong with the frame, wrapping ondisk.ErrCorrupt or ondisk.ErrNewer
}

const (
	walkWindow = 64 << 10
	headerMax  = ondisk.FrameHeaderRoom
)

// walker finds the frames of one generation in a segment file without the index.
type walker struct {
	f       io.ReaderAt
	no, gen uint32
	tag     uint32 // of the drive
	end     int64
	until   int64 // frames that begin from here on are not looked for; 0: up to end
	verify  bool  // read and check the data too

	win  []byte // window of the file
	at   int64  // where it begins
	data []byte
}

// walk calls fn for every frame from off on that carries the segment's number and generation, in
// order of offset. Behind a frame the next one follows at once, or at a page boundary; where there
// is none, the search goes on at the next page. Frames of other generations are passed over page by
// page, because newer ones may lie in what was their middle. Data is looked for headers only where
// no frame is known, so that what users store cannot pose as a frame unless a real one is damaged.
func (w *walker) walk(off int64, fn func(Found) error) error {
	for off < w.end && (w.until == 0 || off < w.until) {
		b, err := w.window(off)
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return nil
		}
		var found Found
		switch err := ondisk.DecodeFrameHeader(&found.Header, b); {
		case err == nil && found.Header.Segment == w.no && found.Header.Generation == w.gen:
			found.Off = off
			found.Size = int64(ondisk.FrameSize(found.Header.Data, found.Header.Run))
			found.Damage = w.check(&found)
		case err == nil || !begins(b):
			off = alignUp(off + 1)
			continue
		default:
			found = Found{Off: off, Damage: err}
		}
		if err := fn(found); err != nil {
			return err
		}
		if found.Size > 0 && found.Off+found.Size <= w.end {
			off += found.Size
		} else {
			off = alignUp(off + 1)
		}
	}
	return nil
}

// begins reports whether b looks like the start of a frame.
func begins(b []byte) bool {
	_, err := ondisk.FrameHeaderLen(b)
	return err == nil
}

// window returns the bytes at off, enough for any header unless the file or the walk ends.
func (w *walker) window(off int64) ([]byte, error) {
	have := w.at + int64(len(w.win)) - off
	if off < w.at || have < headerMax && w.at+int64(len(w.win)) < w.end {
		if w.win == nil {
			w.win = make([]byte, walkWindow)
		}
		w.win = w.win[:min(walkWindow, w.end-off)]
		n, err := w.f.ReadAt(w.win, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, corrupt(fmt.Errorf("walk at %d: %w", off, err))
		}
		w.win, w.at = w.win[:n], off
		if err != nil {
			w.end = min(w.end, off+int64(n))
		}
		have = int64(n)
	}
	if have <= 0 {
		return nil, nil
	}
	return w.win[off-w.at:], nil
}

// check verifies the data of a frame, if that is asked for, and that it lies inside.
func (w *walker) check(f *Found) error {
	head := int64(f.Header.Size())
	if f.Off+head+int64(f.Header.Data) > w.end {
		return fmt.Errorf("%w: frame at %d ends behind the segment", ondisk.ErrCorrupt, f.Off)
	}
	if f.Header.Drive != w.tag {
		return fmt.Errorf("%w: frame at %d was written for drive %08x", ondisk.ErrCorrupt, f.Off, f.Header.Drive)
	}
	if !w.verify {
		return nil
	}
	if w.data == nil {
		w.data = make([]byte, ondisk.MaxFrameData)
	}
	data := w.data[:f.Header.Data]
	if n, err := w.f.ReadAt(data, f.Off+head); n < len(data) {
		return corrupt(fmt.Errorf("frame at %d: %w", f.Off, err))
	}
	return f.Header.VerifyData(data)
}

// Inspect walks a segment file and calls fn for every frame of its generation and every damage. It
// needs no store and changes nothing. The header is returned even when the walk fails.
func Inspect(fs vfs.FS, name string, fn func(Found) error) (ondisk.SegmentHeader, error) {
	f, err := fs.Open(name, vfs.SequentialReadsOption)
	if err != nil {
		return ondisk.SegmentHeader{}, fmt.Errorf("inspect: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ondisk.SegmentHeader{}, fmt.Errorf("inspect %s: %w", name, err)
	}
	b := make([]byte, ondisk.SegmentHeaderSize)
	if err := readFull(f, b, 0); err != nil {
		return ondisk.SegmentHeader{}, fmt.Errorf("inspect %s: %w", name, err)
	}
	hdr, err := ondisk.DecodeSegmentHeader(b)
	if err != nil {
		return hdr, fmt.Errorf("inspect %s: %w", name, err)
	}
	w := &walker{f: f, no: hdr.Segment, gen: hdr.Generation, tag: ondisk.DriveTag(hdr.Drive), end: min(info.Size(), hdr.Size), verify: true}
	if err := w.walk(page, fn); err != nil {
		return hdr, fmt.Errorf("inspect %s: %w", name, err)
	}
	return hdr, nil
}
