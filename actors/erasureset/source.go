package erasureset

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/erasure"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/actors/slab"
)

// source is coded data, of an object or one part, to be read from any k of its shards.
type source struct {
	s    *Store
	t    *target
	oid  object.OID
	size int64
	geo  erasure.Geometry

	op     *op // in whose memory inline shards lie; nil: none do
	mu     sync.Mutex
	slots  []shardSource // guarded by mu; inline is set before the source is shared
	closed bool          // guarded by mu
}

// shardSource is one slot's shard.
type shardSource struct {
	inline []byte
	rd     drive.ShardReader
	err    error // it failed and is not asked again
	busy   bool  // a read of it is under way, perhaps abandoned
	slow   bool  // others were faster: asked only when they do not suffice
}

// newSource reads an object's data. Its shards are opened when first needed, holders' first.
func (s *Store) newSource(t *target, info *Info, holders quorum.Slots) *source {
	src := &source{
		s: s, t: t, size: info.Stored, oid: info.Refs[0].OID, slots: make([]shardSource, t.n()),
		geo: erasure.Geometry{N: int(info.N), K: int(info.K), Unit: int(info.Unit), Frame: int(info.Frame)},
	}
	for i := range t.n() {
		if holders != 0 && !holders.Has(i) && info.Refs[0].Inline {
			src.slots[i].err = drive.ErrNoShard
		}
	}
	return src
}

// partSource reads one part of an object that some slots hold. The others are asked only when those
// do not suffice: they may have given it back.
func (s *Store) partSource(t *target, up *ondisk.Part, geo erasure.Geometry, held quorum.Slots) *source {
	src := &source{s: s, t: t, size: up.Stored, oid: up.Ref.OID, geo: geo, slots: make([]shardSource, t.n())}
	for i := range src.slots {
		src.slots[i].slow = held != 0 && !held.Has(i)
	}
	return src
}

// valid says whether the geometry, which came from a drive, fits the set.
func (src *source) valid() error {
	if !src.geo.Valid() || src.geo.N != src.t.n() {
		return fmt.Errorf("object %s: geometry %+v in a set of %d: %w", src.oid, src.geo, src.t.n(), object.ErrDamaged)
	}
	return nil
}

// adopt takes over the shards that came with reports of the version. It reports whether some lie in
// the reports' memory.
func (src *source) adopt(o *op, ref object.VersionRef, inline bool) (within bool) {
	for i, c := range o.brought(ref) {
		a := &c.reply
		switch {
		case a.Inline != nil:
			src.slots[i].inline = a.Inline
			within = true
		case a.Shard != nil:
			src.slots[i].rd = a.Shard
			a.Shard = nil
		default:
			src.slots[i].err = drive.ErrNoShard // it was asked for and is not there
		}
		if inline && a.Inline != nil && int64(len(a.Inline)) != src.geo.ShardSize(src.size) {
			src.slots[i].inline, src.slots[i].err = nil, drive.ErrDamaged
		}
	}
	return within
}

// pin makes sure that k shards are at hand, opening further ones if fewer came with the reports;
// false if that cannot be.
func (src *source) pin(ctx context.Context, k int) bool {
	have := 0
	for i := range src.slots { // no read is under way yet
		if src.slots[i].inline != nil || src.slots[i].rd != nil {
			have++
		}
	}
	if have >= k {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, 10*src.s.opt.HedgeAfter)
	defer cancel()
	for i := range src.usable().All() {
		if src.slots[i].inline != nil || src.slots[i].rd != nil {
			continue
		}
		_, err := apart(ctx, src.s, src.t.drives[i], func() (drive.ShardReader, error) {
			rd, err := src.take(ctx, i)
			src.put(i, err)
			return rd, err
		})
		if err == nil {
			if have++; have == k {
				return true
			}
		}
	}
	return false
}

// usable are the slots that may still be asked.
func (src *source) usable() quorum.Slots {
	online := src.t.online()
	src.mu.Lock()
	defer src.mu.Unlock()
	var m quorum.Slots
	for i := range src.t.n() {
		if sl := &src.slots[i]; sl.err == nil && !sl.busy && (sl.inline != nil || online.Has(i)) {
			m |= quorum.Slot(i)
		}
	}
	return m
}

func (src *source) slow() quorum.Slots {
	src.mu.Lock()
	defer src.mu.Unlock()
	var m quorum.Slots
	for i := range src.slots {
		if src.slots[i].slow {
			m |= quorum.Slot(i)
		}
	}
	return m
}

func (src *source) setSlow(slots quorum.Slots) {
	src.mu.Lock()
	defer src.mu.Unlock()
	for i := range slots.All() {
		src.slots[i].slow = true
	}
}

// take returns the shard of a slot, opening it if need be, and books the slot until put.
func (src *source) take(ctx context.Context, slot int) (drive.ShardReader, error) {
	src.mu.Lock()
	sl := &src.slots[slot]
	rd := sl.rd
	sl.busy = true
	src.mu.Unlock()
	if rd != nil {
		return rd, nil
	}
	rd, err := src.t.drives[slot].OpenShard(ctx, src.t.key, src.oid)
	if err != nil {
		return nil, err
	}
	if rd.Size() != src.geo.ShardSize(src.size) {
		rd.Close()
		return nil, fmt.Errorf("shard of %d bytes, %d expected: %w", rd.Size(), src.geo.ShardSize(src.size), drive.ErrDamaged)
	}
	src.mu.Lock()
	sl.rd = rd
	src.mu.Unlock()
	return rd, nil
}

// put gives the slot back. A failed one is not used again; if the source was closed meanwhile, so
// is the shard.
func (src *source) put(slot int, err error) {
	src.mu.Lock()
	defer src.mu.Unlock()
	sl := &src.slots[slot]
	sl.busy = false
	switch {
	case err == nil:
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		sl.slow = true // it was not waited for; it may still be needed
	default:
		sl.err = err
	}
	if src.closed && sl.rd != nil {
		sl.rd.Close()
		sl.rd = nil
	}
}

func (src *source) close() {
	src.mu.Lock()
	defer src.mu.Unlock()
	if src.op != nil && !src.closed {
		src.op.finish()
	}
	src.closed = true
	for i := range src.slots {
		if sl := &src.slots[i]; sl.rd != nil && !sl.busy {
			sl.rd.Close()
			sl.rd = nil
		}
	}
}

// lost puts it into words that fewer than k shards can be read.
func (src *source) lost() error {
	src.mu.Lock()
	defer src.mu.Unlock()
	var good, gone quorum.Slots
	var errs []error
	for i := range src.t.n() {
		switch err := src.slots[i].err; {
		case err == nil:
			if src.t.drives[i].Health().State == drive.Online {
				good |= quorum.Slot(i)
			}
			continue
		case errors.Is(err, drive.ErrDamaged), errors.Is(err, drive.ErrNoShard):
			gone |= quorum.Slot(i)
		}
		errs = append(errs, fmt.Errorf("slot %d: %w", i, src.slots[i].err))
	}
	if gone.Len() > src.t.n()-src.geo.K {
		return fmt.Errorf("set %d: %d of %d shards are damaged or missing, %d are needed: %w: %w",
			src.t.id, gone.Len(), src.t.n(), src.geo.K, object.ErrDamaged, errors.Join(errs...))
	}
	return fmt.Errorf("%w: %w", src.t.readQuorum(good, " with a good shard"), errors.Join(errs...))
}

// inlineShards returns the shards of all slots, coded anew where missing.
func (src *source) inlineShards(ctx context.Context) ([][]byte, error) {
	row, err := src.readRow(ctx, job{row: 0, from: 0, to: src.size}, waitLong)
	if err != nil {
		return nil, err
	}
	defer row.release()
	unit := int(src.geo.ShardSize(src.size))
	shards := make([][]byte, src.t.n())
	flat := make([]byte, unit*src.t.n())
	at := 0
	for _, p := range row.pieces {
		at += copy(flat[at:], p)
	}
	for i := range shards {
		shards[i] = flat[i*unit : (i+1)*unit]
	}
	return shards, src.s.codec.Encode(src.geo.K, shards)
}

// job is a run of object bytes within one row.
type job struct {
	src      *source
	row      int
	from, to int64
}

// patience says how to wait for buffers.
type patience int

const (
	waitShort patience = iota // turned away after the pool's limit: nothing was begun
	waitLong                  // as long as ctx allows: the response is under way
	waitNever
)

// rowData is decoded object bytes; its pieces lie in buffers that release gives back.
type rowData struct {
	pieces [][]byte // in object order
	bufs   []*slab.Buf
}

func (r *rowData) release() {
	for _, b := range r.bufs {
		b.Release()
	}
	r.bufs, r.pieces = nil, nil
}

// fetch is one row on its way from the drives.
type fetch struct {
	src      *source
	ctx      context.Context // of the reads; ends with the row
	row      int
	iv       erasure.Interval
	whole    bool // iv is the whole frame
	len      int  // of iv
	want     quorum.Slots
	launched quorum.Slots
	ok       quorum.Slots
	bad      quorum.Slots
	late     quorum.Slots // still awaited, but not counted on
	data     [maxSlots][]byte
	bufs     [maxSlots]*slab.Buf // of launched reads

	results chan fetched

	mu   sync.Mutex
	over bool         // guarded by mu: nobody takes results any more
	back quorum.Slots // guarded by mu: whose reads have come back
}

type fetched struct {
	slot int
	data []byte
	buf  *slab.Buf
	err  error
}

// readRow reads the bytes of a job from k shards, by other shards where some fail, are damaged or
// slow. All shards are read over one interval, the hull of what is needed of each.
func (src *source) readRow(ctx context.Context, j job, wait patience) (*rowData, error) {
	geo := src.geo
	var few [4]erasure.Piece
	pieces := geo.Pieces(few[:0], src.size, j.row, j.from, j.to)
	if row := src.inlineRow(pieces); row != nil {
		return row, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends reads that were overtaken
	f := &fetch{src: src, ctx: ctx, row: j.row, results: make(chan fetched, geo.N)}
	for _, p := range pieces {
		f.iv = f.iv.Hull(erasure.Interval{From: p.Off, To: p.Off + p.Len})
		f.want |= quorum.Slot(p.Shard)
	}
	f.len = f.iv.To - f.iv.From
	f.whole = f.len == geo.RowLen(src.size, j.row)
	first := f.choose()
	if first.Len() < min(geo.K, f.want.Len()) {
		return nil, src.lost()
	}
	out := &rowData{}
	if err := f.start(ctx, first, wait, out); err != nil {
		return nil, err
	}
	if err := f.collect(ctx, out); err != nil {
		out.release()
		return nil, err
	}
	out.pieces = make([][]byte, len(pieces))
	for i, p := range pieces {
		out.pieces[i] = f.data[p.Shard][p.Off-f.iv.From:][:p.Len]
	}
	return out, nil
}

// inlineRow is the row if all its pieces came with the reports.
func (src *source) inlineRow(pieces []erasure.Piece) *rowData {
	for _, p := range pieces {
		if src.slots[p.Shard].inline == nil {
			return nil
		}
	}
	row := &rowData{pieces: make([][]byte, len(pieces))}
	for i, p := range pieces {
		row.pieces[i] = src.slots[p.Shard].inline[p.Off:][:p.Len]
	}
	return row
}

// choose picks the slots to begin with: the wanted data shards if all can be read, else any k.
func (f *fetch) choose() quorum.Slots {
	usable := f.src.usable()
	fast := usable &^ f.src.slow()
	if f.want&^fast == 0 {
		return f.want
	}
	first := f.want & fast
	first |= (fast &^ first).First(f.src.geo.K - first.Len())
	return first | (usable &^ first).First(f.src.geo.K-first.Len())
}

// start acquires all buffers of the first slots at once, so that nobody waits holding some.
func (f *fetch) start(ctx context.Context, first quorum.Slots, wait patience, out *rowData) error {
	var bufs [maxSlots]*slab.Buf
	need := 0
	for i := range first.All() {
		if f.src.slots[i].inline == nil {
			need++
		}
	}
	if need > 0 {
		var err error
		switch wait {
		case waitShort:
			err = f.src.s.readSlabs.AcquireN(ctx, bufs[:need], f.len)
		case waitLong:
			err = f.src.s.readSlabs.MustAcquireN(ctx, bufs[:need], f.len)
		default:
			if !f.src.s.readSlabs.TryAcquireN(bufs[:need], f.len) {
				err = object.ErrBusy
			}
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
	for i := range first.All() {
		if f.takeInline(i) {
			continue
		}
		need--
		f.launch(i, bufs[need])
	}
	return nil
}

// takeInline uses the shard that came with a slot's report, if one did.
func (f *fetch) takeInline(slot int) bool {
	p := f.src.slots[slot].inline
	if p == nil {
		return false
	}
	f.launched |= quorum.Slot(slot)
	f.ok |= quorum.Slot(slot)
	f.data[slot] = p[f.iv.From:f.iv.To]
	return true
}

// launch starts reading a shard; buf nil means memory of its own, for the rare late-comers.
func (f *fetch) launch(slot int, buf *slab.Buf) {
	f.launched |= quorum.Slot(slot)
	f.bufs[slot] = buf
	f.src.s.crew.run(f, slot)
}

// do reads one shard; it runs in the crew.
func (f *fetch) do(slot int) {
	r := fetched{slot: slot, buf: f.bufs[slot]}
	r.data, r.err = f.read(f.ctx, slot, r.buf)
	f.src.put(slot, r.err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.back |= quorum.Slot(slot)
	if f.over {
		if r.buf != nil {
			r.buf.Release()
		}
		return
	}
	f.results <- r
}

func (f *fetch) read(ctx context.Context, slot int, buf *slab.Buf) ([]byte, error) {
	rd, err := f.src.take(ctx, slot)
	if err != nil {
		return nil, err
	}
	mem := []byte(nil)
	if buf != nil {
		mem = buf.All()
	} else {
		mem = make([]byte, slab.HeaderRoom+f.len)
	}
	if !f.whole || rd.Frame() != f.src.geo.FrameBytes() {
		p := mem[slab.HeaderRoom:][:f.len]
		return p, rd.ReadAt(ctx, p, int64(f.row)*int64(f.src.geo.FrameBytes())+int64(f.iv.From))
	}
	one := [1][]byte{mem}
	got, err := rd.ReadFrames(ctx, f.row, one[:])
	if err != nil {
		return nil, err
	}
	if len(got) != 1 || len(got[0]) != f.len {
		return nil, fmt.Errorf("frame %d has other than %d bytes: %w", f.row, f.len, drive.ErrDamaged)
	}
	return got[0], nil
}

// collect waits until the wanted shards are there or can be reconstructed.
func (f *fetch) collect(ctx context.Context, out *rowData) error {
	defer f.end(out)
	slow := time.NewTimer(f.src.s.opt.HedgeAfter)
	defer slow.Stop()
	for {
		if f.want&^f.ok == 0 {
			return nil
		}
		if f.ok.Len() >= f.src.geo.K {
			return f.reconstruct()
		}
		if f.launched == f.ok|f.bad {
			return f.src.lost()
		}
		select {
		case r := <-f.results:
			if r.buf != nil {
				out.bufs = append(out.bufs, r.buf)
			}
			if r.err != nil {
				f.failed(r)
				continue
			}
			f.ok |= quorum.Slot(r.slot)
			f.data[r.slot] = r.data
		case <-slow.C:
			f.src.s.metrics.hedges.Inc()
			f.late = f.launched &^ f.ok &^ f.bad
			f.src.setSlow(f.late)
			f.bad |= f.late &^ f.src.t.online() // one that hangs may never come back from its call
			f.more()
			slow.Reset(f.src.s.opt.HedgeAfter)
		case <-ctx.Done():
			return fmt.Errorf("read: %w", ctx.Err())
		}
	}
}

func (f *fetch) failed(r fetched) {
	f.bad |= quorum.Slot(r.slot)
	if errors.Is(r.err, drive.ErrDamaged) || errors.Is(r.err, drive.ErrNoShard) {
		f.src.s.metrics.damaged.Inc()
	}
	if !errors.Is(r.err, context.Canceled) && !errors.Is(r.err, drive.ErrOffline) {
		if left, ok := f.src.s.around.Admit(time.Now()); ok {
			f.src.s.log.Warn("shard is read around", "drive", f.src.t.set.Members[r.slot], "set", f.src.t.id, "oid", f.src.oid.String(), "err", r.err, "left_out", left)
		}
	}
	f.more()
}

// more launches further slots until, with those counted on, k can be had.
func (f *fetch) more() {
	count := f.launched &^ f.bad &^ f.late
	for i := range (f.src.usable() &^ f.launched).First(f.src.geo.K - count.Len()).All() {
		if !f.takeInline(i) {
			f.launch(i, nil)
		}
	}
}

// end gives up what is still under way. A drive that hangs may keep the buffers of its reads, but not
// their room in the pool: those whom the others serve would wait for it. A drive lets no more than
// drive.Limits.Readers calls in at a time, which bounds what lies outside of the pool.
func (f *fetch) end(out *rowData) {
	f.mu.Lock()
	f.over = true
	for i := range (f.launched &^ f.back).All() {
		if b := f.bufs[i]; b != nil {
			b.Disown()
		}
	}
	f.mu.Unlock()
	for len(f.results) > 0 {
		if r := <-f.results; r.buf != nil {
			out.bufs = append(out.bufs, r.buf)
		}
	}
}

func (f *fetch) reconstruct() error {
	shards := make([][]byte, f.src.t.n())
	need := make([]bool, len(shards))
	for i := range shards {
		if f.ok.Has(i) {
			shards[i] = f.data[i]
		}
		need[i] = f.want.Has(i) && !f.ok.Has(i)
	}
	if err := f.src.s.codec.Reconstruct(f.src.geo.K, shards, need); err != nil {
		return fmt.Errorf("set %d: %w", f.src.t.id, err)
	}
	f.src.s.metrics.reconstructed.Inc()
	for i := range f.want.All() {
		f.data[i] = shards[i]
	}
	return nil
}
