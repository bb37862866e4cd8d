package ondisk

import (
	"encoding/binary"
	"fmt"

	"holdfast/raftfsm/cluster"
)

// SegmentHeaderSize is the length of the header at the start of each segment file.
const SegmentHeaderSize = 4096

const (
	segmentFormat = 1
	segmentMagic  = "HFsegmnt"
)

// SegmentHeader says what a segment file is. The S row is the truth about its use; the header lets
// a file be recognised without the index, and a copied or swapped file be refused.
type SegmentHeader struct {
	Drive      cluster.DriveID
	Segment    uint32
	Generation uint32
	Class      SegmentClass
	Size       int64 // bytes of the file, header included
	Extent     int64 // bytes of one extent of a run segment, 0 for others
}

// AppendSegmentHeader appends the SegmentHeaderSize bytes of a header.
func AppendSegmentHeader(dst []byte, h *SegmentHeader) []byte {
	n := len(dst)
	dst = append(dst, make([]byte, SegmentHeaderSize)...)
	b := dst[n:]
	copy(b, segmentMagic)
	b[8] = segmentFormat
	b[9] = byte(h.Class)
	copy(b[16:], h.Drive[:])
	binary.BigEndian.PutUint32(b[32:], h.Segment)
	binary.BigEndian.PutUint32(b[36:], h.Generation)
	binary.BigEndian.PutUint64(b[40:], uint64(h.Size))
	binary.BigEndian.PutUint64(b[48:], uint64(h.Extent))
	putCRC(b)
	return dst
}

// DecodeSegmentHeader reads and verifies the header at the start of b, which may be longer.
func DecodeSegmentHeader(b []byte) (SegmentHeader, error) {
	if len(b) < SegmentHeaderSize {
		return SegmentHeader{}, fmt.Errorf("%w: segment header: %d of %d bytes", ErrCorrupt, len(b), SegmentHeaderSize)
	}
	b = b[:SegmentHeaderSize]
	if string(b[:8]) != segmentMagic {
		return SegmentHeader{}, fmt.Errorf("%w: segment header: no magic", ErrCorrupt)
	}
	if !checkCRC(b) {
		return SegmentHeader{}, fmt.Errorf("%w: segment header: checksum", ErrCorrupt)
	}
	h := SegmentHeader{
		Class:      SegmentClass(b[9]),
		Drive:      cluster.DriveID(b[16:32]),
		Segment:    binary.BigEndian.Uint32(b[32:]),
		Generation: binary.BigEndian.Uint32(b[36:]),
		Size:       int64(binary.BigEndian.Uint64(b[40:])),
		Extent:     int64(binary.BigEndian.Uint64(b[48:])),
	}
	switch {
	case b[8] > segmentFormat || h.Class > SegmentRun:
		return SegmentHeader{}, fmt.Errorf("%w: segment header: format %d, class %d", ErrNewer, b[8], h.Class)
	case b[8] == 0 || h.Size < SegmentHeaderSize || h.Extent < 0 || h.Extent > h.Size:
		return SegmentHeader{}, fmt.Errorf("%w: segment header: size %d, extent %d", ErrCorrupt, h.Size, h.Extent)
	}
	return h, nil
}
