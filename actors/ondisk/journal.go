package ondisk

import (
	"encoding/binary"
	"fmt"

	"github.com/minio/crc64nvme"

	"holdfast/actors/object"
)

const (
	// JournalPage is what records of a journal are aligned to: no page that was synced is written again.
	JournalPage = 4096
	// JournalHeaderSize is the length of a record's header.
	JournalHeaderSize = 64
	// PayloadHeaderSize is the length of the header before each payload of a record.
	PayloadHeaderSize = 40
	// MaxJournalRecord is the largest record in bytes: what a reader believes a header.
	MaxJournalRecord = 256 << 20

	journalFormat = 1
	journalMagic  = 0x4846_6a72 // "HFjr"
	payloadFormat = 1
	payloadMagic  = 0x4846_6a70 // "HFjp"
	recordCRC     = 56          // where a record's header keeps its checksum
	payloadCRC    = 32          // the same of a payload's
)

// JournalHeader describes one record of a drive's journal: one batch of index rows, and behind the
// header and before the rows the payloads of small shards that came with it.
type JournalHeader struct {
	Drive    uint32 // tag of the drive that wrote it (DriveTag)
	File     uint32 // number of the journal's file it was written to; another one marks a stale record
	Batch    uint64 // number of the batch
	Durable  int64  // bytes of the file that were known durable when the record was written
	Nonce    uint64 // of the file (JournalFile)
	Payloads int    // bytes of payloads, their headers included
	Rows     int    // bytes of rows: a batch as the index writes it
}

// Size is the length of the whole record in the file, padding included.
func (h *JournalHeader) Size() int64 {
	n := int64(JournalHeaderSize) + int64(h.Payloads) + int64(h.Rows)
	return (n + JournalPage - 1) / JournalPage * JournalPage
}

// rowsAt is where the rows begin in the record.
func (h *JournalHeader) rowsAt() int { return JournalHeaderSize + h.Payloads }

// PutJournalHeader writes the header of a record into its first JournalHeaderSize bytes. record holds
// room for it, h.Payloads bytes of payloads, and h.Rows bytes of rows.
func PutJournalHeader(record []byte, h *JournalHeader) {
	b := record[:JournalHeaderSize]
	clear(b)
	binary.BigEndian.PutUint32(b, journalMagic)
	b[4] = journalFormat
	binary.BigEndian.PutUint32(b[8:], uint32(h.Rows))
	binary.BigEndian.PutUint32(b[12:], uint32(h.Payloads))
	binary.BigEndian.PutUint32(b[16:], h.Drive)
	binary.BigEndian.PutUint32(b[20:], h.File)
	binary.BigEndian.PutUint64(b[24:], h.Batch)
	binary.BigEndian.PutUint64(b[32:], uint64(h.Durable))
	binary.BigEndian.PutUint64(b[40:], h.Nonce)
	rows := record[h.rowsAt() : h.rowsAt()+h.Rows]
	binary.BigEndian.PutUint64(b[recordCRC:], sumRecord(b, rows))
}

// sumRecord is the checksum of a record: of its header up to the checksum, and of its rows. Payloads
// have their own, so that damage of one shard is not damage of the log.
func sumRecord(header, rows []byte) uint64 {
	return crc64nvme.Update(crc64nvme.Checksum(header[:recordCRC]), rows)
}

// ParseJournalHeader reads the header at the start of b without its checksum, which is over the rows
// too: what it says is how much to read, and is believed once JournalRows has verified it.
func ParseJournalHeader(b []byte) (JournalHeader, error) {
	if len(b) < JournalHeaderSize {
		return JournalHeader{}, fmt.Errorf("%w: journal record: %d bytes", ErrCorrupt, len(b))
	}
	if binary.BigEndian.Uint32(b) != journalMagic {
		return JournalHeader{}, fmt.Errorf("%w: journal record: no magic", ErrCorrupt)
	}
	h := JournalHeader{
		Rows:     int(binary.BigEndian.Uint32(b[8:])),
		Payloads: int(binary.BigEndian.Uint32(b[12:])),
		Drive:    binary.BigEndian.Uint32(b[16:]),
		File:     binary.BigEndian.Uint32(b[20:]),
		Batch:    binary.BigEndian.Uint64(b[24:]),
		Durable:  int64(binary.BigEndian.Uint64(b[32:])),
		Nonce:    binary.BigEndian.Uint64(b[40:]),
	}
	if h.Rows > MaxJournalRecord || h.Payloads > MaxJournalRecord || h.Size() > MaxJournalRecord || h.Durable < 0 {
		return JournalHeader{}, fmt.Errorf("%w: journal record: %d bytes of rows, %d of payloads", ErrCorrupt, h.Rows, h.Payloads)
	}
	return h, nil
}

// JournalRows verifies a record, of which record holds all but the padding, and returns its header and
// rows. The rows alias record. The payloads are not verified.
func JournalRows(record []byte) (JournalHeader, []byte, error) {
	h, err := ParseJournalHeader(record)
	if err != nil {
		return h, nil, err
	}
	if len(record) < h.rowsAt()+h.Rows {
		return h, nil, fmt.Errorf("%w: journal record: %d of %d bytes", ErrCorrupt, len(record), h.rowsAt()+h.Rows)
	}
	rows := record[h.rowsAt() : h.rowsAt()+h.Rows]
	if binary.BigEndian.Uint64(record[recordCRC:]) != sumRecord(record, rows) {
		return h, nil, fmt.Errorf("%w: journal record: checksum", ErrCorrupt)
	}
	if record[4] > journalFormat {
		return h, nil, fmt.Errorf("%w: journal record: format %d", ErrNewer, record[4])
	}
	if record[4] == 0 || h.Batch == 0 {
		return h, nil, fmt.Errorf("%w: journal record: format %d, batch %d", ErrCorrupt, record[4], h.Batch)
	}
	return h, rows, nil
}

// Location says where a drive keeps the payload of a small shard: in a file of its journal. The zero
// Location is nowhere.
type Location struct {
	File   uint32 // number of the file
	Offset uint32 // of the payload's header in it
	Length uint32 // bytes, header included
}

// IsZero says that there is no payload.
func (l Location) IsZero() bool { return l == Location{} }

// AppendPayload appends a payload with its header, as it lies in a record.
func AppendPayload(dst []byte, drive uint32, oid object.OID, payload []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, payloadMagic)
	n := len(dst) - 4
	dst = append(dst, payloadFormat, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.BigEndian.AppendUint32(dst, drive)
	dst = append(dst, oid[:]...)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	dst = append(dst, payload...)
	binary.BigEndian.PutUint64(dst[n+payloadCRC:], sumPayload(dst[n:]))
	return dst
}

// sumPayload is the checksum of a payload and of its header up to the checksum.
func sumPayload(b []byte) uint64 {
	return crc64nvme.Update(crc64nvme.Checksum(b[:payloadCRC]), b[PayloadHeaderSize:])
}

// DecodePayload verifies a payload with its header, which is all of b, and returns whose it is. The
// payload aliases b.
func DecodePayload(b []byte) (drive uint32, oid object.OID, payload []byte, err error) {
	n, err := PayloadLen(b)
	if err != nil {
		return 0, oid, nil, err
	}
	if len(b) != n {
		return 0, oid, nil, fmt.Errorf("%w: payload: %d bytes, not %d", ErrCorrupt, len(b), n)
	}
	if binary.BigEndian.Uint64(b[payloadCRC:]) != sumPayload(b) {
		return 0, oid, nil, fmt.Errorf("%w: payload: checksum", ErrCorrupt)
	}
	if b[4] > payloadFormat {
		return 0, oid, nil, fmt.Errorf("%w: payload: format %d", ErrNewer, b[4])
	}
	if b[4] == 0 {
		return 0, oid, nil, fmt.Errorf("%w: payload: format 0", ErrCorrupt)
	}
	return binary.BigEndian.Uint32(b[12:]), object.OID(b[16:32]), b[PayloadHeaderSize:], nil
}

// PayloadLen returns the length, header included, of the payload that begins at b. It is not verified
// yet: DecodePayload does that.
func PayloadLen(b []byte) (int, error) {
	if len(b) < PayloadHeaderSize || binary.BigEndian.Uint32(b) != payloadMagic {
		return 0, fmt.Errorf("%w: payload: no magic", ErrCorrupt)
	}
	n := binary.BigEndian.Uint32(b[8:])
	if n > MaxJournalRecord {
		return 0, fmt.Errorf("%w: payload of %d bytes", ErrCorrupt, n)
	}
	return PayloadHeaderSize + int(n), nil
}

// VerifyPayloads checks all payloads of a record, of which record holds all but the padding.
func VerifyPayloads(record []byte, h *JournalHeader) error {
	for b := record[JournalHeaderSize:h.rowsAt()]; len(b) > 0; {
		n, err := PayloadLen(b)
		if err != nil {
			return err
		}
		if n > len(b) {
			return fmt.Errorf("%w: payload of %d bytes in %d", ErrCorrupt, n, len(b))
		}
		if _, _, _, err := DecodePayload(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
