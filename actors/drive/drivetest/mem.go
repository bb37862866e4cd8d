// Package drivetest holds what tests of and over drives need: Mem, a complete drive.Drive in
// memory with fault switches, and Run, the conformance suite that spells out what every drive
// promises. It is imported by tests and by in-process benchmarks only.
//
// Mem runs quorum.Drive.Step on plain memory. It owns copies of everything it is given. All methods
// are safe for concurrent use.
package drivetest

import (
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
	drive.Legacy
	id     cluster.DriveID
	faults faults
	clock  func() time.Time

	mu      sync.Mutex
	machine quorum.Drive
	buckets map[cluster.BucketID]*memBucket    // guarded by mu
	shards  map[object.OID]*memShard           // guarded by mu: committed and staged ones
	parts   map[object.OID][]ondisk.Part       // guarded by mu: part tables
	holds   map[object.OID]*memHold            // guarded by mu: multipart objects that are read
	sets    map[cluster.SetID]*quorum.SetState // guarded by mu
	state   quorum.DriveState                  // guarded by mu
	pins    map[quorum.PinID][]*memReader      // guarded by mu
	batch   uint64                             // guarded by mu
	staged  int                                // guarded by mu: open shard writers
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
	stable        bool // after the last step
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
		parts:   map[object.OID][]ondisk.Part{},
		holds:   map[object.OID]*memHold{},
		sets:    map[cluster.SetID]*quorum.SetState{},
		pins:    map[quorum.PinID][]*memReader{},
	}
	m.Legacy = drive.NewLegacy(m)
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
	return m.staged, m.pinned
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
	return versions, uploads, len(m.shards)
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

// Known implements drive.LegacyDoer.
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
		if k.row(v) != nil {
			continue
		}
		p := payload(v)
		r := &memRow{Payload: *p, set: req.Set, epoch: v.Epoch, accepted: m.clock(), upload: v.Upload, slot: uint8(memberSlot(set))}
		r.Row, r.Parts, r.Inline = slices.Clone(p.Row), slices.Clone(p.Parts), nil
		k.rows[revision{v.Ref, v.Rev}] = r
		if p.Inline != nil {
			m.shards[p.OID] = inlineShard(p.Inline)
		}
		if p.Staged {
			m.shards[p.OID].committed = true
		}
		if len(p.Parts) > 0 {
			m.parts[p.OID] = r.Parts
		}
	}
	open := map[object.WriteID]bool{} // uploads that were open before the step
	for at := range b.uploads {
		open[at.id] = open[at.id] || at.name == name
	}
	for at, r := range k.rows {
		if !left[at] {
			delete(k.rows, at)
			m.reclaim(k, r, !r.stable && open[r.upload])
		}
	}
	m.settleUploads(b, name, k, req)
	for i := range k.state.Versions {
		v := &k.state.Versions[i]
		k.row(v).stable = v.Stable
	}
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
