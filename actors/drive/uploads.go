package drive

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

// uploadRows is what a batch has done to one open upload so far: the index does not say it yet.
type uploadRows struct {
	open     bool
	dropping bool                // some of its parts are gone
	parts    []ondisk.UploadPart // put in this batch
}

// upload returns the state of an upload after the batch so far.
func (b *batch) upload(key []byte) *uploadRows {
	if u := b.uploads[string(key)]; u != nil {
		return u
	}
	u := &uploadRows{}
	_, closer, err := b.a.db.Get(key)
	switch {
	case err == nil:
		u.open = true
		b.fail(closer.Close())
	case !errors.Is(err, pebble.ErrNotFound):
		b.fail(fmt.Errorf("upload row: %w", err))
	}
	if b.uploads == nil {
		b.uploads = make(map[string]*uploadRows)
	}
	b.uploads[string(key)] = u
	return u
}

// target checks the fences of a change of an upload's rows.
func (b *batch) target(at *Target) error {
	if err := b.a.fenced(at.Key.Bucket, at.BucketRev); err != nil {
		return err
	}
	_, err := b.enter(at.Set, at.Epoch)
	return err
}

// putUploadMsg is a PutUpload in the mailbox.
type putUploadMsg struct {
	reply
	at Target
	up ondisk.Upload
}

func (*putUploadMsg) isMsg()      {}
func (*putUploadMsg) weight() int { return 1024 }

// PutUpload implements Uploads.
func (a *Actor) PutUpload(ctx context.Context, at Target, up *ondisk.Upload) error {
	_, err := a.do(ctx, &putUploadMsg{reply: newReply(), at: at, up: *up})
	return err
}

// apply implements message. A repeated message finds its row and changes nothing.
func (m *putUploadMsg) apply(b *batch) error {
	if err := b.target(&m.at); err != nil {
		return err
	}
	key := ondisk.AppendUploadKey(nil, m.at.Key, m.up.ID)
	u := b.upload(key)
	if u.open || b.err != nil {
		return b.err
	}
	m.up.Batch = b.num
	value, err := ondisk.AppendUpload(b.val[:0], &m.up)
	if err != nil {
		return b.a.wrap(fmt.Errorf("put upload: %w", err))
	}
	b.set(key, value)
	b.count(m.at.Key.Bucket).Uploads++
	u.open = true
	return nil
}

// putPartMsg is a PutPart in the mailbox.
type putPartMsg struct {
	reply
	at     Target
	upload object.WriteID
	part   ondisk.UploadPart
	inline []byte // value of the D row, nil if the shard was staged
}

func (*putPartMsg) isMsg()        {}
func (m *putPartMsg) weight() int { return 512 + len(m.inline) }

// PutPart implements Uploads.
func (a *Actor) PutPart(ctx context.Context, at Target, upload object.WriteID, part *ondisk.UploadPart, inline []byte) error {
	if inline != nil {
		if err := a.awaitRoom(ctx); err != nil {
			return err
		}
	}
	m := &putPartMsg{reply: newReply(), at: at, upload: upload, part: *part}
	if inline != nil {
		m.inline = ondisk.AppendInline(nil, inline)
	}
	_, err := a.do(ctx, m)
	return err
}

// apply implements message.
func (m *putPartMsg) apply(b *batch) error {
	if err := b.target(&m.at); err != nil {
		return err
	}
	u := b.upload(ondisk.AppendUploadKey(nil, m.at.Key, m.upload))
	if b.err != nil {
		return b.err
	}
	if !u.open {
		return b.a.wrap(fmt.Errorf("put part: %w", ErrNoUpload))
	}
	ref := object.VersionRef{TS: m.part.TS, Write: m.part.Write}
	key := ondisk.AppendUploadPartKey(nil, m.at.Key, m.upload, m.part.Number, ref)
	_, closer, err := b.a.db.Get(key)
	if err == nil {
		return closer.Close() // sent again
	}
	if !errors.Is(err, pebble.ErrNotFound) {
		b.fail(err)
		return err
	}
	switch {
	case m.inline != nil:
		b.setLate(ondisk.AppendInlineKey(nil, m.part.Ref.OID), m.inline)
	case m.part.Stored > 0:
		if err := b.take(m.part.Ref.OID); err != nil {
			return err
		}
	}
	m.part.Batch = b.num
	b.val = ondisk.AppendUploadPart(b.val[:0], &m.part)
	b.set(key, b.val)
	b.count(m.at.Key.Bucket).PartBytes += m.part.Size
	u.parts = append(u.parts, m.part)
	b.a.saw(m.part.TS)
	return nil
}

// dropUploadMsg is a DropUpload in the mailbox.
type dropUploadMsg struct {
	reply
	at     Target
	upload object.WriteID
	more   bool // parts are left
}

func (*dropUploadMsg) isMsg()      {}
func (*dropUploadMsg) weight() int { return 1024 }

// DropUpload implements Uploads. The row of the upload goes with the last of its parts.
func (a *Actor) DropUpload(ctx context.Context, at Target, upload object.WriteID) error {
	for {
		m := &dropUploadMsg{reply: newReply(), at: at, upload: upload}
		if _, err := a.do(ctx, m); err != nil || !m.more {
			return err
		}
	}
}

// apply implements message. An abort is no data message: it is taken under any revision.
func (m *dropUploadMsg) apply(b *batch) error {
	m.more = b.dropUpload(m.at.Key, m.upload)
	return b.err
}

const (
	// dropParts is how many parts of an upload go in one batch. There can be 10,000, and as many again for each
	// time that they were sent anew.
	dropParts = 20_000
	// completeParts is how many parts an upload may have that is completed, which is done in one batch.
	completeParts = 1 << 20
)

// dropUpload removes an upload's rows and gives back the data of its parts, or that of the first dropParts
// of them, and reports whether there are more.
func (b *batch) dropUpload(key object.Key, upload object.WriteID) (more bool) {
	d := b.planDrop(key, upload, dropParts)
	b.dropAll(&d, nil)
	return d.u.dropping
}

// uploadDrop is an upload whose parts are about to go.
type uploadDrop struct {
	u      *uploadRows
	key    object.Key
	prefix []byte
	end    []byte // behind all its rows
	parts  []droppedPart
	next   []byte // of the first part that is not in parts, nil if there is none
}

type droppedPart struct {
	ref  ondisk.Ref
	size int64
}

// planDrop lists up to limit parts of an upload.
func (b *batch) planDrop(key object.Key, upload object.WriteID, limit int) uploadDrop {
	d := uploadDrop{key: key, prefix: ondisk.AppendUploadKey(nil, key, upload), end: ondisk.AppendUploadAfter(nil, key, upload)}
	d.u = b.upload(d.prefix)
	if !d.u.open || d.u.dropping {
		return d
	}
	err := b.a.uploadRows(d.prefix, func(k ondisk.UploadKey, value []byte) error {
		if len(d.parts) == limit {
			d.next = ondisk.AppendUploadPartKey(nil, k.Key, k.Upload, k.Part, k.Ref)
			return errTurn
		}
		p, err := ondisk.DecodeUploadPart(value)
		d.parts = append(d.parts, droppedPart{p.Ref, p.Size})
		return err
	}, nil)
	if !errors.Is(err, errTurn) {
		b.fail(err)
	}
	return d
}

// dropAll removes what planDrop has listed, and the upload if that was all. Data of parts in keep stays.
func (b *batch) dropAll(d *uploadDrop, keep []ondisk.Part) {
	if !d.u.open || d.u.dropping {
		return
	}
	kept := make(map[object.OID]bool, len(keep))
	for i := range keep {
		kept[keep[i].Ref.OID] = true
	}
	usage := b.count(d.key.Bucket)
	free := func(ref ondisk.Ref, size int64) {
		usage.PartBytes -= size
		if !kept[ref.OID] {
			b.discardPart(ref)
		}
	}
	for _, p := range d.parts {
		free(p.ref, p.size)
	}
	if d.next != nil {
		b.fail(b.pb.DeleteRange(append(d.prefix, 0), d.next, nil))
		d.u.dropping = true
		return
	}
	for i := range d.u.parts {
		free(d.u.parts[i].Ref, d.u.parts[i].Size)
	}
	usage.Uploads--
	b.fail(b.pb.DeleteRange(d.prefix, d.end, nil))
	d.u.open, d.u.parts = false, nil
}

// uploadRows walks the rows of one upload: head gets its own row, part those of its parts.
func (a *Actor) uploadRows(prefix []byte, part, head func(key ondisk.UploadKey, value []byte) error) (err error) {
	it, err := a.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: ondisk.AppendPrefixEnd(nil, prefix)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		k, err := ondisk.ParseUploadKey(it.Key())
		if err != nil {
			return err
		}
		f := head
		if k.IsPart {
			f = part
		}
		if f == nil {
			continue
		}
		if err := f(k, it.Value()); err != nil {
			return err
		}
	}
	return it.Error()
}

// GetUpload implements Uploads.
func (a *Actor) GetUpload(ctx context.Context, key object.Key, upload object.WriteID) (*ondisk.Upload, []ondisk.UploadPart, error) {
	if err := a.begin(ctx, a.readers); err != nil {
		return nil, nil, err
	}
	defer a.end(a.readers)
	var (
		up    *ondisk.Upload
		parts []ondisk.UploadPart
		batch uint64
	)
	err := a.uploadRows(ondisk.AppendUploadKey(nil, key, upload), func(k ondisk.UploadKey, value []byte) error {
		p, err := ondisk.DecodeUploadPart(value)
		parts = append(parts, p)
		batch = max(batch, p.Batch)
		return err
	}, func(k ondisk.UploadKey, value []byte) error {
		u, err := ondisk.DecodeUpload(k.Upload, value)
		up = &u
		batch = max(batch, u.Batch)
		return err
	})
	if err == nil && up == nil {
		err = ErrNoUpload
	}
	if err == nil {
		err = a.gate.pass(ctx, batch, a.health.Failed())
	}
	if err != nil {
		return nil, nil, a.wrap(fmt.Errorf("get upload: %w", damaged(err)))
	}
	return up, parts, nil
}

// ListUploads implements Uploads.
func (a *Actor) ListUploads(ctx context.Context, bucket cluster.BucketID, prefix, startKey string, startAfter object.WriteID, limit int) ([]UploadEntry, error) {
	if err := a.begin(ctx, a.readers); err != nil {
		return nil, err
	}
	defer a.end(a.readers)
	out, batch, err := a.listUploads(bucket, prefix, startKey, startAfter, limit)
	if err == nil {
		err = a.gate.pass(ctx, batch, a.health.Failed())
	}
	if err != nil {
		return nil, a.wrap(fmt.Errorf("list uploads: %w", damaged(err)))
	}
	return out, nil
}

func (a *Actor) listUploads(bucket cluster.BucketID, prefix, startKey string, startAfter object.WriteID, limit int) (out []UploadEntry, batch uint64, err error) {
	low := ondisk.AppendUploadNamePrefix(nil, bucket, prefix)
	it, err := a.db.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: ondisk.AppendPrefixEnd(nil, low)})
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	seek := low
	if startKey != "" {
		seek = ondisk.AppendUploadAfter(nil, object.Key{Bucket: bucket, Name: startKey}, startAfter)
	}
	for ok := it.SeekGE(seek); ok && len(out) < limit; ok = it.SeekGE(seek) {
		k, err := ondisk.ParseUploadKey(it.Key())
		if err != nil {
			return nil, 0, err
		}
		up, err := ondisk.DecodeUpload(k.Upload, it.Value())
		if err != nil {
			return nil, 0, err
		}
		batch = max(batch, up.Batch)
		out = append(out, UploadEntry{Name: k.Key.Name, Upload: up})
		seek = ondisk.AppendUploadAfter(nil, k.Key, k.Upload)
	}
	return out, batch, it.Error()
}
