package erasureset

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/object"
	"holdfast/actors/placement"
	"holdfast/actors/quorum"
	"holdfast/actors/slab"
	"holdfast/raftfsm/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a store over drives in memory.
type fixture struct {
	*Store
	t      testing.TB
	mems   []*drivetest.Mem
	byID   map[cluster.DriveID]*drivetest.Mem
	topo   *cluster.Topology
	slabs  *slab.Pool
	calls  sync.WaitGroup // commits under way at starting drives
	off    sync.Map       // drive id -> true: replaced by drive.Offline
	bucket cluster.Bucket
	opt    Options
}

func newFixture(t testing.TB, drives int, change func(*Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, byID: map[cluster.DriveID]*drivetest.Mem{}, bucket: cluster.Bucket{Name: "bucket", ID: 7, Revision: 3}}
	list := make([]cluster.Drive, drives)
	for i := range list {
		list[i].ID[0] = byte(i + 1)
		m := drivetest.NewMem(list[i].ID)
		f.mems = append(f.mems, m)
		f.byID[list[i].ID] = m
	}
	var err error
	if f.topo, err = placement.Birth([16]byte{1}, list, 0, 32); err != nil {
		t.Fatal(err)
	}
	for _, m := range f.mems {
		if err := drive.Adopt(t.Context(), m, m.ID(), f.topo.Sets); err != nil {
			t.Fatal(err)
		}
	}
	f.slabs = slab.New(slab.Config{Budget: 128 << 20, Wait: 2 * time.Second})
	f.opt = Options{
		Drives:       f.drive,
		Topology:     func() *cluster.Topology { return f.topo },
		Bucket:       func(id cluster.BucketID) (cluster.Bucket, bool) { return f.bucket, id == f.bucket.ID },
		Slabs:        f.slabs,
		MarkInterval: time.Millisecond,
		ResolveEvery: -1, CollectEvery: -1, HealEvery: -1,
	}
	if change != nil {
		change(&f.opt)
	}
	f.open()
	t.Cleanup(f.check)
	return f
}

// drive lets every other drive take commits without a goroutine that waits in them, as local ones do.
func (f *fixture) drive(id cluster.DriveID) drive.Drive {
	if m := f.byID[id]; id[0]%2 == 0 {
		return m
	} else {
		return starting{m, &f.calls}
	}
}

// starting is a drive in memory that is a drive.Starter.
type starting struct {
	*drivetest.Mem
	calls *sync.WaitGroup
}

func (d starting) Start(req *drive.Request, to drive.Receiver, tag int) (bool, error) {
	switch h := d.Health(); {
	case req.Kind != quorum.ReqCommit || h.Full:
		return false, nil
	case h.State != drive.Online:
		return false, h.Err
	}
	own := *req
	own.Row, own.Inline, own.Parts = slices.Clone(req.Row), slices.Clone(req.Inline), slices.Clone(req.Parts)
	d.calls.Go(func() {
		var reply drive.Reply
		err := d.Do(context.Background(), &own, &reply)
		to.Answered(tag, &reply, err)
	})
	return true, nil
}

func (f *fixture) open() {
	s, err := New(f.opt)
	if err != nil {
		f.t.Fatal(err)
	}
	f.Store = s
}

func (f *fixture) setOffline(i int, on bool) {
	if f.mems != nil {
		f.mems[i].SetOffline(on)
		return
	}
	f.off.Store(f.topo.Drives[i].ID, on)
}

// restart ends the coordinator, forgetting the marks it had not sent, and starts another.
func (f *fixture) restart() {
	f.Store.marks.mu.Lock()
	clear(f.Store.marks.todo)
	f.Store.marks.mu.Unlock()
	f.Close()
	f.open()
}

// check finds leaks at the end of a test.
func (f *fixture) check() {
	f.Close()
	if s := f.slabs.Stats(); s.InUse != 0 || s.Buffers != 0 {
		f.t.Errorf("slabs leak: %+v", s)
	}
	f.slabs.Close()
	for i, m := range f.mems {
		if w, r := m.Leaks(); w != 0 || r != 0 {
			f.t.Errorf("drive %d: %d shard writers and %d readers leak", i, w, r)
		}
	}
}

func pattern(seed uint64, size int) []byte {
	b := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(size)})
	rng.Read(b)
	return b
}

func (f *fixture) put(key string, data []byte) (*Info, error) {
	return f.Put(f.ctx(), &PutRequest{Bucket: f.bucket, Key: key, Body: bytes.NewReader(data), Size: int64(len(data))})
}

func (f *fixture) mustPut(key string, data []byte) *Info {
	f.t.Helper()
	info, err := f.put(key, data)
	if err != nil {
		f.t.Fatalf("put %q: %v", key, err)
	}
	sum := md5.Sum(data)
	if info.ETag != hex.EncodeToString(sum[:]) || info.Size != int64(len(data)) || info.TS == 0 {
		f.t.Fatalf("put %q: info %+v", key, info)
	}
	return info
}

func (f *fixture) get(key string, r *object.Range) ([]byte, error) {
	h, err := f.Open(f.ctx(), &OpenRequest{Bucket: f.bucket, Key: key})
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if r == nil {
		r = &object.Range{End: h.Info().Size}
	}
	st, err := h.Read(f.ctx(), *r)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	var buf bytes.Buffer
	_, err = st.WriteTo(&buf)
	return buf.Bytes(), err
}

func (f *fixture) mustGet(key string, want []byte) {
	f.t.Helper()
	got, err := f.get(key, nil)
	if err != nil {
		f.t.Fatalf("get %q: %v", key, err)
	}
	if !bytes.Equal(got, want) {
		f.t.Fatalf("get %q: %d bytes differ from the %d put", key, len(got), len(want))
	}
}

func (f *fixture) mustMiss(key string) {
	f.t.Helper()
	if _, err := f.get(key, nil); !errors.Is(err, object.ErrNotFound) {
		f.t.Fatalf("get %q: %v, want not found", key, err)
	}
}

func (f *fixture) del(key string) error {
	_, err := f.Delete(f.ctx(), &DeleteRequest{Bucket: f.bucket, Key: key})
	return err
}

func (f *fixture) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	f.t.Cleanup(cancel)
	return ctx
}

var counts = []int{1, 4, 5, 6, 8, 16}

func eachGeometry(t *testing.T, fn func(t *testing.T, n int)) {
	for _, n := range counts {
		t.Run(fmt.Sprint(n), func(t *testing.T) { fn(t, n) })
	}
}

// cut is a reader that fails after some bytes.
type cut struct {
	r   io.Reader
	err error
}

func (c cut) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err == io.EOF {
		err = c.err
	}
	return n, err
}

const drivetestCommit = drivetest.OpCommit

// failOn fails some kinds of calls.
func failOn(err error, which ...drivetest.Op) func(context.Context, drivetest.Op) error {
	return func(_ context.Context, op drivetest.Op) error {
		if slices.Contains(which, op) {
			return err
		}
		return nil
	}
}

func rangeAll(h Handle) object.Range { return object.Range{End: h.Info().Size} }
