// Package slab hands out the buffers that object data passes through: frames of shards, each with
// room for its header in front. A Pool owns one budget of bytes; who would exceed it waits in
// order of arrival, and is turned away with object.ErrBusy when that takes too long. Buffers lie
// outside the Go heap, so that a few hundred MiB of them neither double through the collector's
// pacing nor stay resident: those unused for Config.Idle go back to the system.
//
// A buffer belongs to who acquired it until Release; releasing twice panics. All methods are safe
// for concurrent use.
package slab

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/actors/object"
)

// HeaderRoom is the number of free bytes in front of every buffer's data. Data begins on a page.
const HeaderRoom = 4096

// classes are the data sizes that buffers come in. A frame is at most the largest.
var classes = [...]int{16 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20}

// MaxSize is the largest data size of one buffer.
const MaxSize = 1 << 20

// Config are a pool's limits.
type Config struct {
	Budget int64         // bytes of all buffers together, headers included
	Wait   time.Duration // longest wait for room; 0 = 5 s
	Idle   time.Duration // age at which an unused buffer is given back; 0 = 5 s
	// Mapped, if set, is told how many bytes of memory the pool takes, cached buffers among them, whenever
	// that has changed by a sixteenth of the budget. It is called with the pool locked.
	Mapped func(bytes int64)
}

// Pool is a budget of buffers.
type Pool struct {
	cfg    Config
	wanted chan struct{} // capacity 1

	mu       sync.Mutex
	free     [len(classes)][]idleBuf // guarded by mu; newest last
	inUse    int64                   // guarded by mu
	cached   int64                   // guarded by mu: bytes in free
	mapped   int64                   // guarded by mu: bytes of all buffers
	told     int64                   // guarded by mu: mapped as Config.Mapped knows it
	buffers  int                     // guarded by mu: buffers handed out
	waiters  []*waiter               // guarded by mu, in order of arrival
	refused  uint64                  // guarded by mu
	sweeping bool                    // guarded by mu: timer is armed
	timer    *time.Timer             // guarded by mu
	closed   bool                    // guarded by mu
}

type idleBuf struct {
	mem   []byte
	since time.Time
}

type waiter struct {
	need  int64
	ready chan struct{} // closed when need was booked for the waiter
}

// Buf is one buffer.
type Buf struct {
	pool     *Pool
	mem      []byte
	class    int
	disowned bool // guarded by pool.mu
}

// Stats are counts for metrics and leak checks.
type Stats struct {
	InUse, Cached, Budget int64
	Buffers, Waiting      int
	Refused               uint64
}

// New returns an empty pool; nothing is allocated before it is asked for.
func New(cfg Config) *Pool {
	if cfg.Wait <= 0 {
		cfg.Wait = 5 * time.Second
	}
	if cfg.Idle <= 0 {
		cfg.Idle = 5 * time.Second
	}
	return &Pool{cfg: cfg, wanted: make(chan struct{}, 1)}
}

// Acquire returns one buffer for size bytes of data.
func (p *Pool) Acquire(ctx context.Context, size int) (*Buf, error) {
	var one [1]*Buf
	if err := p.AcquireN(ctx, one[:], size); err != nil {
		return nil, err
	}
	return one[0], nil
}

// AcquireN fills dst with buffers for size bytes of data each, all or none: nobody waits while
// holding a part of what they need. Their contents are arbitrary.
func (p *Pool) AcquireN(ctx context.Context, dst []*Buf, size int) error {
	return p.acquire(ctx, dst, size, p.cfg.Wait)
}

// MustAcquireN is AcquireN for work that is under way: it waits in line as long as ctx allows.
func (p *Pool) MustAcquireN(ctx context.Context, dst []*Buf, size int) error {
	return p.acquire(ctx, dst, size, 0)
}

// TryAcquireN is AcquireN that does not wait.
func (p *Pool) TryAcquireN(dst []*Buf, size int) bool {
	return p.acquire(context.Background(), dst, size, -1) == nil
}

// acquire waits at most so long, for ever if 0, not at all if negative.
func (p *Pool) acquire(ctx context.Context, dst []*Buf, size int, wait time.Duration) error {
	class := classOf(size)
	if class < 0 {
		return fmt.Errorf("slab: %d bytes are more than the largest buffer", size)
	}
	need := int64(len(dst)) * int64(HeaderRoom+classes[class])
	if err := p.book(ctx, need, wait); err != nil {
		return err
	}
	for i := range dst {
		mem, err := p.take(class)
		if err != nil {
			for _, b := range dst[:i] {
				b.Release()
			}
			p.unbook(int64(len(dst)-i) * int64(HeaderRoom+classes[class]))
			return err
		}
		dst[i] = &Buf{pool: p, mem: mem, class: class}
	}
	return nil
}

// book reserves need bytes of the budget, waiting in line if there is no room.
func (p *Pool) book(ctx context.Context, need int64, wait time.Duration) error {
	p.mu.Lock()
	if need > p.cfg.Budget {
		p.mu.Unlock()
		return fmt.Errorf("slab: %d bytes exceed the whole budget of %d", need, p.cfg.Budget)
	}
	if len(p.waiters) == 0 && p.inUse+need <= p.cfg.Budget {
		p.inUse += need
		p.mu.Unlock()
		return nil
	}
	if wait < 0 {
		p.mu.Unlock()
		return object.ErrBusy
	}
	w := &waiter{need: need, ready: make(chan struct{})}
	p.waiters = append(p.waiters, w)
	p.mu.Unlock()
	select {
	case p.wanted <- struct{}{}:
	default:
	}
	return p.await(ctx, w, wait)
}

// Wanted receives soon after somebody began to wait for room. It is for one receiver.
func (p *Pool) Wanted() <-chan struct{} { return p.wanted }

// Waiting says whether anybody waits for room now.
func (p *Pool) Waiting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiters) > 0
}

// await waits for a grant.
func (p *Pool) await(ctx context.Context, w *waiter, wait time.Duration) error {
	var up <-chan time.Time
	if wait > 0 {
		limit := time.NewTimer(wait)
		defer limit.Stop()
		up = limit.C
	}
	var err error
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-up:
		err = object.ErrBusy
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.waiters {
		if p.waiters[i] == w {
			p.waiters = append(p.waiters[:i], p.waiters[i+1:]...)
			p.refused++
			p.grant() // whoever stood behind w may fit
			return fmt.Errorf("slab: no room for %d bytes within the limit: %w", w.need, err)
		}
	}
	return nil // granted at the last moment
}

func (p *Pool) unbook(n int64) {
	p.mu.Lock()
	p.inUse -= n
	p.grant()
	p.mu.Unlock()
}

// grant serves waiters from the front; the caller holds mu.
func (p *Pool) grant() {
	for len(p.waiters) > 0 && p.inUse+p.waiters[0].need <= p.cfg.Budget {
		w := p.waiters[0]
		p.waiters = p.waiters[1:]
		p.inUse += w.need
		close(w.ready)
	}
}

// take returns memory of a class that was booked: a cached buffer, or fresh pages after giving
// back cached ones of other classes that would exceed the budget.
func (p *Pool) take(class int) ([]byte, error) {
	p.mu.Lock()
	if n := len(p.free[class]); n > 0 {
		mem := p.free[class][n-1].mem
		p.free[class] = p.free[class][:n-1]
		p.cached -= int64(len(mem))
		p.buffers++
		p.mu.Unlock()
		return mem, nil
	}
	size := HeaderRoom + classes[class]
	grown := int64(size)
	var evict [][]byte
	for c := len(classes) - 1; c >= 0 && p.inUse+p.cached > p.cfg.Budget; c-- {
		for len(p.free[c]) > 0 && p.inUse+p.cached > p.cfg.Budget {
			evict = append(evict, p.free[c][0].mem)
			p.cached -= int64(len(p.free[c][0].mem))
			grown -= int64(len(p.free[c][0].mem))
			p.free[c] = p.free[c][1:]
		}
	}
	p.account(grown)
	p.mu.Unlock()
	unmap(evict)
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		p.mu.Lock()
		p.account(-int64(size))
		p.mu.Unlock()
		return nil, fmt.Errorf("slab: map %d bytes: %w", size, err)
	}
	p.mu.Lock()
	p.buffers++
	p.mu.Unlock()
	return mem, nil
}

// account books a change of the memory that is mapped; the caller holds mu.
func (p *Pool) account(change int64) {
	p.mapped += change
	if p.cfg.Mapped == nil {
		return
	}
	if d := p.mapped - p.told; max(d, -d) >= p.cfg.Budget/16 || p.mapped == 0 {
		p.told = p.mapped
		p.cfg.Mapped(p.mapped)
	}
}

// Release hands the buffer back.
func (b *Buf) Release() {
	p, mem := b.pool, b.mem
	if mem == nil {
		panic("slab: buffer released twice")
	}
	b.mem = nil
	p.mu.Lock()
	p.buffers--
	if !b.disowned {
		p.inUse -= int64(len(mem))
	}
	if p.closed || b.disowned {
		p.account(-int64(len(mem)))
		p.mu.Unlock()
		unmap([][]byte{mem})
		return
	}
	p.free[b.class] = append(p.free[b.class], idleBuf{mem: mem, since: time.Now()})
	p.cached += int64(len(mem))
	p.grant()
	if !p.sweeping {
		p.sweeping = true
		p.timer = time.AfterFunc(p.cfg.Idle, p.sweep)
	}
	p.mu.Unlock()
}

// Disown ends the buffer's claim on the budget while a call that may never come back still uses its
// memory: others get the room at once. Release remains due and gives the memory back to the system;
// the two must not run at the same time. How much is disowned at a time is for the caller to bound.
func (b *Buf) Disown() {
	p := b.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.disowned || b.mem == nil {
		return
	}
	b.disowned = true
	p.inUse -= int64(len(b.mem))
	p.grant()
}

// sweep gives back what nobody used for Config.Idle and comes again while anything is cached.
func (p *Pool) sweep() {
	var evict [][]byte
	p.mu.Lock()
	old := time.Now().Add(-p.cfg.Idle)
	for c := range p.free {
		n := 0
		for n < len(p.free[c]) && !p.free[c][n].since.After(old) {
			evict = append(evict, p.free[c][n].mem)
			p.cached -= int64(len(p.free[c][n].mem))
			p.account(-int64(len(p.free[c][n].mem)))
			n++
		}
		p.free[c] = append(p.free[c][:0], p.free[c][n:]...)
	}
	p.sweeping = p.cached > 0 && !p.closed
	if p.sweeping {
		p.timer = time.AfterFunc(p.cfg.Idle, p.sweep)
	}
	p.mu.Unlock()
	unmap(evict)
}

// Close gives back all cached buffers; those still handed out follow when they are released.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	var evict [][]byte
	for c := range p.free {
		for _, f := range p.free[c] {
			evict = append(evict, f.mem)
		}
		p.free[c] = nil
	}
	p.account(-p.cached)
	p.cached = 0
	p.mu.Unlock()
	unmap(evict)
}

// Stats returns the pool's counts.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{InUse: p.inUse, Cached: p.cached, Budget: p.cfg.Budget, Buffers: p.buffers, Waiting: len(p.waiters), Refused: p.refused}
}

// Data is the buffer behind its header room.
func (b *Buf) Data() []byte { return b.mem[HeaderRoom:] }

// Frame is the header room and n bytes of data behind it.
func (b *Buf) Frame(n int) []byte { return b.mem[:HeaderRoom+n] }

// All is the whole buffer, header room first.
func (b *Buf) All() []byte { return b.mem }

func classOf(size int) int {
	for c, s := range classes {
		if size <= s {
			return c
		}
	}
	return -1
}

func unmap(mem [][]byte) {
	for _, m := range mem {
		if err := unix.Munmap(m); err != nil {
			panic("slab: unmap: " + err.Error()) // only a wrong address does that
		}
	}
}
