package ondisk

import (
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/encoding/protowire"
)

// Merger returns the merge operator of B rows: each operand is a change of counters, the row is
// their sum. It sums whatever fields it finds by number, so a counter that a newer release added
// survives.
//
// It is not a pebble.DeletableValueMerger, which could drop a row of zeros: in Pebble 2.1.7 a merge
// that says so over a base value corrupts the compaction's iterator and brings back the old value or
// panics (cockroachdb/pebble#6168). A bucket's row goes when the bucket is forgotten.
func Merger() *pebble.Merger {
	return &pebble.Merger{
		Name: FormatName,
		Merge: func(key, value []byte) (pebble.ValueMerger, error) {
			if KindOf(key) != RowUsage {
				return nil, fmt.Errorf("%w: merge of key %x, only usage rows are merged", ErrCorrupt, key)
			}
			m := &usageMerger{}
			return m, m.add(value)
		},
	}
}

// counter is one field of a usage row.
type counter struct {
	num protowire.Number
	sum int64
}

type usageMerger struct{ sums []counter } // in order of field number

var _ pebble.ValueMerger = (*usageMerger)(nil)

func (m *usageMerger) add(value []byte) error {
	d := rowDecoder("usage row", value)
	for d.next() {
		v := d.zigzag()
		i, ok := slices.BinarySearchFunc(m.sums, d.num, func(c counter, n protowire.Number) int { return int(c.num - n) })
		if !ok {
			m.sums = slices.Insert(m.sums, i, counter{num: d.num})
		}
		m.sums[i].sum += v
	}
	return d.err
}

// MergeNewer adds an operand; sums do not care for its place.
func (m *usageMerger) MergeNewer(value []byte) error { return m.add(value) }

// MergeOlder adds an operand; sums do not care for its place.
func (m *usageMerger) MergeOlder(value []byte) error { return m.add(value) }

// Finish returns the sum.
func (m *usageMerger) Finish(bool) ([]byte, io.Closer, error) {
	out := []byte{rowFormat}
	for _, c := range m.sums {
		out = appendZigzag(out, c.num, c.sum)
	}
	return out, nil, nil
}
