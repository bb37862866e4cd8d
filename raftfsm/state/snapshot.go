package state

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// A snapshot is all rows in one stream:
//
//	magic "HFCTLSNP" 8 | version 4 | index 8 | term 8 | rows 4 | digest 32
//	per row, by key:  key length 4 | row length 4 | key | row
//	CRC32C of everything before 4
//
// Integers are little endian.
const (
	snapshotMagic   = "HFCTLSNP"
	snapshotVersion = 1
	snapshotHeader  = 8 + 4 + 8 + 8 + 4 + 32
	maxRow          = 16 << 20
)

// WriteTo writes the state as a snapshot.
func (s *State) WriteTo(w io.Writer) (int64, error) {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10)
	h := append(make([]byte, 0, snapshotHeader), snapshotMagic...)
	h = binary.LittleEndian.AppendUint32(h, snapshotVersion)
	h = binary.LittleEndian.AppendUint64(h, s.index)
	h = binary.LittleEndian.AppendUint64(h, s.term)
	h = binary.LittleEndian.AppendUint32(h, uint32(s.rows))
	out.Write(append(h, s.digest[:]...)) // a failure sticks and is returned by Flush
	total := int64(snapshotHeader)
	rows := s.Rows()
	keys := make([]string, 0, len(rows))
	for k := range rows {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		var n [8]byte
		binary.LittleEndian.PutUint32(n[:], uint32(len(k)))
		binary.LittleEndian.PutUint32(n[4:], uint32(len(rows[k])))
		out.Write(n[:])
		out.WriteString(k)
		out.Write(rows[k])
		total += int64(len(n) + len(k) + len(rows[k]))
	}
	if err := out.Flush(); err != nil {
		return 0, fmt.Errorf("state %d: write snapshot: %w", s.index, err)
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32())); err != nil {
		return 0, fmt.Errorf("state %d: write snapshot: %w", s.index, err)
	}
	return total + 4, nil
}

// ReadSnapshot reads and verifies what WriteTo wrote.
func ReadSnapshot(r io.Reader) (*State, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	if len(b) < snapshotHeader+4 || string(b[:8]) != snapshotMagic {
		return nil, fmt.Errorf("read snapshot: %w: header", ErrCorrupt)
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return nil, fmt.Errorf("read snapshot: %w: checksum does not match", ErrCorrupt)
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != snapshotVersion {
		return nil, fmt.Errorf("read snapshot: %w: version %d, known is %d", ErrNewer, v, snapshotVersion)
	}
	index, term := binary.LittleEndian.Uint64(b[12:]), binary.LittleEndian.Uint64(b[20:])
	count, digest := binary.LittleEndian.Uint32(b[28:]), Digest(b[32:])
	rows, err := readRows(body[snapshotHeader:])
	if err == nil && len(rows) != int(count) {
		err = fmt.Errorf("%w: %d rows instead of %d", ErrCorrupt, len(rows), count)
	}
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	s, err := FromRows(index, term, digest, rows)
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	return s, nil
}

func readRows(b []byte) (map[string][]byte, error) {
	rows := map[string][]byte{}
	last := ""
	for len(b) > 0 {
		if len(b) < 8 {
			return nil, fmt.Errorf("%w: row is cut off", ErrCorrupt)
		}
		k, n := int(binary.LittleEndian.Uint32(b)), int(binary.LittleEndian.Uint32(b[4:]))
		b = b[8:]
		if k > maxRow || n > maxRow || k+n > len(b) {
			return nil, fmt.Errorf("%w: row is cut off", ErrCorrupt)
		}
		key := string(b[:k])
		if key <= last {
			return nil, fmt.Errorf("%w: rows out of order", ErrCorrupt)
		}
		rows[key], last = bytes.Clone(b[k:k+n]), key
		b = b[k+n:]
	}
	return rows, nil
}
