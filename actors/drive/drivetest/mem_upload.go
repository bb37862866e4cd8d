package drivetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
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

// PutUpload records an upload.
func (m *Mem) PutUpload(ctx context.Context, at drive.Target, up *ondisk.Upload) error {
	if err := m.faults.enter(ctx, OpPutUpload); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fenced(at.Set, at.Epoch, at.Key.Bucket, at.BucketRev); err != nil {
		return err
	}
	b := m.bucket(at.Key.Bucket)
	id := uploadKey{at.Key.Name, up.ID}
	if b.uploads[id] == nil {
		b.uploads[id] = &memUpload{up: *up}
		b.upsDirty = true
	}
	m.batch++
	return m.faults.leave(ctx, OpPutUpload)
}

// PutPart records a part.
func (m *Mem) PutPart(ctx context.Context, at drive.Target, upload object.WriteID, part *ondisk.UploadPart, inline []byte) error {
	if err := m.faults.enter(ctx, OpPutPart); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fenced(at.Set, at.Epoch, at.Key.Bucket, at.BucketRev); err != nil {
		return err
	}
	u := m.bucket(at.Key.Bucket).uploads[uploadKey{at.Key.Name, upload}]
	if u == nil {
		return fmt.Errorf("drive %s: put part: %w", m.id, drive.ErrNoUpload)
	}
	if inline != nil {
		m.shards[part.Ref.OID] = inlineShard(inline)
	} else if part.Size > 0 {
		s := m.shards[part.Ref.OID]
		if s == nil || !s.synced {
			return fmt.Errorf("drive %s: put part %s, which was not staged and synced: %w", m.id, part.Ref.OID, drive.ErrNoShard)
		}
		s.committed = true
	}
	if !slices.ContainsFunc(u.parts, func(p ondisk.UploadPart) bool { return p.Number == part.Number && p.Write == part.Write }) {
		u.parts = append(u.parts, *part)
	}
	m.batch++
	m.highest = max(m.highest, part.TS)
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
	up, parts := u.up, slices.Clone(u.parts)
	slices.SortFunc(parts, func(a, b ondisk.UploadPart) int {
		if c := cmp.Compare(a.Number, b.Number); c != 0 {
			return c
		}
		return object.VersionRef{TS: b.TS, Write: b.Write}.Compare(object.VersionRef{TS: a.TS, Write: a.Write})
	})
	return &up, parts, nil
}

// DropUpload removes an upload.
func (m *Mem) DropUpload(ctx context.Context, at drive.Target, upload object.WriteID) error {
	if err := m.faults.enter(ctx, OpDropUpload); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.buckets[at.Key.Bucket]; b != nil {
		m.dropUpload(b, uploadKey{at.Key.Name, upload}, nil)
	}
	return m.faults.leave(ctx, OpDropUpload)
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
		if strings.HasPrefix(id.name, prefix) && id.compare(uploadKey{startKey, startAfter}) > 0 {
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
