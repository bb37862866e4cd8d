package erasureset

import (
	"runtime"
	"sync/atomic"
	"time"
)

// briskRow is how fast a row comes and goes at a stream that keeps a core busy: at 50 MB/s or more.
// One that is slower waits for its client or its drives most of the time.
const briskRow = 10 * time.Millisecond

// brisk counts the streams that can use a core each. Reading the next row while one is sent lets a
// stream use two, which is worth it only while there are more cores than such streams: else the row
// costs a change of goroutine and, being sent by another core than the one that read it, its caches.
type brisk struct {
	cores   int32
	streams atomic.Int32
}

func newBrisk() brisk { return brisk{cores: int32(runtime.NumCPU())} }

// crowded says whether every core has a stream.
func (b *brisk) crowded() bool { return b.streams.Load() >= b.cores }

// pace is one stream's part in it. A stream counts from its beginning, for most are over before
// they could be measured.
type pace struct {
	of    *brisk // nil: not counted
	brisk bool
	since time.Time // when the last row was asked for
}

func (p *pace) begin(b *brisk) {
	p.of = b
	p.set(true)
}

// row notes that the next row is asked for.
func (p *pace) row(now time.Time) {
	if !p.since.IsZero() {
		p.set(now.Sub(p.since) < briskRow)
	}
	p.since = now
}

// end is idempotent.
func (p *pace) end() {
	p.set(false)
	p.of = nil
}

func (p *pace) set(brisk bool) {
	if p.of == nil || p.brisk == brisk {
		return
	}
	p.brisk = brisk
	if brisk {
		p.of.streams.Add(1)
	} else {
		p.of.streams.Add(-1)
	}
}
