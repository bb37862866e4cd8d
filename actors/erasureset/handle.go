package erasureset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/erasure"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
)

// handle is one version opened for reading.
type handle struct {
	s       *Store
	t       *target
	info    *Info
	holders quorum.Slots
	src     *source // nil: no data, or parts
	head    bool
	held    quorum.Slots // which hold the parts for this handle
	holds   []io.Closer

	mu    sync.Mutex
	parts []ondisk.Part // guarded by mu: loaded when first asked for
}

// Open finds the current version of a key.
func (s *Store) Open(ctx context.Context, req *OpenRequest) (Handle, error) {
	if err := object.CheckName(req.Key); err != nil {
		return nil, err
	}
	t := s.target(&req.Bucket, req.Key)
	for range freeOpens {
		h, err := s.open(ctx, t, req)
		if err != nil {
			return nil, err
		}
		if h.pin(ctx) || !h.overwritten(ctx) {
			return h, nil
		}
		h.Close() // the version went between the reports and the pins: take the one that replaced it
	}
	tk, err := s.turns.take(ctx, t) // it is overwritten all the time: let the writers wait for once
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	defer s.turns.give(t, tk)
	h, err := s.open(ctx, t, req)
	if err != nil {
		return nil, err
	}
	h.pin(ctx)
	return h, nil
}

// freeOpens is how often Open follows a key that is overwritten before it takes the key's turn.
const freeOpens = 3

func (s *Store) open(ctx context.Context, t *target, req *OpenRequest) (*handle, error) {
	f, err := s.read(ctx, t, req.Version, !req.HeadOnly)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	info := f.info
	if req.If != nil {
		err = req.If(info)
	}
	if err == nil && info == nil {
		err = fmt.Errorf("open: %w", f.absence(&req.Version))
	}
	if err != nil {
		f.close()
		return nil, err
	}
	h := &handle{s: s, t: t, info: info, holders: f.holders, head: req.HeadOnly}
	if info.Parts > 0 && !req.HeadOnly {
		h.held = h.hold(f.o)
		f.close()
		return h, nil
	}
	if info.Size == 0 || len(info.Refs) == 0 || req.HeadOnly {
		f.close()
		return h, nil
	}
	src := s.newSource(t, info, 0)
	if err := src.valid(); err != nil {
		f.close()
		return nil, err
	}
	h.src = src
	if src.adopt(f.o, object.VersionRef{TS: info.TS, Write: info.Write}, info.Refs[0].Inline) {
		src.op = f.o // inline shards lie in its memory
	} else {
		f.close()
	}
	return h, nil
}

// absence says why there is nothing to open.
func (f *found) absence(at *object.VersionID) error {
	switch {
	case f.marker != nil:
		return &MarkerError{Version: f.marker.ID(), ModTime: f.marker.ModTime}
	case at.Named:
		return object.ErrNoVersion
	}
	return object.ErrNotFound
}

func (h *handle) Info() *Info { return h.info }

// pin makes sure that what the handle reads stays on k drives until it is closed; false if that
// cannot be.
func (h *handle) pin(ctx context.Context) bool {
	switch {
	case h.src != nil:
		return h.src.pin(ctx, h.src.geo.K)
	case h.info.Parts > 0 && !h.head:
		return h.held.Len() >= h.t.shape.K
	}
	return true
}

// hold takes over the holds that came with reports of a multipart object.
func (h *handle) hold(o *op) (kept quorum.Slots) {
	ref := object.VersionRef{TS: h.info.TS, Write: h.info.Write}
	for i, c := range o.brought(ref) {
		if hold := c.reply.Hold; hold != nil {
			h.holds = append(h.holds, hold)
			c.reply.Hold = nil
			kept |= quorum.Slot(i)
		}
	}
	return kept
}

// Close gives the pins back. It is idempotent.
func (h *handle) Close() error {
	if h.src != nil {
		h.src.close()
	}
	for _, x := range h.holds {
		_ = x.Close() // nothing was written through it
	}
	h.holds = nil
	return nil
}

// Parts is the part table, nil for a single PUT.
func (h *handle) Parts(ctx context.Context) ([]ondisk.Part, error) {
	if h.info.Parts == 0 {
		return nil, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.parts == nil {
		parts, err := h.s.loadParts(ctx, h.t, h.info, h.holders)
		if err != nil {
			return nil, err
		}
		h.parts = parts
	}
	return h.parts, nil
}

// loadParts reads a part table from the first slot that has it whole, holders first.
func (s *Store) loadParts(ctx context.Context, t *target, info *Info, holders quorum.Slots) ([]ondisk.Part, error) {
	var errs []error
	online := t.online()
	for _, group := range []quorum.Slots{holders & online, online &^ holders} {
		for i := range group.All() {
			parts, err := apart(ctx, s, t.drives[i], func() ([]ondisk.Part, error) { return t.drives[i].Parts(ctx, info.Refs[0].OID) })
			if err == nil && len(parts) == int(info.Parts) {
				return parts, nil
			}
			if err == nil {
				err = fmt.Errorf("%d parts of %d: %w", len(parts), info.Parts, drive.ErrDamaged)
			}
			errs = append(errs, fmt.Errorf("slot %d: %w", i, err))
		}
	}
	return nil, fmt.Errorf("read part table: %w: %w", t.readQuorum(online, ""), errors.Join(errs...))
}

// Read begins a body. It returns when the first row is decoded.
func (h *handle) Read(ctx context.Context, r object.Range) (Stream, error) {
	if h.head {
		return nil, errors.New("read: the object was opened for its head only")
	}
	if r.Start < 0 || r.End < r.Start || r.End > h.info.Size {
		return nil, fmt.Errorf("read: range %d-%d of %d bytes", r.Start, r.End, h.info.Size)
	}
	var st *stream
	switch {
	case r.Len() == 0:
		return &stream{err: io.EOF}, nil
	case h.src != nil:
		st = h.src.stream(ctx, r)
	default:
		var err error
		if st, err = h.partStream(ctx, r); err != nil {
			return nil, h.readError(ctx, err)
		}
	}
	if err := st.fill(waitShort); err != nil {
		st.Close()
		return nil, h.readError(ctx, err)
	}
	return st, nil
}

// readError says of a body that could not be begun whether its version is simply gone.
func (h *handle) readError(ctx context.Context, err error) error {
	if (errors.Is(err, object.ErrDamaged) || errors.Is(err, object.ErrReadQuorum)) && h.overwritten(ctx) {
		err = fmt.Errorf("%w: %w", object.ErrReplaced, err)
	}
	return fmt.Errorf("read: %w", err)
}

// overwritten says whether the version is not the current one any more, so that missing shards are
// no damage: those that no report pinned are reclaimed with it.
func (h *handle) overwritten(ctx context.Context) bool {
	f, err := h.s.read(ctx, h.t, object.VersionID{}, false)
	if err != nil {
		return false
	}
	f.close()
	return f.info == nil || f.info.TS != h.info.TS || f.info.Write != h.info.Write
}

// partStream is a body that runs through several parts.
func (h *handle) partStream(ctx context.Context, r object.Range) (*stream, error) {
	parts, err := h.Parts(ctx)
	if err != nil {
		return nil, err
	}
	var runs []run
	at := int64(0)
	for i := range parts {
		p := &parts[i]
		from, to := max(r.Start, at), min(r.End, at+p.Size)
		if from < to {
			geo := erasure.ForSize(h.t.n(), h.t.shape.K, p.Stored)
			runs = append(runs, run{src: h.s.partSource(h.t, p, geo, h.held), from: from - at, to: to - at})
		}
		at += p.Size
	}
	if at != h.info.Size {
		return nil, fmt.Errorf("parts have %d bytes, the object %d: %w", at, h.info.Size, object.ErrDamaged)
	}
	return newStream(ctx, runs, true), nil
}

// run is a run of bytes of one source.
type run struct {
	src      *source
	from, to int64
}

// stream is a body on its way out: rows in order, the next one read while the present one is sent.
type stream struct {
	ctx    context.Context
	cancel context.CancelFunc
	runs   []run // still to come; the first is partly done
	owned  bool  // the runs' sources end with the stream
	all    []run

	cur    *rowData
	at     job             // what is left of cur
	ahead  chan fetchedRow // capacity 1; nil: nothing is read ahead
	behind job             // what is read ahead
	again  []job           // taken back when the stream was paused, in order
	pace   pace
	shy    int64 // bytes to send in small pieces before rows are read whole, and ahead, again
	cold   int   // rows to read before memory is looked into again
	err    error
}

// After a pause a stream takes buffers for shyPiece bytes at a time, until its client has taken
// shyBytes without another one.
const (
	shyPiece = 256 << 10
	shyBytes = 16 << 20
)

type fetchedRow struct {
	row *rowData
	job job
	err error
}

func (src *source) stream(ctx context.Context, r object.Range) *stream {
	return newStream(ctx, []run{{src: src, from: r.Start, to: r.End}}, false)
}

func newStream(ctx context.Context, runs []run, owned bool) *stream {
	ctx, cancel := context.WithCancel(ctx)
	st := &stream{ctx: ctx, cancel: cancel, runs: runs, all: runs, owned: owned}
	st.pace.begin(&runs[0].src.s.brisk)
	return st
}

// next cuts the next job off what was taken back, or off the runs.
func (st *stream) next() (job, bool) {
	j, ok := st.row()
	if end := st.pieceEnd(j); ok && j.to > end {
		rest := j
		j.to, rest.from = end, end
		st.again = slices.Insert(st.again, 0, rest)
	}
	return j, ok
}

// Bodies of objects beyond longBody go out stripe by stripe, at least bodyPiece at a time: what was
// read and verified is then still in the processor's caches when it is sent. Shorter ones take a row
// at a time, which is fewer steps.
const (
	longBody  = 4 << 20
	bodyPiece = 512 << 10
)

// pieceEnd is where a job that begins like j may end at most.
func (st *stream) pieceEnd(j job) int64 {
	switch {
	case st.shy > 0:
		return j.from + shyPiece
	case j.src == nil || j.src.size <= longBody:
		return j.to
	}
	piece := max(int64(j.src.geo.K*j.src.geo.Unit), bodyPiece)
	return (j.from/piece + 1) * piece
}

// row is the next job without regard to its size.
func (st *stream) row() (job, bool) {
	if len(st.again) > 0 {
		j := st.again[0]
		st.again = st.again[1:]
		return j, true
	}
	for len(st.runs) > 0 && st.runs[0].from >= st.runs[0].to {
		st.runs = st.runs[1:]
	}
	if len(st.runs) == 0 {
		return job{}, false
	}
	r := &st.runs[0]
	j := job{src: r.src, row: r.src.geo.RowOf(r.from), from: r.from, to: r.to}
	j.to = min(j.to, r.src.geo.RowStart(j.row)+r.src.geo.RowBytes(r.src.size, j.row))
	r.from = j.to
	return j, true
}

// fill makes cur the next row, or sets err: io.EOF at the end.
func (st *stream) fill(wait patience) error {
	if st.err != nil {
		return st.err
	}
	st.pace.row(time.Now())
	st.cold = max(st.cold-1, 0)
	var got fetchedRow
	if st.ahead != nil {
		got = <-st.ahead
		st.ahead = nil
	} else {
		var ok bool
		if got.job, ok = st.next(); !ok {
			st.err = io.EOF
			return st.err
		}
		got.err = object.ErrBusy
	}
	if errors.Is(got.err, object.ErrBusy) { // no room to read ahead: wait for it now
		got.row, got.err = got.job.src.readRow(st.ctx, got.job, wait)
	}
	if got.err != nil {
		st.err = got.err
		return st.err
	}
	st.cur, st.at = got.row, got.job
	st.closeBefore(got.job.src)
	if st.shy > 0 || st.pace.of.crowded() {
		return nil
	}
	if j, ok := st.next(); ok {
		ahead := make(chan fetchedRow, 1)
		st.ahead, st.behind = ahead, j
		go func() {
			row, err := j.src.readRow(st.ctx, j, waitNever)
			ahead <- fetchedRow{row, j, err}
		}()
	}
	return nil
}

// closeBefore closes the sources of parts that were sent to their end.
func (st *stream) closeBefore(src *source) {
	for st.owned && len(st.all) > 0 && st.all[0].src != src {
		st.all[0].src.close()
		st.all = st.all[1:]
	}
}

// took counts n bytes of the present row as sent.
func (st *stream) took(n int) {
	if st.cur.pieces[0] = st.cur.pieces[0][n:]; len(st.cur.pieces[0]) == 0 {
		st.cur.pieces = st.cur.pieces[1:]
	}
	st.at.from += int64(n)
	st.shy = max(st.shy-int64(n), 0)
}

// pause gives all buffers back. What was not sent is read again when the stream goes on.
func (st *stream) pause() {
	st.cur.release() // first: the row behind it may be long in coming
	st.cur = nil
	if st.ahead != nil {
		if got := <-st.ahead; got.row != nil {
			got.row.release()
		}
		st.ahead = nil
		st.again = slices.Insert(st.again, 0, st.behind)
	}
	if st.at.from < st.at.to {
		st.again = slices.Insert(st.again, 0, st.at)
	}
	st.shy = shyBytes
	st.pace.set(false)
}

// WriteTo sends what is left.
func (st *stream) WriteTo(w io.Writer) (int64, error) {
	var sent int64
	for {
		if st.cur == nil {
			n, err := st.sendWarm(w)
			sent += n
			if err == nil {
				err = st.fill(waitLong)
			}
			if err == io.EOF {
				return sent, nil
			}
			if err != nil {
				return sent, err
			}
		}
		for len(st.cur.pieces) > 0 {
			n, err := w.Write(st.cur.pieces[0])
			sent += int64(n)
			st.took(n)
			if errors.Is(err, object.ErrPaused) {
				st.pause()
				return sent, err
			}
			if err != nil {
				st.err = err
				return sent, err
			}
		}
		st.cur.release()
		st.cur = nil
	}
}

func (st *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for st.cur == nil || len(st.cur.pieces) == 0 {
		if st.cur != nil {
			st.cur.release()
			st.cur = nil
		}
		if err := st.fill(waitLong); err != nil {
			return 0, err
		}
	}
	n := copy(p, st.cur.pieces[0])
	st.took(n)
	return n, nil
}

// Close ends the stream and gives back everything it holds. It is idempotent.
func (st *stream) Close() error {
	if st.cancel == nil {
		return nil
	}
	st.cancel()
	st.pace.end()
	if st.ahead != nil {
		if got := <-st.ahead; got.row != nil {
			got.row.release()
		}
		st.ahead = nil
	}
	if st.cur != nil {
		st.cur.release()
		st.cur = nil
	}
	if st.err == nil {
		st.err = io.ErrClosedPipe
	}
	if st.owned {
		for _, r := range st.all {
			r.src.close()
		}
	}
	return nil
}
