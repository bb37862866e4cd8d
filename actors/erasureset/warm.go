package erasureset

import (
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/erasure"
	"holdfast/actors/object"
	"holdfast/actors/slab"
)

// coldRows is for how many rows a stream does not look into memory again after it did not find there
// what comes next.
const coldRows = 8

// lead sends a body from memory: one goroutine of the crew reads a unit, verifies and writes it, with
// one buffer and nobody to wait for, so that the bytes stay in its core's caches. The stream's own
// goroutine only looks whether it comes back from its reads, and goes on in its place if it does not.
type lead struct {
	st  *stream
	w   io.Writer
	buf *slab.Buf

	done chan struct{} // capacity 1: the lead has ended and gives the stream back

	mu      sync.Mutex
	reads   int  // guarded by mu: begun so far
	reading bool // guarded by mu
	over    bool // guarded by mu: the stream was taken from a lead that did not come back

	// The stream's owner alone.
	job  job // what was read last
	slot int // which shard of it
	sent int64
	err  error
}

// sendWarm sends what is next as long as it is found in memory and every core has a stream. It returns
// at the end, and when the body is to go on in the usual way.
func (st *stream) sendWarm(w io.Writer) (int64, error) {
	src := st.warmSource()
	if src == nil {
		return 0, nil
	}
	var one [1]*slab.Buf
	if !src.s.readSlabs.TryAcquireN(one[:], erasure.Unit) {
		return 0, nil
	}
	l := &lead{st: st, w: w, buf: one[0], done: make(chan struct{}, 1)}
	src.s.crew.run(l, 0)
	look := time.NewTimer(src.s.opt.HedgeAfter)
	defer look.Stop()
	gone, seen := st.ctx.Done(), 0
	for {
		select {
		case <-l.done:
			return l.sent, l.err
		case <-gone:
			gone = nil // one look at once, for a read that hangs; a write ends by itself
		case <-look.C:
			look.Reset(src.s.opt.HedgeAfter)
		}
		if l.takeOver(&seen, gone == nil) {
			return l.sent, st.ctx.Err()
		}
	}
}

// takeOver takes the stream back from a lead that is in the read of the last look still, or in any if
// now is set.
func (l *lead) takeOver(seen *int, now bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.reading || *seen != l.reads && !now {
		*seen = l.reads
		return false
	}
	l.over = true
	l.buf.Disown() // who hangs keeps the memory, but not its room in the pool
	s := l.job.src.s
	s.metrics.hedges.Inc()
	l.job.src.setSlow(1 << l.slot)
	l.st.again = slices.Insert(l.st.again, 0, l.job)
	l.st.cold = coldRows
	return true
}

// begins notes that a read begins.
func (l *lead) begins() {
	l.mu.Lock()
	l.reads++
	l.reading = true
	l.mu.Unlock()
}

// back ends a read. false: the stream was taken over meanwhile.
func (l *lead) back() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reading = false
	if l.over {
		l.buf.Release()
	}
	return !l.over
}

// warmSource is the source of what is next if it may be sent from memory, else nil.
func (st *stream) warmSource() *source {
	if st.err != nil || st.cold > 0 || st.ahead != nil || st.shy > 0 || !st.pace.of.crowded() {
		return nil
	}
	if len(st.again) > 0 {
		return st.again[0].src
	}
	for _, r := range st.runs {
		if r.from < r.to {
			return r.src
		}
	}
	return nil
}

// do is the lead's life; it runs in the crew.
func (l *lead) do(int) {
	for {
		data, more := l.read()
		if !more || !l.send(data) {
			return
		}
	}
}

// read reads the next unit. false: the lead has ended.
func (l *lead) read() ([]byte, bool) {
	st := l.st
	st.pace.row(time.Now())
	j, ok := job{}, false
	if st.warmSource() != nil {
		j, ok = st.row()
	}
	if !ok {
		return nil, l.end()
	}
	var few [4]erasure.Piece
	p := j.src.geo.Pieces(few[:0], j.src.size, j.row, j.from, j.to)[0]
	rd := j.src.takeWarm(p.Shard)
	if rd == nil {
		return nil, l.leave(j)
	}
	l.job, l.slot = j, p.Shard
	l.begins()
	data, ok := rd.ReadWarm(l.buf.All(), int64(j.row)*int64(j.src.geo.FrameBytes())+int64(p.Off), p.Len)
	j.src.put(p.Shard, nil)
	if !l.back() {
		return nil, false
	}
	if !ok {
		return nil, l.leave(j)
	}
	st.closeBefore(j.src)
	return data, true
}

// send writes what was read last. false: the lead has ended.
func (l *lead) send(data []byte) bool {
	n, err := l.w.Write(data)
	l.sent += int64(n)
	l.job.from += int64(n)
	if l.job.from < l.job.to {
		l.st.again = slices.Insert(l.st.again, 0, l.job)
	}
	if err == nil {
		return true
	}
	l.err = err
	if errors.Is(err, object.ErrPaused) {
		l.st.shy = shyBytes
		l.st.pace.set(false)
	} else {
		l.st.err = err
	}
	return l.end()
}

// leave ends the lead before a job that is not in memory.
func (l *lead) leave(j job) bool {
	l.st.again = slices.Insert(l.st.again, 0, j)
	l.st.cold = coldRows
	return l.end()
}

// end gives the stream back; it is false.
func (l *lead) end() bool {
	l.buf.Release()
	l.done <- struct{}{}
	return false
}

// takeWarm books the shard of a slot until put, if it is open and may be asked what is in memory.
func (src *source) takeWarm(slot int) drive.WarmReader {
	src.mu.Lock()
	defer src.mu.Unlock()
	sl := &src.slots[slot]
	rd, ok := sl.rd.(drive.WarmReader)
	if !ok || sl.err != nil || sl.busy || sl.slow {
		return nil
	}
	sl.busy = true
	return rd
}
