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
	data   []byte
	frame  int
	synced bool
	inline bool

	mu      sync.Mutex
	damaged map[int64]bool // guarded by mu: numbers of blocks that fail their checksum
}

func inlineShard(p []byte) *memShard {
	return &memShard{data: bytes.Clone(p), frame: max(1, len(p)), synced: true, inline: true}
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
	m.staging[req.OID] = s
	m.writers++
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

// isStaged says that a shard was staged and synced, and not committed yet.
func (m *Mem) isStaged(oid object.OID) bool {
	s := m.staging[oid]
	return s != nil && s.synced
}

// take makes a staged shard one that rows refer to. What was under that name before stays: the shards
// of one name are all alike.
func (m *Mem) take(oid object.OID) {
	if m.shards[oid] == nil {
		m.shards[oid] = m.staging[oid]
	}
	delete(m.staging, oid)
}

// Abort gives the data back unless a commit or a part row took it; harmless afterwards.
func (w *memWriter) Abort() {
	if w.done.Swap(true) {
		return
	}
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.m.writers--
	if w.m.staging[w.oid] == w.shard {
		delete(w.m.staging, w.oid)
	}
}

type memReader struct {
	m      *Mem
	shard  *memShard
	closed atomic.Bool
}

func (m *Mem) reader(oid object.OID) *memReader {
	s := m.shards[oid]
	if s == nil {
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
	gone    *memRow // to be reclaimed behind the last reader
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
			m.giveBack(h.gone)
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
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.closeLocked()
	return nil
}

func (r *memReader) closeLocked() {
	if !r.closed.Swap(true) {
		r.m.pinned--
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
	for id, b := range m.buckets {
		for name, k := range b.keys {
			for i := range k.state.Versions {
				v := &k.state.Versions[i]
				if r := k.row(v); !v.Stable && m.clock().Sub(r.accepted) >= age {
					out = append(out, ondisk.Pending{Key: object.Key{Bucket: id, Name: name}, Ref: v.Ref, Rev: v.Rev, Epoch: v.Epoch, Bytes: r.Size})
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b ondisk.Pending) int { return a.Ref.Compare(b.Ref) })
	return out[:min(len(out), limit)], nil
}

// Debts lists what slots miss. All of it comes at once.
func (m *Mem) Debts(ctx context.Context, from []byte, _ int) ([]ondisk.Pending, []byte, error) {
	if err := m.faults.enter(ctx, OpPending); err != nil || from != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []ondisk.Pending
	for id, b := range m.buckets {
		for name, k := range b.keys {
			for _, h := range k.state.Hints {
				out = append(out, ondisk.Pending{Key: object.Key{Bucket: id, Name: name}, Ref: h.Ref, Rev: h.Rev, Slots: uint16(h.Missed)})
			}
		}
	}
	slices.SortFunc(out, func(a, b ondisk.Pending) int { return a.Ref.Compare(b.Ref) })
	return out, nil, nil
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
