package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
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
		if e.pending != nil {
			unanswered.Add(1)
		}
		seen, err := w.settle(e)
		if err != nil {
			return err
		}
		if e.pending != nil && seen == *e.pending && seen != e.acked {
			happened.Add(1)
		}
		e.acked, e.pending = seen, nil
		if seen.present() {
			compared.Add(1)
		}
	}
	return w.finishUpload()
}

// settle finds which of the states that e may be in is the one in the store.
func (w *worker) settle(e *entry) (value, error) {
	may := []value{e.acked}
	if e.pending != nil {
		may = append(may, *e.pending)
	}
	err := w.conn.Do(&s3light.Request{Method: "GET", Bucket: bucket, Key: e.key, Collect: true})
	if err != nil && s3light.Status(err) != 404 {
		return value{}, fmt.Errorf("get %s, which must be %v: %w", e.key, may, err)
	}
	for _, v := range may {
		if err != nil {
			if !v.present() {
				return v, nil
			}
			continue
		}
		if !v.present() || int64(len(w.conn.Body)) != v.size {
			continue
		}
		want := v.bytes()
		if !bytes.Equal(w.conn.Body, want) {
			continue
		}
		if got := string(w.conn.ETag()); got != v.etag(want) {
			return value{}, fmt.Errorf("%s: etag %s of %v, want %s: %w", e.key, got, v, v.etag(want), errWrong)
		}
		return v, nil
	}
	if err != nil {
		return value{}, fmt.Errorf("%s is not there, must be one of %v: %w", e.key, may, errWrong)
	}
	return value{}, fmt.Errorf("%s holds %d bytes that are none of %v: %w", e.key, len(w.conn.Body), may, errWrong)
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
	if _, err := w.settle(&e); err != nil {
		return err
	}
	w.entries = append(w.entries, e)
	return nil
}

// verifyListing compares a full listing with the model.
func (m *model) verifyListing() error {
	want := map[string]value{}
	for _, w := range m.workers {
		for i := range w.entries {
			if e := &w.entries[i]; e.acked.present() {
				want[e.key] = e.acked
			}
		}
	}
	conn := s3light.NewConn(m.srv.ep)
	defer conn.Close()
	last := ""
	err := conn.Walk(bucket, "", func(l *s3light.Listing) error {
		for _, o := range l.Contents {
			v, ok := want[o.Key]
			if !ok {
				return fmt.Errorf("listing has %s, which is not there: %w", o.Key, errWrong)
			}
			if o.Key <= last {
				return fmt.Errorf("listing has %s after %s: %w", o.Key, last, errWrong)
			}
			last = o.Key
			if etag := strings.Trim(o.ETag, `"`); o.Size != v.size || etag != v.etag(v.bytes()) {
				return fmt.Errorf("listing has %s with %d bytes and etag %s, must be %v: %w", o.Key, o.Size, etag, v, errWrong)
			}
			delete(want, o.Key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for key, v := range want {
		return fmt.Errorf("listing lacks %s (%s), %v, and %d more: %w", key, url.PathEscape(key), v, len(want)-1, errWrong)
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
