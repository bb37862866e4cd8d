package main

import (
	"fmt"
	"sync"
	"time"

	"holdfast/scripts/torture/history"
)

// Of a key's life: when it has had so many operations, or so many of unknown outcome, another takes its
// place among the hot ones.
const (
	maxOps     = 800
	maxUnknown = 12
)

// recorder keeps what the clients see. It is safe for concurrent use.
type recorder struct {
	start  time.Time
	slots  int
	prefix string

	mu     sync.Mutex
	ops    []history.Op         // guarded by mu
	faults []history.Fault      // guarded by mu
	wrong  []string             // guarded by mu: what no server may do
	keys   map[string]*keyState // guarded by mu, every key ever used
	hot    []*keyState          // guarded by mu
	counts map[string]map[history.Outcome]int
}

// keyState is one key of the run.
type keyState struct {
	name         string
	slot         int
	ops, unknown int
	etag         string // last seen; "" before
	retired      bool
}

func newRecorder(seed uint64, slots int) *recorder {
	r := &recorder{start: time.Now(), slots: slots, prefix: fmt.Sprintf("%x/", seed), keys: map[string]*keyState{},
		counts: map[string]map[history.Outcome]int{}}
	for i := range slots {
		r.hot = append(r.hot, nil)
		r.renew(i)
	}
	return r
}

// renew puts a fresh key into a slot. r.mu is held, or nobody else knows r yet.
func (r *recorder) renew(slot int) {
	k := &keyState{name: fmt.Sprintf("%s%d/key %05d+", r.prefix, slot, len(r.keys)), slot: slot}
	if old := r.hot[slot]; old != nil {
		old.retired = true
	}
	r.keys[k.name], r.hot[slot] = k, k
}

// now is the time of the run in ns.
func (r *recorder) now() int64 { return int64(time.Since(r.start)) }

// key returns the hot key of a slot and the ETag last seen there.
func (r *recorder) key(slot int) (name, etag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.hot[slot]
	return k.name, k.etag
}

// names lists the keys in use: all, or the hot ones.
func (r *recorder) names(all bool) map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]bool{}
	for name, k := range r.keys {
		if all || !k.retired {
			out[name] = true
		}
	}
	return out
}

// known says whether a key was ever used.
func (r *recorder) known(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[name] != nil
}

// add keeps operations.
func (r *recorder) add(ops ...history.Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, op := range ops {
		r.ops = append(r.ops, op)
		if r.counts[op.Via] == nil {
			r.counts[op.Via] = map[history.Outcome]int{}
		}
		r.counts[op.Via][op.Outcome]++
		k := r.keys[op.Key]
		if k == nil {
			continue
		}
		k.ops++
		switch {
		case op.Outcome == history.Unknown:
			k.unknown++
		case op.Outcome == history.OK && op.Value != "":
			k.etag = op.Value
		}
		if !k.retired && (k.ops >= maxOps || k.unknown >= maxUnknown) {
			r.renew(k.slot)
		}
	}
}

// violation keeps what no server may do, beyond what the judge finds.
func (r *recorder) violation(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = append(r.wrong, fmt.Sprintf("%10.6f s: ", time.Since(r.start).Seconds())+fmt.Sprintf(format, args...))
}

// fault keeps what was done to the server since from.
func (r *recorder) fault(from int64, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, history.Fault{From: from, To: r.now(), What: what})
}

// violations lists them.
func (r *recorder) violations() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.wrong...)
}
