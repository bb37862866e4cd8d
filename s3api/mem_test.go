package s3api

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"holdfast/actors/erasureset"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

// poisonAfter makes the server overwrite every inbound buffer as soon as a handler has returned,
// so that whatever was kept of it shows up as rubbish.
func poisonAfter(s *Server) {
	poison := func(b []byte) {
		for i := range b {
			b[i] = '#'
		}
	}
	handler := s.http.Handler
	s.http.Handler = func(rc *fasthttp.RequestCtx) {
		h := &rc.Request.Header
		bufs := [][]byte{h.RawHeaders(), h.Host()}
		for k, v := range h.All() {
			if !bytes.Equal(k, []byte("Connection")) { // that value is fasthttp's own constant
				bufs = append(bufs, v)
			}
		}
		handler(rc)
		for _, b := range bufs {
			poison(b)
		}
	}
}

// memObjects is just enough of Objects to test the pipeline with; handlers are tested over the
// real store.
type memObjects struct {
	mu       sync.Mutex
	objects  map[object.Key]memObject
	open     atomic.Int64 // handles and streams not closed
	puts     atomic.Int64 // Put calls running
	aborted  atomic.Int64 // Put calls that ended with an error of the body
	breakAt  int64        // streams fail behind this many bytes; 0 = never
	shortBy  int          // streams end this many bytes early, without an error
	openErr  error
	replaced atomic.Int64 // so many bodies are gone before they begin
	putErr   error
	panics   bool
	hold     chan struct{} // Open waits for it, if not nil
	putHold  chan struct{} // Put waits for it, if not nil
}

type memObject struct {
	info erasureset.Info
	data []byte
}

func newMem() *memObjects { return &memObjects{objects: make(map[object.Key]memObject)} }

var _ Objects = (*memObjects)(nil)

func (m *memObjects) bucketEmpty(b cluster.Bucket) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.objects {
		if k.Bucket == b.ID {
			return false
		}
	}
	return true
}

func (m *memObjects) get(key object.Key) *erasureset.Info {
	if o, ok := m.objects[key]; ok {
		info := o.info
		return &info
	}
	return nil
}

func (m *memObjects) Put(ctx context.Context, q *erasureset.PutRequest) (*erasureset.Info, error) {
	m.puts.Add(1)
	defer m.puts.Add(-1)
	if m.panics {
		panic("boom " + testSecret[:6])
	}
	if m.putHold != nil {
		select {
		case <-m.putHold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if m.putErr != nil {
		return nil, m.putErr
	}
	data := make([]byte, q.Size)
	if _, err := io.ReadFull(q.Body, data); err != nil {
		m.aborted.Add(1)
		return nil, err
	}
	v := q.Meta
	sum := md5.Sum(data)
	if q.SHA256 != nil {
		*q.SHA256 = sha256.Sum256(data)
	}
	v.ETag, v.Size, v.ModTime = hex.EncodeToString(sum[:]), q.Size, time.Now().UnixNano()
	if q.Finish != nil {
		if err := q.Finish(&v); err != nil {
			m.aborted.Add(1)
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := object.Key{Bucket: q.Bucket.ID, Name: q.Key}
	if q.If != nil {
		if err := q.If(m.get(key)); err != nil {
			return nil, err
		}
	}
	m.objects[key] = memObject{info: v, data: data}
	return &v, nil
}

func (m *memObjects) Open(ctx context.Context, q *erasureset.OpenRequest) (erasureset.Handle, error) {
	if m.hold != nil {
		select {
		case <-m.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if m.openErr != nil {
		return nil, m.openErr
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := object.Key{Bucket: q.Bucket.ID, Name: q.Key}
	info := m.get(key)
	if q.If != nil {
		if err := q.If(info); err != nil {
			return nil, err
		}
	}
	if q.Version.Named && !q.Version.Null {
		return nil, object.ErrNoVersion
	}
	if info == nil {
		return nil, object.ErrNotFound
	}
	m.open.Add(1)
	return &memHandle{m: m, info: info, data: m.objects[key].data}, nil
}

func (m *memObjects) Delete(_ context.Context, q *erasureset.DeleteRequest) (erasureset.Deleted, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, object.Key{Bucket: q.Bucket.ID, Name: q.Key})
	return erasureset.Deleted{}, nil
}

func (m *memObjects) List(_ context.Context, q *erasureset.ListRequest) (*erasureset.ListPage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var page erasureset.ListPage
	for k, o := range m.objects {
		if k.Bucket == q.Bucket.ID && strings.HasPrefix(k.Name, q.Prefix) && k.Name > q.After {
			info := o.info
			page.Entries = append(page.Entries, erasureset.ListEntry{Name: k.Name, Info: &info})
		}
	}
	sort.Slice(page.Entries, func(i, j int) bool { return page.Entries[i].Name < page.Entries[j].Name })
	if len(page.Entries) > q.Limit {
		page.Entries = page.Entries[:q.Limit]
		page.Truncated, page.Next = true, page.Entries[q.Limit-1].Name
	}
	return &page, nil
}

var errUnused = errors.New("not part of the pipeline tests")

func (m *memObjects) ListVersions(ctx context.Context, q *erasureset.VersionsRequest) (*erasureset.VersionsPage, error) {
	page, err := m.List(ctx, &erasureset.ListRequest{Bucket: q.Bucket, Prefix: q.Prefix, Delimiter: q.Delimiter, After: q.KeyMarker, Limit: q.Limit})
	if err != nil {
		return nil, err
	}
	return &erasureset.VersionsPage{Entries: page.Entries, Truncated: page.Truncated}, nil
}

func (m *memObjects) CreateUpload(context.Context, *erasureset.UploadRequest) (*ondisk.Upload, error) {
	return nil, errUnused
}

func (m *memObjects) PutPart(context.Context, *erasureset.PartRequest) (*ondisk.Part, error) {
	return nil, errUnused
}

func (m *memObjects) Upload(context.Context, cluster.Bucket, string, object.WriteID) (*ondisk.Upload, []ondisk.Part, error) {
	return nil, nil, errUnused
}

func (m *memObjects) Complete(context.Context, *erasureset.CompleteRequest) (*erasureset.Info, error) {
	return nil, errUnused
}

func (m *memObjects) Abort(context.Context, cluster.Bucket, string, object.WriteID) error {
	return errUnused
}

func (m *memObjects) ListUploads(context.Context, *erasureset.ListUploadsRequest) (*erasureset.UploadsPage, error) {
	return nil, errUnused
}

type memHandle struct {
	m      *memObjects
	info   *erasureset.Info
	data   []byte
	closed bool
}

func (h *memHandle) Info() *erasureset.Info                       { return h.info }
func (h *memHandle) Parts(context.Context) ([]ondisk.Part, error) { return nil, nil }
func (h *memHandle) Read(_ context.Context, r object.Range) (erasureset.Stream, error) {
	if h.m.replaced.Add(-1) >= 0 {
		return nil, object.ErrReplaced
	}
	h.m.open.Add(1)
	return &memStream{m: h.m, data: h.data[r.Start : int(r.End)-h.m.shortBy]}, nil
}

func (h *memHandle) Close() error {
	if !h.closed {
		h.closed = true
		h.m.open.Add(-1)
	}
	return nil
}

type memStream struct {
	m      *memObjects
	data   []byte
	sent   int64
	closed bool
}

var errBroken = errors.New("shards are gone")

func (s *memStream) next() ([]byte, error) {
	if len(s.data) == 0 {
		return nil, io.EOF
	}
	n := min(len(s.data), 256<<10)
	if s.m.breakAt > 0 && s.sent+int64(n) > s.m.breakAt {
		if n = int(s.m.breakAt - s.sent); n == 0 {
			return nil, errBroken
		}
	}
	return s.data[:n], nil
}

func (s *memStream) Read(p []byte) (int, error) {
	b, err := s.next()
	n := copy(p, b)
	s.data, s.sent = s.data[n:], s.sent+int64(n)
	return n, err
}

func (s *memStream) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		b, err := s.next()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(b)
		total += int64(n)
		s.data, s.sent = s.data[n:], s.sent+int64(n)
		if err != nil {
			return total, err
		}
	}
}

func (s *memStream) Close() error {
	if !s.closed {
		s.closed = true
		s.m.open.Add(-1)
	}
	return nil
}
