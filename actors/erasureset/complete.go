package erasureset

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

// Complete makes an object of an upload. The object's write id is the upload's id: one upload is
// one write, however often it is completed (I8, I27).
func (s *Store) Complete(ctx context.Context, req *CompleteRequest) (*Info, error) {
	t := s.target(&req.Bucket, req.Key)
	slots, err := t.writable()
	if err != nil {
		return nil, fmt.Errorf("complete upload: %w", err)
	}
	tk, err := s.locks.lock(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("complete upload: %w", err)
	}
	defer s.locks.unlock(t, tk)

	f, err := s.read(ctx, t, false, true)
	if err != nil {
		return nil, fmt.Errorf("complete upload: %w", err)
	}
	f.rep.close(0)
	current := f.live()
	if current != nil && current.Write == req.Upload {
		return current, nil // it was completed before, whatever its client heard
	}
	o, err := s.getUpload(ctx, t, req.Upload)
	if err != nil {
		return nil, fmt.Errorf("complete upload: %w", err)
	}
	parts, err := o.choose(t, req)
	if err != nil {
		return nil, fmt.Errorf("complete upload: %w", err)
	}
	info, err := s.composite(t, o.up, parts)
	if err != nil {
		return nil, fmt.Errorf("complete upload: %w", err)
	}
	if req.If != nil {
		if err := req.If(current); err != nil {
			return nil, err
		}
	}
	if req.Finish != nil {
		if err := req.Finish(o.up, info, parts); err != nil {
			return nil, fmt.Errorf("complete upload: %w", err)
		}
	}
	r := s.newRound(t)
	if err := r.prepare(info, req.Upload); err != nil {
		r.done()
		return nil, fmt.Errorf("complete upload: %w", err)
	}
	r.base.Parts, r.base.Upload = parts, req.Upload
	if err := r.run(info, slots); err != nil {
		return nil, fmt.Errorf("complete upload: %w", err)
	}
	s.uploads.drop(uploadID{t.key, req.Upload})
	return info, nil
}

// choose checks the client's list against the parts there are.
func (o *openUpload) choose(t *target, req *CompleteRequest) ([]ondisk.Part, error) {
	if len(req.Parts) == 0 {
		return nil, fmt.Errorf("no parts are named: %w", object.ErrInvalidPart)
	}
	last := 0
	for _, want := range req.Parts { // first: a list in disorder would make a short last part a short middle one
		if want.Number <= last {
			return nil, fmt.Errorf("part %d after part %d: %w", want.Number, last, object.ErrInvalidPartOrder)
		}
		last = want.Number
	}
	var parts []ondisk.Part
	for i, want := range req.Parts {
		p, err := o.part(t, uint16(want.Number))
		if err != nil {
			return nil, err
		}
		if p == nil || p.ETag != want.ETag || !sameChecksums(want.Checksums, p.Checksums) {
			return nil, fmt.Errorf("part %d: %w", want.Number, object.ErrInvalidPart)
		}
		if i < len(req.Parts)-1 && p.Size < req.MinPart {
			return nil, fmt.Errorf("part %d has %d bytes, %d are the minimum: %w", want.Number, p.Size, req.MinPart, object.ErrPartTooSmall)
		}
		parts = append(parts, p.Part)
	}
	return parts, nil
}

// sameChecksums says whether every checksum the client names is the part's.
func sameChecksums(want, have []ondisk.Checksum) bool {
	for _, w := range want {
		ok := false
		for _, h := range have {
			ok = ok || h.Algo == w.Algo && bytes.Equal(h.Value, w.Value)
		}
		if !ok {
			return false
		}
	}
	return true
}

// composite is the version of the finished object: its ETag is the MD5 of the parts' binary MD5s
// and their number.
func (s *Store) composite(t *target, up *ondisk.Upload, parts []ondisk.Part) (*Info, error) {
	info := new(Info)
	*info = clientFields(&up.Meta)
	sum := md5.New()
	for i := range parts {
		raw, err := rawETag(parts[i].ETag)
		if err != nil {
			return nil, err
		}
		sum.Write(raw)
		if info.Size+parts[i].Size < info.Size {
			return nil, errors.New("object size overflows")
		}
		info.Size += parts[i].Size
		info.Stored += parts[i].Stored
	}
	info.ETag = fmt.Sprintf("%s-%d", hex.EncodeToString(sum.Sum(nil)), len(parts))
	info.N, info.K = uint8(t.n()), uint8(t.shape.K)
	info.Parts = uint32(len(parts))
	info.ModTime = s.opt.Clock().UnixNano()
	info.Refs = []ondisk.Ref{{Set: t.id, OID: object.NewOID(s.clock.next()), Length: info.Stored}}
	return info, nil
}
