// Package drivetest holds what tests of and over drives need: Mem, a complete drive.Drive in
// memory with fault switches, and Run, the conformance suite that spells out what every drive
// promises. It is imported by tests and by in-process benchmarks only.
//
// Mem owns copies of everything it is given. All methods are safe for concurrent use.
package drivetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// Mem is a drive in memory.
type Mem struct {
	id     cluster.DriveID
	faults faults

	mu      sync.Mutex
	buckets map[cluster.BucketID]*memBucket // guarded by mu
	shards  map[object.OID]*memShard        // guarded by mu: committed and staged ones
	parts   map[object.OID][]ondisk.Part    // guarded by mu: part tables
	holds   map[object.OID]*memHold         // guarded by mu: multipart objects that are read
	epochs  map[cluster.SetID]uint64        // guarded by mu
	floors  map[cluster.SetID]object.Stamp  // guarded by mu: GC floors
	highest object.Stamp                    // guarded by mu
	batch   uint64                          // guarded by mu
	staged  int                             // guarded by mu: open shard writers
	pinned  int                             // guarded by mu: open shard readers and holds
	control *memControl                     // guarded by mu
}

type memBucket struct {
	rev      uint64
	sealed   bool
	removed  bool
	keys     map[string]*memKey
	order    []string // names in order; valid unless dirty
	dirty    bool
	uploads  map[uploadKey]*memUpload
	upOrder  []uploadKey
	upsDirty bool
}

type memKey struct {
	versions []*memVersion // newest first
	state    ondisk.KeyState
}

type memVersion struct {
	commit   drive.Commit // Row and Parts are copies, Inline is nil (it lies in shards)
	stable   bool
	missed   uint16
	accepted time.Time
	batch    uint64
}

var _ drive.Drive = (*Mem)(nil)
var _ drive.ControlStore = (*Mem)(nil)

// NewMem returns an empty drive with a given identity.
func NewMem(id cluster.DriveID) *Mem {
	return &Mem{
		id:      id,
		buckets: map[cluster.BucketID]*memBucket{},
		shards:  map[object.OID]*memShard{},
		parts:   map[object.OID][]ondisk.Part{},
		holds:   map[object.OID]*memHold{},
		epochs:  map[cluster.SetID]uint64{},
		floors:  map[cluster.SetID]object.Stamp{},
	}
}

// ID is the drive's identity.
func (m *Mem) ID() cluster.DriveID { return m.id }

// Health is what the switches say.
func (m *Mem) Health() drive.Health {
	h := m.faults.health()
	m.mu.Lock()
	defer m.mu.Unlock()
	h.Capacity, h.Free, h.Durable = 1<<40, 1<<39, m.batch
	return h
}

// Leaks counts shard writers neither synced nor aborted and readers not closed.
func (m *Mem) Leaks() (writers, readers int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.staged, m.pinned
}

// Rows counts version rows, open uploads, and shards, committed or staged.
func (m *Mem) Rows() (versions, uploads, shards int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.buckets {
		for _, k := range b.keys {
			versions += len(k.versions)
		}
		uploads += len(b.uploads)
	}
	return versions, uploads, len(m.shards)
}

func (m *Mem) bucket(id cluster.BucketID) *memBucket {
	b := m.buckets[id]
	if b == nil {
		b = &memBucket{keys: map[string]*memKey{}, uploads: map[uploadKey]*memUpload{}}
		m.buckets[id] = b
	}
	return b
}

func (b *memBucket) key(name string) *memKey {
	k := b.keys[name]
	if k == nil {
		k = &memKey{}
		b.keys[name] = k
		b.dirty = true
	}
	return k
}

// fenced judges what a request says of set epoch and bucket revision (I17, I23).
func (m *Mem) fenced(set cluster.SetID, epoch uint64, bucket cluster.BucketID, rev uint64) error {
	if e := m.epochs[set]; epoch < e {
		return fmt.Errorf("drive %s: set %d is at epoch %d: %w", m.id, set, e, drive.ErrStale)
	} else if epoch > e {
		m.epochs[set] = epoch
	}
	if b := m.buckets[bucket]; b != nil && (b.sealed || b.removed || rev < b.rev) {
		return fmt.Errorf("drive %s: bucket %d is at revision %d: %w", m.id, bucket, b.rev, drive.ErrStale)
	}
	return nil
}

func (m *Mem) view(k *memKey, set cluster.SetID, ref object.VersionRef) quorum.KeyView {
	v := quorum.KeyView{
		Promise: quorum.Ballot{TS: k.state.Promise}, GCFloor: m.floors[set],
		Dead: quorum.IsAttempt(k.state.Dead, ref), Superseded: quorum.IsAttempt(k.state.Superseded, ref), Highest: m.highest,
		Now: object.StampAt(time.Now()),
	}
	if len(k.versions) > 0 {
		v.Newest, v.Older = k.versions[0].commit.Ref, true
	}
	for _, held := range k.versions {
		if held.commit.Ref == ref {
			v.Holds, v.Stable = true, held.stable
		}
	}
	return v
}

// Commit accepts or refuses one version.
func (m *Mem) Commit(ctx context.Context, req *drive.Commit) (drive.CommitReply, error) {
	if err := m.faults.enter(ctx, OpCommit); err != nil {
		return drive.CommitReply{}, err
	}
	reply, err := m.commit(req)
	if err != nil {
		return drive.CommitReply{}, err
	}
	return reply, m.faults.leave(ctx, OpCommit)
}

func (m *Mem) commit(req *drive.Commit) (drive.CommitReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fenced(req.Set, req.Epoch, req.Key.Bucket, req.BucketRev); err != nil {
		return drive.CommitReply{}, err
	}
	if m.faults.isFull() && req.Kind == ondisk.KindObject {
		return drive.CommitReply{}, fmt.Errorf("drive %s: commit: %w", m.id, drive.ErrFull)
	}
	b := m.bucket(req.Key.Bucket)
	k := b.key(req.Key.Name)
	view := m.view(k, req.Set, req.Ref)
	verdict := quorum.Accept(&view, quorum.Plain(req.Ref))
	if m.faults.refuses() && !verdict.Repeat {
		verdict.Accepted = false
	}
	if !verdict.Accepted || verdict.Repeat {
		b.forget(req.Key.Name, k)
		return drive.CommitReply{Accepted: verdict.Accepted, Highest: verdict.Highest, Batch: m.batch}, nil
	}
	if req.Staged {
		s := m.shards[req.OID]
		if s == nil || !s.synced {
			b.forget(req.Key.Name, k)
			return drive.CommitReply{}, fmt.Errorf("drive %s: commit of %s, which was not staged and synced: %w", m.id, req.OID, drive.ErrNoShard)
		}
		s.committed = true
	}
	m.batch++
	m.highest = max(m.highest, req.Ref.TS)
	v := &memVersion{commit: *req, accepted: time.Now(), batch: m.batch}
	v.commit.Row = slices.Clone(req.Row)
	v.commit.Parts = slices.Clone(req.Parts)
	v.commit.Inline = nil
	if req.Inline != nil {
		m.shards[req.OID] = inlineShard(req.Inline)
	}
	if len(req.Parts) > 0 {
		m.parts[req.OID] = v.commit.Parts
	}
	if req.Upload != (object.WriteID{}) {
		m.dropUpload(b, uploadKey{req.Key.Name, req.Upload}, req.Parts)
	}
	k.versions = slices.Insert(k.versions, 0, v)
	return drive.CommitReply{Accepted: true, Highest: verdict.Highest, Batch: m.batch}, nil
}

// forget takes a key of which nothing is known out of the bucket again.
func (b *memBucket) forget(name string, k *memKey) {
	s := &k.state
	if len(k.versions) == 0 && len(s.Dead)+len(s.Superseded) == 0 && s.Promise == 0 && s.Floor == 0 {
		delete(b.keys, name)
		b.dirty = true
	}
}

// Mark makes versions stable and reclaims what they supersede.
func (m *Mem) Mark(marks []drive.Mark) error {
	if err := m.faults.enter(context.Background(), OpMark); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, mark := range marks {
		b := m.buckets[mark.Key.Bucket]
		if b == nil || b.keys[mark.Key.Name] == nil {
			continue
		}
		k := b.keys[mark.Key.Name]
		for i, v := range k.versions {
			if v.commit.Ref != mark.Ref {
				continue
			}
			v.stable, v.missed = true, mark.Missed
			if !mark.Versioned {
				m.supersede(k, k.versions[i+1:])
				k.versions = k.versions[:i+1]
			}
			break
		}
	}
	return nil
}

// supersede reclaims versions; of unfinished ones a memory stays, so that nobody takes their
// absence for evidence (P1).
func (m *Mem) supersede(k *memKey, old []*memVersion) {
	for _, v := range old {
		if !v.stable {
			k.state.Superseded = append(k.state.Superseded, ondisk.Attempt{TS: v.commit.Ref.TS, Write: v.commit.Ref.Write, Epoch: v.commit.Epoch})
		}
		m.reclaim(v)
	}
}

func (m *Mem) reclaim(v *memVersion) {
	if h := m.holds[v.commit.OID]; h != nil {
		h.gone = v
		return
	}
	delete(m.shards, v.commit.OID)
	delete(m.parts, v.commit.OID)
	for _, p := range v.commit.Parts {
		delete(m.shards, p.Ref.OID)
	}
}

// Collect drops tombstones.
func (m *Mem) Collect(ctx context.Context, tombs []drive.Tomb) error {
	if err := m.faults.enter(ctx, OpCollect); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range tombs {
		b := m.buckets[t.Key.Bucket]
		if b == nil || b.keys[t.Key.Name] == nil {
			continue
		}
		k := b.keys[t.Key.Name]
		if len(k.versions) != 1 || k.versions[0].commit.Ref != t.Ref || !k.versions[0].stable {
			continue
		}
		m.floors[t.Set] = max(m.floors[t.Set], t.Ref.TS, k.state.Promise, k.state.Floor) // P4
		k.versions, k.state = nil, ondisk.KeyState{}
		b.forget(t.Key.Name, k)
	}
	return m.faults.leave(ctx, OpCollect)
}

// Drop kills an unfinished version.
func (m *Mem) Drop(ctx context.Context, key object.Key, set cluster.SetID, ref object.VersionRef) error {
	if err := m.faults.enter(ctx, OpDrop); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.bucket(key.Bucket).key(key.Name)
	view := m.view(k, set, ref)
	switch quorum.Kill(&view, ref) {
	case quorum.KillHeld, quorum.KillUnknown:
		return fmt.Errorf("drive %s: drop of version %d: %w", m.id, ref.TS, drive.ErrHeld)
	case quorum.KillDrop:
		i := slices.IndexFunc(k.versions, func(v *memVersion) bool { return v.commit.Ref == ref })
		m.reclaim(k.versions[i])
		k.versions = slices.Delete(k.versions, i, i+1)
	}
	if !quorum.IsAttempt(k.state.Dead, ref) {
		k.state.Dead = append(k.state.Dead, ondisk.Attempt{TS: ref.TS, Write: ref.Write, Epoch: m.epochs[set]})
	}
	return m.faults.leave(ctx, OpDrop)
}

// Fence learns a bucket revision.
func (m *Mem) Fence(ctx context.Context, bucket cluster.BucketID, revision uint64, sealed, removed bool) error {
	if err := m.faults.enter(ctx, OpFence); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.bucket(bucket)
	if revision < b.rev {
		return nil // a late message: what is known is newer
	}
	b.rev, b.sealed, b.removed = revision, sealed, removed
	if removed {
		for _, k := range b.keys {
			for _, v := range k.versions {
				m.reclaim(v)
			}
		}
		for id := range b.uploads {
			m.dropUpload(b, id, nil)
		}
		b.keys, b.dirty = map[string]*memKey{}, true
	}
	return nil
}
