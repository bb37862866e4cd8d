package digest

import (
	"sync"
)

const (
	blockSize = 64

	// quantum is how many bytes of each stream are hashed before newcomers may join.
	quantum = 16 << 10

	// smallWrite is what is not worth meeting others for.
	smallWrite = 4 << 10

	maxWidth = 8
)

// state is a digest in the making; MD5 uses the first four words.
type state [8]uint32

// kernels hash whole blocks of several streams at once. two and eight are nil where there is none.
type kernels struct {
	two   func(a, b *job, blocks int)
	eight func(jobs []*job, blocks int)
	width int  // streams that are best taken together
	alone bool // two is worth it even with one stream
}

// engine brings streams together that have something to hash at the same time. It has no
// goroutines: a caller who finds nobody at work leads, hashes its own bytes together with those of
// the callers that come after it, and hands over when its own are done.
type engine struct {
	forms []*form // what is computed
	k     kernels
	max   int // leaders at once

	mu      sync.Mutex
	waiting []*job // guarded by mu: nobody hashes them yet
	leaders int    // guarded by mu
}

// job is the whole blocks of one Write.
type job struct {
	sums  [2]state // one for each form
	data  []byte
	wake  chan bool // capacity 1: true = lead with group, false = done
	group []*job    // set before wake: what the last leader had in hand
}

// hash returns when all of j is hashed.
func (e *engine) hash(j *job) {
	e.mu.Lock()
	if e.leaders > 0 && (e.leaders == e.max || len(e.waiting) < e.k.width) {
		e.waiting = append(e.waiting, j)
		e.mu.Unlock()
		if !<-j.wake {
			return
		}
	} else {
		e.leaders++
		e.mu.Unlock()
	}
	e.lead(j)
}

// lead hashes j and those with it until j is done.
func (e *engine) lead(j *job) {
	var hand [maxWidth]*job
	group := append(append(hand[:0], j), j.group...)
	j.group = nil
	for len(j.data) > 0 {
		e.mu.Lock()
		n := min(len(e.waiting), e.k.width-len(group))
		group = append(group, e.waiting[:n]...)
		e.drop(n)
		e.mu.Unlock()
		group = e.round(group)
	}
	e.handOver(group)
}

// drop takes the first n out of the queue. e.mu is held.
func (e *engine) drop(n int) {
	rest := copy(e.waiting, e.waiting[n:])
	clear(e.waiting[rest:])
	e.waiting = e.waiting[:rest]
}

// round hashes as much of each as all have, wakes those that are done but the first, and returns
// those that are not done.
func (e *engine) round(group []*job) []*job {
	n := quantum
	for _, j := range group {
		n = min(n, len(j.data))
	}
	e.run(group, n)
	first, rest := group[0], group[:0]
	for _, j := range group {
		j.data = j.data[n:]
		switch {
		case len(j.data) > 0:
			rest = append(rest, j)
		case j != first:
			j.wake <- false
		}
	}
	return rest
}

// handOver gives the lead to one of those that are left, if there are any.
func (e *engine) handOver(group []*job) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(group) == 0 && len(e.waiting) > 0 {
		group = append(group, e.waiting[0])
		e.drop(1)
	}
	if len(group) == 0 {
		e.leaders--
		return
	}
	next := group[0]
	next.group = append([]*job(nil), group[1:]...)
	next.wake <- true
}

// run hashes n bytes, whole blocks, of each job.
func (e *engine) run(jobs []*job, n int) {
	if e.k.eight != nil && len(jobs) > 2 {
		e.k.eight(jobs, n/blockSize)
		return
	}
	for ; e.k.two != nil && len(jobs) >= 2; jobs = jobs[2:] {
		e.k.two(jobs[0], jobs[1], n/blockSize)
	}
	for _, j := range jobs {
		e.one(j, n)
	}
}

// one hashes n bytes, whole blocks, of a job.
func (e *engine) one(j *job, n int) {
	if e.k.alone {
		twin := job{sums: j.sums, data: j.data}
		e.k.two(j, &twin, n/blockSize)
		return
	}
	for i, f := range e.forms {
		f.hash(&j.sums[i], j.data[:n])
	}
}
