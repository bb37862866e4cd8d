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
	"holdfast/actors/quorum"
)

// Complete makes an object of an upload. The object's write id is the upload's id: one upload is
// one write, however often it is completed (I8, I27).
func (s *Store) Complete(ctx context.Context, req *CompleteRequest) (*Info, error) {
	t := s.target(&req.Bucket, req.Key)
	slots, err := t.writable()
	if err != nil {
		return nil, fmt.Errorf("complete upload: %w", err)
	}
	o := s.newOp(t)
	defer o.finish()
	info, err := o.completeUpload(ctx, req, slots)
	if err != nil {
		return nil, fmt.Errorf("complete upload: %w", err)
	}
	s.uploads.drop(uploadID{t.key, req.Upload})
	return info, nil
}

// completeUpload runs the Update that completes an upload, or finds that it was completed before.
func (o *op) completeUpload(ctx context.Context, req *CompleteRequest, slots quorum.Slots) (*Info, error) {
	s, t := o.s, o.t
	info := &Info{Kind: ondisk.KindObject}
	cond := req.If
	open, gone := s.getUpload(ctx, t, req.Upload)
	if gone != nil {
		cond = func(*Info) error { return gone } // unless it was completed, which the Update finds first
	} else {
		parts, err := open.choose(t, req)
		if err != nil {
			return nil, err
		}
		if info, err = s.composite(t, open.up, parts); err != nil {
			return nil, err
		}
		if req.Finish != nil {
			if err := req.Finish(open.up, info, parts); err != nil {
				return nil, err
			}
		}
		o.body.Parts = parts
		o.body.partial = quorum.AllSlots(t.n()) &^ open.whole(t, parts)
	}
	o.body.slots = slots
	in := quorum.Intent{Kind: quorum.Complete, Write: object.NewWriteID(), What: quorum.Object, Upload: req.Upload}
	before, err := o.write(ctx, info, in, cond)
	if err != nil || before != nil {
		return before, err
	}
	return info, nil
}

// whole are the slots that have all of the parts.
func (o *openUpload) whole(t *target, parts []ondisk.Part) quorum.Slots {
	slots := quorum.AllSlots(t.n())
	for i := range parts {
		if p, err := o.part(t, parts[i].Number); err == nil && p != nil {
			slots &= p.holders
		}
	}
	return slots
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
