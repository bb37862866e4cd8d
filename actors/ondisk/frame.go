package ondisk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/minio/crc64nvme"

	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
)

const (
	// FrameHeaderRoom is the free room that a frame buffer has before its data, and the length of a
	// run frame's header. It is one page, so that the data behind it stays aligned.
	FrameHeaderRoom = 4096
	// BlockSize is the number of data bytes under one checksum: a range read verifies so many at a time.
	BlockSize = 64 << 10
	// MaxFrameData is the largest number of data bytes in one frame.
	MaxFrameData = 1 << 20
	// MaxFrameBlocks is the number of checksums that a frame can need.
	MaxFrameBlocks = MaxFrameData / BlockSize
	// FrameHeaderMin is the number of bytes that tell how long a header is (FrameHeaderLen).
	FrameHeaderMin = frameFixed + 8 + 4
)

const (
	frameFormat = 1
	frameFixed  = 60         // bytes before the checksums of the blocks
	frameMagic  = 0x48466672 // "HFfr"

	flagRun = 1 // a run frame; all other bits are reserved
)

// FrameHeader describes one frame: up to MaxFrameData bytes of one shard.
type FrameHeader struct {
	Drive      uint32 // tag of the drive it was written on (DriveTag)
	Run        bool   // run frame: header and data padded to 4 KiB; else pack frame: neither is
	Segment    uint32 // segment number the frame was written to
	Generation uint32 // generation of the segment when it was written; another one marks a stale frame
	OID        object.OID
	Write      object.WriteID
	Number     uint32 // of the frame within its shard, from 0
	Data       int    // bytes of shard data
	// Blocks are the CRC64-NVME of each BlockSize bytes of data, the last of what remains.
	Blocks [MaxFrameBlocks]uint64
}

// DriveTag is what frames carry of their drive's identity. The shards of an object have one oid and
// often, on drives that were filled side by side, one segment number, generation and offset: without
// it a frame that lies on the wrong drive would be taken for that drive's own.
func DriveTag(id cluster.DriveID) uint32 { return crc32c(id[:]) }

// FrameBlocks is the number of checksummed blocks in so many bytes of data.
func FrameBlocks(data int) int { return (data + BlockSize - 1) / BlockSize }

// FrameHeaderSize is the length of the header of a frame with so many bytes of data.
func FrameHeaderSize(data int, run bool) int {
	if run {
		return FrameHeaderRoom
	}
	return frameFixed + 8*FrameBlocks(data) + 4
}

// FrameSize is the length of a whole frame on disk, padding included.
func FrameSize(data int, run bool) int {
	n := FrameHeaderSize(data, run) + data
	if run {
		n = (n + FrameHeaderRoom - 1) / FrameHeaderRoom * FrameHeaderRoom
	}
	return n
}

// Size is the length of the header on disk.
func (h *FrameHeader) Size() int { return FrameHeaderSize(h.Data, h.Run) }

// Sum fills Data and Blocks from the data of the frame, which is not empty and at most
// MaxFrameData long.
func (h *FrameHeader) Sum(data []byte) {
	h.Data = len(data)
	h.Blocks = [MaxFrameBlocks]uint64{}
	for i := range FrameBlocks(len(data)) {
		h.Blocks[i] = crc64nvme.Checksum(data[i*BlockSize : min((i+1)*BlockSize, len(data))])
	}
}

// PutFrame completes a frame in place: buf holds FrameHeaderRoom free bytes and then the data. It
// computes the checksums into h and writes the header directly before the data. The frame on disk
// is buf[start:], for a run frame followed by padding of any content up to FrameSize.
func PutFrame(buf []byte, h *FrameHeader) (start int, err error) {
	n := len(buf) - FrameHeaderRoom
	if n <= 0 || n > MaxFrameData {
		return 0, fmt.Errorf("frame of %d bytes, 1 to %d are allowed", n, MaxFrameData)
	}
	h.Sum(buf[FrameHeaderRoom:])
	start = FrameHeaderRoom - h.Size()
	h.put(buf[start:FrameHeaderRoom])
	return start, nil
}

// put writes the header into b, which has its exact length.
func (h *FrameHeader) put(b []byte) {
	clear(b)
	binary.BigEndian.PutUint32(b, frameMagic)
	b[4] = frameFormat
	if h.Run {
		b[5] = flagRun
	}
	binary.BigEndian.PutUint16(b[6:], uint16(len(b)))
	binary.BigEndian.PutUint32(b[8:], h.Segment)
	binary.BigEndian.PutUint32(b[12:], h.Generation)
	copy(b[16:], h.OID[:])
	copy(b[32:], h.Write[:])
	binary.BigEndian.PutUint32(b[48:], h.Number)
	binary.BigEndian.PutUint32(b[52:], uint32(h.Data))
	binary.BigEndian.PutUint32(b[56:], h.Drive)
	for i := range FrameBlocks(h.Data) {
		binary.BigEndian.PutUint64(b[frameFixed+8*i:], h.Blocks[i])
	}
	putCRC(b)
}

// AppendFrameHeader appends the header alone: h was summed or decoded before.
func AppendFrameHeader(dst []byte, h *FrameHeader) []byte {
	n := len(dst)
	dst = append(dst, make([]byte, h.Size())...)
	h.put(dst[n:])
	return dst
}

// FrameHeaderLen returns the length of the header that begins at b, of which it needs 8 bytes. The
// length is not verified yet: DecodeFrameHeader does that.
func FrameHeaderLen(b []byte) (int, error) {
	if len(b) < 8 || binary.BigEndian.Uint32(b) != frameMagic {
		return 0, fmt.Errorf("%w: frame header: no magic", ErrCorrupt)
	}
	n := int(binary.BigEndian.Uint16(b[6:]))
	if n < FrameHeaderMin || n > FrameHeaderRoom {
		return 0, fmt.Errorf("%w: frame header: length %d", ErrCorrupt, n)
	}
	return n, nil
}

// DecodeFrameHeader reads and verifies the header at the start of b, which may be longer.
func DecodeFrameHeader(h *FrameHeader, b []byte) error {
	n, err := FrameHeaderLen(b)
	if err != nil {
		return err
	}
	if len(b) < n {
		return fmt.Errorf("%w: frame header: %d of %d bytes", ErrCorrupt, len(b), n)
	}
	b = b[:n]
	if !checkCRC(b) {
		return fmt.Errorf("%w: frame header: checksum", ErrCorrupt)
	}
	if b[4] > frameFormat || b[5]&^flagRun != 0 {
		return fmt.Errorf("%w: frame header: format %d, flags %#x", ErrNewer, b[4], b[5])
	}
	*h = FrameHeader{
		Run:        b[5]&flagRun != 0,
		Segment:    binary.BigEndian.Uint32(b[8:]),
		Generation: binary.BigEndian.Uint32(b[12:]),
		OID:        object.OID(b[16:32]),
		Write:      object.WriteID(b[32:48]),
		Number:     binary.BigEndian.Uint32(b[48:]),
		Drive:      binary.BigEndian.Uint32(b[56:]),
	}
	data := binary.BigEndian.Uint32(b[52:])
	if b[4] == 0 || data == 0 || data > MaxFrameData || FrameHeaderSize(int(data), h.Run) != n {
		return fmt.Errorf("%w: frame header: %d bytes for %d bytes of data", ErrCorrupt, n, data)
	}
	h.Data = int(data)
	for i := range FrameBlocks(h.Data) {
		h.Blocks[i] = binary.BigEndian.Uint64(b[frameFixed+8*i:])
	}
	return nil
}

// BlockLen is the length of block i, 0 if there is no such block.
func (h *FrameHeader) BlockLen(i int) int {
	return max(0, min(BlockSize, h.Data-i*BlockSize))
}

// VerifyBlock checks the whole of block i.
func (h *FrameHeader) VerifyBlock(i int, block []byte) error {
	if i < 0 || len(block) == 0 || len(block) != h.BlockLen(i) {
		return fmt.Errorf("%w: frame %d of %s: block %d has %d bytes, not %d", ErrCorrupt, h.Number, h.OID, i, len(block), h.BlockLen(i))
	}
	if crc64nvme.Checksum(block) != h.Blocks[i] {
		return fmt.Errorf("%w: frame %d of %s: checksum of block %d", ErrCorrupt, h.Number, h.OID, i)
	}
	return nil
}

// VerifyData checks all data of the frame.
func (h *FrameHeader) VerifyData(data []byte) error {
	if len(data) != h.Data {
		return fmt.Errorf("%w: frame %d of %s: %d bytes of data, not %d", ErrCorrupt, h.Number, h.OID, len(data), h.Data)
	}
	for i := range FrameBlocks(h.Data) {
		if err := h.VerifyBlock(i, data[i*BlockSize:min((i+1)*BlockSize, len(data))]); err != nil {
			return err
		}
	}
	return nil
}

// putCRC writes the CRC32C of all before it into the last 4 bytes.
func putCRC(b []byte) {
	n := len(b) - 4
	binary.BigEndian.PutUint32(b[n:], crc32c(b[:n]))
}

func checkCRC(b []byte) bool {
	n := len(b) - 4
	return binary.BigEndian.Uint32(b[n:]) == crc32c(b[:n])
}

// crc32c is the checksum of headers and small files. MakeTable returns a shared table.
func crc32c(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
