package drive

import (
	"bytes"
	"slices"

	"holdfast/actors/ondisk"
)

// collectMsg is many collections, in the order of their keys.
type collectMsg struct{ manyMsg }

// first says that the message goes before commits of its batch: a range deletion that came after
// them would take what they wrote.
func (*collectMsg) first() {}

// rangeRun is how many neighbouring keys go by one range deletion. Fewer go row by row: the index
// rebuilds its set of range deletions for the first reader after each change, so thousands of them,
// one per key, cost more than all they would save.
const rangeRun = 16

// apply implements message. Long runs of keys that have nothing else between them go by one range
// deletion, which a list then skips in one step however many there were.
func (m *collectMsg) apply(b *batch) error {
	var rows [][]byte
	b.deferred = &rows
	m.empty = make([][]byte, 0, len(m.keys))
	err := m.manyMsg.apply(b)
	b.deferred = nil
	if err != nil {
		return err
	}
	empty := slices.CompactFunc(m.empty, bytes.Equal)
	for len(empty) > 0 && b.err == nil {
		n, end := b.run(empty)
		if n >= rangeRun {
			for _, prefix := range empty[:n] {
				b.touch(prefix)
			}
			b.fail(b.pb.DeleteRange(empty[0], end, nil))
			rows = slices.DeleteFunc(rows, func(row []byte) bool {
				return bytes.Compare(row, empty[0]) >= 0 && bytes.Compare(row, end) < 0
			})
		}
		empty = empty[max(n, 1):]
	}
	for _, row := range rows {
		b.delete(row)
	}
	return b.err
}

// run is how many of the keys follow each other in the index with nothing between, and a key above
// them and not above any row that stays.
func (b *batch) run(prefixes [][]byte) (n int, end []byte) {
	it := b.iterator()
	if it == nil {
		return 0, nil
	}
	ok := it.SeekGE(prefixes[0])
	for ; n < len(prefixes); n++ {
		if ok && bytes.Compare(it.Key(), prefixes[n]) < 0 {
			break // something lies between
		}
		for ; ok && bytes.HasPrefix(it.Key(), prefixes[n]); ok = it.Next() {
		}
	}
	b.fail(it.Error())
	if ok {
		return n, slices.Clone(it.Key())
	}
	return n, ondisk.AppendKindAfter(nil, ondisk.RowVersion)
}
