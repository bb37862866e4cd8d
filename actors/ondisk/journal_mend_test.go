package ondisk

import (
	"bytes"
	"testing"
)

// TestOneWrongBitOfARecordIsSetRight: wherever it is, in the header, in the rows or in a payload.
func TestOneWrongBitOfARecordIsSetRight(t *testing.T) {
	want := journalRecord()
	h, err := ParseJournalHeader(want)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(want) {
		b := bytes.Clone(want)
		flip(b, bit)
		if !IsNearJournalHeader(b, h.Drive, h.File, h.Nonce) {
			t.Fatalf("bit %d: not taken for a record", bit)
		}
		if !mendAll(b) || !bytes.Equal(b, want) {
			t.Fatalf("bit %d was not set right", bit)
		}
	}
}

// mendAll does to a record in memory what a journal does to one in a file.
func mendAll(b []byte) bool {
	if _, _, err := JournalRows(b); err != nil && !MendJournalRecord(b) && !mendHeader(b) {
		return false
	}
	h, err := ParseJournalHeader(b)
	return err == nil && MendPayloads(b, &h)
}

func mendHeader(b []byte) bool {
	for range JournalHeaderFlips(b[:JournalHeaderSize]) {
		if _, _, err := JournalRows(b); err == nil {
			return true
		}
	}
	return false
}

// TestTornRecordsAreNotMended: a sector that was not written is more than a bit.
func TestTornRecordsAreNotMended(t *testing.T) {
	rows := bytes.Repeat([]byte("rows of a batch "), 500)
	b := AppendPayload(make([]byte, JournalHeaderSize), 10, [16]byte{7}, bytes.Repeat([]byte{0xa5}, 3000))
	h := JournalHeader{Drive: 10, File: 11, Batch: 12, Payloads: len(b) - JournalHeaderSize, Rows: len(rows)}
	b = append(b, rows...)
	PutJournalHeader(b, &h)
	for at := 0; at+512 <= len(b); at += 512 {
		torn := bytes.Clone(b)
		clear(torn[at : at+512])
		if mendAll(torn) {
			t.Errorf("a record without bytes %d to %d was mended", at, at+512)
		}
	}
	for at := range b[:len(b)-1] { // two bits are more than one
		twice := bytes.Clone(b)
		twice[at] ^= 0x11
		if mendAll(twice) {
			t.Errorf("byte %d with two wrong bits was mended", at)
		}
	}
}

// TestOneWrongBitOfASealedPageIsSetRight: of the first page of a journal's file, and of what says where
// the journal ends. Two are not.
func TestOneWrongBitOfASealedPageIsSetRight(t *testing.T) {
	page := AppendJournalFile(nil, &JournalFile{Drive: [16]byte{1}, File: 3, Prev: 2, Nonce: 1 << 40, Size: 1 << 20})
	end := AppendJournalEnd(nil, &JournalEnd{Drive: [16]byte{1}, File: 3, Batch: 99})
	for _, want := range [][]byte{page, end} {
		for bit := range 8 * len(want) {
			b := bytes.Clone(want)
			flip(b, bit)
			if !MendSum64(b) || !bytes.Equal(b, want) {
				t.Fatalf("bit %d of %d bytes was not set right", bit, len(want))
			}
			flip(b, bit)
			flip(b, (bit+9)%(8*len(want)))
			if MendSum64(b) {
				t.Fatalf("two bits of %d bytes, %d and 9 behind it, were taken for one", len(want), bit)
			}
		}
	}
}
