package ondisk

import (
	"encoding/binary"
	"iter"
	"math/bits"
)

// A checksum of 64 bits does not only tell that a record is damaged: if one bit is wrong it tells which,
// because the checksums of two records that differ in one bit differ by a value of its own for each
// place (the code is linear, and its distance is above two for anything a record can hold). A write that
// was torn by a loss of power differs in whole sectors and looks so with a chance of one in 2^40. This is
// how the last record of a journal, behind which nothing says that it was durable, is known to be rotten
// and not torn: it was acknowledged, perhaps, and must not be forgotten.

// crcPoly is the polynomial of CRC64-NVME, reversed as the algorithm uses it.
const crcPoly = 0x9a6c9329ac4bc9b5

// flippedBit returns the bit of n bytes, counted from the least significant one of the first, whose
// flipping changes the checksum over all that ends with them by diff; -1 if there is none.
func flippedBit(diff uint64, n int) int {
	s := uint64(1)
	for i := 8*n - 1; i >= 0; i-- {
		s = s>>1 ^ crcPoly&-(s&1)
		if s == diff {
			return i
		}
	}
	return -1
}

func flip(b []byte, bit int) { b[bit/8] ^= 1 << (bit % 8) }

// IsNearJournalHeader says whether b begins with the header of a record of this drive and file, or with
// one of which one bit is wrong.
func IsNearJournalHeader(b []byte, drive, file uint32, nonce uint64) bool {
	return len(b) >= JournalHeaderSize && bits.OnesCount32(binary.BigEndian.Uint32(b)^journalMagic)+
		bits.OnesCount32(binary.BigEndian.Uint32(b[16:])^drive)+bits.OnesCount32(binary.BigEndian.Uint32(b[20:])^file)+
		bits.OnesCount64(binary.BigEndian.Uint64(b[40:])^nonce) <= 1
}

// JournalHeaderFlips turns over each bit of a header, one at a time: during each round of a loop over it
// another one is wrong, or right. After the loop b is as it was, or, when the loop was left, as then.
func JournalHeaderFlips(b []byte) iter.Seq[int] {
	return func(yield func(int) bool) {
		for bit := range 8 * JournalHeaderSize {
			flip(b, bit)
			if !yield(bit) {
				return
			}
			flip(b, bit)
		}
	}
}

// MendJournalRecord sets the bit right that is wrong in the rows of a record, of which record holds all
// but the padding, and reports whether the record is whole then. Payloads are left as they are.
func MendJournalRecord(record []byte) bool {
	h, err := ParseJournalHeader(record)
	if err != nil || len(record) < h.rowsAt()+h.Rows {
		return false
	}
	rows := record[h.rowsAt() : h.rowsAt()+h.Rows]
	diff := binary.BigEndian.Uint64(record[recordCRC:]) ^ sumRecord(record, rows)
	if diff == 0 {
		return true
	}
	bit := flippedBit(diff, len(rows))
	if bit < 0 {
		return false
	}
	flip(rows, bit)
	return true
}

// MendPayloads sets the bit right that is wrong in the payloads of a record, if it is one, and reports
// whether they are whole then.
func MendPayloads(record []byte, h *JournalHeader) bool {
	for b := record[JournalHeaderSize:h.rowsAt()]; len(b) > 0; {
		n, err := PayloadLen(b)
		if err != nil || n > len(b) || !isPayload(b[:n]) {
			return mendPayload(b) && VerifyPayloads(record, h) == nil
		}
		b = b[n:]
	}
	return true
}

func isPayload(b []byte) bool {
	_, _, _, err := DecodePayload(b)
	return err == nil
}

// mendPayload sets one bit of the first payload of b right.
func mendPayload(b []byte) bool {
	if n, err := PayloadLen(b); err == nil && n <= len(b) {
		diff := binary.BigEndian.Uint64(b[payloadCRC:]) ^ sumPayload(b[:n])
		if bit := flippedBit(diff, n-PayloadHeaderSize); bit >= 0 {
			flip(b[PayloadHeaderSize:], bit)
			return isPayload(b[:n])
		}
	}
	for bit := range 8 * min(PayloadHeaderSize, len(b)) {
		flip(b, bit)
		if n, err := PayloadLen(b); err == nil && n <= len(b) && isPayload(b[:n]) {
			return true
		}
		flip(b, bit)
	}
	return false
}
