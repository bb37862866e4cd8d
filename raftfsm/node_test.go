package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memCopy is a drive's copy in memory.
type memCopy struct {
	id cluster.DriveID

	mu      sync.Mutex
	has     bool
	meta    CopyMeta
	rows    map[string][]byte
	fail    error         // what every call returns; nil = works
	rot     error         // what loads return; nil = work
	block   chan struct{} // what stores wait for; nil = nothing
	stores  int
	written int // rows put
}

func newCopies(n int) []*memCopy {
	all := make([]*memCopy, n)
	for i := range all {
		all[i] = &memCopy{id: cluster.DriveID{byte(i + 1)}, rows: map[string][]byte{}}
	}
	return all
}

func (c *memCopy) ID() cluster.DriveID { return c.id }

func (c *memCopy) LoadControl(context.Context) (CopyMeta, map[string][]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := errors.Join(c.fail, c.rot); err != nil {
		return CopyMeta{}, nil, err
	}
	if !c.has {
		return CopyMeta{}, nil, ErrNoCopy
	}
	return c.meta, maps.Clone(c.rows), nil
}

func (c *memCopy) StoreControl(ctx context.Context, meta CopyMeta, put map[string][]byte, del []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if block := c.block; block != nil {
		c.mu.Unlock()
		select {
		case <-block:
		case <-ctx.Done():
		}
		c.mu.Lock()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if c.fail != nil {
		return c.fail
	}
	c.has, c.meta = true, meta
	for k, v := range put {
		c.rows[k] = v
	}
	for _, k := range del {
		delete(c.rows, k)
	}
	c.stores++
	c.written += len(put)
	return nil
}

func (c *memCopy) setFail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = err
}

func (c *memCopy) setUnreadable(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rot = err
}

func (c *memCopy) setBlock(ch chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.block = ch
}

// clone is the copy as it is now: what a drive that goes away keeps.
func (c *memCopy) clone() *memCopy {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &memCopy{id: c.id, has: c.has, meta: c.meta, rows: maps.Clone(c.rows)}
}

func (c *memCopy) index() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.meta.Index
}

func asCopies(all []*memCopy) []Copy {
	out := make([]Copy, len(all))
	for i, c := range all {
		out[i] = c
	}
	return out
}

var (
	testCluster = cluster.ID{0xc1}
	testRoot    = seal.Credentials{User: "root", Password: "correct horse battery staple"}
)

// testBirth is a cluster of the given copies, four sets over all of them.
func testBirth(copies []*memCopy) *Birth {
	b := &Birth{Topology: cluster.Topology{Seed: [16]byte{7}}}
	var members []cluster.DriveID
	for i, c := range copies {
		b.Topology.Drives = append(b.Topology.Drives, cluster.Drive{ID: c.id, Path: fmt.Sprintf("/mnt/drive%d", i+1)})
		members = append(members, c.id)
	}
	for range 4 {
		b.Topology.Sets = append(b.Topology.Sets, cluster.Set{Epoch: 1, Members: members})
	}
	return b
}

func testOptions(t testing.TB, dir string, copies []*memCopy) Options {
	return Options{
		Cluster: testCluster, Dir: dir, Copies: asCopies(copies), W: 3, Birth: testBirth(copies), Root: testRoot,
		Logger: testLogger(t), Timeout: 10 * time.Millisecond,
	}
}

func testLogger(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

func testLimits() limits {
	l := defaultLimits()
	l.copyRetry, l.moveRetry, l.change = 5*time.Millisecond, 5*time.Millisecond, 10*time.Second
	return l
}

func openNode(t testing.TB, o Options) *Node {
	t.Helper()
	n, err := open(t.Context(), o, testLimits())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNode(t, n) })
	return n
}

func closeNode(t testing.TB, n *Node) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

func createBucket(t testing.TB, n *Node, name string) cluster.Bucket {
	t.Helper()
	b, err := n.CreateBucket(t.Context(), cluster.BucketName(name), "alice", "")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantBuckets(t testing.TB, n *Node, names ...string) {
	t.Helper()
	var got []string
	for _, b := range n.Buckets() {
		got = append(got, string(b.Name))
	}
	if fmt.Sprint(got) != fmt.Sprint(names) {
		t.Fatalf("buckets are %v, want %v", got, names)
	}
}

func TestBirthCreateRestart(t *testing.T) {
	t.Parallel()
	copies := newCopies(4)
	o := testOptions(t, filepath.Join(t.TempDir(), "raft"), copies)
	n := openNode(t, o)
	b := createBucket(t, n, "first")
	if b.ID == 0 || b.Revision != 1 || b.Owner != "alice" {
		t.Fatalf("created %+v", b)
	}
	if _, err := n.CreateBucket(t.Context(), "first", "alice", ""); !errors.Is(err, cluster.ErrBucketOwned) {
		t.Fatalf("creating it again: %v", err)
	}
	if _, err := n.CreateBucket(t.Context(), "first", "bob", ""); !errors.Is(err, cluster.ErrBucketExists) {
		t.Fatalf("creating another's: %v", err)
	}
	node := n.ID()
	closeNode(t, n)

	o.Birth = nil
	n = openNode(t, o)
	wantBuckets(t, n, "first")
	if n.ID() != node {
		t.Fatalf("node is %s after a restart, was %s", n.ID(), node)
	}
	createBucket(t, n, "second")
	wantBuckets(t, n, "first", "second")
}
