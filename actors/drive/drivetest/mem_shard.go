package drivetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/slab"
)

// block is the unit of checksums.
const block = 64 << 10

// memShard is the data of one shard. Its bytes never change once synced.
type memShard struct {
	data      []byte
	frame     int
	synced    bool
	committed bool

	mu      sync.Mutex
	damaged map[int64]bool // guarded by mu: numbers of blocks that fail their checksum
}

func inlineShard(p []byte) *memShard {
	return &memShard{data: bytes.Clone(p), frame: max(1, len(p)), synced: true, committed: true}
}

func (s *memShard) check(from, to int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for b := from / block; b*block < to; b++ {
		if s.damaged[b] {
			return drive.ErrDamaged
		}
	}
	return nil
}

// DamageShard makes the 64 KiB block at offset off of a shard fail its checksum.
func (m *Mem) DamageShard(oid object.OID, off int64) {
	m.mu.Lock()
	s := m.shards[oid]
	m.mu.Unlock()
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.damaged == nil {
		s.damaged = map[int64]bool{}
	}
	s.damaged[off/block] = true
}

// LoseShards removes the data of all shards and keeps the rows.
func (m *Mem) LoseShards() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.shards)
}

// OIDs lists the shards held.
func (m *Mem) OIDs() []object.OID {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []object.OID
	for id := range m.shards {
		ids = append(ids, id)
	}
	return ids
}

type memWriter struct {
	m     *Mem
	oid   object.OID
	shard *memShard
	short bool // a frame below full size came: it was the last
	done  atomic.Bool
}

// Stage opens a writer.
func (m *Mem) Stage(ctx context.Context, req drive.StageRequest) (drive.ShardWriter, error) {
	if err := m.faults.enter(ctx, OpStage); err != nil {
		return nil, err
	}
	if m.faults.isFull() {
		return nil, fmt.Errorf("drive %s: stage: %w", m.id, drive.ErrFull)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &memShard{frame: req.Frame}
	m.shards[req.OID] = s
	m.staged++
	return &memWriter{m: m, oid: req.OID, shard: s}, nil
}

func (w *memWriter) WriteFrame(ctx context.Context, frame []byte) error {
	if err := w.m.faults.enter(ctx, OpWriteFrame); err != nil {
		return err
	}
	data := frame[slab.HeaderRoom:]
	if w.done.Load() || w.short || len(data) > w.shard.frame {
		return fmt.Errorf("drive %s: frame of %d bytes out of turn", w.m.id, len(data))
	}
	clear(frame[:slab.HeaderRoom]) // as a real drive, which writes its header there
	w.short = len(data) < w.shard.frame
	w.m.mu.Lock()
	w.shard.data = append(w.shard.data, data...)
	w.m.mu.Unlock()
	return nil
}

func (w *memWriter) Sync(ctx context.Context) error {
	if err := w.m.faults.enter(ctx, OpSync); err != nil {
		return err
	}
	w.m.mu.Lock()
	w.shard.synced = true
	w.m.mu.Unlock()
	return w.m.faults.leave(ctx, OpSync)
}

// Abort gives the data back unless a commit or a part row took it; harmless afterwards.
func (w *memWriter) Abort() {
	if w.done.Swap(true) {
		return
	}
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.m.staged--
	if w.m.shards[w.oid] == w.shard && !w.shard.committed {
		delete(w.m.shards, w.oid)
	}
}

type memReader struct {
	m      *Mem
	shard  *memShard
	closed atomic.Bool
}

func (m *Mem) reader(oid object.OID) *memReader {
	s := m.shards[oid]
	if s == nil || !s.committed {
		return nil
	}
	m.pinned++
	return &memReader{m: m, shard: s}
}

// memHold keeps a multipart object.
type memHold struct {
	m       *Mem
	oid     object.OID
	readers int
	gone    *memVersion // to be reclaimed behind the last reader
}

// hold adds a reader of a multipart object. m.mu is held.
func (m *Mem) hold(oid object.OID) io.Closer {
	h := m.holds[oid]
	if h == nil {
		h = &memHold{m: m, oid: oid}
		m.holds[oid] = h
	}
	h.readers++
	m.pinned++
	return &memHolding{h: h}
}

type memHolding struct {
	h      *memHold
	closed atomic.Bool
}

func (x *memHolding) Close() error {
	if x.closed.Swap(true) {
		return nil
	}
	h, m := x.h, x.h.m
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pinned--
	if h.readers--; h.readers == 0 {
		delete(m.holds, h.oid)
		if h.gone != nil {
			m.reclaim(h.gone)
		}
	}
	return nil
}

// OpenShard finds a shard.
func (m *Mem) OpenShard(ctx context.Context, _ object.Key, oid object.OID) (drive.ShardReader, error) {
	if err := m.faults.enter(ctx, OpOpenShard); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.reader(oid); r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("drive %s: open shard %s: %w", m.id, oid, drive.ErrNoShard)
}

func (r *memReader) ReadFrames(ctx context.Context, first int, dst [][]byte) ([][]byte, error) {
	if err := r.m.faults.enter(ctx, OpReadShard); err != nil {
		return nil, err
	}
	out := make([][]byte, 0, len(dst))
	for i := range dst {
		from := int64(first+i) * int64(r.shard.frame)
		to := min(from+int64(r.shard.frame), r.Size())
		if from >= to {
			return nil, fmt.Errorf("drive %s: frame %d is behind the shard's end", r.m.id, first+i)
		}
		if err := r.shard.check(from, to); err != nil {
			return nil, err
		}
		p := dst[i][slab.HeaderRoom:]
		out = append(out, p[:copy(p, r.shard.data[from:to])])
	}
	return out, nil
}

func (r *memReader) ReadAt(ctx context.Context, p []byte, off int64) error {
	if err := r.m.faults.enter(ctx, OpReadShard); err != nil {
		return err
	}
	if off < 0 || off+int64(len(p)) > r.Size() {
		return fmt.Errorf("drive %s: bytes %d to %d are outside of the shard", r.m.id, off, off+int64(len(p)))
	}
	if err := r.shard.check(off, off+int64(len(p))); err != nil {
		return err
	}
	copy(p, r.shard.data[off:])
	return nil
}

func (r *memReader) Size() int64 { return int64(len(r.shard.data)) }
func (r *memReader) Frame() int  { return r.shard.frame }

func (r *memReader) Close() error {
	if !r.closed.Swap(true) {
		r.m.mu.Lock()
		r.m.pinned--
		r.m.mu.Unlock()
	}
	return nil
}

// Report lists a key's versions down to the newest stable one.
func (m *Mem) Report(ctx context.Context, req *drive.ReportRequest) (drive.Report, error) {
	if err := m.faults.enter(ctx, OpReport); err != nil {
		return drive.Report{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var rep drive.Report
	b := m.buckets[req.Key.Bucket]
	if b == nil || b.keys[req.Key.Name] == nil {
		return rep, nil
	}
	for _, v := range b.keys[req.Key.Name].versions {
		r := drive.Reported{Row: v.commit.Row, Stable: v.stable}
		if err := ondisk.DecodeShared(&r.Version, v.commit.Ref, v.commit.Rev, v.commit.Row); err != nil {
			return drive.Report{}, fmt.Errorf("drive %s: report: %w", m.id, err)
		}
		r.Version.Slot, r.Version.Batch = v.commit.Slot, v.batch
		rep.Slot = v.commit.Slot
		rep.Versions = append(rep.Versions, r)
		if v.stable {
			break
		}
	}
	if req.WithShard && len(rep.Versions) > 0 {
		m.addShard(&rep)
	}
	return rep, nil
}

func (m *Mem) addShard(rep *drive.Report) {
	v := &rep.Versions[0].Version
	if len(v.Refs) == 0 {
		return
	}
	ref := v.Refs[0]
	if v.Parts > 0 {
		rep.Hold = m.hold(ref.OID)
		return
	}
	if !ref.Inline {
		if r := m.reader(ref.OID); r != nil {
			rep.Shard = r
		}
		return
	}
	if s := m.shards[ref.OID]; s != nil && s.check(0, int64(len(s.data))) == nil {
		rep.Inline = bytes.Clone(s.data)
	}
}

// Pending lists unfinished versions, oldest first.
func (m *Mem) Pending(ctx context.Context, age time.Duration, limit int) ([]ondisk.Pending, error) {
	if err := m.faults.enter(ctx, OpPending); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []ondisk.Pending
	for _, b := range m.buckets {
		for _, k := range b.keys {
			for _, v := range k.versions {
				if !v.stable && time.Since(v.accepted) >= age {
					out = append(out, ondisk.Pending{Key: v.commit.Key, Ref: v.commit.Ref, Rev: v.commit.Rev, Epoch: v.commit.Epoch, Bytes: v.commit.Size})
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b ondisk.Pending) int { return a.Ref.Compare(b.Ref) })
	return out[:min(len(out), limit)], nil
}

// Parts returns a part table.
func (m *Mem) Parts(ctx context.Context, oid object.OID) ([]ondisk.Part, error) {
	if err := m.faults.enter(ctx, OpParts); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	parts, ok := m.parts[oid]
	if !ok {
		return nil, fmt.Errorf("drive %s: parts of %s: %w", m.id, oid, drive.ErrNoShard)
	}
	return slices.Clone(parts), nil
}
