package sim

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// RuleUndecided is the rule that a history "broke" whose search for an order was given up: nobody knows.
const RuleUndecided = "undecided"

// Violation is a rule of the protocol found broken.
type Violation struct {
	Rule   string // an invariant, I1..I32, "linearizable", "converges" or "panic"
	Detail string
	At     int64 // microseconds of the simulated world
}

func (v *Violation) Error() string {
	return fmt.Sprintf("%s: %s (at %d.%03d ms)", v.Rule, v.Detail, v.At/1000, v.At%1000)
}

// Failure is a seed that broke a rule, cut down to what it takes.
type Failure struct {
	Cut
	*Violation
}

// Stats counts what a number of runs did.
type Stats struct {
	Seeds, Events, Calls, Unknown, Failed uint64
	Undecided                             uint64 // seeds with a history whose search was given up
	Widest                                uint64 // states of the widest search; maxStates are too many
}

func (a *Stats) add(b *Stats) {
	a.Seeds += b.Seeds
	a.Events += b.Events
	a.Calls += b.Calls
	a.Unknown += b.Unknown
	a.Failed += b.Failed
	a.Undecided += b.Undecided
	a.Widest = max(a.Widest, b.Widest)
}

// Batch is a range of seeds to run.
type Batch struct {
	Tuning  Tuning
	First   uint64
	Count   uint64
	Workers int  // 0 = one per processor
	Stop    int  // after so many failures; 0 = 1
	Raw     bool // failures are not cut down
	// Progress, if set, is called about once a second from one goroutine.
	Progress func(Stats, time.Duration)
}

// Run runs the seeds, each in one goroutine and several beside each other, and returns what it counted
// and the failures, minimised.
func (b *Batch) Run(ctx context.Context) (Stats, []Failure) {
	workers := b.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	stop := max(1, b.Stop)
	var (
		next     atomic.Uint64
		mu       sync.Mutex
		total    Stats
		failures []Failure
		wg       sync.WaitGroup
	)
	const step = 16
	full := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(failures) >= stop
	}
	for range workers {
		wg.Go(func() {
			w := NewWorld(b.Tuning)
			var whole *World // with all rules on: what fails there too says nothing about a rule
			if b.Tuning.Rules != 0 {
				t := b.Tuning
				t.Rules = 0
				whole = NewWorld(t)
			}
			for ctx.Err() == nil && !full() {
				from := next.Add(step) - step
				if from >= b.Count {
					break
				}
				for i := from; i < min(from+step, b.Count); i++ {
					if f := b.one(w, whole, b.First+i); f != nil {
						mu.Lock()
						failures = append(failures, *f)
						mu.Unlock()
					}
				}
				mu.Lock()
				total.add(&w.Stats)
				w.Stats = Stats{}
				mu.Unlock()
			}
		})
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	start := time.Now()
	for tick := time.NewTicker(time.Second); ; {
		select {
		case <-ended:
			tick.Stop()
			return total, failures
		case <-tick.C:
			if b.Progress != nil {
				mu.Lock()
				st := total
				mu.Unlock()
				b.Progress(st, time.Since(start))
			}
		}
	}
}

// one runs a seed in w and returns how it failed, or nil. With rules off it must hold in the world whole.
func (b *Batch) one(w, whole *World, seed uint64) *Failure {
	c := Cut{Seed: seed}
	v := w.Run(c)
	w.Seeds++
	switch {
	case v == nil:
		return nil
	case v.Rule == RuleUndecided:
		if w.Undecided++; whole == nil {
			return &Failure{c, v}
		}
		return nil
	case whole != nil && whole.Run(c) != nil:
		return nil
	case b.Raw:
		return &Failure{c, v}
	}
	f := w.Minimise(c, v)
	return &f
}

// Minimise cuts a failing seed down to what it takes to break the same rule.
func (w *World) Minimise(c Cut, v *Violation) Failure {
	w.Run(c)
	ops, faults := len(w.plan.ops), len(w.plan.faults)
	best := v
	cut := minimise(c, ops, faults, 400, func(next Cut) bool {
		got := w.Run(next)
		if got == nil || got.Rule != v.Rule {
			return false
		}
		best = got
		return true
	})
	return Failure{cut, best}
}
