// Package drivetest holds what tests of and over drives need: Mem, a complete drive.Drive in
// memory with fault switches, and Run, the conformance suite that spells out what every drive
// promises. It is imported by tests and by in-process benchmarks only.
//
// Mem runs quorum.Drive.Step on plain memory. It owns copies of everything it is given. All methods
// are safe for concurrent use.
package drivetest

import (
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
	clock  func() time.Time

	mu      sync.Mutex
	machine quorum.Drive
	buckets map[cluster.BucketID]*memBucket    // guarded by mu
	shards  map[object.OID]*memShard           // guarded by mu: those that rows refer to
	staging map[object.OID]*memShard           // guarded by mu: those that were staged last and not committed
	parts   map[object.OID][]ondisk.Part       // guarded by mu: part tables
	holds   map[object.OID]*memHold            // guarded by mu: multipart objects that are read
	sets    map[cluster.SetID]*quorum.SetState // guarded by mu
	state   quorum.DriveState                  // guarded by mu
	pins    map[quorum.PinID][]*memReader      // guarded by mu
	batch   uint64                             // guarded by mu
	writers int                                // guarded by mu: open shard writers
	pinned  int                                // guarded by mu: open shard readers and holds
	control *memControl                        // guarded by mu
}

type memBucket struct {
	state    quorum.BucketState
	keys     map[string]*memKey
	order    []string // names in order; valid unless dirty
	dirty    bool
	uploads  map[uploadKey]*memUpload
	upOrder  []uploadKey
	upsDirty bool
}

type memKey struct {
	state quorum.KeyState
	rows  map[revision]*memRow
}

// revision names a row of a key.
type revision struct {
	ref object.VersionRef
	rev object.Stamp
}

// memRow is what lies beside a row that the protocol does not look at.
type memRow struct {
	drive.Payload // Row and Parts are copies, Inline is nil: it lies in shards
	set           cluster.SetID
	slot          uint8
	epoch         uint64
	accepted      time.Time
	upload        object.WriteID
	stable, has   bool // that it is, and that its data is here, after the last step
}

var _ drive.Drive = (*Mem)(nil)
var _ drive.ControlStore = (*Mem)(nil)

// NewMem returns an empty drive with a given identity.
func NewMem(id cluster.DriveID) *Mem {
	m := &Mem{
		id:      id,
		clock:   time.Now,
		machine: quorum.Drive{Life: drive.AttemptLife},
		buckets: map[cluster.BucketID]*memBucket{},
		shards:  map[object.OID]*memShard{},
		staging: map[object.OID]*memShard{},
		parts:   map[object.OID][]ondisk.Part{},
		holds:   map[object.OID]*memHold{},
		sets:    map[cluster.SetID]*quorum.SetState{},
		pins:    map[quorum.PinID][]*memReader{},
	}
	return m
}

// SetClock gives the drive another clock than the system's.
func (m *Mem) SetClock(clock func() time.Time) { m.clock = clock }

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
	return m.writers, m.pinned
}

// Rows counts version rows, open uploads, and shards, committed or staged.
func (m *Mem) Rows() (versions, uploads, shards int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.buckets {
		for _, k := range b.keys {
			versions += len(k.state.Versions)
		}
		uploads += len(b.uploads)
	}
	return versions, uploads, len(m.shards) + len(m.staging)
}

// KeyState is a copy of what the drive knows of a key.
func (m *Mem) KeyState(key object.Key) quorum.KeyState {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out quorum.KeyState
	if b := m.buckets[key.Bucket]; b != nil && b.keys[key.Name] != nil {
		out.CopyFrom(&b.keys[key.Name].state)
	}
	return out
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
		k = &memKey{rows: map[revision]*memRow{}}
		b.keys[name] = k
		b.dirty = true
	}
	return k
}

// forget takes a key of which nothing is known out of the bucket again.
func (b *memBucket) forget(name string, k *memKey) {
	if s := &k.state; s.Empty() && len(s.Superseded)+len(s.Pins) == 0 && s.Tokens == 0 {
		delete(b.keys, name)
		b.dirty = true
	}
}

func (m *Mem) set(id cluster.SetID) *quorum.SetState {
	s := m.sets[id]
	if s == nil {
		s = &quorum.SetState{}
		m.sets[id] = s
	}
	return s
}

// Known implements Subject.
func (m *Mem) Known(set cluster.SetID, bucket cluster.BucketID) (epoch, revision uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.set(set).Config.Epoch, m.bucket(bucket).state.Revision
}

func (k *memKey) row(v *quorum.Version) *memRow { return k.rows[revision{v.Ref, v.Rev}] }

// data says whether any row but one refers to an oid.
func (k *memKey) data(oid object.OID) bool {
	for _, r := range k.rows {
		if r.OID == oid {
			return true
		}
	}
	return false
}

// reclaim gives a row's data back unless another row of the key refers to it. keep says that the
// parts go back to their upload.
func (m *Mem) reclaim(k *memKey, r *memRow, keep bool) {
	if r.OID.IsZero() || k.data(r.OID) {
		return
	}
	if keep {
		delete(m.parts, r.OID)
		return
	}
	m.giveBack(r)
}

// giveBack takes away a row's data, behind its last reader.
func (m *Mem) giveBack(r *memRow) {
	if h := m.holds[r.OID]; h != nil {
		h.gone = r
		return
	}
	delete(m.shards, r.OID)
	delete(m.parts, r.OID)
	for _, p := range r.Parts {
		delete(m.shards, p.Ref.OID)
	}
}

// settle brings what lies beside the protocol's state up to it, after a step.
func (m *Mem) settle(b *memBucket, name string, k *memKey, req *drive.Request) {
	payload := func(v *quorum.Version) *drive.Payload {
		if req.Kind == quorum.ReqCommit {
			return &req.Payload
		}
		for i := range req.Versions {
			if v.Is(req.Versions[i].Ref, req.Versions[i].Rev) && i < len(req.Payloads) {
				return &req.Payloads[i]
			}
		}
		return &drive.Payload{}
	}
	left := map[revision]bool{}
	set := m.set(req.Set)
	for i := range k.state.Versions {
		v := &k.state.Versions[i]
		left[revision{v.Ref, v.Rev}] = true
		p := payload(v)
		if r := k.row(v); r != nil {
			if v.Data && !r.has {
				m.bring(p)
			}
			continue
		}
		r := &memRow{Payload: *p, set: req.Set, epoch: v.Epoch, accepted: m.clock(), upload: v.Upload, slot: uint8(memberSlot(set))}
		r.Row, r.Parts, r.Inline = slices.Clone(p.Row), slices.Clone(p.Parts), nil
		k.rows[revision{v.Ref, v.Rev}] = r
		m.bring(p)
	}
	open := map[object.WriteID]bool{} // uploads that were open before the step
	for at := range b.uploads {
		open[at.id] = open[at.id] || at.name == name
	}
	for at, r := range k.rows {
		if !left[at] {
			delete(k.rows, at)
			m.reclaim(k, r, !r.stable && (open[r.upload] || k.completes(r.upload)))
		}
	}
	m.settleUploads(b, name, k, req)
	for i := range k.state.Versions {
		v := &k.state.Versions[i]
		k.row(v).stable, k.row(v).has = v.Stable, v.Data
	}
}

// ready makes sure that all shards are there that a request offers.
func (m *Mem) ready(k *memKey, req *drive.Request) error {
	check := func(v *quorum.Version, p *drive.Payload) error {
		if r := k.row(v); !p.Staged || r != nil && r.has {
			return nil
		}
		oids := []object.OID{p.OID}
		if len(p.Parts) > 0 {
			oids = nil
		}
		for i := range p.Parts {
			if part := &p.Parts[i]; part.Stored > 0 && (i >= len(p.PartInline) || p.PartInline[i] == nil) {
				oids = append(oids, part.Ref.OID)
			}
		}
		for _, oid := range oids {
			if !m.isStaged(oid) && (m.shards[oid] == nil || !p.Again) {
				return fmt.Errorf("drive %s: commit of %s, which was not staged and synced: %w", m.id, oid, drive.ErrNoShard)
			}
		}
		return nil
	}
	if req.Kind == quorum.ReqCommit {
		return check(&req.Version, &req.Payload)
	}
	for i := range min(len(req.Payloads), len(req.Versions)) {
		if err := check(&req.Versions[i], &req.Payloads[i]); err != nil {
			return err
		}
	}
	return nil
}

// bring keeps the data of a version.
func (m *Mem) bring(p *drive.Payload) {
	if p.Inline != nil {
		m.shards[p.OID] = inlineShard(p.Inline)
	}
	if len(p.Parts) > 0 {
		m.parts[p.OID] = slices.Clone(p.Parts)
	} else if p.Staged {
		m.take(p.OID)
	}
	for i := range p.Parts {
		switch oid := p.Parts[i].Ref.OID; {
		case m.shards[oid] != nil || !p.Staged || p.Parts[i].Stored == 0:
		case i < len(p.PartInline) && p.PartInline[i] != nil:
			m.shards[oid] = inlineShard(p.PartInline[i])
		default:
			m.take(oid)
		}
	}
}

// completes says whether a version completes an upload.
func (k *memKey) completes(id object.WriteID) bool {
	return id != object.WriteID{} && slices.ContainsFunc(k.state.Versions, func(v quorum.Version) bool { return v.Upload == id })
}

// memberSlot is the slot that the drive's shards of a set belong to.
func memberSlot(set *quorum.SetState) int {
	return set.Config.SlotsOf(quorum.Slot(set.Member)).Lowest()
}

// Restart makes the drive forget what a restart forgets. All else is durable at once.
func (m *Mem) Restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Restarted()
	for _, b := range m.buckets {
		for _, k := range b.keys {
			k.state.Restarted(k.state.Tokens)
		}
	}
}
