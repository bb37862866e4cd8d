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

	p := &put{s: s, t: t, req: req, info: info, geo: geo, r: s.newRound(t), write: object.NewWriteID()}
	if geo.ShardSize(req.Size) <= int64(s.opt.InlineLimit) {
		err = p.inline()
	} else {
		slots, err = p.stream(ctx, slots)
	}
	if err == nil && req.Finish != nil {
		err = req.Finish(info)
	}
	if err != nil {
		p.r.done()
		return nil, fmt.Errorf("put: %w", err)
	}
	if err := p.commit(ctx, slots); err != nil {
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
	r     *round
	write object.WriteID
	st    *staging
}

// commit decides, in the key's turn, and offers the version. It gives up the round.
func (p *put) commit(ctx context.Context, slots quorum.Slots) error {
	p.info.ModTime = p.s.opt.Clock().UnixNano()
	if err := p.r.prepare(p.info, p.write); err != nil {
		p.r.done()
		return err
	}
	p.r.base.Staged = p.st != nil
	tk, err := p.s.locks.lock(ctx, p.t)
	if err != nil {
		p.r.done()
		return err
	}
	defer p.s.locks.unlock(p.t, tk)
	if err := p.s.judge(ctx, p.t, p.req.If); err != nil {
		p.r.done()
		return err
	}
	return p.r.run(p.info, slots)
}

// inline reads and codes a body whose shards go with the commit.
func (p *put) inline() error {
	r, size := p.r, int(p.req.Size)
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
	p.r.cleanup = p.st.abort
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

// Delete removes an object by writing a tombstone.
func (s *Store) Delete(ctx context.Context, req *DeleteRequest) (Deleted, error) {
	done := Deleted{Version: req.Version}
	if err := object.CheckName(req.Key); err != nil {
		return done, err
	}
	if req.Version.Named && !req.Version.Null {
		return done, nil // without versioning there is no version but null
	}
	t := s.target(&req.Bucket, req.Key)
	online := t.online() // a full drive still deletes
	if online.Len() < t.shape.W {
		return done, fmt.Errorf("delete: %w", t.writeQuorum(online, ""))
	}
	info := &Info{Kind: ondisk.KindTombstone, N: uint8(t.n()), K: uint8(t.shape.K), ModTime: s.opt.Clock().UnixNano()}
	if req.Bucket.Versioned() {
		info.Kind = ondisk.KindDeleteMarker
	}
	r := s.newRound(t)
	if err := r.prepare(info, object.NewWriteID()); err != nil {
		r.done()
		return done, fmt.Errorf("delete: %w", err)
	}
	tk, err := s.locks.lock(ctx, t)
	if err != nil {
		r.done()
		return done, fmt.Errorf("delete: %w", err)
	}
	defer s.locks.unlock(t, tk)
	if err := s.judge(ctx, t, req.If); err != nil {
		r.done()
		return done, fmt.Errorf("delete: %w", err)
	}
	if err := r.run(info, online); err != nil {
		return done, fmt.Errorf("delete: %w", err)
	}
	return done, nil
}
