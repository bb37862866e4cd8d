package erasureset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/erasure"
	"holdfast/actors/object"
	"holdfast/actors/quorum"
	"holdfast/actors/slab"
)

// syncStraggler is how long staging waits for the slots beyond W when the data is all sent.
const syncStraggler = time.Second

// errTooFewLanes is returned when so many drives failed during a body that no quorum is left; failure says why.
var errTooFewLanes = errors.New("too few drives are left")

// lookEvery is how often a body looks whether a drive that keeps it waiting is still in service. One
// that hangs in the system may never come back from its call.
const lookEvery = 100 * time.Millisecond

// errStalled is returned when a drive fell so far behind a body that it was left out of the write.
var errStalled = errors.New("drive stalls")

// staging writes the shards of one object or part to the drives ahead of any decision. Each slot
// has a lane, a goroutine that stages and syncs its shard, one row behind the reader at most: the
// next row comes in while the last one is written.
type staging struct {
	s     *Store
	t     *target
	geo   erasure.Geometry
	size  int64
	oid   object.OID
	write object.WriteID
	slots quorum.Slots
	lanes [maxSlots]*lane
	over  chan int // slots whose lane has ended; capacity maxSlots
	drop  atomic.Bool
}

// lane is one slot's shard on its way.
type lane struct {
	st      *staging
	slot    int
	rows    chan *row // capacity 1
	broken  atomic.Bool
	stalled atomic.Bool       // rows were kept from it: its shard has holes
	writer  drive.ShardWriter // owned by the lane until over
	err     error             // as writer
	left    atomic.Bool       // set by whoever comes first: the lane at its end, or finish giving up on it
}

// row is the frames of one row, shared by the lanes and the hasher. Each frame has uses of its own: a
// drive that hangs keeps what is written to it, and not the frames of all others as well.
type row struct {
	bufs []*slab.Buf
	len  int
	refs [maxSlots]atomic.Int32 // of each frame: its lane, and the reader or hasher, who uses all
}

// release ends the reader's or the hasher's use.
func (r *row) release() {
	for i := range r.bufs {
		r.written(i)
	}
}

// written ends a lane's use.
func (r *row) written(slot int) {
	if r.refs[slot].Add(-1) == 0 {
		r.bufs[slot].Release()
	}
}

func (s *Store) newStaging(t *target, geo erasure.Geometry, size int64, oid object.OID, write object.WriteID, slots quorum.Slots) *staging {
	return &staging{s: s, t: t, geo: geo, size: size, oid: oid, write: write, slots: slots, over: make(chan int, maxSlots)}
}

// copy reads the body row by row straight into data frames, adds parity and hands the rows to the
// lanes and to h. It does not look beyond the last byte. end, h.wait and finish follow, in any case.
func (st *staging) copy(ctx context.Context, body io.Reader, h *hasher) error {
	for i := range st.slots.All() {
		l := &lane{st: st, slot: i, rows: make(chan *row, 1)}
		st.lanes[i] = l
		st.s.background.Go(func() { l.run(ctx) })
	}
	rows := st.geo.Rows(st.size)
	for i := range rows {
		r, err := st.read(ctx, body, i)
		if err != nil {
			return err
		}
		if i == 0 && rows > 1 {
			h.start()
		}
		if err := st.send(r); err != nil {
			r.release()
			return err
		}
		h.add(r)
	}
	return nil
}

// read fills the next row.
func (st *staging) read(ctx context.Context, body io.Reader, i int) (*row, error) {
	n := st.geo.RowLen(st.size, i)
	r := &row{bufs: make([]*slab.Buf, st.geo.N), len: n}
	acquire := st.s.slabs.AcquireN
	if i > 0 {
		acquire = st.s.slabs.MustAcquireN // the client has begun to send: it waits with us
	}
	if err := acquire(ctx, r.bufs, n); err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	for j := range r.bufs {
		r.refs[j].Store(1)
	}
	frames := make([][]byte, st.geo.N)
	for j := range frames {
		frames[j] = r.bufs[j].Data()[:n]
	}
	var end [maxSlots]int
	for _, p := range st.geo.Pieces(nil, st.size, i, 0, st.size) {
		if err := readBody(body, frames[p.Shard][p.Off:p.Off+p.Len]); err != nil {
			r.release()
			return nil, err
		}
		end[p.Shard] = p.Off + p.Len
	}
	for j := range st.geo.K {
		clear(frames[j][end[j]:]) // what the last stripe lacks
	}
	if err := st.s.codec.Encode(st.geo.K, frames); err != nil {
		r.release()
		return nil, err
	}
	return r, nil
}

// send hands a row to the lanes that still work, as long as they make a quorum.
func (st *staging) send(r *row) error {
	var alive quorum.Slots
	for i := range st.slots.All() {
		if !st.lanes[i].broken.Load() {
			alive |= quorum.Slot(i)
		}
	}
	if alive.Len() < min(st.t.shape.W, st.slots.Len()) {
		return errTooFewLanes
	}
	var full quorum.Slots
	for i := range alive.All() {
		r.refs[i].Add(1)
		select {
		case st.lanes[i].rows <- r:
		default:
			full |= quorum.Slot(i)
		}
	}
	if full != 0 {
		st.push(r, full, alive)
	}
	return nil
}

// push waits for the lanes that are a row behind. Those that stay so for Options.StallLimit are
// left out of the write, as long as the others make a quorum; the rest have FrameLimit. One whose
// drive went out of service is left out in any case.
func (st *staging) push(r *row, full, alive quorum.Slots) {
	start := time.Now()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for i := range full.All() {
		l := st.lanes[i]
		for waiting := true; waiting; {
			select {
			case l.rows <- r:
				waiting = false
				continue
			default:
			}
			stalls := time.Since(start) >= st.s.opt.StallLimit && alive.Len() > st.t.shape.W
			if stalls || st.isOut(i) {
				alive = st.giveUp(l, r, alive)
				break
			}
			select {
			case l.rows <- r:
				waiting = false
			case <-look.C:
			}
		}
	}
}

// isOut says that a slot's drive is not in service.
func (st *staging) isOut(slot int) bool { return st.t.drives[slot].Health().State != drive.Online }

func (st *staging) giveUp(l *lane, r *row, alive quorum.Slots) quorum.Slots {
	st.s.log.Warn("drive stalls and is left out of a write", "drive", st.t.set.Members[l.slot], "set", st.t.id)
	l.broken.Store(true)
	r.written(l.slot)
	l.abandon()
	return alive &^ quorum.Slot(l.slot)
}

// abandon takes back what waits for a lane whose drive may never return from its call. The shard is
// lost.
func (l *lane) abandon() {
	l.stalled.Store(true)
	select {
	case r, ok := <-l.rows:
		if ok {
			r.written(l.slot)
		}
	default:
	}
}

// run stages what comes until rows is closed, then syncs it.
func (l *lane) run(ctx context.Context) {
	st, d := l.st, l.st.t.drives[l.slot]
	var w drive.ShardWriter
	err := l.limited(ctx, func(ctx context.Context) (err error) {
		w, err = d.Stage(ctx, drive.StageRequest{OID: st.oid, Write: st.write, Frame: st.geo.FrameBytes(), Size: st.geo.ShardSize(st.size)})
		return err
	})
	if err != nil {
		l.broken.Store(true)
	}
	for r := range l.rows {
		if err == nil {
			err = l.limited(ctx, func(ctx context.Context) error { return w.WriteFrame(ctx, r.bufs[l.slot].Frame(r.len)) })
			if err != nil {
				l.broken.Store(true)
			}
		}
		r.written(l.slot)
	}
	if err == nil && l.stalled.Load() {
		err = errStalled
	}
	if err == nil && !st.drop.Load() {
		err = l.limited(ctx, w.Sync)
	}
	if (err != nil || st.drop.Load()) && w != nil {
		w.Abort()
		w = nil
	}
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, drive.ErrOffline) {
		st.s.log.Warn("shard was not staged", "drive", st.t.set.Members[l.slot], "set", st.t.id, "err", err)
	}
	l.writer, l.err = w, err
	if l.left.Swap(true) { // finish did not wait for this lane
		if w != nil {
			w.Abort()
		}
		return
	}
	st.over <- l.slot
}

// limited gives one call of the drive its deadline, so that a hung drive is dropped from the write.
func (l *lane) limited(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, l.st.s.opt.FrameLimit)
	defer cancel()
	return fn(ctx)
}

// end tells the lanes that no more rows come: to sync what they have, or with ok false to give it
// back.
func (st *staging) end(ok bool) {
	if !ok {
		st.drop.Store(true)
	}
	for i := range st.slots.All() {
		if st.lanes[i] != nil {
			close(st.lanes[i].rows)
		}
	}
}

// finish waits, after end, for the lanes and returns the slots whose shards are durable: all there
// are or, some time after need of them, those that made it. Lanes whose drives are out of service are
// not waited for.
func (st *staging) finish(ctx context.Context, ok bool, need int) (quorum.Slots, error) {
	started := quorum.Slots(0)
	for i := range st.slots.All() {
		if st.lanes[i] != nil {
			started |= quorum.Slot(i)
		}
	}
	var ended, staged quorum.Slots
	var timer *time.Timer
	var late <-chan time.Time
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	leave := func(i int) {
		if l := st.lanes[i]; !l.left.Swap(true) {
			l.abandon()
			st.lanes[i] = nil // it cleans up behind itself
			ended |= quorum.Slot(i)
		}
	}
	for ended != started {
		if ok && staged.Len() >= need && timer == nil && need < started.Len() {
			timer = time.NewTimer(syncStraggler)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case i := <-st.over:
			ended |= quorum.Slot(i)
			if st.lanes[i].writer != nil {
				staged |= quorum.Slot(i)
			}
		case <-late:
			for i := range (started &^ ended).All() {
				leave(i)
			}
			late = nil // the others are just ending
		case <-look.C:
			for i := range (started &^ ended).All() {
				if st.isOut(i) {
					leave(i)
				}
			}
		}
	}
	if ok && staged.Len() < need {
		err := st.failure()
		st.abort()
		return 0, err
	}
	return staged, nil
}

// failure says, when all lanes have ended, why too few shards could be staged.
func (st *staging) failure() error {
	t := st.t
	var full, busy int
	var staged quorum.Slots
	var errs []error
	for i := range st.slots.All() {
		if st.lanes[i] == nil {
			continue
		}
		if st.lanes[i].err == nil {
			staged |= quorum.Slot(i)
			continue
		}
		err := st.lanes[i].err
		switch {
		case errors.Is(err, drive.ErrFull):
			full++
		case errors.Is(err, drive.ErrBusy):
			busy++
		case errors.Is(err, context.Canceled):
			return err
		}
		errs = append(errs, fmt.Errorf("slot %d: %w", i, err))
	}
	switch {
	case full > 0 && staged.Len()+full >= t.shape.W:
		return fmt.Errorf("set %d: %d of %d drives are full: %w", t.id, full, t.n(), object.ErrStorageFull)
	case busy > 0 && staged.Len()+full+busy >= t.shape.W:
		return fmt.Errorf("set %d: %d of %d drives have a full mailbox: %w", t.id, busy, t.n(), object.ErrBusy)
	}
	return fmt.Errorf("%w: %w", t.writeQuorum(staged, ""), errors.Join(errs...))
}

// abort gives back what was staged and not committed; after a commit it merely ends the writers.
func (st *staging) abort() {
	for i := range st.lanes {
		if l := st.lanes[i]; l != nil && l.writer != nil {
			l.writer.Abort()
			l.writer = nil
		}
	}
}
