package drive

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

// purgeBuckets removes what rows removed buckets still have. Their fences keep anything new out, so
// a bucket that was found empty once stays empty.
func (a *Actor) purgeBuckets(ctx context.Context) error {
	var removed []cluster.BucketID
	a.mu.RLock()
	for id, f := range a.fences {
		if f.Removed && !a.purged[id] {
			removed = append(removed, id)
		}
	}
	a.mu.RUnlock()
	for _, id := range removed {
		if err := a.purge(ctx, id); err != nil {
			return err
		}
		a.mu.Lock()
		a.purged[id] = true
		a.mu.Unlock()
	}
	return nil
}

// purge removes the rows of one bucket, a bounded number per batch.
func (a *Actor) purge(ctx context.Context, bucket cluster.BucketID) error {
	for {
		m := &purgeMsg{reply: newReply(), bucket: bucket}
		if err := a.purgeable(m); err != nil {
			return err
		}
		m.last = len(m.keys) == 0 && len(m.uploads) == 0
		if err := a.pacedDo(ctx, m); err != nil || m.last {
			if err == nil {
				a.reclaim.wakeUp() // for the data
			}
			return err
		}
	}
}

// purgeable looks up to reclaimStep keys and uploads of a bucket.
func (a *Actor) purgeable(m *purgeMsg) error {
	err := a.firstRows(ondisk.RowVersion, m.bucket, func(it *pebble.Iterator) error {
		if ondisk.IsKeyStateKey(it.Key()) {
			key, err := ondisk.ParseKeyStateKey(it.Key())
			m.keys = append(m.keys, key)
			return err
		}
		k, err := ondisk.ParseVersionKey(it.Key())
		m.keys = append(m.keys, k.Key)
		return err
	})
	if err != nil {
		return err
	}
	return a.firstRows(ondisk.RowUpload, m.bucket, func(it *pebble.Iterator) error {
		k, err := ondisk.ParseUploadKey(it.Key())
		if err == nil && !k.IsPart {
			m.uploads = append(m.uploads, k)
		}
		return err
	})
}

// firstRows calls f at the first row of each of the first reclaimStep names that a bucket has rows
// of a kind for.
func (a *Actor) firstRows(kind ondisk.RowKind, bucket cluster.BucketID, f func(*pebble.Iterator) error) (err error) {
	prefix := bucketPrefix(kind, bucket)
	it, err := a.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: ondisk.AppendPrefixEnd(nil, prefix)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	n := 0
	for ok := it.First(); ok && n < reclaimStep; ok = it.NextPrefix() {
		if err := f(it); err != nil {
			return err
		}
		n++
	}
	return it.Error()
}

// purgeMsg removes rows of a removed bucket.
type purgeMsg struct {
	reply
	bucket  cluster.BucketID
	keys    []object.Key
	uploads []ondisk.UploadKey
	last    bool // nothing was found: what is kept beside the names goes too
}

func (*purgeMsg) isMsg()        {}
func (m *purgeMsg) weight() int { return 256 * (len(m.keys) + len(m.uploads)) }

// apply implements message.
func (m *purgeMsg) apply(b *batch) error {
	for _, key := range m.keys {
		b.purgeKey(key)
	}
	for _, k := range m.uploads {
		if b.size() >= b.a.o.Limits.BatchBytes {
			break // the next round finds the others
		}
		b.dropSome(k.Key, k.Upload)
	}
	if !m.last {
		return b.err
	}
	a := b.a
	b.delete(ondisk.AppendUsageKey(b.buf[:0], m.bucket))
	delete(b.usage, m.bucket)
	b.fail(a.each(ondisk.RowHint, func(key, value []byte) error {
		h, err := ondisk.DecodePending(value)
		if err == nil && h.Key.Bucket == m.bucket {
			b.delete(key)
		}
		return err
	}))
	return b.err
}

// purgeKey removes all rows of a key and gives their data back.
func (b *batch) purgeKey(key object.Key) {
	c := b.cell(key, ondisk.AppendVersionPrefix(nil, key), need{all: true})
	b.a.noteEnds()
	b.a.forgetEnd(key)
	if b.err != nil {
		return
	}
	type place struct {
		oid object.OID
		at  ondisk.Location
	}
	given := make(map[place]bool) // versions may share data
	for i := range c.state.Versions {
		v, r := &c.state.Versions[i], &c.rows[i]
		b.buf = ondisk.AppendVersionSuffix(append(b.buf[:0], c.prefix...), v.Ref, v.Rev)
		b.delete(b.buf)
		if p := b.a.unstable(revision{v.Ref, v.Rev}); p != nil {
			b.endPending(p)
			b.a.settle(p)
		}
		if p := (place{r.data.OID, r.at}); !given[p] {
			given[p] = true
			b.discard(r.data, r.at, r.parts)
		}
	}
	b.delete(c.prefix)
	c.reset(key, c.prefix)
	c.whole = true
}
