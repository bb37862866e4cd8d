package drive

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
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

	keys     map[string]*keyRows          // by the prefix of the name's M rows
	uploads  map[string]*uploadRows       // by the key of the upload's row
	segments map[uint32]ondisk.SegmentRow // S rows to write
	usage    map[cluster.BucketID]*ondisk.Usage
	moved    map[object.OID]ondisk.Manifest
	late     []lateRow // D and P rows, see setLate
	lateSize int       // bytes that they will take
	journal  journaled
	names    []uint64 // hashes of the names whose M rows the batch changes
	garbage  bool     // G rows were written
	durable  []func() // run once the batch is durable; only messages, which are synced, add to it
}

// keyRows is what the key's version rows will be after the batch so far.
type keyRows struct {
	heads []rowHead           // newest first, at most maxHeads
	gone  []object.VersionRef // rows of the index that this batch deletes
	sole  *oldRow             // the only row, if there is one and the batch has not changed it
}

// oldRow is what reclaiming a version takes to know of its row.
type oldRow struct {
	rowHead
	row ondisk.VersionView // refers to no memory of the index
	at  ondisk.Location    // of an inline payload
}

// rowHead is one version row without what it says.
type rowHead struct {
	ref object.VersionRef
	rev object.Stamp
}

// maxHeads bounds how many rows of a key with many versions are looked at for a decision, which
// needs the newest alone.
const maxHeads = 64

func (a *Actor) newBatch() *batch {
	a.recent.begin()
	return &batch{a: a, num: a.batchNo + 1, pb: a.db.NewBatch()}
}

func (b *batch) close() {
	b.closeIter()
	if err := b.pb.Close(); err != nil {
		b.fail(err)
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

// rows returns the version rows of the key whose prefix (ondisk.AppendVersionPrefix) is given.
func (b *batch) rows(prefix []byte) *keyRows {
	if k := b.keys[string(prefix)]; k != nil {
		return k
	}
	k := b.note(prefix)
	it := b.iteratorOf(prefix)
	if it == nil {
		return k
	}
	for ok := it.SeekPrefixGE(prefix); ok && len(k.heads) < maxHeads; ok = it.Next() {
		_, _, ref, rev, err := ondisk.SplitVersionKey(it.Key())
		if err != nil {
			b.fail(err)
			return k
		}
		k.heads = append(k.heads, rowHead{ref, rev})
		if len(k.heads) > 1 {
			k.sole = nil
		} else if k.sole, err = soleRow(k.heads[0], it.Value()); err != nil {
			b.fail(err)
			return k
		}
	}
	b.fail(it.Error())
	return k
}

// soleRow keeps what matters of a row.
func soleRow(head rowHead, value []byte) (*oldRow, error) {
	own, shared, err := ondisk.SplitVersionValue(value)
	if err != nil {
		return nil, err
	}
	v, err := ondisk.ViewVersion(shared)
	if err != nil {
		return nil, err
	}
	kept := ondisk.VersionView{Kind: v.Kind, Size: v.Size, Refs: v.Refs, Ref: v.Ref, Parts: v.Parts}
	return &oldRow{rowHead: head, row: kept, at: own.At}, nil
}

// note begins the account of a key that the batch has not met, without rows.
func (b *batch) note(prefix []byte) *keyRows {
	if b.keys == nil {
		b.keys = make(map[string]*keyRows)
	}
	k := &keyRows{}
	b.keys[string(prefix)] = k
	return k
}

// newest is the newest version of the key, zero if it has none.
func (k *keyRows) newest() object.VersionRef {
	if len(k.heads) == 0 {
		return object.VersionRef{}
	}
	return k.heads[0].ref
}

func (k *keyRows) holds(ref object.VersionRef, rev object.Stamp) bool {
	return slices.Contains(k.heads, rowHead{ref, rev})
}

func (k *keyRows) has(ref object.VersionRef) bool {
	return slices.ContainsFunc(k.heads, func(h rowHead) bool { return h.ref == ref })
}

// add notes a row that the batch writes.
func (k *keyRows) add(h rowHead) {
	i, _ := slices.BinarySearchFunc(k.heads, h, func(a, b rowHead) int {
		if c := b.ref.Compare(a.ref); c != 0 {
			return c
		}
		return cmp.Compare(b.rev, a.rev)
	})
	k.heads, k.sole = slices.Insert(k.heads, i, h), nil
}

// remove notes that the batch deletes all rows of a version.
func (k *keyRows) remove(ref object.VersionRef) {
	k.gone, k.sole = append(k.gone, ref), nil
	k.heads = slices.DeleteFunc(k.heads, func(h rowHead) bool { return h.ref == ref })
}

func (k *keyRows) isGone(ref object.VersionRef) bool { return slices.Contains(k.gone, ref) }

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
	b.addLater(lateRow{how: pebble.InternalKeyKindDelete, key: ondisk.AppendInlineKey(nil, oid)})
}

// deletePending removes a P row, which was written exactly once: if that was not long ago, both vanish
// with the next flush.
func (b *batch) deletePending(p *pending) {
	key := ondisk.AppendPendingKey(nil, p.set, p.Ref, p.Rev)
	b.addLater(lateRow{how: pebble.InternalKeyKindSingleDelete, key: key})
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

// setVersion writes an M row from the shared part that the coordinator sent.
func (b *batch) setVersion(key []byte, own ondisk.Own, shared []byte) {
	b.val = ondisk.AppendVersionValue(b.val[:0], own, shared)
	b.set(key, b.val)
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
	marks := ondisk.Marks{Highest: object.Stamp(a.clocks.Load()), Batch: b.num, Peers: a.peers}
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
		b.drop(at)
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
