package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"holdfast/scripts/s3light"
)

// verify reads every key, settles the calls that had no answer by what it sees, finishes the open uploads,
// and compares the listing with it all.
func (m *model) verify(ctx context.Context) error {
	var unanswered, happened, compared atomic.Int64
	errs := make(chan error, len(m.workers))
	var wg sync.WaitGroup
	for _, w := range m.workers {
		wg.Go(func() {
			errs <- w.verify(ctx, &unanswered, &happened, &compared)
			w.conn.Close()
		})
	}
	wg.Wait()
	m.unanswered += unanswered.Load()
	m.happened += happened.Load()
	m.compared += compared.Load()
	var first error
	for range m.workers {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	if first != nil {
		return first
	}
	return m.verifyListing()
}

func (w *worker) verify(ctx context.Context, unanswered, happened, compared *atomic.Int64) error {
	for i := range w.entries {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		e := &w.entries[i]
		if e.busy {
			unanswered.Add(1)
		}
		before := e.acked
		if err := w.settle(e); err != nil {
			return err
		}
		if e.acked != before {
			happened.Add(1)
		}
		e.busy = false
		if e.acked.present() {
			compared.Add(1)
		}
	}
	return w.finishUpload()
}

// settle finds which of the states that e may be in is the one in the store.
func (w *worker) settle(e *entry) error {
	err := w.conn.Do(&s3light.Request{Method: "GET", Bucket: bucket, Key: e.key, Collect: true})
	if err != nil && s3light.Status(err) != 404 {
		return fmt.Errorf("get %s, which must be %v or one of %v: %w", e.key, e.acked, e.open, err)
	}
	wrongETag := ""
	found := e.resolve(func(v value) bool {
		if err != nil || !v.present() {
			return err != nil && !v.present()
		}
		if int64(len(w.conn.Body)) != v.size {
			return false
		}
		want := v.bytes()
		if !bytes.Equal(w.conn.Body, want) {
			return false
		}
		if v.etag(want) != string(w.conn.ETag()) {
			wrongETag = v.etag(want)
		}
		return true
	})
	switch {
	case wrongETag != "":
		return fmt.Errorf("%s: etag %s, want %s: %w", e.key, w.conn.ETag(), wrongETag, errWrong)
	case found:
		return nil
	case err != nil:
		return fmt.Errorf("%s is not there, must be %v or one of %v: %w", e.key, e.acked, e.open, errWrong)
	}
	return fmt.Errorf("%s holds %d bytes that are neither %v nor one of %v: %w", e.key, len(w.conn.Body), e.acked, e.open, errWrong)
}

// finishUpload completes the upload that was open over the kill, sending the parts that had no answer
// again, and adds its object to the worker's entries; or it aborts one in four.
func (w *worker) finishUpload() error {
	u := w.open
	if u == nil {
		return nil
	}
	w.open = nil
	if w.rng.IntN(4) == 0 {
		r := &s3light.Request{Method: "DELETE", Bucket: bucket, Key: u.key, Query: "uploadId=" + s3light.Escape(u.id)}
		if err := w.conn.Do(r); err != nil {
			return fmt.Errorf("abort of an upload open over a kill: %w", err)
		}
		return nil
	}
	body := u.want.bytes()
	for i := len(u.etags); i < u.want.parts; i++ {
		etag, err := w.conn.PutPart(s3light.Request{Bucket: bucket, Key: u.key, Body: u.want.part(body, i)}, u.id, i+1)
		if err != nil {
			return fmt.Errorf("part %d of an upload open over a kill: %w", i+1, err)
		}
		u.etags = append(u.etags, etag)
	}
	if err := w.conn.Complete(bucket, u.key, u.id, u.etags); err != nil {
		return fmt.Errorf("complete an upload open over a kill: %w", err)
	}
	e := entry{key: u.key, acked: u.want}
	if err := w.settle(&e); err != nil {
		return err
	}
	w.entries = append(w.entries, e)
	return nil
}

// verifyListing compares a full listing with the model.
func (m *model) verifyListing() error {
	want := map[string]*entry{}
	for _, w := range m.workers {
		for i := range w.entries {
			want[w.entries[i].key] = &w.entries[i]
		}
	}
	conn := s3light.NewConn(m.srv.ep)
	defer conn.Close()
	last := ""
	err := conn.Walk(bucket, "", func(l *s3light.Listing) error {
		for _, o := range l.Contents {
			e, ok := want[o.Key]
			if !ok || o.Key <= last {
				return fmt.Errorf("listing has %s after %s, which is out of order or was never written: %w", o.Key, last, errWrong)
			}
			last = o.Key
			delete(want, o.Key)
			etag := strings.Trim(o.ETag, `"`)
			if !e.resolve(func(v value) bool { return v.present() && o.Size == v.size && etag == v.etag(v.bytes()) }) {
				return fmt.Errorf("listing has %s with %d bytes and etag %s, must be %v or one of %v: %w", o.Key, o.Size, etag, e.acked, e.open, errWrong)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for key, e := range want {
		if !e.resolve(func(v value) bool { return !v.present() }) {
			return fmt.Errorf("listing lacks %s, which must be %v or one of %v: %w", key, e.acked, e.open, errWrong)
		}
	}
	return nil
}

// present counts the objects that must be there.
func (m *model) present() (n int) {
	for _, w := range m.workers {
		for i := range w.entries {
			if w.entries[i].acked.present() {
				n++
			}
		}
	}
	return n
}
