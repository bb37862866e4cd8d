package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/scripts/s3light"
)

// errDone is returned by an operation when its work is used up (every prepared object is deleted).
var errDone = errors.New("nothing left to do")

// mostPrepared bounds the objects written for one measurement that uses them up.
const mostPrepared = 1 << 16

// target is one endpoint under measurement.
type target struct {
	name   string
	ep     *s3light.Endpoint
	pid    int  // 0: unknown, no server figures
	forget bool // the ceiling server keeps nothing: there is nothing to clean
	bucket string
}

// usage reads the server's processes; without a pid it is all zero.
func (t *target) usage() (usage, error) {
	if t.pid == 0 {
		return usage{}, nil
	}
	return procTree(t.pid)
}

// outcome is what one operation moved.
type outcome struct {
	bytes int64
	items int64 // keys of a listing
}

// worker is one connection with its own keys, randomness and counts; nothing in it is shared.
type worker struct {
	id   int
	conn *s3light.Conn
	rng  *rand.Rand
	seq  int      // next number of a key of its own
	own  []string // keys it wrote and may delete
	st   any      // state of the workload, such as a continuation token
	req  s3light.Request

	hist    histogram
	ops     int64
	bytes   int64
	items   int64
	errs    int64
	lastErr error
}

// run is one workload against one target: what its operations share.
type run struct {
	t       *target
	w       *workload
	cfg     *config
	body    []body
	prefix  string
	keys    []string // prepared objects
	beside  *run     // background load, if the workload has one
	next    atomic.Int64
	measure int // number of this measurement, so that every one writes keys of its own
}

// sample is what was counted between the end of the warm-up and the end of the measurement.
type sample struct {
	hist                    histogram
	ops, bytes, items, errs int64
	elapsed                 time.Duration
	serverCPU, clientCPU    time.Duration
	beside                  int64 // bytes per second of the background load
	lastErr                 error
}

func (s *sample) merge(o *sample) {
	s.hist.merge(&o.hist)
	s.ops += o.ops
	s.bytes += o.bytes
	s.items += o.items
	s.errs += o.errs
	s.elapsed += o.elapsed
	s.serverCPU += o.serverCPU
	s.clientCPU += o.clientCPU
	s.beside = max(s.beside, o.beside)
	if o.lastErr != nil {
		s.lastErr = o.lastErr
	}
}

// phases of a load; workers read the phase before and after each operation and count it when it ended
// inside the measurement, so that an operation cut by the start is paid for by the one cut by the end.
const (
	warming int32 = iota
	measuring
	stopping
)

// load runs the workload's operations with all its workers until the time is up or the work is used up.
func (r *run) load(ctx context.Context) (*sample, error) {
	var phase atomic.Int32
	workers := r.start()
	done, begin := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() {
			<-begin
			r.work(ctx, w, &phase)
		})
	}
	go func() { wg.Wait(); close(done) }()

	if !r.w.finite {
		close(begin)
		wait(ctx, r.cfg.warmup, done)
	}
	before, err := r.t.usage()
	if err != nil {
		return nil, err // the program ends; the workers end with it
	}
	ownBefore, start := ownCPU(), time.Now()
	phase.Store(measuring)
	if r.w.finite {
		close(begin)
	}
	wait(ctx, r.cfg.duration, done)
	phase.Store(stopping)
	s := &sample{elapsed: time.Since(start), clientCPU: ownCPU() - ownBefore}
	after, err := r.t.usage()
	if err != nil {
		return nil, err
	}
	s.serverCPU = after.cpu - before.cpu
	<-done
	for _, w := range workers {
		w.conn.Close()
		s.merge(&sample{hist: w.hist, ops: w.ops, bytes: w.bytes, items: w.items, errs: w.errs, lastErr: w.lastErr})
	}
	return s, ctx.Err()
}

func (r *run) start() []*worker {
	workers := make([]*worker, r.w.conc)
	for i := range workers {
		workers[i] = &worker{
			id: i, conn: s3light.NewConn(r.t.ep),
			rng: rand.New(rand.NewPCG(uint64(r.measure), uint64(i))),
		}
	}
	return workers
}

// work is one worker's loop. A failed operation is counted and the worker goes on, after a pause that
// keeps a dead server from being hammered.
func (r *run) work(ctx context.Context, w *worker, phase *atomic.Int32) {
	for ctx.Err() == nil {
		start := time.Now()
		out, err := r.w.op(r, w)
		took := time.Since(start)
		if errors.Is(err, errDone) {
			return
		}
		switch phase.Load() {
		case stopping:
			return
		case measuring:
			if err != nil {
				w.errs++
				w.lastErr = err
				break
			}
			w.hist.add(took)
			w.ops++
			w.bytes += out.bytes
			w.items += out.items
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func wait(ctx context.Context, d time.Duration, done <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-done:
	case <-ctx.Done():
	}
}

// background runs the workload until stop is called, which waits for its end and says what it did.
func (r *run) background(ctx context.Context) (stop func() *sample) {
	ctx, cancel := context.WithCancel(ctx)
	var phase atomic.Int32
	phase.Store(measuring)
	var wg sync.WaitGroup
	workers, start := r.start(), time.Now()
	for _, w := range workers {
		wg.Go(func() { r.work(ctx, w, &phase) })
	}
	return func() *sample {
		cancel()
		wg.Wait()
		s := &sample{elapsed: time.Since(start)}
		for _, w := range workers {
			w.conn.Close()
			s.merge(&sample{ops: w.ops, bytes: w.bytes, errs: w.errs, lastErr: w.lastErr})
		}
		return s
	}
}

// prepare writes n objects and keeps their keys. Where every measurement uses its objects up it goes on
// for twice the time of a measurement, so that a fast server has enough to be measured on.
func (r *run) prepare(ctx context.Context, n int) error {
	most, until := n, time.Now()
	if r.w.perRound {
		most, until = max(n, mostPrepared), until.Add(2*r.cfg.duration)
	}
	r.keys = make([]string, most)
	var next atomic.Int64
	err := parallel(func(id int, conn *s3light.Conn) error {
		for {
			i := int(next.Add(1)) - 1
			if i >= most || i >= n && time.Now().After(until) || ctx.Err() != nil {
				return ctx.Err()
			}
			b := &r.body[i%len(r.body)]
			r.keys[i] = keyName(r.prefix, id, i, i%len(r.body))
			req := b.put(r.t.bucket, r.keys[i])
			if err := conn.Do(&req); err != nil {
				return fmt.Errorf("prepare: %w", err)
			}
		}
	}, r.t)
	r.keys = slices.DeleteFunc(r.keys, func(key string) bool { return key == "" })
	return err
}

// parallel runs fn on 16 connections and returns the first error.
func parallel(fn func(id int, conn *s3light.Conn) error, t *target) error {
	errs := make(chan error, 16)
	for id := range cap(errs) {
		go func() {
			conn := s3light.NewConn(t.ep)
			defer conn.Close()
			errs <- fn(id, conn)
		}()
	}
	var first error
	for range cap(errs) {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}
