package segment

import (
	"sync/atomic"
	"time"
)

// What reaches the device at a time bounds how long a sync of the journal waits there behind data.
const (
	directStep   = 256 << 10 // bytes of one write past the page cache
	directWrites = 2         // such writes of one drive at a time, while nobody syncs small objects
	// courtesy is for how long after a sync of small objects there is one such write at a time.
	courtesy = 10 * time.Millisecond
)

// pace lets writes of data go to the device a few at a time.
type pace struct {
	tokens chan struct{} // one per running write
	single chan struct{} // held by the only one while small objects are synced
	synced atomic.Int64  // when small objects were, Unix time in ns
}

func newPace() *pace {
	return &pace{tokens: make(chan struct{}, directWrites), single: make(chan struct{}, 1)}
}

// enter waits for the turn of a write. Whoever entered calls leave with what was returned.
func (p *pace) enter() (single bool) {
	p.tokens <- struct{}{}
	if single = time.Now().UnixNano()-p.synced.Load() < int64(courtesy); single {
		p.single <- struct{}{}
	}
	return single
}

func (p *pace) leave(single bool) {
	if single {
		<-p.single
	}
	<-p.tokens
}

// SmallSynced tells that small objects were made durable on the same drive just now, outside of the
// segments. For a moment data keeps back, for the sake of those that are likely to follow.
func (s *Store) SmallSynced() { s.pace.synced.Store(time.Now().UnixNano()) }
