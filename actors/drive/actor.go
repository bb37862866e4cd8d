package drive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors"
	"holdfast/actors/guardfs"
	"holdfast/actors/journal"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/actors/segment"
	"holdfast/raftfsm/cluster"
)

// Actor owns one local drive: its index, its segments and its health. Changes of rows pass its
// mailbox and are written by one loop in group commits; reads and shard data run in the callers'
// goroutines, bounded by the actor's own limits.
type Actor struct {
	id    cluster.DriveID
	tag   uint32 // what payloads carry of id
	path  string
	label ondisk.Label // guarded by mu once the drive runs
	o     Options
	log   *slog.Logger

	db       *pebble.DB
	journal  *journal.Journal
	lock     *dirLock
	health   *guardfs.Health
	act      *actors.Actor
	mail     *actors.Mailbox[message]
	sat      *actors.Saturation
	pulse    pulse
	gate     gate
	marks    markQueue
	recent   recent
	space    space
	reclaim  reclaimer
	holds    holds
	steps    stepPool
	emptying emptying      // owned by runReclaim, but for its wake
	flushed  chan struct{} // capacity 1: the index has flushed
	m        *metrics

	store  *segment.Store
	staged staging

	readers chan struct{} // holds a token per running read
	writers chan struct{} // holds a token per running write of shard data
	closing chan struct{} // closed by Close, before anything is torn down
	ended   chan struct{} // closed when the loop has returned
	gone    chan struct{} // closed by Close, when all is torn down
	once    sync.Once
	closed  error // result of Close

	down    atomic.Bool // the actor has failed or ended: nothing that is put is taken any more
	holding sync.Mutex
	held    []message // guarded by holding: the batch under way, whose callers wait

	machine  quorum.Drive
	clocks   atomic.Uint64 // highest stamp seen
	horizon  atomic.Uint64 // quorum.DriveState's, for readers
	since    atomic.Uint64
	marked   atomic.Uint64 // last batch with marks
	vanished vanished
	drops    atomic.Uint64 // of vanished: how many there were

	state   quorum.DriveState     // owned by loop
	past    superseded            // owned by loop
	live    map[object.Key]uint64 // owned by loop: heal tokens
	tokens  uint64                // owned by loop: the last token given
	cells   []*cell               // owned by loop: for use again
	none    cell                  // see batch.none
	ending  []ending              // owned by loop: of the present batch, not in ends yet
	doomed  doomed                // owned by loop: memory of batch.deferred
	settled []*pending            // owned by loop: likewise
	batch   *batch                // owned by loop: likewise
	batchNo uint64                // owned by loop: number of the last batch
	garbage uint64                // owned by loop: number of the last G row
	reads   readPool
	pins    pins

	mu         sync.RWMutex
	pending    map[revision]*pending              // guarded by mu: accepted, not known stable
	completing map[object.WriteID]int             // guarded by mu: uploads that pending versions complete
	sets       map[cluster.SetID]*quorum.SetState // guarded by mu
	sound      []uint64                           // guarded by mu: bits of those in which it is in sync
	fences     map[cluster.BucketID]ondisk.Fence  // guarded by mu
	purged     map[cluster.BucketID]bool          // guarded by mu: removed buckets without rows
	peers      map[cluster.DriveID]uint64         // guarded by mu: batches of others acknowledged to clients
	ends       map[object.Key]ended               // guarded by mu: deleted keys that are not collected yet
	endsTop    int                                // owned by loop: how many there were at most
}

var (
	_ Drive        = (*Actor)(nil)
	_ ControlStore = (*Actor)(nil)
	_ Watermarker  = (*Actor)(nil)
)

// pending is one accepted revision that is not known stable: a P row in memory.
type pending struct {
	ondisk.Pending
	set   cluster.SetID
	since time.Time // when it was accepted, or the time of its stamp after a restart

	// Owned by the loop.
	version quorum.Version
	row     row
	known   knowledge
	old     *oldVersion // if known is knowsTwo
	spare   *oldVersion // memory of old
	gone    bool        // its row goes with the present batch
}

// Open takes a formatted drive into service. It returns when the index is replayed and the loop
// runs, or when ctx ends: whatever then still hangs in the disk is left behind for good.
func Open(ctx context.Context, o Options) (*Actor, error) {
	o = o.withDefaults()
	type opened struct {
		a   *Actor
		err error
	}
	health := guardfs.NewHealth()
	done := make(chan opened, 1)
	go func() {
		a, err := open(o, health)
		done <- opened{a, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, fmt.Errorf("drive %s: open: %w", o.Path, r.err)
		}
		return r.a, nil
	case <-health.Failed():
		return nil, fmt.Errorf("drive %s: open: %w: %w", o.Path, ErrFailed, health.Err())
	case <-ctx.Done():
		// The fence stops the open before it changes anything more.
		health.Fail(fmt.Errorf("opening took too long: %w", ctx.Err()))
		go func() {
			if r := <-done; r.a != nil {
				r.a.Close()
			}
		}()
		return nil, fmt.Errorf("drive %s: open: %w", o.Path, ctx.Err())
	}
}

// open does the work of Open, as long as it takes.
func open(o Options, h *guardfs.Health) (_ *Actor, err error) {
	lock, err := lockDir(o.FS, o.Path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	label, err := readLabel(o.FS, o.Path)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(sameDrive(o.Label, label), checkIndexFiles(o.FS, o.Path)); err != nil {
		return nil, err
	}
	a := &Actor{
		id: label.Drive, tag: ondisk.DriveTag(label.Drive), path: o.Path, label: label, o: o, lock: lock, health: h,
		log:        o.Log.With("drive", label.Drive.String(), "path", o.Path),
		act:        actors.New("drive " + o.Path),
		mail:       actors.NewMailbox[message](o.Limits.Mailbox),
		sat:        actors.NewSaturation(time.Now()),
		readers:    make(chan struct{}, o.Limits.Readers),
		writers:    make(chan struct{}, o.Limits.Writers),
		closing:    make(chan struct{}),
		ended:      make(chan struct{}),
		gone:       make(chan struct{}),
		pending:    make(map[revision]*pending),
		ends:       make(map[object.Key]ended),
		completing: make(map[object.WriteID]int),
		sets:       make(map[cluster.SetID]*quorum.SetState),
		fences:     make(map[cluster.BucketID]ondisk.Fence),
		live:       make(map[object.Key]uint64),
		tokens:     uint64(time.Now().UnixNano()), // above all of an earlier life
		machine:    quorum.Drive{Life: AttemptLife},
		purged:     make(map[cluster.BucketID]bool),
		staged:     staging{open: make(map[object.OID]*segment.Writer)},
		peers:      make(map[cluster.DriveID]uint64),
		flushed:    make(chan struct{}, 1),
	}
	a.pulse.begin()
	a.marks.init(o.Limits.Marks)
	a.recent.init()
	a.holds.init()
	a.emptying.wake = make(chan struct{}, 1)
	a.reclaim.init(&a.space.hope)
	if err := a.space.init(a); err != nil {
		return nil, err
	}
	// A batch above half a memtable takes a detour through a table of its own.
	a.o.Limits.BatchBytes = min(a.o.Limits.BatchBytes, int(a.space.memTable/2))
	opts := indexOptions(guardfs.Parking(o.FS, h), o, a.space.memTable, h)
	opts.EventListener.FlushEnd = a.hasFlushed
	if a.db, err = pebble.Open(path.Join(o.Path, indexDir), opts); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	if err := a.openRest(); err != nil {
		if a.journal != nil {
			err = errors.Join(err, a.journal.Close())
		}
		return nil, errors.Join(err, a.db.Close())
	}
	a.start()
	return a, nil
}

// openRest brings everything beside the index to the state of the last batch.
func (a *Actor) openRest() error {
	if err := a.openJournal(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := a.load(); err != nil {
		return err
	}
	if err := a.openStore(); err != nil {
		return err
	}
	if err := a.journal.Begin(); err != nil {
		return errors.Join(fmt.Errorf("journal: %w", err), a.store.Close())
	}
	return nil
}

// hasFlushed hears of each flush of the index.
func (a *Actor) hasFlushed(info pebble.FlushInfo) {
	a.recent.flush(info)
	select {
	case a.flushed <- struct{}{}:
	default:
	}
}

// openStore opens the segments as the S rows describe them.
func (a *Actor) openStore() error {
	rows := make(map[uint32]ondisk.SegmentRow)
	err := a.each(ondisk.RowSegment, func(key, value []byte) error {
		no, err := ondisk.ParseSegmentKey(key)
		if err != nil {
			return err
		}
		rows[no], err = ondisk.DecodeSegmentRow(value)
		return err
	})
	if err != nil {
		return fmt.Errorf("segment rows: %w", err)
	}
	size := a.label.SegmentSize
	// The bound that counts is the reserve of free bytes, which drives that share a file system also
	// share. The number of segments only has to exceed what it lets happen: a segment takes space as
	// it fills, and big streams begin one of their own, so many are half empty.
	a.store, err = segment.Open(segment.Options{
		FS: a.o.FS, Dir: path.Join(a.path, segmentDir), Drive: a.id, SegmentSize: size,
		Limit: 2*int(a.space.capacity.Load()/size) + 4,
		Rows:  rows, Health: a.health, Log: a.log, Tight: a.space.full, Pace: a.o.Paces.On(a.path),
	})
	return err
}

// start begins the goroutines of an actor that is ready.
func (a *Actor) start() {
	a.m = newMetrics(a)
	a.act.Go("writer", a.loop)
	a.act.Go("space", a.space.run)
	a.act.Go("journal", func() error { return a.journal.Run(a.act.Stopping()) })
	a.act.Go("reclaimer", a.runReclaim)
	go a.watch()
	go a.feelPulse()
}

// watch ends with the actor; it turns a failed assertion of any goroutine into a failed drive, and a
// failed drive into an ended actor, and answers everybody whom the loop will not answer.
func (a *Actor) watch() {
	select {
	case <-a.act.Stopping():
		if err := a.act.Err(); err != nil {
			a.health.Fail(err)
		}
	case <-a.health.Failed():
		a.act.Stop()
	}
	if err := a.health.Err(); err != nil {
		a.log.Error("drive failed", "err", err)
	}
	select {
	case <-a.health.Failed():
	case <-a.ended:
	}
	a.refuseAll()
}

// Close takes the drive out of service: what is in the mailbox is still written, then the index is
// flushed and closed. A failed drive is abandoned instead: its index can never be closed. So is one that does not
// answer, or has a call under way that does not come back within Limits.Close: closing fails it.
// Close is idempotent.
func (a *Actor) Close() error {
	a.once.Do(func() {
		close(a.closing)
		a.mail.Shut()
		a.act.Stop()
		a.closed = a.shut()
		close(a.gone)
		a.m.close()
	})
	return a.closed
}

func (a *Actor) shut() error {
	late := time.AfterFunc(a.o.Limits.Close, func() { a.health.Fail(errStuck) })
	defer late.Stop()
	ended := make(chan error, 1)
	go func() {
		ended <- a.act.Wait()
	}()
	if !a.rests(ended) {
		go a.letGo()
		return a.lock.Close()
	}
	// Readers hold iterators, and closing the index below one is a crash: wait for all tokens.
	for _, tokens := range []chan struct{}{a.readers, a.writers} {
		for range cap(tokens) {
			select {
			case tokens <- struct{}{}:
			case <-a.health.Failed():
				return a.lock.Close()
			}
		}
	}
	closed := make(chan error, 1)
	go func() {
		// The end is sealed first: a flush that takes too long is left to the replay of the next start.
		closed <- errors.Join(a.store.Close(), a.journal.Seal(a.batchNo), a.flushAll(), a.db.Close(), a.journal.Close())
	}()
	select {
	case err := <-closed:
		return errors.Join(err, a.lock.Close())
	case <-a.health.Failed():
		err := a.health.Err()
		if errors.Is(err, errSilent) || errors.Is(err, errStuck) {
			err = nil // what hangs is left behind, wherever it was found
		}
		return errors.Join(err, a.lock.Close())
	}
}

// rests returns when the actor's goroutines have ended or the drive has failed, and says whether its
// index can be closed. A reason for which they ended fails the drive; Close does not return it, however
// early or late they end: why a drive failed says its health, and a failed one is closed all the same.
func (a *Actor) rests(ended <-chan error) bool {
	select {
	case <-a.health.Failed():
	case err := <-ended:
		if err != nil {
			a.health.Fail(err) // watch may not have come to it yet
		}
	}
	return !isClosed(a.health.Failed())
}

// letGo closes the files of a failed drive that are not its index's: it may return and fail again any
// number of times. It is left behind where what uses them hangs, or has parked in the index.
func (a *Actor) letGo() {
	a.act.Wait()
	for _, tokens := range []chan struct{}{a.readers, a.writers} {
		for range cap(tokens) {
			tokens <- struct{}{}
		}
	}
	if err := errors.Join(a.store.Close(), a.journal.Close()); err != nil {
		a.log.Debug("files of a failed drive do not close", "err", err)
	}
}

// ID is the drive's own identity.
func (a *Actor) ID() cluster.DriveID { return a.id }

// Path is where the drive is mounted.
func (a *Actor) Path() string { return a.path }

// Label is what FORMAT said when the drive was opened.
func (a *Actor) Label() ondisk.Label {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.label
}

// Failed is closed when the drive fails; it must then be opened anew.
func (a *Actor) Failed() <-chan struct{} { return a.health.Failed() }

// usable is asked before every operation.
func (a *Actor) usable() error {
	switch {
	case isClosed(a.health.Failed()):
		return a.wrap(fmt.Errorf("%w: %w", ErrFailed, a.health.Err()))
	case isClosed(a.closing):
		return a.wrap(ErrOffline)
	case isClosed(a.ended): // a failed assertion, which is about to fail the drive
		return a.wrap(ErrFailed)
	case a.pulse.silent():
		return a.wrap(fmt.Errorf("%w: %w", ErrOffline, errSilent))
	}
	return nil
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// wrap names the drive in an error, once.
func (a *Actor) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("drive %s: %w", a.id, err)
}

// begin takes one of the drive's tokens for reads or data writes; end gives it back. It bounds how
// much the drive does at one time, and waits no longer than the caller does.
func (a *Actor) begin(ctx context.Context, tokens chan struct{}) error {
	if err := a.usable(); err != nil {
		return err
	}
	select {
	case tokens <- struct{}{}:
		return nil
	default:
	}
	select {
	case tokens <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-a.pulse.lost(): // it may be back by now, which usable would say
		return a.wrap(fmt.Errorf("%w: %w", ErrOffline, errSilent))
	case <-a.health.Failed():
		return a.usable()
	case <-a.closing:
		return a.usable()
	}
}

func (a *Actor) end(tokens chan struct{}) { <-tokens }
