package erasureset

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"holdfast/actors/erasure"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
)

// errBodyLong is returned when a body has more bytes than were announced.
var errBodyLong = errors.New("body is longer than announced")

// clientFields keeps of a version what a client may set.
func clientFields(m *Info) Info {
	return Info{
		Kind:        ondisk.KindObject,
		ContentType: m.ContentType, CacheControl: m.CacheControl, ContentDisposition: m.ContentDisposition,
		ContentEncoding: m.ContentEncoding, ContentLanguage: m.ContentLanguage, Expires: m.Expires, Website: m.Website,
		UserMeta: m.UserMeta, Tags: m.Tags, Owner: m.Owner, StorageClass: m.StorageClass,
		Checksums: m.Checksums, LockMode: m.LockMode, LockUntil: m.LockUntil, LegalHold: m.LegalHold,
	}
}

// Put stores one object. When it returns nil the object is durable on at least W drives.
func (s *Store) Put(ctx context.Context, req *PutRequest) (*Info, error) {
	if err := object.CheckName(req.Key); err != nil {
		return nil, err
	}
	t := s.target(&req.Bucket, req.Key)
	slots, err := t.writable()
	if err != nil {
		return nil, fmt.Errorf("put: %w", err)
	}
	info := new(Info)
	*info = clientFields(&req.Meta)
	info.Size, info.Stored = req.Size, req.Size
	geo := erasure.ForSize(t.n(), t.shape.K, req.Size)
	info.N, info.K, info.Unit, info.Frame = uint8(geo.N), uint8(geo.K), uint32(geo.Unit), uint32(geo.Frame)

	p := &put{s: s, t: t, req: req, info: info, geo: geo, o: s.newOp(t), write: object.NewWriteID()}
	defer p.o.finish()
	if geo.ShardSize(req.Size) <= int64(s.opt.InlineLimit) {
		err = p.inline()
	} else {
		slots, err = p.stream(ctx, slots)
	}
	if err == nil && req.Finish != nil {
		err = req.Finish(info)
	}
	if err == nil {
		err = p.commit(ctx, slots)
	}
	if err != nil {
		return nil, fmt.Errorf("put: %w", err)
	}
	return info, nil
}

// put is one PUT under way.
type put struct {
	s     *Store
	t     *target
	req   *PutRequest
	info  *Info
	geo   erasure.Geometry
	o     *op
	write object.WriteID
	st    *staging
}

// commit offers the version to the slots that have its shard in place.
func (p *put) commit(ctx context.Context, slots quorum.Slots) error {
	p.info.ModTime = p.s.opt.Clock().UnixNano()
	p.o.body.slots, p.o.body.Staged = slots, p.st != nil
	_, err := p.o.write(ctx, p.info, quorum.Intent{Kind: quorum.Put, Write: p.write, What: quorum.Object, Staged: p.st != nil}, p.req.If)
	return err
}

// write runs the Update that makes a version of v. A completion may turn out to have been made before.
// If the bucket has changed since the operation began, it begins anew: nothing was done.
func (o *op) write(ctx context.Context, v *Info, in quorum.Intent, cond Condition) (before *Info, err error) {
	for {
		before, stale, err := o.writeOnce(ctx, v, &in, cond)
		if !stale || !o.refresh(ctx) {
			return before, err
		}
	}
}

func (o *op) writeOnce(ctx context.Context, v *Info, in *quorum.Intent, cond Condition) (before *Info, stale bool, err error) {
	var refusal error
	in.Null, in.Cond = !o.t.bucket.Versioned(), o.judging(cond, &refusal)
	v.NullID = in.Null
	if err := o.body.encode(v); err != nil {
		return nil, false, err
	}
	res, err := o.change(ctx, in, o.s.opt.CommitLimit)
	switch {
	case err != nil:
		return nil, false, err
	case res.Status == quorum.StatusOK && res.Version.Ref != o.update.Written():
		before = new(Info)
		return before, false, ondisk.DecodeShared(before, res.Version.Ref, res.Version.Rev, o.row(&res.Version))
	}
	v.TS, v.Write, v.Rev = res.Version.Ref.TS, res.Version.Ref.Write, res.Version.Rev
	return nil, res.Status == quorum.StatusStale, o.failure(&res, refusal)
}

// inline reads and codes a body whose shards go with the commit.
func (p *put) inline() error {
	r, size := &p.o.body, int(p.req.Size)
	unit := int(p.geo.ShardSize(p.req.Size))
	need := unit*p.geo.N + 1
	if cap(r.buf) < need {
		r.buf = make([]byte, need)
	}
	buf := r.buf[:need]
	if err := readBody(p.req.Body, buf[:size]); err != nil {
		return err
	}
	if err := bodyEnd(p.req.Body, buf[need-1:]); err != nil {
		return err
	}
	sum := md5.Sum(buf[:size])
	p.info.ETag = hex.EncodeToString(sum[:])
	if p.req.SHA256 != nil {
		*p.req.SHA256 = sha256.Sum256(buf[:size])
	}
	if size == 0 {
		return nil
	}
	clear(buf[size : unit*p.geo.K])
	for i := range p.geo.N {
		r.shards[i] = buf[i*unit : (i+1)*unit : (i+1)*unit]
	}
	if err := p.s.codec.Encode(p.geo.K, r.shards[:p.geo.N]); err != nil {
		return err
	}
	p.info.Refs = []ondisk.Ref{{Set: p.t.id, OID: object.NewOID(p.s.clock.next()), Length: p.req.Size, Inline: true}}
	return nil
}

// stream stages a body's shards on the drives as it comes in, and returns the slots that have theirs.
func (p *put) stream(ctx context.Context, slots quorum.Slots) (quorum.Slots, error) {
	oid := object.NewOID(p.s.clock.next())
	p.info.Refs = []ondisk.Ref{{Set: p.t.id, OID: oid, Length: p.req.Size}}
	digests := p.s.digestsOf(p.req.Size)
	sum := digests.MD5()
	if p.req.SHA256 != nil {
		sum = digests.MD5SHA256()
	}
	p.st = p.s.newStaging(p.t, p.geo, p.req.Size, oid, p.write, slots)
	p.o.atEnd(p.st.abort)
	h := &hasher{sum: sum, st: p.st}
	err := p.st.copy(ctx, p.req.Body, h)
	if err == nil {
		err = bodyEnd(p.req.Body, make([]byte, 1))
	}
	p.st.end(err == nil)
	h.wait() // while the drives sync
	staged, syncErr := p.st.finish(ctx, err == nil, p.t.shape.W)
	if errors.Is(err, errTooFewLanes) {
		return 0, p.st.failure()
	}
	if err != nil {
		return 0, err
	}
	if syncErr != nil {
		return 0, syncErr
	}
	etag := sum.MD5()
	p.info.ETag = hex.EncodeToString(etag[:])
	if p.req.SHA256 != nil {
		*p.req.SHA256 = sum.SHA256()
	}
	return staged, nil
}

// readBody fills p.
func readBody(body io.Reader, p []byte) error {
	n, err := io.ReadFull(body, p)
	if err == io.EOF && len(p) > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("read body: %d of %d bytes: %w", n, len(p), err)
	}
	return nil
}

// bodyEnd makes sure that the body ends where it was announced to. A chunked body is verified only
// when its end is seen. scratch has one byte.
func bodyEnd(body io.Reader, scratch []byte) error {
	for {
		n, err := body.Read(scratch)
		switch {
		case n > 0:
			return errBodyLong
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("read body: %w", err)
		}
	}
}

// Delete removes an object: by a delete marker, or by a tombstone where there never were versions.
// With a version named, that is removed for good.
func (s *Store) Delete(ctx context.Context, req *DeleteRequest) (Deleted, error) {
	done := Deleted{Version: req.Version}
	if err := object.CheckName(req.Key); err != nil {
		return done, err
	}
	t := s.target(&req.Bucket, req.Key)
	online := t.online() // a full drive still deletes
	if online.Len() < t.shape.W {
		return done, fmt.Errorf("delete: %w", t.writeQuorum(online, ""))
	}
	o := s.newOp(t)
	defer o.finish()
	for {
		stale, err := o.delete(ctx, req, &done)
		switch {
		case stale && o.refresh(ctx):
		case err != nil:
			return done, fmt.Errorf("delete: %w", err)
		default:
			return done, nil
		}
	}
}

// delete does it under what is known of the bucket.
func (o *op) delete(ctx context.Context, req *DeleteRequest, done *Deleted) (stale bool, err error) {
	never := o.t.bucket.Versioning == ""
	switch {
	case req.Version.Named && !never:
		return o.purge(ctx, req, done)
	case req.Version.Named && !req.Version.Null:
		return false, nil // there can be no version but null
	}
	v := &Info{Kind: ondisk.KindTombstone, N: uint8(o.t.n()), K: uint8(o.t.shape.K), ModTime: o.s.opt.Clock().UnixNano()}
	in := quorum.Intent{Kind: quorum.Put, Write: object.NewWriteID(), What: quorum.Tombstone}
	if !never {
		v.Kind, in.What = ondisk.KindDeleteMarker, quorum.Marker
	}
	o.body.slots = quorum.AllSlots(o.t.n())
	_, stale, err = o.writeOnce(ctx, v, &in, req.If)
	if err == nil && in.What == quorum.Marker {
		done.Version, done.Marker = v.ID(), true
	}
	return stale, err
}

// purge ends a named version.
func (o *op) purge(ctx context.Context, req *DeleteRequest, done *Deleted) (stale bool, err error) {
	var refusal error
	was := ondisk.VersionKind(0)
	cond := o.judging(func(v *Info) error {
		if was = v.Kind; req.If == nil {
			return nil
		}
		return req.If(v)
	}, &refusal)
	in := quorum.Intent{Kind: quorum.Purge, Write: object.NewWriteID(), At: req.Version, Cond: cond}
	res, err := o.change(ctx, &in, o.s.opt.CommitLimit)
	switch {
	case err != nil:
		return false, err
	case res.Status == quorum.StatusAbsent && req.If != nil:
		return false, req.If(nil)
	case res.Status == quorum.StatusAbsent:
		return false, nil
	}
	done.Marker = was == ondisk.KindDeleteMarker
	return res.Status == quorum.StatusStale, o.failure(&res, refusal)
}
