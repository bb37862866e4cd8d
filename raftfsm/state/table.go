package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
)

// rec is one row: a value with its encoded form. It is immutable once it is in a table.
type rec[T any] struct {
	key     string
	val     T
	unknown []byte // fields written by a newer program, kept as they are
	row     []byte // encoded value with its checksum
}

// table is a list of rows sorted by key. Changing it copies the list of pointers, never the rows:
// 8 bytes a row, 8 KB for 1,000 buckets. Two versions of a table share the rows they have in common,
// so their difference is found by comparing pointers.
type table[T any] []*rec[T]

func (t table[T]) find(key string) (int, bool) {
	return slices.BinarySearchFunc(t, key, func(r *rec[T], k string) int { return strings.Compare(r.key, k) })
}

func (t table[T]) get(key string) (*rec[T], bool) {
	i, ok := t.find(key)
	if !ok {
		return nil, false
	}
	return t[i], true
}

// with returns the table with r in it, and the row that it replaced, if any.
func (t table[T]) with(r *rec[T]) (table[T], *rec[T]) {
	i, ok := t.find(r.key)
	next := make(table[T], 0, len(t)+1)
	next = append(append(next, t[:i]...), r)
	if ok {
		return append(next, t[i+1:]...), t[i]
	}
	return append(next, t[i:]...), nil
}

// without returns the table lacking key, and the row that went.
func (t table[T]) without(key string) (table[T], *rec[T]) {
	i, ok := t.find(key)
	if !ok {
		return t, nil
	}
	next := make(table[T], 0, len(t)-1)
	return append(append(next, t[:i]...), t[i+1:]...), t[i]
}

// diff adds to put the rows of next that old lacks, and returns del with the keys of old that next lacks.
func diff[T any](old, next table[T], put map[string][]byte, del []string) []string {
	i, j := 0, 0
	for i < len(old) || j < len(next) {
		switch {
		case i < len(old) && j < len(next) && old[i] == next[j]:
			i, j = i+1, j+1
		case j == len(next) || i < len(old) && old[i].key < next[j].key:
			del = append(del, old[i].key)
			i++
		default:
			same := i < len(old) && old[i].key == next[j].key
			if !same || !bytes.Equal(old[i].row, next[j].row) {
				put[next[j].key] = next[j].row
			}
			if same {
				i++
			}
			j++
		}
	}
	return del
}

func (t table[T]) rows(into map[string][]byte) {
	for _, r := range t {
		into[r.key] = r.row
	}
}

// RowVersion is the first byte of every row.
const RowVersion = 1

// sealRow turns the fields of a row into the row: version, fields, CRC32C over key and both.
func sealRow(key string, fields []byte) []byte {
	row := make([]byte, 0, 1+len(fields)+4)
	row = append(append(row, RowVersion), fields...)
	return binary.LittleEndian.AppendUint32(row, rowSum(key, row))
}

func rowSum(key string, body []byte) uint32 {
	castagnoli := crc32.MakeTable(crc32.Castagnoli) // built once inside the package
	return crc32.Update(crc32.Checksum([]byte(key), castagnoli), castagnoli, body)
}

// openRow checks a row and returns its fields.
func openRow(key string, row []byte) ([]byte, error) {
	if len(row) < 5 {
		return nil, rowError(key, ErrCorrupt, "row is cut off")
	}
	body, sum := row[:len(row)-4], binary.LittleEndian.Uint32(row[len(row)-4:])
	if rowSum(key, body) != sum {
		return nil, rowError(key, ErrCorrupt, "checksum does not match")
	}
	if body[0] != RowVersion {
		return nil, rowError(key, ErrNewer, "row has another version")
	}
	return body[1:], nil
}

// Digest covers a set of rows regardless of their order: the XOR of the SHA-256 of each key and
// row, so that a change costs the hash of the rows it touches and not of all. Keys are unique, so no
// row cancels another. It finds damage and omissions; it is no defence against a forger.
type Digest [sha256.Size]byte

// Toggle adds a row to the digest, or takes it away again.
func (d *Digest) Toggle(key string, row []byte) {
	h := sha256.New()
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(key)))
	h.Write(n[:])
	h.Write([]byte(key))
	h.Write(row)
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	for i := range d {
		d[i] ^= sum[i]
	}
}
