package drive

import (
	"bytes"
	"slices"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
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
	rows := &b.a.doomed
	rows.keys, rows.buf = rows.keys[:0], rows.buf[:0]
	b.deferred = rows
	m.empty = make([][]byte, 0, len(m.keys))
	err := m.each(b)
	b.deferred = nil
	if err != nil {
		return err
	}
	empty := slices.CompactFunc(m.empty, bytes.Equal)
	for len(empty) >= rangeRun && b.err == nil {
		n, end := b.run(empty)
		if n < rangeRun { // what begins among these is found from the next ones on, if it is long
			empty = empty[rangeRun:]
			continue
		}
		for _, prefix := range empty[:n] {
			b.touch(prefix)
		}
		b.fail(b.pb.DeleteRange(empty[0], end, nil))
		rows.keys = slices.DeleteFunc(rows.keys, func(row []byte) bool {
			return bytes.Compare(row, empty[0]) >= 0 && bytes.Compare(row, end) < 0
		})
		empty = empty[n:]
	}
	for _, row := range rows.keys {
		b.delete(row)
	}
	return b.err
}

// each carries out the collections. Those of keys that are known by heart need no cell.
func (m *collectMsg) each(b *batch) error {
	known := make([]object.Key, 0, len(m.calls))
	for i := range m.calls {
		c := &m.calls[i]
		if b.collectEnded(&c.Req.Request, m.keys[i], c.Reply) {
			m.empty = append(m.empty, m.keys[i])
			known = append(known, c.Req.Key)
		} else {
			m.one(b, i)
		}
		if b.err != nil {
			return b.err
		}
	}
	b.a.forgetEnds(known)
	return nil
}

// collectEnded carries out the collection of a key that has ended, if that leaves nothing of it; else it
// does nothing. The caller forgets the end.
func (b *batch) collectEnded(req *quorum.Request, prefix []byte, reply *Reply) bool {
	a := b.a
	e, ok := b.endOf(req.Key)
	if !ok || len(a.live) > 0 || b.keys[string(prefix)] != nil {
		return false
	}
	set, fence := b.meet(req)
	c := &b.ended
	c.Versions, c.Superseded, c.Tokens = append(c.Versions[:0], e.version()), c.Superseded[:0], a.tokens
	ans := a.machine.Step(b.now(), quorum.At{Key: c, Set: &b.member, Bucket: &b.bucket, Drive: &a.state}, req)
	if !ans.Reply.OK || !c.Empty() {
		return false
	}
	b.reclaimed(c.Superseded)
	b.buf = ondisk.AppendVersionSuffix(append(b.buf[:0], prefix...), e.ref, e.ref.TS)
	b.deleteRow(b.buf)
	b.leave(req, set, fence)
	reply.CopyFrom(&ans.Reply)
	b.known(prefix, b.none())
	return true
}

// doomed are rows that a collection deletes, in the order of their keys.
type doomed struct {
	keys [][]byte
	buf  []byte // memory of keys
}

func (d *doomed) add(key []byte) {
	n := len(d.buf)
	d.buf = append(d.buf, key...)
	d.keys = append(d.keys, d.buf[n:len(d.buf):len(d.buf)])
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
