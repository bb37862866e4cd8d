package main

import (
	"context"
	"crypto/md5" // an ETag of S3 is an MD5
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/scripts/s3light"
)

const (
	bucket        = "crash"
	keysPerWorker = 40
	minPart       = 5 << 20
)

// value is the content of an object: its bytes follow from seed and size. The zero value is "not there".
type value struct {
	seed, size int64
	parts      int // 0: written at once
}

func (v value) present() bool { return v.seed != 0 }

func (v value) String() string {
	if !v.present() {
		return "nothing"
	}
	return fmt.Sprintf("%d bytes of seed %d in %d parts", v.size, v.seed, v.parts)
}

// bytes makes the content. Chacha is fast enough to make it anew for each comparison.
func (v value) bytes() []byte {
	b := make([]byte, v.size)
	seed := [32]byte{}
	for i := range 8 {
		seed[i] = byte(v.seed >> (8 * i))
	}
	r := rand.NewChaCha8(seed)
	r.Read(b)
	return b
}

func (v value) etag(b []byte) string {
	if v.parts == 0 {
		sum := md5.Sum(b)
		return hex.EncodeToString(sum[:])
	}
	all := md5.New()
	for i := range v.parts {
		sum := md5.Sum(v.part(b, i))
		all.Write(sum[:])
	}
	return fmt.Sprintf("%x-%d", all.Sum(nil), v.parts)
}

// part is the i-th of v.parts: all but the last have the least size.
func (v value) part(b []byte, i int) []byte {
	if i == v.parts-1 {
		return b[i*minPart:]
	}
	return b[i*minPart : (i+1)*minPart]
}

// entry is one key: its last known state, and what calls without an answer may still make of it.
type entry struct {
	key   string
	acked value
	open  []value // unanswered since acked, oldest first
	busy  bool    // not to be touched before the next verification: its state is not known
}

// resolve notes that the state was seen to be v; older unanswered calls cannot come to light any more.
// It says false when no state that e may be in is v.
func (e *entry) resolve(is func(v value) bool) bool {
	if is(e.acked) {
		return true
	}
	for i, v := range e.open {
		if is(v) {
			e.acked, e.open = v, append([]value(nil), e.open[i+1:]...)
			return true
		}
	}
	return false
}

// upload is a multipart upload that is open on purpose over a kill.
type upload struct {
	key   string
	id    string
	want  value
	etags []string
}

// worker owns its entries; nobody else touches their keys.
type worker struct {
	id      int
	m       *model
	conn    *s3light.Conn
	rng     *rand.Rand
	entries []entry
	open    *upload
	nextKey int
}

// model knows what the store must hold.
type model struct {
	o                              *options
	srv                            *server
	workers                        []*worker
	seeds                          atomic.Int64
	acked                          int64
	unanswered, happened, compared int64
}

func newModel(o *options, srv *server) *model {
	m := &model{o: o, srv: srv}
	for id := range o.workers {
		w := &worker{id: id, m: m, conn: s3light.NewConn(srv.ep), rng: rand.New(rand.NewPCG(o.seed, uint64(id)+1))}
		for i := range keysPerWorker {
			w.entries = append(w.entries, entry{key: fmt.Sprintf("w%d/key %02d+%%", id, i)})
		}
		m.workers = append(m.workers, w)
	}
	return m
}

func (m *model) makeBucket() error {
	conn := s3light.NewConn(m.srv.ep)
	defer conn.Close()
	return conn.MakeBucket(bucket)
}

// load lets all workers work for the span, then kills the server under them and waits for the workers.
func (m *model) load(ctx context.Context, span time.Duration, kill func()) error {
	var acked atomic.Int64
	var killed atomic.Bool
	errs := make(chan error, len(m.workers))
	var wg sync.WaitGroup
	for _, w := range m.workers {
		wg.Go(func() { errs <- w.work(&acked, &killed) })
	}
	timer := time.NewTimer(span)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	killed.Store(true)
	kill()
	wg.Wait()
	m.acked += acked.Load()
	var first error
	for range m.workers {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// work runs until the server dies. An answer that no server may give ends the whole program.
func (w *worker) work(acked *atomic.Int64, killed *atomic.Bool) error {
	for !killed.Load() {
		e := &w.entries[w.rng.IntN(len(w.entries))]
		if e.busy {
			if w.allBusy() {
				return nil // nothing left whose state is known; the next round goes on
			}
			continue
		}
		err := w.step(e)
		switch status := s3light.Status(err); {
		case err == nil:
			acked.Add(1)
		case status >= 400 && status < 500:
			return err
		case status == 0 && !killed.Load():
			// The connection broke: either the kill is just happening, or the server died by itself.
			w.conn.Close()
			if !w.waitKilled(killed) {
				return fmt.Errorf("the server broke off while it was not killed: %w", err)
			}
		}
	}
	w.conn.Close()
	return nil
}

// waitKilled gives the kill that may have caused an error a moment to be known.
func (w *worker) waitKilled(killed *atomic.Bool) bool {
	for range 100 {
		if killed.Load() {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

func (w *worker) allBusy() bool {
	for i := range w.entries {
		if !w.entries[i].busy {
			return false
		}
	}
	return true
}

// step makes one mutation of e.
func (w *worker) step(e *entry) error {
	switch p := w.rng.IntN(100); {
	case p < 20 && e.acked.present():
		return w.mutate(e, value{}, func() error {
			return w.conn.Do(&s3light.Request{Method: "DELETE", Bucket: bucket, Key: e.key})
		})
	case p < 28:
		return w.copyFrom(e)
	case p < 31:
		return w.multipart(e)
	case p < 33 && w.open == nil:
		return w.openUpload()
	default:
		v := w.newValue(w.size(), 0)
		body := v.bytes()
		return w.mutate(e, v, func() error {
			return w.conn.Do(&s3light.Request{Method: "PUT", Bucket: bucket, Key: e.key, Body: body})
		})
	}
}

func (w *worker) newValue(size int64, parts int) value {
	return value{seed: w.m.seeds.Add(1), size: size, parts: parts}
}

// size covers empty, inline, packed and streamed objects.
func (w *worker) size() int64 {
	switch p := w.rng.IntN(100); {
	case p < 5:
		return 0
	case p < 40:
		return w.rng.Int64N(4 << 10)
	case p < 75:
		return w.rng.Int64N(64 << 10)
	case p < 95:
		return w.rng.Int64N(1 << 20)
	default:
		return w.rng.Int64N(6 << 20)
	}
}

// mutate does it and notes that it happened. A refusal with 503 of a server that lives leaves the state
// open as a broken connection does: the protocol allows it to have happened.
func (w *worker) mutate(e *entry, v value, call func() error) error {
	if err := call(); err != nil {
		e.open, e.busy = append(e.open, v), true
		return err
	}
	e.acked, e.open = v, nil
	return nil
}

func (w *worker) copyFrom(e *entry) error {
	src := &w.entries[w.rng.IntN(len(w.entries))]
	if src == e || src.busy || len(src.open) > 0 || !src.acked.present() {
		return nil
	}
	return w.mutate(e, value{seed: src.acked.seed, size: src.acked.size}, func() error {
		r := &s3light.Request{Method: "PUT", Bucket: bucket, Key: e.key, Collect: true,
			Header: []s3light.Header{{Name: "x-amz-copy-source", Value: "/" + bucket + "/" + s3light.Escape(src.key)}}}
		return w.conn.Do(r)
	})
}

func (w *worker) multipart(e *entry) error {
	v := w.newValue(minPart+1+w.rng.Int64N(2<<20), 2)
	body := v.bytes()
	id, err := w.conn.CreateUpload(bucket, e.key)
	if err != nil {
		return err
	}
	etags := make([]string, v.parts)
	for i := range etags {
		if etags[i], err = w.conn.PutPart(s3light.Request{Bucket: bucket, Key: e.key, Body: v.part(body, i)}, id, i+1); err != nil {
			return err
		}
	}
	return w.mutate(e, v, func() error { return w.conn.Complete(bucket, e.key, id, etags) })
}

// openUpload leaves an upload with its acknowledged parts open; verify ends it after the next restart.
func (w *worker) openUpload() error {
	v := w.newValue(minPart+1+w.rng.Int64N(1<<20), 2)
	w.nextKey++
	u := &upload{key: fmt.Sprintf("w%d/upload-%d", w.id, w.nextKey), want: v}
	body := v.bytes()
	var err error
	if u.id, err = w.conn.CreateUpload(bucket, u.key); err != nil {
		return err
	}
	w.open = u
	for i := range v.parts {
		etag, err := w.conn.PutPart(s3light.Request{Bucket: bucket, Key: u.key, Body: v.part(body, i)}, u.id, i+1)
		if err != nil {
			return err
		}
		u.etags = append(u.etags, etag)
	}
	return nil
}

var errWrong = errors.New("the store is wrong")
