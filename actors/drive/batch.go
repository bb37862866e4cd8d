package drive

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// batch is one Pebble batch in the making. It is owned by the loop. Operations of one batch see
// each other's changes through keys, not through the index: the iterator reads the state before
// the batch.
type batch struct {
	a    *Actor
	num  uint64
	pb   *pebble.Batch
	iter *pebble.Iterator // made when first needed, reads the state before the batch
	flat *pebble.Iterator // the same for names that are not recent: reads tables alone
	buf  []byte           // scratch for one key
	val  []byte           // scratch for one value
	err  error            // an error of the index: the batch must not be committed

	keys     map[string]*cell             // by the prefix of the name's M rows
	uploads  map[string]*uploadRows       // by the key of the upload's row
	segments map[uint32]ondisk.SegmentRow // S rows to write
	usage    map[cluster.BucketID]*ondisk.Usage
	moved    map[object.OID]ondisk.Manifest // X rows that it writes and may look up
	late     []lateRow                      // D and P rows, see setLate
	lateSize int                            // bytes that they will take
	journal  journaled
	names    []uint64 // hashes of the names whose M rows the batch changes
	garbage  bool     // G rows were written
	durable  []func() // run once the batch is durable; only messages, which are synced, add to it

	aged     bool               // the horizon rose
	time     time.Time          // of the batch, zero until it is asked for
	name     []byte             // scratch for one prefix
	rowKeys  []byte             // memory of late rows' keys
	req      quorum.Request     // scratch for one mark
	marking  *pending           // what the mark of the present step is about
	member   quorum.SetState    // the set of the present step
	bucket   quorum.BucketState // its bucket
	opening  []ondisk.Upload    // rows that the present step brought for uploads
	deferred *doomed            // rows that a collection deletes together
	ended    quorum.KeyState    // scratch for a key that has ended
}

func (a *Actor) newBatch() *batch {
	a.recent.begin()
	b := a.batch // its memory is used again
	if b == nil {
		b = &batch{}
	}
	*b = batch{
		a: a, num: a.batchNo + 1, pb: a.db.NewBatch(),
		buf: b.buf[:0], val: b.val[:0], name: b.name[:0], rowKeys: b.rowKeys[:0], late: b.late[:0], names: b.names[:0],
		keys: b.keys, ended: b.ended,
	}
	a.batch = nil
	return b
}

// maxKeys is how many keys a batch may have touched for its map to be used again: to clear one takes
// as long as it was ever large.
const maxKeys = 64

// maxLate is how many late rows a batch may have had for its memory to be kept.
const maxLate = 2048

func (b *batch) close() {
	b.closeIter()
	for _, c := range b.keys {
		if c != b.none() {
			b.spare(c)
		}
	}
	if err := b.pb.Close(); err != nil {
		b.fail(err)
	}
	if len(b.keys) <= maxKeys {
		clear(b.keys)
	} else {
		b.keys = nil
	}
	if cap(b.late) <= maxLate {
		clear(b.late)
		b.a.batch = b
	}
}

func (b *batch) closeIter() {
	for _, it := range []**pebble.Iterator{&b.iter, &b.flat} {
		if *it != nil {
			b.fail((*it).Close())
			*it = nil
		}
	}
}

// fail keeps the first error of the index.
func (b *batch) fail(err error) {
	if b.err == nil && err != nil {
		b.err = err
	}
}

// iterator returns the batch's reader of the state before it. Blooms of the last level are asked
// too: the usual lookup is that of a key which does not exist yet.
func (b *batch) iterator() *pebble.Iterator { return b.open(&b.iter, false) }

// iteratorOf is iterator for the M rows of one name, whose prefix is given, and for no others.
func (b *batch) iteratorOf(prefix []byte) *pebble.Iterator {
	if b.a.recent.has(prefix) {
		return b.iterator()
	}
	return b.open(&b.flat, true)
}

func (b *batch) open(it **pebble.Iterator, flushed bool) *pebble.Iterator {
	if *it == nil {
		made, err := b.a.db.NewIter(&pebble.IterOptions{UseL6Filters: true, OnlyReadGuaranteedDurable: flushed})
		if err != nil {
			b.fail(fmt.Errorf("iterator: %w", err))
			return nil
		}
		*it = made
	}
	return *it
}

// set writes one row.
func (b *batch) set(key, value []byte) {
	b.touch(key)
	b.fail(b.pb.Set(key, value, nil))
}

// delete removes one row, which need not exist.
func (b *batch) delete(key []byte) {
	b.touch(key)
	b.fail(b.pb.Delete(key, nil))
}

// touch notes that the batch changes an M row. Whoever deletes M rows by a range calls it for each.
func (b *batch) touch(key []byte) {
	if ondisk.KindOf(key) == ondisk.RowVersion {
		b.names = append(b.names, b.a.recent.hash(key[:ondisk.Split(key)]))
	}
}

// lateRow is one change of a D or P row.
type lateRow struct {
	how   pebble.InternalKeyKind
	key   []byte
	value []byte // in use until the batch is written
}

// setLate writes a D or P row with the others of its kind, in key order: rows of times that are close
// lie side by side, and the index finds the place of one from that of the one before. value stays
// the caller's and must not change until the batch is written.
func (b *batch) setLate(key, value []byte) {
	b.addLater(lateRow{pebble.InternalKeyKindSet, key, value})
}

// deleteInline removes a D row.
func (b *batch) deleteInline(oid object.OID) {
	n := len(b.rowKeys)
	b.rowKeys = ondisk.AppendInlineKey(b.rowKeys, oid)
	b.addLater(lateRow{how: pebble.InternalKeyKindDelete, key: b.rowKeys[n:len(b.rowKeys):len(b.rowKeys)]})
}

// deletePending removes a P row, which was written exactly once: if that was not long ago, both vanish
// with the next flush.
func (b *batch) deletePending(p *pending) {
	n := len(b.rowKeys)
	b.rowKeys = ondisk.AppendPendingKey(b.rowKeys, p.set, p.Ref, p.Rev)
	b.addLater(lateRow{how: pebble.InternalKeyKindSingleDelete, key: b.rowKeys[n:len(b.rowKeys):len(b.rowKeys)]})
}

func (b *batch) addLater(l lateRow) {
	b.late = append(b.late, l)
	b.lateSize += len(l.key) + len(l.value) + rowOverhead
}

// rowOverhead is what a row takes in a batch beside its key and value, at most.
const rowOverhead = 8

// size is about how many bytes of rows the batch has.
func (b *batch) size() int { return b.pb.Len() + b.lateSize }

// addLate moves the late rows into the batch. Changes of one key keep their order.
func (b *batch) addLate() {
	slices.SortStableFunc(b.late, func(x, y lateRow) int { return bytes.Compare(x.key, y.key) })
	for i := range b.late {
		switch l := &b.late[i]; l.how {
		case pebble.InternalKeyKindSet:
			b.set(l.key, l.value)
		case pebble.InternalKeyKindDelete:
			b.delete(l.key)
		default:
			b.fail(b.pb.SingleDelete(l.key, nil))
		}
	}
}

// count adds to a bucket's usage; the sums of the batch are written as one merge per bucket.
func (b *batch) count(bucket cluster.BucketID) *ondisk.Usage {
	u := b.usage[bucket]
	if u == nil {
		if b.usage == nil {
			b.usage = make(map[cluster.BucketID]*ondisk.Usage)
		}
		u = &ondisk.Usage{}
		b.usage[bucket] = u
	}
	return u
}

// setMarks writes what goes with every batch that changes something: usage sums and the Z row, by
// which a drive that was set back to an older image is told from one that is merely late.
func (b *batch) setMarks() {
	for bucket, u := range b.usage {
		b.val = ondisk.AppendUsage(b.val[:0], u)
		b.fail(b.pb.Merge(ondisk.AppendUsageKey(b.buf[:0], bucket), b.val, nil))
	}
	for no, row := range b.segments {
		b.val = ondisk.AppendSegmentRow(b.val[:0], &row)
		b.set(ondisk.AppendSegmentKey(b.buf[:0], no), b.val)
	}
	b.setJournal()
	a := b.a
	a.mu.RLock()
	marks := ondisk.Marks{Highest: a.state.Highest, Horizon: a.state.Horizon, Batch: b.num, Peers: a.peers}
	b.val = ondisk.AppendMarks(b.val[:0], &marks)
	a.mu.RUnlock()
	b.set(ondisk.AppendMarksKey(b.buf[:0]), b.val)
	b.addLate()
}

// discard gives back the data of a version: an inline payload in this batch, all else by a G row.
func (b *batch) discard(ref ondisk.Ref, at ondisk.Location, parts bool) {
	switch {
	case ref.OID.IsZero():
	case ref.Inline && !parts:
		b.dropPayload(at)
	default:
		b.addGarbage(&ondisk.Garbage{OID: ref.OID, Inline: ref.Inline, Parts: parts})
	}
}

// discardPart gives back the data of a part, which lies in a D row if it is inline.
func (b *batch) discardPart(ref ondisk.Ref) {
	switch {
	case ref.OID.IsZero():
	case ref.Inline:
		b.deleteInline(ref.OID)
	default:
		b.addGarbage(&ondisk.Garbage{OID: ref.OID})
	}
}

// addGarbage leaves work for the reclaimer.
func (b *batch) addGarbage(g *ondisk.Garbage) {
	b.a.garbage++
	b.garbage = true
	b.val = ondisk.AppendGarbage(b.val[:0], g)
	b.buf = ondisk.AppendGarbageKey(b.buf[:0], b.a.garbage)
	b.set(b.buf, b.val)
}
