package erasureset

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"

	"holdfast/actors/drive"
	"holdfast/actors/erasure"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// maxCachedUploads bounds the memory of open uploads.
const maxCachedUploads = 1024

// uploadCache remembers uploads that were seen open, so that a part need not read back all others.
// It is a hint: the drives refuse a part of an upload that is gone.
type uploadCache struct {
	mu  sync.Mutex
	ups map[uploadID]*ondisk.Upload // guarded by mu
}

type uploadID struct {
	key object.Key
	id  object.WriteID
}

func (c *uploadCache) get(id uploadID) *ondisk.Upload {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ups[id]
}

func (c *uploadCache) set(id uploadID, up *ondisk.Upload) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ups == nil || len(c.ups) >= maxCachedUploads {
		c.ups = map[uploadID]*ondisk.Upload{}
	}
	c.ups[id] = up
}

func (c *uploadCache) drop(id uploadID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ups, id)
}

func (t *target) at() drive.Target {
	return drive.Target{Set: t.id, Epoch: t.set.Epoch, BucketRev: t.bucket.Revision, Key: t.key}
}

// CreateUpload opens a multipart upload.
func (s *Store) CreateUpload(ctx context.Context, req *UploadRequest) (*ondisk.Upload, error) {
	if err := object.CheckName(req.Key); err != nil {
		return nil, err
	}
	t := s.target(&req.Bucket, req.Key)
	if _, err := t.writable(); err != nil {
		return nil, fmt.Errorf("create upload: %w", err)
	}
	up := &ondisk.Upload{
		ID: object.NewWriteID(), TS: s.clock.next(), Started: s.opt.Clock().UnixNano(),
		Meta: clientFields(&req.Meta), Checksum: req.Checksum, FullObj: req.FullObj,
	}
	if _, err := ondisk.AppendVersion(nil, &up.Meta); err != nil {
		return nil, fmt.Errorf("create upload: %w", err)
	}
	o := s.newOp(t)
	defer o.finish()
	o.opened = []*ondisk.Upload{up}
	if err := o.changeUpload(ctx, func() quorum.Intent { return quorum.Intent{Kind: quorum.Open, Write: up.ID} }); err != nil {
		return nil, fmt.Errorf("create upload: %w", err)
	}
	s.uploads.set(uploadID{t.key, up.ID}, up)
	return up, nil
}

// partSeen is one uploaded part and the slots that have its row.
type partSeen struct {
	ondisk.UploadPart
	holders quorum.Slots
}

// openUpload is an upload as the drives of its set know it.
type openUpload struct {
	up       *ondisk.Upload
	parts    map[uint16][]partSeen // newest first
	answered quorum.Slots
}

// getUpload finds an open upload. One that a version in doubt completes is open or not once that is
// settled.
func (s *Store) getUpload(ctx context.Context, t *target, id object.WriteID) (*openUpload, error) {
	o, err := s.askUpload(ctx, t, id)
	if !errors.Is(err, drive.ErrUnsettled) {
		return o, err
	}
	stands, err := s.settle(ctx, t)
	switch {
	case err != nil:
		return nil, err
	case slices.ContainsFunc(stands, func(v quorum.Version) bool { return v.Ref.Write == id }):
		return nil, fmt.Errorf("upload %s was completed: %w", id, object.ErrNoUpload)
	}
	return s.askUpload(ctx, t, id)
}

// askUpload asks all drives in service for an upload. It is open if k hold it (quorum's rule, by which
// it is completed and aborted), and not if even with those that are silent fewer do: what is said here
// once must not be taken back by a drive that answers later.
func (s *Store) askUpload(ctx context.Context, t *target, id object.WriteID) (*openUpload, error) {
	type answer struct {
		slot  int
		up    *ondisk.Upload
		parts []ondisk.UploadPart
		err   error
	}
	slots := t.online()
	answers := make(chan answer, maxSlots)
	for i := range slots.All() {
		go func() {
			a, err := apart(ctx, s, t.drives[i], func() (a answer, err error) {
				a.up, a.parts, err = t.drives[i].GetUpload(ctx, t.key, id)
				return a, err
			})
			a.slot, a.err = i, err
			answers <- a
		}()
	}
	o := &openUpload{parts: map[uint16][]partSeen{}}
	var holders, hidden quorum.Slots
	for range slots.Len() {
		a := <-answers
		if errors.Is(a.err, drive.ErrUnsettled) {
			hidden |= quorum.Slot(a.slot)
		} else if a.err != nil && !errors.Is(a.err, drive.ErrNoUpload) {
			continue
		}
		o.answered |= quorum.Slot(a.slot)
		if a.err != nil {
			continue
		}
		holders |= quorum.Slot(a.slot)
		o.up = a.up
		for i := range a.parts {
			o.see(a.slot, &a.parts[i])
		}
	}
	switch silent := t.n() - o.answered.Len(); {
	case o.answered.Len() < t.shape.K:
		return nil, t.readQuorum(o.answered, "")
	case holders.Len() >= t.shape.K:
		return o, nil
	case holders.Len()+hidden.Len()+silent < t.shape.K:
		return nil, fmt.Errorf("upload %s: %w", id, object.ErrNoUpload)
	}
	err := t.readQuorum(o.answered, " and more to tell whether the upload is open")
	if hidden != 0 {
		err = fmt.Errorf("%w: %w", err, drive.ErrUnsettled)
	}
	return nil, err
}

func (o *openUpload) see(slot int, p *ondisk.UploadPart) {
	list := o.parts[p.Number]
	for i := range list {
		if list[i].TS == p.TS && list[i].Write == p.Write {
			list[i].holders |= quorum.Slot(slot)
			return
		}
	}
	list = append(list, partSeen{*p, quorum.Slot(slot)})
	slices.SortFunc(list, func(a, b partSeen) int {
		return object.VersionRef{TS: b.TS, Write: b.Write}.Compare(object.VersionRef{TS: a.TS, Write: a.Write})
	})
	o.parts[p.Number] = list
}

// part is the current part of a number, nil if there is none: the newest that k slots hold. One
// that cannot have been acknowledged is passed over.
func (o *openUpload) part(t *target, number uint16) (*partSeen, error) {
	for i := range o.parts[number] {
		p := &o.parts[number][i]
		switch c := p.holders.Len(); {
		case c >= t.shape.K:
			return p, nil
		case c+t.n()-o.answered.Len() < t.shape.W:
			continue
		}
		return nil, t.readQuorum(o.answered, fmt.Sprintf(" and more to read part %d", number))
	}
	return nil, nil
}

// Upload returns an open upload and its current parts.
func (s *Store) Upload(ctx context.Context, bucket cluster.Bucket, key string, id object.WriteID) (*ondisk.Upload, []ondisk.Part, error) {
	t := s.target(&bucket, key)
	o, err := s.getUpload(ctx, t, id)
	if err != nil {
		return nil, nil, fmt.Errorf("get upload: %w", err)
	}
	var parts []ondisk.Part
	for number := range o.parts {
		p, err := o.part(t, number)
		if err != nil {
			return nil, nil, fmt.Errorf("get upload: %w", err)
		}
		if p != nil {
			parts = append(parts, p.Part)
		}
	}
	slices.SortFunc(parts, func(a, b ondisk.Part) int { return cmp.Compare(a.Number, b.Number) })
	return o.up, parts, nil
}

// PutPart stores one part of an open upload.
func (s *Store) PutPart(ctx context.Context, req *PartRequest) (*ondisk.Part, error) {
	t := s.target(&req.Bucket, req.Key)
	slots, err := t.writable()
	if err != nil {
		return nil, fmt.Errorf("put part: %w", err)
	}
	id := uploadID{t.key, req.Upload}
	up := s.uploads.get(id)
	if up == nil {
		o, err := s.getUpload(ctx, t, req.Upload)
		if err != nil {
			return nil, fmt.Errorf("put part: %w", err)
		}
		up = o.up
		s.uploads.set(id, up)
	}
	if req.Begin != nil {
		if err := req.Begin(up); err != nil {
			return nil, fmt.Errorf("put part: %w", err)
		}
	}
	geo := erasure.ForSize(t.n(), t.shape.K, req.Size)
	p := &put{s: s, t: t, geo: geo, o: s.newOp(t), write: object.NewWriteID(), info: new(Info),
		req: &PutRequest{Body: req.Body, Size: req.Size, SHA256: req.SHA256}}
	if geo.ShardSize(req.Size) <= int64(s.opt.InlineLimit) {
		err = p.inline()
	} else {
		slots, err = p.stream(ctx, slots)
	}
	row := &ondisk.UploadPart{
		Part: ondisk.Part{
			Number: uint16(req.Number), Size: req.Size, Stored: req.Size, ETag: p.info.ETag,
			Write: p.write, ModTime: s.opt.Clock().UnixNano(),
		},
		N: uint8(geo.N), K: uint8(geo.K), Unit: uint32(geo.Unit), Frame: uint32(geo.Frame),
	}
	if len(p.info.Refs) > 0 {
		row.Ref = p.info.Refs[0]
	}
	if err == nil && req.Finish != nil {
		err = req.Finish(up, &row.Part)
	}
	if err != nil {
		p.o.finish()
		return nil, fmt.Errorf("put part: %w", err)
	}
	row.TS = s.clock.next()
	f := s.fan(slots, t.shape.W, p.o.finish, func(ctx context.Context, i int) error {
		one := *row
		one.Slot = uint8(i)
		return s.putPart(ctx, t, i, req.Upload, &one, p.o.body.shards[i])
	})
	if f.ok.Len() < t.shape.W {
		err := f.failure(t)
		if errors.Is(err, object.ErrNoUpload) {
			s.uploads.drop(id)
		}
		return nil, fmt.Errorf("put part: %w", err)
	}
	return &row.Part, nil
}

// putPart hands a part to one slot's drive. One that was away when the upload was opened is told of it.
func (s *Store) putPart(ctx context.Context, t *target, slot int, id object.WriteID, row *ondisk.UploadPart, inline []byte) error {
	put := func() error { return t.drives[slot].PutPart(ctx, t.at(), id, row, inline) }
	err := put()
	if errors.Is(err, drive.ErrStale) && catchUp(ctx, t, slot) == nil {
		err = put()
	}
	if errors.Is(err, drive.ErrNoUpload) && s.healKey(ctx, t, slot) == nil {
		err = put()
	}
	return err
}

// Abort ends an upload and gives its parts back.
func (s *Store) Abort(ctx context.Context, bucket cluster.Bucket, key string, id object.WriteID) error {
	t := s.target(&bucket, key)
	if online := t.online(); online.Len() < t.shape.W {
		return fmt.Errorf("abort upload: %w", t.writeQuorum(online, ""))
	}
	o := s.newOp(t)
	defer o.finish()
	s.uploads.drop(uploadID{t.key, id})
	if err := o.changeUpload(ctx, func() quorum.Intent { return quorum.Intent{Kind: quorum.Abort, Write: object.NewWriteID(), Upload: id} }); err != nil {
		return fmt.Errorf("abort upload: %w", err)
	}
	return nil
}

// changeUpload carries out what intent says, with a new intent each time that set or bucket have changed meanwhile.
func (o *op) changeUpload(ctx context.Context, intent func() quorum.Intent) error {
	for {
		in := intent()
		res, err := o.change(ctx, &in, o.s.opt.CommitLimit)
		if err == nil && res.Status == quorum.StatusStale && o.refresh(ctx) {
			continue
		}
		if err == nil {
			err = o.failure(&res, nil)
		}
		return err
	}
}

// rawETag is the binary MD5 that a part's ETag names.
func rawETag(etag string) ([]byte, error) {
	b, err := hex.DecodeString(etag)
	if err != nil || len(b) != 16 {
		return nil, fmt.Errorf("part ETag %q is no MD5: %w", etag, object.ErrInvalidPart)
	}
	return b, nil
}
