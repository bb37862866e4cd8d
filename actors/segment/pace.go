package segment

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// What reaches the device at a time bounds how long a sync of the journal waits there behind data.
const (
	directStep   = 256 << 10 // bytes of one write past the page cache
	directWrites = 2         // such writes of one drive at a time, while nobody syncs small objects
	// courtesy is for how long after a sync of small objects there are one such write of a drive and
	// deviceWrites of the device at a time. On the device it is a favour and no lock: who has waited for
	// twice as long goes on, for the writes may be those of drives that hang.
	courtesy     = 10 * time.Millisecond
	deviceWrites = 2
)

// Pace is shared by the drives of one device.
type Pace struct {
	born   time.Time
	turns  chan struct{} // one per running write while small objects are synced
	synced atomic.Int64  // when small objects were, in ns since born
	taken  atomic.Int64  // when the last of turns was, in ns since born
}

// NewPace is the pace of a drive that has a device to itself.
func NewPace() *Pace {
	p := &Pace{born: time.Now(), turns: make(chan struct{}, deviceWrites)}
	p.synced.Store(-int64(courtesy))
	return p
}

// now is monotonic: a clock that is set back must not hold data up until it has caught up.
func (p *Pace) now() int64 { return int64(time.Since(p.born)) }

// courteous reports whether small objects were synced just now.
func (p *Pace) courteous() bool { return p.now()-p.synced.Load() < int64(courtesy) }

// enter waits for the turn of a write, and reports whether it has one: without it goes on all the same.
func (p *Pace) enter() bool {
	now := p.now()
	select {
	case p.turns <- struct{}{}:
		p.taken.Store(now)
		return true
	default:
	}
	if now-p.taken.Load() >= int64(2*courtesy) {
		return false
	}
	patience := time.NewTimer(2 * courtesy)
	defer patience.Stop()
	select {
	case p.turns <- struct{}{}:
		p.taken.Store(p.now())
		return true
	case <-patience.C:
		return false
	}
}

// Paces finds the pace of a device. The zero value is ready to use, by any number of goroutines.
type Paces struct {
	mu       sync.Mutex
	byDevice map[uint64]*Pace // guarded by mu
}

// On returns the pace of the device that a directory lies on. One whose device cannot be told has a
// pace of its own, as has every directory if ps is nil.
func (ps *Paces) On(dir string) *Pace {
	var st unix.Stat_t
	if ps == nil || unix.Stat(dir, &st) != nil {
		return NewPace()
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.byDevice[st.Dev]
	if p == nil {
		p = NewPace()
		if ps.byDevice == nil {
			ps.byDevice = make(map[uint64]*Pace)
		}
		ps.byDevice[st.Dev] = p
	}
	return p
}

// turn is what a write past the page cache has entered.
type turn struct{ single, device bool }

// enterDirect waits for the turn of a write past the page cache, on this drive and on its device. Whoever
// entered calls leaveDirect with what was returned.
func (s *Store) enterDirect() (t turn) {
	s.turns <- struct{}{}
	if t.single = s.pace.courteous(); t.single {
		s.single <- struct{}{}
		t.device = s.pace.enter()
	}
	return t
}

func (s *Store) leaveDirect(t turn) {
	if t.device {
		<-s.pace.turns
	}
	if t.single {
		<-s.single
	}
	<-s.turns
}

// SmallSynced tells that small objects were made durable on the device just now, outside of the
// segments. For a moment data keeps back, for the sake of those that are likely to follow.
func (s *Store) SmallSynced() { s.pace.synced.Store(s.pace.now()) }
