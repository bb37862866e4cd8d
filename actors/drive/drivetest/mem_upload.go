package drivetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

type uploadKey struct {
	name string
	id   object.WriteID
}

func (a uploadKey) compare(b uploadKey) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	return cmp.Compare(string(a.id[:]), string(b.id[:]))
}

type memUpload struct {
	up    ondisk.Upload
	parts []ondisk.UploadPart
}

// loadUploads fills in which uploads of a key are open.
func (m *Mem) loadUploads(b *memBucket, name string, k *memKey) {
	k.state.Uploads = k.state.Uploads[:0]
	for id := range b.uploads {
		if id.name == name {
			k.state.Uploads = append(k.state.Uploads, id.id)
		}
	}
	slices.SortFunc(k.state.Uploads, func(x, y object.WriteID) int { return bytes.Compare(x[:], y[:]) })
}

// settleUploads brings the rows of uploads up to the protocol's state.
func (m *Mem) settleUploads(b *memBucket, name string, k *memKey, req *drive.Request) {
	for _, id := range k.state.Uploads {
		at := uploadKey{name, id}
		if b.uploads[at] != nil {
			continue
		}
		up := ondisk.Upload{}
		if i := slices.Index(req.Uploads, id); i >= 0 && i < len(req.Opened) {
			up = *req.Opened[i]
		} else if req.Kind == quorum.ReqUpload && len(req.Opened) == 1 {
			up = *req.Opened[0]
		}
		up.ID = id
		b.uploads[at] = &memUpload{up: up}
		b.upsDirty = true
	}
	for at := range b.uploads {
		if at.name != name || slices.Contains(k.state.Uploads, at.id) {
			continue
		}
		var keep []ondisk.Part // the parts of its version, if that stands
		for i := range k.state.Versions {
			if v := &k.state.Versions[i]; v.Upload == at.id && v.Stable {
				keep = k.row(v).Parts
			}
		}
		m.dropUpload(b, at, keep)
	}
}

// completes says whether a version that is not settled completes an upload.
func (b *memBucket) completes(id uploadKey) bool {
	k := b.keys[id.name]
	return k != nil && slices.ContainsFunc(k.state.Versions, func(v quorum.Version) bool { return v.Upload == id.id && !v.Stable })
}

// PutPart records a part.
func (m *Mem) PutPart(ctx context.Context, at drive.Target, upload object.WriteID, part *ondisk.UploadPart, inline []byte) error {
	if err := m.faults.enter(ctx, OpPutPart); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	req := quorum.Request{Kind: quorum.ReqStage, Fence: quorum.Fence{Set: at.Set, Epoch: at.Epoch, Revision: at.BucketRev}}
	b := m.bucket(at.Key.Bucket)
	k := quorum.KeyState{}
	ans := m.machine.Step(object.StampAt(m.clock()), quorum.At{Key: &k, Set: m.set(at.Set), Bucket: &b.state, Drive: &m.state}, &req)
	u := b.uploads[uploadKey{at.Key.Name, upload}]
	if u == nil {
		return fmt.Errorf("drive %s: put part: %w", m.id, drive.ErrNoUpload)
	}
	if ans.Reply.Refused != quorum.RefusedNot {
		return fmt.Errorf("drive %s: put part: %w", m.id, drive.ErrStale)
	}
	if slices.ContainsFunc(u.parts, func(p ondisk.UploadPart) bool { return p.Number == part.Number && p.Write == part.Write }) {
		return m.faults.leave(ctx, OpPutPart) // sent again
	}
	if inline != nil {
		m.shards[part.Ref.OID] = inlineShard(inline)
	} else if part.Size > 0 {
		if !m.isStaged(part.Ref.OID) {
			return fmt.Errorf("drive %s: put part %s, which was not staged and synced: %w", m.id, part.Ref.OID, drive.ErrNoShard)
		}
		m.take(part.Ref.OID)
	}
	u.parts = append(u.parts, *part)
	m.batch++
	m.state.Highest = max(m.state.Highest, part.TS)
	return m.faults.leave(ctx, OpPutPart)
}

// GetUpload returns an upload and its parts.
func (m *Mem) GetUpload(ctx context.Context, key object.Key, upload object.WriteID) (*ondisk.Upload, []ondisk.UploadPart, error) {
	if err := m.faults.enter(ctx, OpGetUpload); err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var u *memUpload
	if b := m.buckets[key.Bucket]; b != nil {
		u = b.uploads[uploadKey{key.Name, upload}]
	}
	if u == nil {
		return nil, nil, fmt.Errorf("drive %s: get upload: %w", m.id, drive.ErrNoUpload)
	}
	if m.buckets[key.Bucket].completes(uploadKey{key.Name, upload}) {
		return nil, nil, fmt.Errorf("drive %s: get upload: %w", m.id, drive.ErrUnsettled)
	}
	up, parts := u.up, slices.Clone(u.parts)
	slices.SortFunc(parts, func(a, b ondisk.UploadPart) int {
		if c := cmp.Compare(a.Number, b.Number); c != 0 {
			return c
		}
		return object.VersionRef{TS: b.TS, Write: b.Write}.Compare(object.VersionRef{TS: a.TS, Write: a.Write})
	})
	return &up, parts, nil
}

// dropUpload forgets an upload and the data of its parts but those kept.
func (m *Mem) dropUpload(b *memBucket, id uploadKey, keep []ondisk.Part) {
	u := b.uploads[id]
	if u == nil {
		return
	}
	for _, p := range u.parts {
		if !slices.ContainsFunc(keep, func(k ondisk.Part) bool { return k.Ref.OID == p.Ref.OID }) {
			delete(m.shards, p.Ref.OID)
		}
	}
	delete(b.uploads, id)
	b.upsDirty = true
}

// ListUploads walks open uploads.
func (m *Mem) ListUploads(ctx context.Context, bucket cluster.BucketID, prefix, startKey string, startAfter object.WriteID, limit int) ([]drive.UploadEntry, error) {
	if err := m.faults.enter(ctx, OpListUploads); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.buckets[bucket]
	if b == nil {
		return nil, nil
	}
	if b.upsDirty {
		b.upOrder = slices.SortedFunc(maps.Keys(b.uploads), uploadKey.compare)
		b.upsDirty = false
	}
	var out []drive.UploadEntry
	for _, id := range b.upOrder {
		if len(out) == limit {
			break
		}
		if !b.completes(id) && strings.HasPrefix(id.name, prefix) && id.compare(uploadKey{startKey, startAfter}) > 0 {
			out = append(out, drive.UploadEntry{Name: id.name, Upload: b.uploads[id].up})
		}
	}
	return out, nil
}

type memControl struct {
	meta ondisk.ControlMeta
	rows map[string][]byte
}

// LoadControl returns the copy of the control state.
func (m *Mem) LoadControl(context.Context) (ondisk.ControlMeta, map[string][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.control == nil {
		return ondisk.ControlMeta{}, nil, drive.ErrNoControl
	}
	rows := make(map[string][]byte, len(m.control.rows))
	for k, v := range m.control.rows {
		rows[k] = slices.Clone(v)
	}
	return m.control.meta, rows, nil
}

// StoreControl changes the copy of the control state.
func (m *Mem) StoreControl(_ context.Context, meta ondisk.ControlMeta, put map[string][]byte, del []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.control == nil {
		m.control = &memControl{rows: map[string][]byte{}}
	}
	m.control.meta = meta
	for k, v := range put {
		m.control.rows[k] = slices.Clone(v)
	}
	for _, k := range del {
		delete(m.control.rows, k)
	}
	return nil
}
