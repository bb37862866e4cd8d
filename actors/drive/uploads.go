package drive

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// uploadRows is what a batch knows of one upload: what its rows say, and what the batch has done.
type uploadRows struct {
	there    bool                // it is open: it has rows
	dropping bool                // some of its parts are gone with this batch
	parts    []ondisk.UploadPart // put in this batch
}

// upload returns the state of an upload after the batch so far.
func (b *batch) upload(key object.Key, id object.WriteID) *uploadRows {
	at := ondisk.AppendUploadKey(nil, key, id)
	if u := b.uploads[string(at)]; u != nil {
		return u
	}
	u := &uploadRows{}
	_, closer, err := b.a.db.Get(at)
	switch {
	case err == nil:
		u.there = true
		b.fail(closer.Close())
	case !errors.Is(err, pebble.ErrNotFound):
		b.fail(fmt.Errorf("upload row: %w", err))
	}
	if b.uploads == nil {
		b.uploads = make(map[string]*uploadRows)
	}
	b.uploads[string(at)] = u
	return u
}

// openUploads fills in which uploads of a key are open.
func (a *Actor) openUploads(c *cell) (err error) {
	c.state.Uploads, c.opened = c.state.Uploads[:0], true
	prefix := ondisk.AppendUploadPrefix(nil, c.key)
	it, err := a.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: ondisk.AppendUploadNameAfter(nil, c.key)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; {
		k, err := ondisk.ParseUploadKey(it.Key())
		if err != nil {
			return err
		}
		if !k.IsPart {
			up, err := ondisk.DecodeUpload(k.Upload, it.Value())
			if err != nil {
				return err
			}
			c.batch = max(c.batch, up.Batch)
			c.state.Uploads = append(c.state.Uploads, k.Upload)
		}
		ok = it.SeekGE(ondisk.AppendUploadAfter(nil, c.key, k.Upload))
	}
	return it.Error()
}

// loadUploads is openUploads after the batch so far.
func (b *batch) loadUploads(c *cell) {
	if c.opened {
		return
	}
	b.fail(b.a.openUploads(c))
	for at, u := range b.uploads {
		k, err := ondisk.ParseUploadKey([]byte(at))
		b.fail(err)
		if k.Key != c.key {
			continue
		}
		i := slices.Index(c.state.Uploads, k.Upload)
		switch {
		case u.there && i < 0:
			c.state.Uploads = append(c.state.Uploads, k.Upload)
		case !u.there && i >= 0:
			c.state.Uploads = slices.Delete(c.state.Uploads, i, i+1)
		}
	}
}

// settleUploads brings the rows of uploads up to what a step made of the list of open ones.
func (b *batch) settleUploads(c *cell, req *quorum.Request) {
	s, w := &c.state, &c.was
	if slices.Equal(s.Uploads, w.uploads) {
		return
	}
	for _, id := range w.uploads {
		if slices.Contains(s.Uploads, id) {
			continue
		}
		var keep []ondisk.Part // the parts of its version, if that stands
		for i := range s.Versions {
			if v := &s.Versions[i]; v.Upload == id && v.Stable && !c.rows[i].data.OID.IsZero() {
				m, err := b.manifest(c.rows[i].data.OID)
				if errors.Is(err, ErrNoShard) {
					err = nil // of a completion without parts
				}
				b.fail(err)
				keep = m.Parts
			}
		}
		b.dropUpload(c.key, id, keep)
	}
	for _, id := range s.Uploads {
		if slices.Contains(w.uploads, id) {
			continue
		}
		up := ondisk.Upload{ID: id}
		for i := range b.opening {
			if b.opening[i].ID == id || req.Kind == quorum.ReqUpload {
				up = b.opening[i]
			}
		}
		up.ID, up.Batch = id, b.num
		value, err := ondisk.AppendUpload(b.val[:0], &up)
		b.fail(err)
		b.set(ondisk.AppendUploadKey(nil, c.key, id), value)
		b.count(c.key.Bucket).Uploads++
		b.upload(c.key, id).there = true
	}
}

// target checks the fences of a change of an upload's rows, as the protocol does for staged data.
func (b *batch) target(at *Target) error {
	c := b.newCell(at.Key, nil)
	defer b.spare(c)
	req := quorum.Request{Kind: quorum.ReqStage, Fence: quorum.Fence{Set: at.Set, Epoch: at.Epoch, Revision: at.BucketRev}, Key: at.Key}
	ans, err := b.step(c, &req, nil)
	if err != nil {
		return err
	}
	switch ans.Reply.Refused {
	case quorum.RefusedNot:
		return nil
	case quorum.RefusedSync:
		return b.a.wrap(fmt.Errorf("%w: set %d", ErrNotInSync, at.Set))
	}
	return b.a.wrap(fmt.Errorf("%w: set %d, bucket %d", ErrStale, at.Set, at.Key.Bucket))
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
	u := b.upload(m.at.Key, m.upload)
	if b.err != nil {
		return b.err
	}
	if !u.there { // first: a drive that was away knows neither the upload nor the bucket
		return b.a.wrap(fmt.Errorf("put part: %w", ErrNoUpload))
	}
	if err := b.target(&m.at); err != nil {
		return err
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

// dropParts is how many parts of an upload go in one batch. There can be 10,000, and as many again for each
// time that they were sent anew.
const dropParts = 20_000

// completeParts is how many parts an upload may have that is completed, which is done in one batch.
const completeParts = 1 << 20

// errPieces asks for a request again: what it drops is more than goes in one batch.
var errPieces = errors.New("some of the parts are dropped, not yet all")

// dropUpload removes an upload's rows and gives back the data of its parts but those in keep.
func (b *batch) dropUpload(key object.Key, upload object.WriteID, keep []ondisk.Part) {
	d := b.planDrop(key, upload, completeParts)
	b.dropAll(&d, keep)
}

// piecemeal drops parts of uploads that a step aborts and that are too large for one batch, before the step
// is taken; it is to be asked for again. Whoever does not leaves an upload without some of its parts, which is
// listed and can be aborted. One that an unsettled version completes goes at once: its parts may yet be wanted.
func (b *batch) piecemeal(c *cell, req *quorum.Request) error {
	if len(c.was.uploads) == 0 {
		return nil
	}
	for _, id := range c.was.uploads {
		if slices.Contains(c.state.Uploads, id) {
			continue
		}
		if req.Kind == quorum.ReqDecide && !b.a.completes(id) {
			if d := b.planDrop(c.key, id, dropParts); d.next != nil {
				b.dropAll(&d, nil)
			}
		}
		if b.upload(c.key, id).dropping {
			return errPieces
		}
	}
	return nil
}

// dropSome drops an upload of a removed bucket, or the first of its parts.
func (b *batch) dropSome(key object.Key, upload object.WriteID) {
	d := b.planDrop(key, upload, dropParts)
	b.dropAll(&d, nil)
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
	d.u = b.upload(key, upload)
	if !d.u.there || d.u.dropping {
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
	if !d.u.there || d.u.dropping {
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
	*d.u = uploadRows{}
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
	switch {
	case err != nil:
	case up == nil:
		err = ErrNoUpload
	case a.completes(upload):
		err = ErrUnsettled
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
		if !a.completes(k.Upload) {
			out = append(out, UploadEntry{Name: k.Key.Name, Upload: up})
		}
		seek = ondisk.AppendUploadAfter(nil, k.Key, k.Upload)
	}
	return out, batch, it.Error()
}
