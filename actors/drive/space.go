package drive

import (
	"errors"
	"fmt"
	"os"
	"path"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// spacePeriod is how often the file system is asked for its free bytes; between two answers what
	// the drive writes itself is subtracted.
	spacePeriod = 250 * time.Millisecond
	// spaceStep is how much the drive may write before it asks again out of turn.
	spaceStep = 4 << 20
	// metricsEvery is how many periods pass between two looks at the index's own figures.
	metricsEvery = 20
	// maxBallast is room for a few flushes and compactions of the index, which is all that it must
	// get through on a file system that others have filled. The design would allow 1 GiB; four
	// drives tried out on one laptop disk should not take 4 GiB before the first object.
	maxBallast = 128 << 20
)

// space knows how full the drive is. At the reserve new data is refused while deletes and reads go
// on: an index that meets a full file system can only fail, so it must never get there.
type space struct {
	a        *Actor
	memTable int64
	journal  int64 // bytes of a file of the journal
	reserve  int64 // free bytes at which new data is refused
	ballast  int64 // size of the ballast file
	fsid     uint64
	asked    chan struct{} // capacity 1

	capacity atomic.Int64
	free     atomic.Int64 // at the last look
	written  atomic.Int64 // by the drive since
	used     atomic.Int64 // what the drive's files take
	addAgain time.Time    // when that may be added up again; owned by run
	wasFull  atomic.Bool
	hope     hope
	index    atomic.Pointer[pebble.Metrics] // last known: asking a failed index may never return
	looking  sync.Mutex
	hasBall  bool // the ballast lies there; owned by init, then by run
}

func (s *space) init(a *Actor) error {
	s.a = a
	s.asked = make(chan struct{}, 1)
	if err := s.look(); err != nil {
		return err
	}
	capacity := s.capacity.Load()
	s.memTable = memTableSize(capacity, a.o.MemTable)
	s.ballast = min(capacity/100, maxBallast)
	if s.journal = a.o.Journal; s.journal == 0 {
		s.journal = journalSize(capacity)
	}
	s.reserve = max(2*a.label.SegmentSize+maxMemTables*s.memTable+(logFiles+1)*s.journal, a.o.MinReserve)
	if info, err := os.Stat(a.path); err == nil && vfs.Root(a.o.FS) == vfs.Default {
		s.fsid = PlaceOf(info)[0]
	}
	s.hasBall = s.hasBallast()
	if s.hasBall {
		s.keepBallast() // gives it up if the index has no room to be opened
	}
	return nil
}

// look asks the file system.
func (s *space) look() error {
	capacity, free, err := s.usage()
	if err != nil {
		return err
	}
	s.written.Store(0)
	s.capacity.Store(capacity)
	s.free.Store(free)
	return nil
}

func (s *space) usage() (capacity, free int64, err error) {
	if s.a.o.Usage != nil {
		return s.a.o.Usage()
	}
	u, err := s.a.o.FS.GetDiskUsage(s.a.path)
	if err != nil {
		if vfs.Root(s.a.o.FS) != vfs.Default {
			return 1 << 40, 1 << 40, nil // a file system in memory knows no bounds
		}
		return 0, 0, err
	}
	return int64(u.TotalBytes), int64(u.AvailBytes), nil
}

// full says whether new data is to be refused. What was written since the last look may lie where
// space was allocated before, so nothing is refused on that account without another look.
//
// A drive that was full takes data again only with half a segment more than the reserve: one that
// went to and fro at the limit would take one write and refuse the next.
func (s *space) full() bool {
	least := s.least()
	full := s.left() < least
	if full && s.written.Load() > 0 && s.looking.TryLock() {
		if err := s.look(); err == nil {
			full = s.left() < least
		}
		s.looking.Unlock()
	}
	return s.note(full)
}

// seems is full by what is known, without asking the file system of a drive that may hang. inDoubt says
// that another look is needed to tell, which is then taken soon.
func (s *space) seems() (full, inDoubt bool) {
	least := s.least()
	if s.free.Load() < least {
		return s.note(true), false
	}
	if s.left() < least {
		s.ask()
		return false, true
	}
	return s.note(false), false
}

// least is how much has to be free for new data.
func (s *space) least() int64 {
	if s.wasFull.Load() {
		return s.reserve + s.a.label.SegmentSize/2
	}
	return s.reserve
}

// note keeps whether the drive is full, and says so when that changes.
func (s *space) note(full bool) bool {
	if full != s.wasFull.Load() && s.wasFull.CompareAndSwap(!full, full) {
		if full {
			s.a.log.Warn("drive is at its reserve: new data is refused", "free_bytes", s.left(), "reserve_bytes", s.reserve)
		} else {
			s.a.log.Info("drive takes new data again", "free_bytes", s.left())
		}
	}
	return full
}

func (s *space) left() int64 { return s.free.Load() - s.written.Load() }

// grew counts bytes that the drive wrote.
func (s *space) grew(n int64) {
	if s.written.Add(n) > spaceStep {
		s.ask()
	}
}

// ask has run look soon.
func (s *space) ask() {
	select {
	case s.asked <- struct{}{}:
	default:
	}
}

// run keeps the figures fresh. It is the only goroutine that asks the index for its metrics, which
// may hang for good once the index has failed; Close does not wait for it then.
func (s *space) run() error {
	tick := time.NewTicker(spacePeriod)
	defer tick.Stop()
	s.keepBallast()
	for n := 0; ; n++ {
		if n%metricsEvery == 0 {
			m := s.a.db.Metrics()
			s.index.Store(m)
			s.footprint()
		}
		select {
		case <-tick.C:
		case <-s.asked:
		case <-s.a.act.Stopping():
			return nil
		}
		if err := s.look(); err != nil {
			s.a.log.Warn("asking the file system for its free space", "err", err)
			continue
		}
		s.keepBallast()
	}
}

// keepBallast gives the ballast up when others have filled the file system so far that even deletes
// are in danger, and makes it again once there is room.
func (s *space) keepBallast() {
	name := path.Join(s.a.path, ballastFile)
	switch left := s.left(); {
	case s.ballast == 0:
	case s.hasBall && left < s.needed():
		if err := s.a.o.FS.Remove(name); err != nil {
			s.a.log.Warn("giving up the ballast", "err", err)
			return
		}
		s.hasBall = false
		s.a.log.Warn("file system is full: ballast given up", "free_bytes", left)
	case !s.hasBall && left > 2*s.reserve+s.ballast:
		if err := s.makeBallast(name); err != nil {
			s.a.log.Debug("making the ballast", "err", err)
			s.ballast = 0 // a file system that cannot allocate has none
			return
		}
		s.hasBall = true
	}
}

func (s *space) makeBallast(name string) error {
	f, err := s.a.o.FS.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	err = errors.Join(f.Preallocate(0, s.ballast), f.Close())
	if errors.Is(err, syscall.ENOSPC) {
		err = errors.Join(err, s.a.o.FS.Remove(name))
	}
	return err
}

// Health implements Drive. It never waits for the drive.
func (a *Actor) Health() Health {
	full, _ := a.space.seems()
	h := Health{
		State:    Online,
		Full:     full,
		Capacity: a.space.capacity.Load(),
		Free:     a.space.left(),
		Used:     a.space.used.Load(),
		FSID:     a.space.fsid,
		Queue:    a.mail.Depth(),
		Working:  a.sat.Fraction(),
		Durable:  a.gate.durable.Load(),
	}
	h.Reclaiming = h.Full && a.space.hope.left() > 0
	switch {
	case isClosed(a.health.Failed()):
		h.State, h.Err = Failed, a.wrap(a.health.Err())
	case isClosed(a.closing):
		h.State, h.Err = Absent, a.wrap(ErrOffline)
	case a.pulse.silent():
		h.State, h.Err = Absent, a.wrap(fmt.Errorf("%w: %w", ErrOffline, errSilent))
	}
	return h
}
