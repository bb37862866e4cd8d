package drive

import (
	"slices"
	"sync"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

// maxMarks bounds the marks of one batch, so that commits do not wait long behind those of many
// overwrites. A batch with a collection takes all: it answers for the marks before it.
const maxMarks = 4096

// markQueue holds stable marks until a batch takes them. They have no mailbox of their own places:
// thousands may ride with one batch, and nobody waits for them.
type markQueue struct {
	wake  chan struct{} // capacity 1
	limit int

	mu    sync.Mutex
	marks []Mark // guarded by mu
	spare []Mark // guarded by mu: the slice of the last batch, for reuse
}

func (q *markQueue) init(limit int) {
	q.wake = make(chan struct{}, 1)
	q.limit = limit
}

// put queues marks, all or none.
func (q *markQueue) put(marks []Mark) bool {
	q.mu.Lock()
	if len(q.marks)+len(marks) > q.limit {
		q.mu.Unlock()
		return false
	}
	q.marks = append(q.marks, marks...)
	q.mu.Unlock()
	q.signal()
	return true
}

// take returns the oldest marks, at most limit of them; the slice is valid until the next take.
func (q *markQueue) take(limit int) []Mark {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.marks) <= limit {
		marks := q.marks
		q.marks, q.spare = q.spare[:0], marks
		return marks
	}
	q.spare = append(q.spare[:0], q.marks[:limit]...)
	rest := copy(q.marks, q.marks[limit:])
	clear(q.marks[rest:])
	q.marks = q.marks[:rest]
	q.signal()
	return q.spare
}

func (q *markQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *markQueue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.marks)
}

// Mark implements Committer.
func (a *Actor) Mark(marks []Mark) error {
	if err := a.usable(); err != nil {
		return err
	}
	if len(marks) > 0 && !a.marks.put(marks) {
		return a.wrap(ErrBusy)
	}
	return nil
}

// applyMarks writes what the queued marks say, before the operations of the batch: they speak of
// versions of earlier ones.
func (b *batch) applyMarks(limit int) {
	marks := b.a.marks.take(limit)
	for i := range marks {
		b.mark(&marks[i])
		if b.err != nil {
			return
		}
	}
	clear(marks) // lets go of the names
}

// mark makes one version stable. A mark of a version that is not pending is old news, or speaks of
// one that this drive missed: what the drive has instead stays, for a healer to compare.
func (b *batch) mark(m *Mark) {
	a := b.a
	p := a.unstable(m.Ref)
	if p == nil {
		return
	}
	b.dropPending(m.Ref, p)
	if m.Missed != 0 {
		b.hint(p, m.Missed)
	}
	newest := true // no newer version of the key is stable
	switch {
	case p.fresh:
	case p.old != nil:
		b.supersedeOld(m, p)
	default:
		newest = b.supersede(m)
	}
	b.countStable(p, newest, 1)
}

// supersedeOld is supersede for the usual case: the commit saw one older version, and nothing has
// come to the key since, so that nothing need be looked up again.
func (b *batch) supersedeOld(m *Mark, p *pending) {
	if m.Versioned {
		b.countCurrent(m.Key, p.old.row.Kind, -1)
		return
	}
	key := ondisk.AppendVersionKey(nil, m.Key, p.old.ref, p.old.rev)
	prefix := key[:ondisk.Split(key)]
	rows := b.keys[string(prefix)]
	if rows == nil {
		rows = b.note(prefix)
		rows.heads = append(rows.heads, rowHead{m.Ref, p.Rev})
	}
	b.reclaimRow(key, m, p.old, p.old.row.OID() == p.data.OID)
	rows.remove(p.old.ref)
}

// dropPending removes a version's P row, in memory at once: the evidence is there already.
func (b *batch) dropPending(ref object.VersionRef, p *pending) {
	b.deletePending(p)
	b.a.settle(ref)
}

// hint leaves an H row for each slot that misses the version: the redundancy debt.
func (b *batch) hint(p *pending, missed uint16) {
	row := p.Pending
	row.Slots = missed
	b.val = ondisk.AppendPending(b.val[:0], &row)
	for slot := range uint8(16) {
		if missed&(1<<slot) != 0 {
			b.buf = ondisk.AppendHintKey(b.buf[:0], p.set, slot, p.Ref, p.Rev)
			b.set(b.buf, b.val)
		}
	}
}

// supersede reclaims the versions that a stable one makes useless, or, in a versioned bucket, only
// finds out which of the stable ones was the newest until now. It reports whether m's version is
// the newest stable one of its key.
func (b *batch) supersede(m *Mark) (newest bool) {
	prefix := ondisk.AppendVersionPrefix(nil, m.Key)
	rows := b.keys[string(prefix)]
	known := rows != nil
	if !known {
		rows = b.note(prefix)
	}
	it := b.iteratorOf(prefix)
	if it == nil {
		return false
	}
	newest = true
	var kept []object.OID // data that newer versions refer to as well
	for ok := it.SeekPrefixGE(prefix); ok && b.err == nil; ok = it.Next() {
		_, _, ref, rev, err := ondisk.SplitVersionKey(it.Key())
		if err != nil {
			b.fail(err)
			return false
		}
		if !known && len(rows.heads) < maxHeads {
			rows.heads = append(rows.heads, rowHead{ref, rev}) // what b.rows would have found
		}
		if rows.isGone(ref) {
			continue
		}
		own, shared, err := ondisk.SplitVersionValue(it.Value())
		if err != nil {
			b.fail(err)
			return false
		}
		row, err := ondisk.ViewVersion(shared)
		if err != nil {
			b.fail(err)
			return false
		}
		switch c := ref.Compare(m.Ref); {
		case c >= 0:
			kept = append(kept, row.OID())
			newest = newest && (c == 0 || b.a.unstable(ref) != nil)
		case m.Versioned:
			if b.a.unstable(ref) == nil {
				if newest {
					b.countCurrent(m.Key, row.Kind, -1)
				}
				return newest
			}
		default:
			b.reclaimRow(it.Key(), m, &oldRow{rowHead{ref, rev}, row, own.At}, slices.Contains(kept, row.OID()))
			rows.remove(ref)
		}
	}
	b.fail(it.Error())
	return newest
}

// reclaimRow deletes one superseded version and gives its data back, unless a newer version of the
// key refers to the same data (a copy onto itself that changed metadata only).
func (b *batch) reclaimRow(key []byte, m *Mark, old *oldRow, shared bool) {
	ref, row := old.ref, &old.row
	b.delete(key)
	if p := b.a.unstable(ref); p != nil {
		// Nobody may take its absence for evidence that it was never accepted (P1).
		state := b.a.keyState(m.Key)
		state.Superseded = append(slices.Clone(state.Superseded), ondisk.Attempt{TS: ref.TS, Write: ref.Write, Epoch: p.Epoch})
		b.setKeyState(m.Key, state)
		b.dropPending(ref, p)
	} else {
		p := &pending{kind: row.Kind, size: row.Size}
		p.Key = m.Key
		b.countStable(p, true, -1)
	}
	if row.Refs > 0 && !shared {
		b.discard(row.Ref, old.at, row.Parts > 0)
	}
}

// countStable adds a version that became stable to its bucket's usage, or takes one away.
func (b *batch) countStable(p *pending, newest bool, sign int64) {
	u := b.count(p.Key.Bucket)
	switch p.kind {
	case ondisk.KindObject:
		u.Versions += sign
		u.Bytes += sign * p.size
	case ondisk.KindDeleteMarker:
		u.Markers += sign
	}
	if newest {
		b.countCurrent(p.Key, p.kind, sign)
	}
}

// countCurrent counts keys whose newest stable version is an object.
func (b *batch) countCurrent(key object.Key, kind ondisk.VersionKind, sign int64) {
	if kind == ondisk.KindObject {
		b.count(key.Bucket).Objects += sign
	}
}
