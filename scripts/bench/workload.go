package main

import (
	"bytes"
	"context"
	"crypto/md5" // the ETag of a multipart object is an MD5 of MD5s
	"encoding/hex"
	"fmt"
	"html"
	"strconv"
	"sync/atomic"

	"holdfast/scripts/s3light"
)

const (
	kib = 1 << 10
	mib = 1 << 20

	listPage       = 1000
	multipartParts = 4
	multipartSize  = 5 * mib
)

// workload is one row of the table.
type workload struct {
	name, help string
	size       int  // of an object, or of a part
	conc       int  // connections
	objects    int  // written before the measurement, at least
	perRound   bool // objects are used up: write them anew for every measurement
	finite     bool // ends when the objects are used up; no warm-up
	writes     bool // leaves objects behind that are deleted after every measurement
	op         func(*run, *worker) (outcome, error)
	background *workload        // runs beside op
	many       bool             // objects is --many
	prepared   func(*run) error // once, after the objects are written
}

// workloads are all rows in the order they run.
func workloads() []*workload {
	bg := &workload{name: "stream-64m", size: 64 * mib, conc: 4, op: opPut, writes: true}
	return []*workload{
		{name: "put-4k", help: "PUT of 4 KiB objects, every key new", size: 4 * kib, conc: 16, op: opPut, writes: true},
		{name: "get-4k", help: "GET of whole 4 KiB objects, at random", size: 4 * kib, conc: 16, objects: 2000, op: opGet},
		{name: "stat-4k", help: "HEAD of 4 KiB objects, at random", size: 4 * kib, conc: 16, objects: 2000, op: opStat},
		{name: "delete", help: "DELETE of 4 KiB objects, one by one, until all are gone", size: 4 * kib, conc: 16, objects: 6000,
			perRound: true, finite: true, op: opDelete},
		{name: "list", help: "ListObjectsV2 over 5,000 keys in pages of 1,000", size: kib, conc: 8, objects: 5 * listPage, op: opList},
		{name: "put-1m", help: "PUT of 1 MiB objects", size: mib, conc: 16, op: opPut, writes: true},
		{name: "get-1m", help: "GET of 1 MiB objects, at random", size: mib, conc: 16, objects: 256, op: opGet},
		{name: "put-64m", help: "PUT of 64 MiB objects in one request", size: 64 * mib, conc: 4, op: opPut, writes: true},
		{name: "get-64m", help: "GET of 64 MiB objects", size: 64 * mib, conc: 4, objects: 8, op: opGet},
		{name: "multipart", help: "multipart upload of four parts of 5 MiB, one by one", size: multipartSize, conc: 4, op: opMultipart, writes: true},
		{name: "mixed", help: "256 KiB: 45 % GET, 30 % HEAD, 15 % PUT, 10 % DELETE", size: 256 * kib, conc: 16, objects: 500,
			op: opMixed, writes: true},
		{name: "list-first", help: "first page of a flat listing of --many keys", conc: 1, many: true, op: opFirstPage(listPage)},
		{name: "list-deleted", help: "first page when --many keys before the only one were just deleted", conc: 1, many: true,
			prepared: deleteAll, op: opFirstPage(1)},
		{name: "put-4k-beside", help: "put-4k while four 64 MiB PUT streams run", size: 4 * kib, conc: 16, op: opPut, writes: true, background: bg},
		{name: "get-4k-beside", help: "get-4k while four 64 MiB PUT streams run", size: 4 * kib, conc: 16, objects: 2000, op: opGet, background: bg},
	}
}

// groups are names that stand for several workloads.
func groups() map[string][]string {
	return map[string][]string{
		"all": {"put-4k", "get-4k", "stat-4k", "delete", "list", "put-1m", "get-1m", "put-64m", "get-64m",
			"multipart", "mixed", "put-4k-beside", "get-4k-beside"},
		"small":        {"put-4k", "get-4k", "stat-4k", "delete", "list"},
		"large":        {"put-1m", "get-1m", "put-64m", "get-64m", "multipart"},
		"listing":      {"list", "list-first", "list-deleted"},
		"interference": {"put-4k", "put-4k-beside", "get-4k", "get-4k-beside"},
	}
}

func opPut(r *run, w *worker) (outcome, error) {
	i := w.seq % len(r.body)
	key := keyName(r.prefix, r.measure*1000+w.id, w.seq, i)
	w.seq++
	return outcome{bytes: int64(r.w.size)}, r.put(w, key, &r.body[i])
}

func (r *run) put(w *worker, key string, b *body) error {
	w.req = b.put(r.t.bucket, key)
	if err := w.conn.Do(&w.req); err != nil {
		return err
	}
	if r.verify() && string(w.conn.ETag()) != b.etag {
		return fmt.Errorf("put %s: etag %s, want %s: %w", key, w.conn.ETag(), b.etag, s3light.ErrMismatch)
	}
	return nil
}

// verify is off for the ceiling server, which knows no ETags.
func (r *run) verify() bool { return r.cfg.verify && !r.t.forget }

func opGet(r *run, w *worker) (outcome, error) {
	return outcome{bytes: int64(r.w.size)}, r.get(w, r.keys[w.rng.IntN(len(r.keys))])
}

func (r *run) get(w *worker, key string) error {
	w.req = s3light.Request{Method: "GET", Bucket: r.t.bucket, Key: key}
	if r.verify() {
		_, variant, _ := parseKey(key)
		w.req.Want = r.body[variant].data
	}
	if err := w.conn.Do(&w.req); err != nil {
		return err
	}
	if w.conn.Length != int64(r.w.size) {
		return fmt.Errorf("get %s: %d bytes: %w", key, w.conn.Length, s3light.ErrMismatch)
	}
	return nil
}

func opStat(r *run, w *worker) (outcome, error) {
	return outcome{}, r.stat(w, r.keys[w.rng.IntN(len(r.keys))])
}

func (r *run) stat(w *worker, key string) error {
	w.req = s3light.Request{Method: "HEAD", Bucket: r.t.bucket, Key: key}
	if err := w.conn.Do(&w.req); err != nil {
		return err
	}
	if n, _ := strconv.Atoi(string(w.conn.Header("Content-Length"))); n != r.w.size {
		return fmt.Errorf("head %s: length %d: %w", key, n, s3light.ErrMismatch)
	}
	return nil
}

func opDelete(r *run, w *worker) (outcome, error) {
	i := int(r.next.Add(1)) - 1
	if i >= len(r.keys) {
		return outcome{}, errDone
	}
	return outcome{}, r.delete(w, r.keys[i])
}

func (r *run) delete(w *worker, key string) error {
	w.req = s3light.Request{Method: "DELETE", Bucket: r.t.bucket, Key: key}
	return w.conn.Do(&w.req)
}

// opList reads one page and keeps the token for the next. The answer is searched, not parsed: a full
// XML decoder in the client would cost more than the server does.
func opList(r *run, w *worker) (outcome, error) {
	token, _ := w.st.(string)
	w.req = *s3light.ListRequest(r.t.bucket, r.prefix, token, listPage)
	if err := w.conn.Do(&w.req); err != nil {
		return outcome{}, err
	}
	page := w.conn.Body
	n := bytes.Count(page, []byte("<Key>"))
	w.st = ""
	if bytes.Contains(page, []byte("<IsTruncated>true<")) {
		_, rest, _ := bytes.Cut(page, []byte("<NextContinuationToken>"))
		tok, _, ok := bytes.Cut(rest, []byte("<"))
		if !ok {
			return outcome{}, fmt.Errorf("list: truncated page without a token")
		}
		w.st = html.UnescapeString(string(tok))
	}
	// Some servers call a full last page truncated and answer an empty one behind it: that costs
	// them a call, but it is no error.
	if n != listPage && (n != 0 || token == "") {
		return outcome{}, fmt.Errorf("list: %d keys in a page of %d: %w", n, listPage, s3light.ErrMismatch)
	}
	return outcome{bytes: w.conn.Length, items: int64(n)}, nil
}

// opFirstPage reads the first page of all the workload's keys, which must hold want of them.
func opFirstPage(want int) func(*run, *worker) (outcome, error) {
	return func(r *run, w *worker) (outcome, error) {
		w.req = *s3light.ListRequest(r.t.bucket, r.prefix, "", listPage)
		if err := w.conn.Do(&w.req); err != nil {
			return outcome{}, err
		}
		if n := bytes.Count(w.conn.Body, []byte("<Key>")); n != want && !r.t.forget {
			return outcome{}, fmt.Errorf("first page: %d keys, want %d: %w", n, want, s3light.ErrMismatch)
		}
		return outcome{bytes: w.conn.Length}, nil
	}
}

// deleteAll deletes every prepared object and writes one behind them.
func deleteAll(r *run) error {
	var next atomic.Int64
	err := parallel(func(_ int, conn *s3light.Conn) error {
		for {
			at := (int(next.Add(1)) - 1) * 1000
			if at >= len(r.keys) {
				return nil
			}
			if err := conn.DeleteKeys(r.t.bucket, r.keys[at:min(at+1000, len(r.keys))]); err != nil {
				return err
			}
		}
	}, r.t)
	if err != nil {
		return err
	}
	conn := s3light.NewConn(r.t.ep)
	defer conn.Close()
	req := r.body[0].put(r.t.bucket, r.prefix+"~last.0")
	return conn.Do(&req)
}

func opMultipart(r *run, w *worker) (outcome, error) {
	key := keyName(r.prefix, r.measure*1000+w.id, w.seq, 0)
	w.seq++
	id, err := w.conn.CreateUpload(r.t.bucket, key)
	if err != nil {
		return outcome{}, err
	}
	etags := make([]string, multipartParts)
	sum := md5.New()
	for i := range etags {
		b := &r.body[i%len(r.body)]
		if etags[i], err = w.conn.PutPart(b.put(r.t.bucket, key), id, i+1); err != nil {
			return outcome{}, err
		}
		raw, _ := hex.DecodeString(b.etag)
		sum.Write(raw)
	}
	if err := w.conn.Complete(r.t.bucket, key, id, etags); err != nil {
		return outcome{}, err
	}
	if want := fmt.Sprintf("%x-%d", sum.Sum(nil), multipartParts); r.verify() && !bytes.Contains(w.conn.Body, []byte(want)) {
		return outcome{}, fmt.Errorf("complete %s: no etag %s: %w", key, want, s3light.ErrMismatch)
	}
	return outcome{bytes: multipartParts * multipartSize}, nil
}

// opMixed deletes only what its own worker wrote; with nothing to delete it writes instead.
func opMixed(r *run, w *worker) (outcome, error) {
	moved := outcome{bytes: int64(r.w.size)}
	switch p := w.rng.IntN(100); {
	case p < 45:
		return moved, r.get(w, r.keys[w.rng.IntN(len(r.keys))])
	case p < 75:
		return outcome{}, r.stat(w, r.keys[w.rng.IntN(len(r.keys))])
	case p < 85 && len(w.own) > 0:
		key := w.own[0]
		w.own = w.own[1:]
		return outcome{}, r.delete(w, key)
	}
	i := w.seq % len(r.body)
	key := keyName(r.prefix, r.measure*1000+w.id, w.seq, i)
	w.seq++
	if err := r.put(w, key, &r.body[i]); err != nil {
		return outcome{}, err
	}
	w.own = append(w.own, key)
	return moved, nil
}

// one prepares the workload on a target and measures it once.
func (r *run) one(ctx context.Context) (*sample, error) {
	r.measure++
	objects := r.w.objects
	if r.w.many {
		objects = r.cfg.many
	}
	if objects > 0 && (r.keys == nil || r.w.perRound) {
		if err := r.prepare(ctx, objects); err != nil {
			return nil, err
		}
		if r.w.prepared != nil {
			if err := r.w.prepared(r); err != nil {
				return nil, fmt.Errorf("prepare: %w", err)
			}
		}
		r.next.Store(0)
	}
	if r.cfg.sync {
		settle(ctx)
	}
	stop := func() *sample { return nil }
	if r.w.background != nil {
		if r.beside == nil {
			r.beside = newRun(r.t, r.w.background, r.cfg)
		}
		r.beside.measure = r.measure
		stop = r.beside.background(ctx)
	}
	s, err := r.load(ctx)
	bg := stop()
	if err != nil {
		return nil, err
	}
	if bg != nil {
		if bg.ops == 0 && bg.lastErr != nil {
			return nil, fmt.Errorf("nothing ran beside it: %w", bg.lastErr)
		}
		s.beside = int64(rate(bg.bytes, bg.elapsed))
		if err := r.beside.clean(); err != nil {
			return nil, err
		}
	}
	if r.w.writes && r.w.objects == 0 {
		return s, r.clean()
	}
	return s, nil
}

// clean deletes what the workload wrote.
func (r *run) clean() error {
	if r.t.forget {
		return nil
	}
	conn := s3light.NewConn(r.t.ep)
	defer conn.Close()
	if err := conn.Empty(r.t.bucket, r.prefix); err != nil {
		return fmt.Errorf("clean up %s: %w", r.w.name, err)
	}
	return nil
}
