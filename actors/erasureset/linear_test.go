package erasureset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

// What clients of one key did, by several coordinators over drives that err, must have an order in
// which every answer is right: each call takes effect at one moment between its beginning and its end;
// one of unknown outcome at any later moment, or never.

type linKind uint8

const (
	linGet linKind = iota
	linPut
	linPutIfAbsent
	linPutIfMatch
	linDelete
	linDeleteIfMatch
	linComplete
	linAbort
	linKinds
)

// linCall is one call and its answer.
type linCall struct {
	kind       linKind
	value      int // put; what an If-Match asks for
	match      int
	begin, end int64
	unknown    bool // no answer that says what happened
	refused    bool // 412, or no such upload
	got        int  // GET: 0 = absent
}

// linState is a key and its one upload.
type linState struct {
	value int
	open  bool
}

// apply is what a call does to a state; false if its answer cannot be.
func (c *linCall) apply(s linState) (linState, bool) {
	holds := true
	switch c.kind {
	case linGet:
		return s, c.unknown || c.got == s.value
	case linPutIfAbsent:
		holds = s.value == 0
	case linPutIfMatch, linDeleteIfMatch:
		holds = s.value != 0 && s.value == c.match
	case linComplete:
		if !s.open && s.value == c.value && !c.refused {
			return s, true // completed before
		}
		holds = s.open
	case linAbort:
		holds = s.open
	}
	if !c.unknown && c.refused == holds {
		return s, false
	}
	if !holds {
		return s, true
	}
	switch c.kind {
	case linDelete, linDeleteIfMatch:
		s.value = 0
	case linAbort:
		s.open = false
	case linComplete:
		s = linState{value: c.value}
	default:
		s.value = c.value
	}
	return s, true
}

// linearizable searches for an order.
func linearizable(calls []linCall) bool {
	type node struct {
		done  uint64
		state linState
	}
	seen := map[node]bool{}
	var search func(n node) bool
	search = func(n node) bool {
		if seen[n] {
			return false
		}
		seen[n] = true
		first := int64(1 << 62) // whoever begins behind the earliest end has to wait
		complete := true
		for i := range calls {
			if n.done>>i&1 == 0 && !calls[i].unknown {
				complete = false
				first = min(first, calls[i].end)
			}
		}
		if complete {
			return true
		}
		for i := range calls {
			if n.done>>i&1 != 0 || calls[i].begin > first {
				continue
			}
			if next, ok := calls[i].apply(n.state); ok && search(node{n.done | 1<<i, next}) {
				return true
			}
		}
		return false
	}
	return search(node{state: linState{open: true}})
}

func TestLinearizableSearchSeesWhatIsWrong(t *testing.T) {
	for i, calls := range [][]linCall{
		{{kind: linPut, value: 1, begin: 1, end: 2}, {kind: linGet, begin: 3, end: 4}},
		{{kind: linPutIfAbsent, value: 1, begin: 1, end: 5}, {kind: linPutIfAbsent, value: 2, begin: 2, end: 4}},
		{{kind: linAbort, begin: 1, end: 5}, {kind: linComplete, value: 1, begin: 2, end: 4}},
		{{kind: linPut, value: 1, unknown: true, begin: 1, end: 2}, {kind: linGet, got: 1, begin: 3, end: 4}, {kind: linGet, begin: 5, end: 6}},
	} {
		if linearizable(calls) {
			t.Errorf("history %d passes", i)
		}
	}
	if !linearizable([]linCall{{kind: linPut, value: 1, unknown: true, begin: 1, end: 2}, {kind: linGet, begin: 3, end: 4}, {kind: linGet, got: 1, begin: 5, end: 6}}) {
		t.Error("a late write is refused")
	}
}

// linWorld is one run.
type linWorld struct {
	*fixture
	key    string
	stores []*Store
	clock  atomic.Int64
	upload object.WriteID
	part   CompletedPart
	mu     sync.Mutex
	calls  []linCall // guarded by mu
}

const linUpload = 1000 // the value that completing the upload gives

// body makes contents of a value, small or streamed.
func linBody(value int) []byte {
	size := 100
	if value%3 == 0 {
		size = 20_000
	}
	b := bytes.Repeat([]byte{byte(value)}, size)
	copy(b, fmt.Sprintf("%d ", value))
	return b
}

func linValue(b []byte) (v int) { fmt.Sscanf(string(b[:min(len(b), 8)]), "%d ", &v); return v }

// isValue is the condition that the current contents are a value's.
func isValue(value int) Condition {
	return func(cur *Info) error {
		if cur == nil || len(cur.UserMeta) == 0 && value != linUpload || len(cur.UserMeta) > 0 && cur.UserMeta[0].Value != fmt.Sprint(value) {
			return object.ErrPrecondition
		}
		return nil
	}
}

func (w *linWorld) do(rng *rand.Rand, value int) {
	s := w.stores[rng.IntN(len(w.stores))]
	c := linCall{kind: linKind(rng.IntN(int(linKinds))), value: value, match: value - 1 - rng.IntN(4)}
	if c.kind == linComplete {
		c.value = linUpload
	}
	ctx, cancel := context.WithTimeout(w.ctx(), 3*time.Second)
	defer cancel()
	c.begin = w.clock.Add(1)
	err := w.run(ctx, s, &c)
	c.end = w.clock.Add(1)
	switch {
	case err == nil:
	case errors.Is(err, object.ErrPrecondition), errors.Is(err, object.ErrNoUpload):
		c.refused = true
	default:
		if !strings.Contains(err.Error(), "quorum") && !errors.Is(err, object.ErrReplaced) && !errors.Is(err, object.ErrDamaged) {
			w.t.Errorf("%d: %v", c.kind, err)
		}
		c.unknown = true
	}
	w.mu.Lock()
	w.calls = append(w.calls, c)
	w.mu.Unlock()
}

func (w *linWorld) run(ctx context.Context, s *Store, c *linCall) error {
	absent := func(cur *Info) error {
		if cur != nil {
			return object.ErrPrecondition
		}
		return nil
	}
	put := func(cond Condition) error {
		b := linBody(c.value)
		req := &PutRequest{Bucket: w.bucket, Key: w.key, Body: bytes.NewReader(b), Size: int64(len(b)), If: cond}
		req.Meta.UserMeta = append(req.Meta.UserMeta, ondisk.Pair{Name: "v", Value: fmt.Sprint(c.value)})
		_, err := s.Put(ctx, req)
		return err
	}
	del := func(cond Condition) error {
		_, err := s.Delete(ctx, &DeleteRequest{Bucket: w.bucket, Key: w.key, If: cond})
		return err
	}
	switch c.kind {
	case linPut:
		return put(nil)
	case linPutIfAbsent:
		return put(absent)
	case linPutIfMatch:
		return put(isValue(c.match))
	case linDelete:
		return del(nil)
	case linDeleteIfMatch:
		return del(isValue(c.match))
	case linComplete:
		_, err := s.Complete(ctx, &CompleteRequest{Bucket: w.bucket, Key: w.key, Upload: w.upload, Parts: []CompletedPart{w.part}})
		return err
	case linAbort:
		return s.Abort(ctx, w.bucket, w.key, w.upload)
	}
	h, err := s.Open(ctx, &OpenRequest{Bucket: w.bucket, Key: w.key})
	if errors.Is(err, object.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer h.Close()
	st, err := h.Read(ctx, rangeAll(h))
	if err != nil {
		return err
	}
	defer st.Close()
	var buf bytes.Buffer
	if _, err := st.WriteTo(&buf); err != nil {
		return err
	}
	c.got = linValue(buf.Bytes())
	return nil
}

// fault makes a drive lose requests, or answers, of some calls to come.
func (w *linWorld) fault(rng *rand.Rand, m *drivetest.Mem) {
	p := []float64{0, 0, 0, 0.1, 0.4}[rng.IntN(5)]
	var mu sync.Mutex
	own := rand.New(rand.NewPCG(rng.Uint64(), 1))
	lose := func(_ context.Context, op drivetest.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if op != drivetest.OpMark && own.Float64() < p {
			return drive.ErrFailed
		}
		return nil
	}
	m.Before(lose)
	m.After(lose)
}

// away takes a local drive out of service, or brings all back.
func (w *linWorld) away(rng *rand.Rand) {
	gone := rng.IntN(2 * len(w.topo.Drives))
	for i := range w.topo.Drives {
		w.setOffline(i, i == gone)
	}
}

func playLinear(t *testing.T, f *fixture, seed uint64) {
	w := &linWorld{fixture: f, key: fmt.Sprint("k", seed), stores: []*Store{f.Store}}
	for range 2 { // other nodes
		s, err := New(f.opt)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		w.stores = append(w.stores, s)
	}
	up, err := f.CreateUpload(f.ctx(), &UploadRequest{Bucket: f.bucket, Key: w.key})
	if err != nil {
		t.Fatal(err)
	}
	b := linBody(linUpload)
	p, err := f.PutPart(f.ctx(), &PartRequest{Bucket: f.bucket, Key: w.key, Upload: up.ID, Number: 1, Body: bytes.NewReader(b), Size: int64(len(b))})
	if err != nil {
		t.Fatal(err)
	}
	w.upload, w.part = up.ID, CompletedPart{Number: 1, ETag: p.ETag}
	var wg sync.WaitGroup
	for c := range 4 {
		rng := rand.New(rand.NewPCG(seed, uint64(c)))
		wg.Go(func() {
			for i := range 7 {
				switch {
				case c != 0:
				case f.mems == nil:
					w.away(rng)
				default:
					w.fault(rng, f.mems[rng.IntN(len(f.mems))])
				}
				w.do(rng, 1+i*4+c)
			}
		})
	}
	wg.Wait()
	for _, m := range f.mems {
		m.Before(nil)
		m.After(nil)
	}
	for i := range f.topo.Drives {
		f.setOffline(i, false)
	}
	f.ResolvePending(f.ctx())
	last := linCall{kind: linGet, begin: w.clock.Add(1)}
	if err := w.run(f.ctx(), f.Store, &last); err != nil {
		t.Fatalf("with all drives well again: %v", err)
	}
	last.end = w.clock.Add(1)
	w.calls = append(w.calls, last)
	if !linearizable(w.calls) {
		for _, c := range w.calls {
			t.Logf("%+v", c)
		}
		t.Error("no order explains this")
	}
}

func TestHistoriesAreLinearizable(t *testing.T) {
	for _, n := range []int{1, 4, 6} {
		for seed := range uint64(40) {
			t.Run(fmt.Sprintf("n=%d/seed=%d", n, seed), func(t *testing.T) {
				playLinear(t, newFixture(t, n, func(o *Options) { o.ResolveAge = time.Millisecond }), seed)
			})
		}
	}
}

// TestHistoriesOnLocalDrives: the same where batches, marks and rows are real ones.
func TestHistoriesOnLocalDrives(t *testing.T) {
	f := newLocalFixture(t, 4)
	f.Close()
	f.opt.ResolveAge, f.opt.MarkInterval = time.Millisecond, time.Millisecond
	f.open()
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { playLinear(t, f, seed) })
	}
}
