package drive

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/guardfs"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/actors/segment"
)

// staging holds the shards that were staged and not yet committed.
type staging struct {
	mu   sync.Mutex
	open map[object.OID]*segment.Writer // guarded by mu
}

// Stage implements Stager.
func (a *Actor) Stage(ctx context.Context, req StageRequest) (ShardWriter, error) {
	if err := a.usable(); err != nil {
		return nil, err
	}
	if err := a.awaitRoom(ctx); err != nil {
		return nil, err
	}
	w, err := a.store.Writer(segment.Shard{OID: req.OID, Write: req.Write, Frame: req.Frame, Size: req.Size})
	if err != nil {
		return nil, a.dataError(fmt.Errorf("stage: %w", err))
	}
	a.staged.mu.Lock()
	a.staged.open[req.OID] = w
	a.staged.mu.Unlock()
	return &shardWriter{a: a, oid: req.OID, w: w}, nil
}

// shardWriter is a ShardWriter of a local drive. It runs in the caller's goroutine, under one of
// the drive's tokens for data writes.
type shardWriter struct {
	a   *Actor
	oid object.OID
	w   *segment.Writer
}

// WriteFrame implements ShardWriter.
func (s *shardWriter) WriteFrame(ctx context.Context, frame []byte) error {
	if err := s.a.begin(ctx, s.a.writers); err != nil {
		return err
	}
	defer s.a.end(s.a.writers)
	if err := s.w.WriteFrame(frame); err != nil {
		return s.a.dataError(err)
	}
	s.a.space.grew(int64(len(frame)))
	s.a.m.writeBytes.data.Add(float64(len(frame) - ondisk.FrameHeaderRoom))
	return nil
}

// Sync implements ShardWriter. It takes no token: waiting for a sync uses nothing, and syncs of one
// segment are one.
func (s *shardWriter) Sync(ctx context.Context) error {
	if err := s.a.usable(); err != nil {
		return err
	}
	ctx, why, stop := s.a.answering(ctx)
	defer stop()
	if err := why(s.w.Sync(ctx)); err != nil {
		return s.a.dataError(err)
	}
	return nil
}

// Abort implements ShardWriter.
func (s *shardWriter) Abort() {
	s.a.staged.mu.Lock()
	if s.a.staged.open[s.oid] == s.w {
		delete(s.a.staged.open, s.oid)
	}
	s.a.staged.mu.Unlock()
	s.w.Abort()
}

// take makes a staged shard part of the batch: its X rows, and the S rows that count its space.
func (b *batch) take(oid object.OID) error {
	a := b.a
	a.staged.mu.Lock()
	w := a.staged.open[oid]
	a.staged.mu.Unlock()
	if w == nil {
		return a.wrap(fmt.Errorf("shard %s is not staged: %w", oid, ErrNoShard))
	}
	extents := w.Extents()
	chunks, err := ondisk.EncodeManifest(&ondisk.Manifest{Extents: extents})
	if err != nil {
		return a.wrap(fmt.Errorf("shard %s: %w", oid, err))
	}
	rows, err := w.Commit()
	if err != nil {
		return a.wrap(fmt.Errorf("%w: %w", ErrNoShard, err))
	}
	a.staged.mu.Lock()
	delete(a.staged.open, oid)
	a.staged.mu.Unlock()
	b.setManifest(oid, chunks)
	b.setSegments(rows)
	return nil
}

// ready finds out, before a step, what a message brought for a version: nothing may be missing of what
// its row will refer to.
func (b *batch) ready(c *cell, v *quorum.Version, p *payload) error {
	p.takes, p.late = p.takes[:0], p.late[:0]
	if !p.staged {
		return nil
	}
	if i := c.index(v.Ref, v.Rev); i >= 0 && c.state.Versions[i].Data {
		return nil
	}
	if len(p.parts) == 0 {
		return b.need(c, v, p, &ondisk.Ref{OID: p.oid}, nil)
	}
	for i := range p.parts {
		var inlet []byte
		if i < len(p.inlets) {
			inlet = p.inlets[i]
		}
		if part := &p.parts[i]; part.Stored > 0 {
			if err := b.need(c, v, p, &part.Ref, inlet); err != nil {
				return err
			}
		}
	}
	return nil
}

// need finds out where one shard of a version comes from: it is here, inline in the message, or staged.
func (b *batch) need(c *cell, v *quorum.Version, p *payload, ref *ondisk.Ref, inlet []byte) error {
	a := b.a
	if p.again {
		here, err := b.holds(ref)
		switch {
		case err != nil:
			return err
		case here && b.owns(c, v, ref.OID):
			return nil
		case here: // no row refers to it: the reclaimer would take it from the new one
			return a.wrap(fmt.Errorf("shard %s is being given back: %w", ref.OID, ErrNoShard))
		}
	}
	switch {
	case inlet != nil:
		p.late = append(p.late, lateRow{pebble.InternalKeyKindSet, ondisk.AppendInlineKey(nil, ref.OID), inlet})
		return nil
	case !a.isStaged(ref.OID):
		return a.wrap(fmt.Errorf("shard %s is not staged: %w", ref.OID, ErrNoShard))
	}
	p.takes = append(p.takes, ref.OID)
	return nil
}

// holds says whether there are rows of a shard.
func (b *batch) holds(ref *ondisk.Ref) (bool, error) {
	key := ondisk.AppendManifestKey(nil, ref.OID, 0)
	if ref.Inline {
		key = ondisk.AppendInlineKey(nil, ref.OID)
	}
	_, closer, err := b.a.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		b.fail(err)
		return false, err
	}
	return true, closer.Close()
}

// owns says whether what there is of a shard is some row's of the key: of another attempt of the same
// write, or of the upload that the version completes. The cell is whole.
func (b *batch) owns(c *cell, v *quorum.Version, oid object.OID) bool {
	upload := v.Upload != (object.WriteID{})
	for i := range c.state.Versions {
		old := &c.state.Versions[i]
		if old.Data && (c.rows[i].data.OID == oid || upload && old.Upload == v.Upload && c.rows[i].parts) {
			return true
		}
	}
	return upload && b.upload(c.key, v.Upload).there
}

// isStaged says whether a shard was staged here and not committed yet.
func (a *Actor) isStaged(oid object.OID) bool {
	a.staged.mu.Lock()
	defer a.staged.mu.Unlock()
	return a.staged.open[oid] != nil
}

// manifest reads the X rows of an oid after the batch so far.
func (b *batch) manifest(oid object.OID) (ondisk.Manifest, error) {
	if x, ok := b.moved[oid]; ok {
		return x, nil
	}
	return b.a.manifest(oid)
}

// written notes X rows that the batch has written.
func (b *batch) written(oid object.OID, x ondisk.Manifest) {
	if b.moved == nil {
		b.moved = make(map[object.OID]ondisk.Manifest)
	}
	b.moved[oid] = x
}

// setManifest writes the X rows of an oid.
func (b *batch) setManifest(oid object.OID, chunks [][]byte) {
	for i, chunk := range chunks {
		b.buf = ondisk.AppendManifestKey(b.buf[:0], oid, uint32(i))
		b.set(b.buf, chunk)
	}
}

// setSegments notes changed S rows; the last of each segment is written with the batch.
func (b *batch) setSegments(rows []segment.Row) {
	if b.segments == nil {
		b.segments = make(map[uint32]ondisk.SegmentRow)
	}
	for i := range rows {
		b.segments[rows[i].Segment] = rows[i].SegmentRow
	}
}

// OpenShard implements Reporter.
func (a *Actor) OpenShard(ctx context.Context, key object.Key, oid object.OID) (ShardReader, error) {
	if err := a.begin(ctx, a.readers); err != nil {
		return nil, err
	}
	defer a.end(a.readers)
	r, err := a.openShard(oid)
	if errors.Is(err, ErrNoShard) {
		r, err = a.openInline(key, oid)
	}
	if err != nil {
		return nil, a.wrap(fmt.Errorf("open shard %s: %w", oid, err))
	}
	return r, nil
}

// openShard finds a shard in the segments. The guard is entered before the rows are looked up:
// space that is freed from then on is not reused before the reader is closed.
func (a *Actor) openShard(oid object.OID) (ShardReader, error) {
	g := a.store.Enter()
	defer g.Leave()
	m, err := a.manifest(oid)
	if err != nil {
		return nil, err
	}
	r, err := g.Open(oid, m.Extents, 0)
	if err != nil {
		return nil, damaged(err)
	}
	return &shardReader{a: a, Reader: r}, nil
}

// openInline finds a small shard: a part's in the index, a version's in the journal.
func (a *Actor) openInline(key object.Key, oid object.OID) (ShardReader, error) {
	it, err := a.db.NewIter(&pebble.IterOptions{UseL6Filters: true})
	if err != nil {
		return nil, err
	}
	payload, err := readInline(it, oid)
	closed := it.Close()
	if errors.Is(err, ErrNoShard) {
		payload, err = a.payloadOf(key, oid)
	}
	if err := errors.Join(err, closed); err != nil {
		return nil, err
	}
	return &inlineReader{payload: payload}, nil
}

// shardReader is a ShardReader over segments.
type shardReader struct {
	a *Actor
	*segment.Reader
}

var _ WarmReader = (*shardReader)(nil)

// ReadFrames implements ShardReader.
func (r *shardReader) ReadFrames(ctx context.Context, first int, dst [][]byte) ([][]byte, error) {
	if err := r.a.begin(ctx, r.a.readers); err != nil {
		return nil, err
	}
	defer r.a.end(r.a.readers)
	if first < 0 || first+len(dst) > r.Frames() {
		return nil, r.a.wrap(fmt.Errorf("frames %d to %d of %d: %w", first, first+len(dst), r.Frames(), errRange))
	}
	out, err := r.Reader.ReadFrames(first, dst)
	if err != nil {
		return nil, r.a.readError(err)
	}
	n := 0
	for _, p := range out {
		n += len(p)
	}
	r.a.m.readBytes.data.Add(float64(n))
	return out, nil
}

// ReadAt implements ShardReader.
func (r *shardReader) ReadAt(ctx context.Context, p []byte, off int64) error {
	if err := r.a.begin(ctx, r.a.readers); err != nil {
		return err
	}
	defer r.a.end(r.a.readers)
	if off < 0 || off+int64(len(p)) > r.Size() {
		return r.a.wrap(fmt.Errorf("bytes %d to %d of %d: %w", off, off+int64(len(p)), r.Size(), errRange))
	}
	if err := r.Reader.ReadAt(p, off); err != nil {
		return r.a.readError(err)
	}
	r.a.m.readBytes.data.Add(float64(len(p)))
	return nil
}

// ReadWarm implements WarmReader.
func (r *shardReader) ReadWarm(buf []byte, off int64, n int) ([]byte, bool) {
	if r.a.usable() != nil {
		return nil, false
	}
	select {
	case r.a.readers <- struct{}{}:
	default:
		return nil, false
	}
	defer r.a.end(r.a.readers)
	p, ok := r.Reader.ReadWarm(buf, off, n)
	r.a.m.readBytes.data.Add(float64(len(p)))
	return p, ok
}

// inlineReader is a ShardReader over a payload in memory: one frame.
type inlineReader struct{ payload []byte }

// ReadFrames implements ShardReader.
func (r *inlineReader) ReadFrames(_ context.Context, first int, dst [][]byte) ([][]byte, error) {
	if first != 0 || len(dst) != 1 {
		return nil, fmt.Errorf("frames %d to %d of 1: %w", first, first+len(dst), errRange)
	}
	p := dst[0][ondisk.FrameHeaderRoom:]
	return [][]byte{p[:copy(p, r.payload)]}, nil
}

// ReadAt implements ShardReader.
func (r *inlineReader) ReadAt(_ context.Context, p []byte, off int64) error {
	if off < 0 || off+int64(len(p)) > r.Size() {
		return fmt.Errorf("bytes %d to %d of %d: %w", off, off+int64(len(p)), r.Size(), errRange)
	}
	copy(p, r.payload[off:])
	return nil
}

// Size implements ShardReader.
func (r *inlineReader) Size() int64 { return int64(len(r.payload)) }

// Frame implements ShardReader.
func (r *inlineReader) Frame() int { return len(r.payload) }

// Close implements ShardReader.
func (r *inlineReader) Close() error { return nil }

// errRange is a mistake of the caller.
var errRange = errors.New("outside of the shard")

// dataError turns an error of the segments' write side into one of this package's.
func (a *Actor) dataError(err error) error {
	switch {
	case errors.Is(err, segment.ErrNoSpace):
		a.m.error("full")
		return a.wrap(fmt.Errorf("%w: %w", ErrFull, err))
	case errors.Is(err, guardfs.ErrFailed), a.health.Err() != nil:
		return a.wrap(fmt.Errorf("%w: %w", ErrFailed, err))
	}
	a.m.error("write")
	return a.wrap(err)
}

// readError turns an error of the segments' read side into one of this package's.
func (a *Actor) readError(err error) error {
	a.m.error("read")
	return a.wrap(damaged(err))
}

// SegmentStats is what the drive's segments hold.
func (a *Actor) SegmentStats() segment.Stats { return a.store.Stats() }
