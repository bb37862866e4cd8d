package ondisk

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/minio/crc64nvme"

	"holdfast/raftfsm/cluster"
)

const (
	// JournalEndSize is the length of a JournalEnd.
	JournalEndSize = 64

	journalFileMagic = "HFjrnlfl"
	journalEndMagic  = "HFjrnend"
	sum64Size        = 8 // a checksum that is the last of what it covers
)

// JournalFile is what the first page of a journal's file says of the file. It is durable before the file
// has its name, so each file that there is has one.
type JournalFile struct {
	Drive cluster.DriveID
	File  uint32 // its number
	Prev  uint32 // the file whose batches those of this one follow, 0 if none of before is needed
	Nonce uint64 // random, and borne by all records of the file: what was there before cannot know it
	Size  int64  // bytes that the file had when it was made: a shorter one was cut
}

// AppendJournalFile appends the JournalPage bytes of a file's first page.
func AppendJournalFile(dst []byte, f *JournalFile) []byte {
	n := len(dst)
	dst = append(dst, make([]byte, JournalPage)...)
	b := dst[n:]
	copy(b, journalFileMagic)
	b[8] = journalFormat
	copy(b[16:], f.Drive[:])
	binary.BigEndian.PutUint32(b[32:], f.File)
	binary.BigEndian.PutUint32(b[36:], f.Prev)
	binary.BigEndian.PutUint64(b[40:], f.Nonce)
	binary.BigEndian.PutUint64(b[48:], uint64(f.Size))
	putSum64(b)
	return dst
}

// DecodeJournalFile reads and verifies the first page of a file.
func DecodeJournalFile(b []byte) (JournalFile, error) {
	if err := checkSealed(b, journalFileMagic, JournalPage); err != nil {
		return JournalFile{}, fmt.Errorf("first page of a journal file: %w", err)
	}
	f := JournalFile{
		Drive: cluster.DriveID(b[16:32]),
		File:  binary.BigEndian.Uint32(b[32:]),
		Prev:  binary.BigEndian.Uint32(b[36:]),
		Nonce: binary.BigEndian.Uint64(b[40:]),
		Size:  int64(binary.BigEndian.Uint64(b[48:])),
	}
	if f.File == 0 || f.Prev >= f.File || f.Size < JournalPage {
		return JournalFile{}, fmt.Errorf("%w: first page of a journal file: file %d behind %d, %d bytes", ErrCorrupt, f.File, f.Prev, f.Size)
	}
	return f, nil
}

// JournalEnd says where a drive's journal ends. It lies outside of it and is durable before the file that
// it names is written to: without it a journal that lost its newest file would be a shorter journal.
type JournalEnd struct {
	Drive cluster.DriveID
	File  uint32 // number of the newest file, 0: there never was one
	Batch uint64 // the drive has answered for batches up to it
	// Sealed says that the journal was closed, and that Batch is its last one.
	Sealed bool
}

// AppendJournalEnd appends the JournalEndSize bytes of an end.
func AppendJournalEnd(dst []byte, e *JournalEnd) []byte {
	n := len(dst)
	dst = append(dst, make([]byte, JournalEndSize)...)
	b := dst[n:]
	copy(b, journalEndMagic)
	b[8] = journalFormat
	if e.Sealed {
		b[9] = 1
	}
	copy(b[16:], e.Drive[:])
	binary.BigEndian.PutUint32(b[32:], e.File)
	binary.BigEndian.PutUint64(b[40:], e.Batch)
	putSum64(b)
	return dst
}

// DecodeJournalEnd reads and verifies an end.
func DecodeJournalEnd(b []byte) (JournalEnd, error) {
	if err := checkSealed(b, journalEndMagic, JournalEndSize); err != nil {
		return JournalEnd{}, fmt.Errorf("end of the journal: %w", err)
	}
	if b[9] > 1 {
		return JournalEnd{}, fmt.Errorf("%w: end of the journal: state %d", ErrNewer, b[9])
	}
	return JournalEnd{
		Drive:  cluster.DriveID(b[16:32]),
		File:   binary.BigEndian.Uint32(b[32:]),
		Batch:  binary.BigEndian.Uint64(b[40:]),
		Sealed: b[9] == 1,
	}, nil
}

// checkSealed verifies what begins with a magic of 8 bytes and a format, and ends with its checksum.
func checkSealed(b []byte, magic string, size int) error {
	switch {
	case len(b) != size:
		return fmt.Errorf("%w: %d bytes, not %d", ErrCorrupt, len(b), size)
	case string(b[:8]) != magic:
		return fmt.Errorf("%w: no magic", ErrCorrupt)
	case !checkSum64(b):
		return fmt.Errorf("%w: checksum", ErrCorrupt)
	case b[8] > journalFormat:
		return fmt.Errorf("%w: format %d", ErrNewer, b[8])
	case b[8] == 0:
		return fmt.Errorf("%w: format 0", ErrCorrupt)
	}
	return nil
}

// putSum64 writes the checksum of b, but for its last 8 bytes, into these.
func putSum64(b []byte) {
	binary.BigEndian.PutUint64(b[len(b)-sum64Size:], crc64nvme.Checksum(b[:len(b)-sum64Size]))
}

func checkSum64(b []byte) bool { return sum64Diff(b) == 0 }

func sum64Diff(b []byte) uint64 {
	return binary.BigEndian.Uint64(b[len(b)-sum64Size:]) ^ crc64nvme.Checksum(b[:len(b)-sum64Size])
}

// MendSum64 sets the bit right that is wrong in a JournalFile or a JournalEnd, if it is one, and reports
// whether its checksum is right then.
func MendSum64(b []byte) bool {
	if len(b) < sum64Size {
		return false
	}
	diff := sum64Diff(b)
	if bits.OnesCount64(diff) > 1 {
		bit := flippedBit(diff, len(b)-sum64Size)
		if bit < 0 {
			return false
		}
		flip(b, bit)
		return true
	}
	putSum64(b)
	return true
}
