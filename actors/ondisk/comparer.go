package ondisk

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"
)

// FormatName names the comparer and the merger. Pebble stores it and refuses to open an index that
// was written with another, so a change of key order is a new name.
const FormatName = "holdfast.v2"

// Comparer returns the index's key order: plain bytes. What it adds to Pebble's default is Split,
// which cuts M and U keys behind the terminator of the name, so that one bloom filter probe
// answers whether a block holds anything of a name (SeekPrefixGE).
func Comparer() *pebble.Comparer {
	d := pebble.DefaultComparer
	return &pebble.Comparer{
		Name:                 FormatName,
		Compare:              bytes.Compare,
		Equal:                bytes.Equal,
		ComparePointSuffixes: bytes.Compare,
		CompareRangeSuffixes: bytes.Compare,
		AbbreviatedKey:       d.AbbreviatedKey,
		Split:                Split,
		ImmediateSuccessor:   immediateSuccessor,
		FormatKey:            d.FormatKey,
		// Shortening bytes is right for any byte string here: order is bytewise, and Split's
		// contract holds for keys that are not rows too (see Split).
		Separator: d.Separator,
		Successor: d.Successor,
	}
}

// Split returns the length of the part of a key that is equal for all rows of one name: for M
// and U keys all up to and with the terminator of the name, else the whole key. The first 00 01
// behind the bucket ends it, whatever follows, so two keys that agree that far have the same
// prefix; with that, bytewise order is an order by (prefix, suffix) for every byte string.
func Split(key []byte) int {
	switch KindOf(key) {
	case RowVersion, RowUpload:
		if len(key) > bucketEnd {
			if end := nameEnd(key, bucketEnd); end > 0 {
				return end
			}
		}
	}
	return len(key)
}

// immediateSuccessor appends the lowest key above prefix that is a prefix too. All that extends a
// terminated name splits back to it, so the next one has a higher terminator.
func immediateSuccessor(dst, prefix []byte) []byte {
	dst = append(dst, prefix...)
	switch KindOf(prefix) {
	case RowVersion, RowUpload:
		if len(prefix) > bucketEnd && nameEnd(prefix, bucketEnd) == len(prefix) {
			dst[len(dst)-1]++ // 00 01 -> 00 02
			return dst
		}
	}
	return append(dst, 0)
}
