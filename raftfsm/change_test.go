package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/command"
	"holdfast/raftfsm/raftlog"
	"holdfast/raftfsm/seal"
	"holdfast/raftfsm/state"
)

func newNode(t testing.TB) (*Node, []*memCopy, Options) {
	t.Helper()
	copies := newCopies(4)
	o := testOptions(t, filepath.Join(t.TempDir(), "raft"), copies)
	return openNode(t, o), copies, o
}

func TestConcurrentCreates(t *testing.T) {
	t.Parallel()
	n, copies, _ := newNode(t)
	before := copies[0].stores
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := map[cluster.BucketName]int{}
	for i := range 16 {
		for j := range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				name := cluster.BucketName(fmt.Sprintf("bucket-%d", j))
				_, err := n.CreateBucket(t.Context(), name, fmt.Sprintf("owner-%d", i), "")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won[name]++
				case !errors.Is(err, cluster.ErrBucketExists):
					t.Error(err)
				}
			}()
		}
	}
	wg.Wait()
	for j := range 4 {
		if name := cluster.BucketName(fmt.Sprintf("bucket-%d", j)); won[name] != 1 {
			t.Errorf("bucket %s was created %d times", name, won[name])
		}
	}
	if err := n.mirror.caughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := copies[0].stores - before; got > 4 {
		t.Errorf("4 changes were written in %d batches", got)
	}
}

// TestInForceOnlyWhenDurable: nothing is shown before W drives hold it, so nothing that was seen can be lost.
func TestInForceOnlyWhenDurable(t *testing.T) {
	t.Parallel()
	n, copies, _ := newNode(t)
	block := make(chan struct{})
	copies[1].setBlock(block)
	copies[2].setBlock(block)
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 1)
	go func() {
		_, err := n.CreateBucket(ctx, "first", "alice", "")
		errs <- err
	}()
	// The two free drives have it.
	err := n.mirror.wait(t.Context(), func() bool {
		held := 0
		for _, w := range n.mirror.workers {
			if w.synced != nil && w.synced == n.mirror.target && len(w.synced.Buckets()) == 1 {
				held++
			}
		}
		return held == 2
	})
	if err != nil {
		t.Fatal(err)
	}
	wantBuckets(t, n)
	cancel()
	if err := <-errs; !errors.Is(err, cluster.ErrOutcomeUnknown) {
		t.Fatalf("two of four drives hold it: %v", err)
	}
	wantBuckets(t, n)
	close(block)
	if err := n.mirror.settle(t.Context(), copies[0].index()); err != nil {
		t.Fatal(err)
	}
	wantBuckets(t, n, "first")
}

func TestTooFewCopies(t *testing.T) {
	t.Parallel()
	n, copies, o := newNode(t)
	createBucket(t, n, "first")
	n.RemoveCopy(copies[0].id)
	createBucket(t, n, "second")
	gone := copies[1].clone()
	n.RemoveCopy(copies[1].id)
	last := copies[2].index()
	if _, err := n.CreateBucket(t.Context(), "third", "alice", ""); !errors.Is(err, cluster.ErrControlQuorum) {
		t.Fatalf("two of four drives: %v", err)
	}
	if copies[2].index() != last {
		t.Fatal("a refused change was written")
	}
	wantBuckets(t, n, "first", "second")
	if err := n.AddCopy(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	createBucket(t, n, "third")
	if err := n.AddCopy(t.Context(), copies[0]); err != nil {
		t.Fatal(err)
	}
	if copies[0].index() < last {
		t.Fatal("a drive joined with an old copy")
	}
	closeNode(t, n)

	o.Copies, o.Birth = asCopies(copies[2:]), nil // two drives: in force, but nothing changes
	n = openNode(t, o)
	wantBuckets(t, n, "first", "second", "third")
	if _, err := n.CreateBucket(t.Context(), "fourth", "alice", ""); !errors.Is(err, cluster.ErrControlQuorum) {
		t.Fatalf("two of four drives: %v", err)
	}
}

// TestNewerCopyJoins: a node that was started with too few drives to know the newest state must not
// overwrite it.
func TestNewerCopyJoins(t *testing.T) {
	t.Parallel()
	h := live(t)
	o := h.o
	o.Copies, o.Dir = asCopies(h.oldCopies[:1]), h.oldDir
	n := openNode(t, o)
	wantBuckets(t, n, "first")
	if err := n.AddCopy(t.Context(), h.copies[1]); !errors.Is(err, ErrNewerCopy) {
		t.Fatalf("a newer copy joins: %v", err)
	}
	closeNode(t, n)

	o.Copies = asCopies(h.oldCopies[:3]) // enough: the newer copy was never answered
	n = openNode(t, o)
	if err := n.AddCopy(t.Context(), h.copies[3]); err != nil {
		t.Fatal(err)
	}
	createBucket(t, n, "other")
	wantBuckets(t, n, "first", "other")
}

func TestFailingCopyIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	n, copies, _ := newNode(t)
	copies[3].setFail(errors.New("input/output error"))
	createBucket(t, n, "first")
	createBucket(t, n, "second")
	copies[3].setFail(nil)
	err := n.mirror.wait(t.Context(), func() bool {
		w := n.mirror.workers[copies[3].id]
		return w.err == nil && w.synced == n.mirror.target
	})
	if err != nil {
		t.Fatal(err)
	}
	f := load(t.Context(), testCluster, copies[3])
	if f.err != nil || len(f.state.Buckets()) != 2 {
		t.Fatalf("after the drive works again: %v", f.err)
	}
}

// TestUnreadableCopyIsNotCounted: a copy that can be written but not read back holds nothing.
func TestUnreadableCopyIsNotCounted(t *testing.T) {
	t.Parallel()
	n, copies, _ := newNode(t)
	createBucket(t, n, "first")
	bad := copies[3]
	n.RemoveCopy(bad.id)
	bad.setUnreadable(errors.New("checksum does not match"))
	if err := n.AddCopy(t.Context(), bad); err == nil {
		t.Fatal("an unreadable copy joined")
	}
	bad.setUnreadable(nil)
	if err := n.AddCopy(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	if f := load(t.Context(), testCluster, bad); f.err != nil || f.state.Index() != n.State().Index() {
		t.Fatalf("after it can be read again: %v", f.err)
	}
}

// TestSlowCopyHoldsNobodyUp: one drive that hangs is not waited for.
func TestSlowCopyHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	n, copies, _ := newNode(t)
	block := make(chan struct{})
	copies[0].setBlock(block)
	for i := range 5 {
		createBucket(t, n, fmt.Sprintf("bucket-%d", i))
	}
	stores := copies[0].stores
	close(block)
	if err := n.mirror.joined(t.Context(), copies[0].id); err != nil {
		t.Fatal(err)
	}
	if got := copies[0].stores - stores; got > 2 {
		t.Errorf("the drive caught up in %d batches", got)
	}
}

func TestHooksSeeEachStepBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	n, _, _ := newNode(t)
	var mu sync.Mutex
	last := n.State()
	n.OnApply(func(old, new *state.State) {
		mu.Lock()
		defer mu.Unlock()
		if old != last || n.State() != new || new.Index() <= old.Index() {
			t.Errorf("hook: from %d to %d, last was %d", old.Index(), new.Index(), last.Index())
		}
		last = new
	})
	for i := range 5 {
		b := createBucket(t, n, fmt.Sprintf("bucket-%d", i))
		mu.Lock()
		if last.Index() < uint64(b.ID) {
			t.Errorf("bucket %d was answered before the hook at %d", b.ID, last.Index())
		}
		mu.Unlock()
	}
}

func TestDeletionOfABucket(t *testing.T) {
	t.Parallel()
	n, _, _ := newNode(t)
	b := createBucket(t, n, "first")
	sealed, err := n.SealBucket(t.Context(), b, 7, By{Who: "alice"})
	if err != nil || sealed.Revision != 2 || sealed.Sealing != 7 {
		t.Fatalf("seal: %+v, %v", sealed, err)
	}
	if got, err := n.Bucket("first"); !errors.Is(err, cluster.ErrBucketSealed) || got != sealed {
		t.Fatalf("sealed bucket: %+v, %v", got, err)
	}
	if open, err := n.UnsealBucket(t.Context(), b, 7, By{}); err != nil || open.Revision != 3 {
		t.Fatalf("unseal: %+v, %v", open, err)
	}
	if _, err := n.SealBucket(t.Context(), b, 8, By{}); err != nil {
		t.Fatal(err)
	}
	if err := n.RemoveBucket(t.Context(), b, 8, By{}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Bucket("first"); !errors.Is(err, cluster.ErrNoBucket) {
		t.Fatalf("removed bucket: %v", err)
	}
	if again := createBucket(t, n, "first"); again.ID <= b.ID {
		t.Fatalf("incarnation %d follows %d", again.ID, b.ID)
	}
}

func TestCredentialsDrivesAndLevel(t *testing.T) {
	t.Parallel()
	n, copies, o := newNode(t)
	if err := n.PutCredential(t.Context(), "bob", "hunter2", By{Who: "root", Why: "new hire"}); err != nil {
		t.Fatal(err)
	}
	if err := n.PutCredential(t.Context(), "root", "x", By{}); !errors.Is(err, cluster.ErrConflict) {
		t.Fatalf("the root user's key: %v", err)
	}
	if err := n.UpdateDrive(t.Context(), copies[2].id, "/mnt/elsewhere", By{}); err != nil {
		t.Fatal(err)
	}
	at := n.State().Index()
	if err := n.UpdateDrive(t.Context(), copies[2].id, "/mnt/elsewhere", By{}); err != nil || n.State().Index() != at {
		t.Fatalf("the same again: %v", err)
	}
	if err := n.SetFeatureLevel(t.Context(), 2, By{}); err != nil {
		t.Fatal(err)
	}
	closeNode(t, n)
	o.Birth = nil
	n = openNode(t, o)
	if c, ok := n.Credential("bob"); !ok || c.SecretKey != "hunter2" || c.Root {
		t.Fatalf("bob: %+v, %v", c, ok)
	}
	if c, ok := n.Credential("root"); !ok || c.SecretKey != testRoot.Password || !c.Root {
		t.Fatalf("root: %v", ok)
	}
	if _, ok := n.Credential("carol"); ok {
		t.Fatal("carol has a key")
	}
	if d := n.Topology().Drives[2]; d.Path != "/mnt/elsewhere" || d.Node != n.ID() || n.State().Feature() != 2 {
		t.Fatalf("drive: %+v", d)
	}
	for _, c := range copies {
		for k, row := range c.rows {
			if string(row) != "" && contains(row, "hunter2") {
				t.Errorf("row %s holds a secret in clear", k)
			}
		}
	}
	if err := n.RemoveCredential(t.Context(), "bob", By{}); err != nil {
		t.Fatal(err)
	}
	if _, ok := n.Credential("bob"); ok {
		t.Fatal("bob's key is still there")
	}
	log := n.State().Changes()
	if c := log[1]; c.Who != "root" || c.What != "PutCredential" || c.Subject != "bob" || c.Why != "new hire" || c.Time.IsZero() {
		t.Fatalf("change log: %+v", c)
	}
}

func contains(b []byte, s string) bool {
	for i := range len(b) - len(s) + 1 {
		if string(b[i:i+len(s)]) == s {
			return true
		}
	}
	return false
}

func TestRotationOfTheRoot(t *testing.T) {
	t.Parallel()
	n, _, o := newNode(t)
	if err := n.PutCredential(t.Context(), "bob", "hunter2", By{}); err != nil {
		t.Fatal(err)
	}
	closeNode(t, n)
	o.Birth = nil
	old := o.Root
	o.Root = seal.Credentials{User: "admin", Password: "another secret"}
	if _, err := open(t.Context(), o, testLimits()); !errors.Is(err, seal.ErrRootMismatch) {
		t.Fatalf("changed without the old ones: %v", err)
	}
	o.OldRoot = &old
	n = openNode(t, o)
	closeNode(t, n)
	o.OldRoot = nil
	n = openNode(t, o)
	if c, ok := n.Credential("bob"); !ok || c.SecretKey != "hunter2" {
		t.Fatal("bob's secret is lost")
	}
	if _, ok := n.Credential(old.User); ok {
		t.Fatal("the old root user is still there")
	}
	closeNode(t, n)
	o.Root = old
	if _, err := open(t.Context(), o, testLimits()); !errors.Is(err, seal.ErrRootMismatch) {
		t.Fatalf("the old ones again: %v", err)
	}
}

// TestRotationWaitsForDrives: with too few drives the old credentials stay in force beside the new.
func TestRotationWaitsForDrives(t *testing.T) {
	t.Parallel()
	n, copies, o := newNode(t)
	closeNode(t, n)
	old := o.Root
	o.Birth, o.OldRoot, o.Root.Password = nil, &old, "another secret"
	o.Copies = asCopies(copies[:2])
	closeNode(t, openNode(t, o))
	o.Copies = asCopies(copies)
	closeNode(t, openNode(t, o))
	o.OldRoot = nil
	openNode(t, o)
}

func TestRepeatedRequest(t *testing.T) {
	t.Parallel()
	n, _, _ := newNode(t)
	by := By{Who: "alice", Request: [16]byte{1}}
	c := &command.CreateBucket{Name: "first", Owner: "alice"}
	a, err := n.Apply(t.Context(), c, by)
	if err != nil {
		t.Fatal(err)
	}
	b, err := n.Apply(t.Context(), c, by)
	if err != nil || a != b {
		t.Fatalf("second time: %+v, %v", b, err)
	}
}

// TestRaftLogFails: the drive with the log goes away while the node runs, and there is no other.
func TestRaftLogFails(t *testing.T) {
	t.Parallel()
	n, _, o := newNode(t)
	createBucket(t, n, "first")
	breakFile(t, filepath.Join(o.Dir, logFile))
	if _, err := n.CreateBucket(t.Context(), "second", "alice", ""); !errors.Is(err, cluster.ErrOutcomeUnknown) {
		t.Fatalf("change while the log fails: %v", err)
	}
	if err := n.Status().LogErr; !errors.Is(err, raftlog.ErrFailed) {
		t.Fatalf("status: %v", err)
	}
	if _, err := n.CreateBucket(t.Context(), "third", "alice", ""); !errors.Is(err, cluster.ErrNoLeader) {
		t.Fatalf("change after the log failed: %v", err)
	}
	wantBuckets(t, n, "first")
	closeNode(t, n)

	o.Dir, o.Birth = filepath.Join(t.TempDir(), "raft"), nil
	n = openNode(t, o)
	createBucket(t, n, "third")
	wantBuckets(t, n, "first", "third")
}

// TestRaftDirectoryMoves: the drive with the log goes away while the node runs, and others take over,
// one after the other, without a restart.
func TestRaftDirectoryMoves(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	copies := newCopies(4)
	o := testOptions(t, filepath.Join(home, "raft0"), copies)
	gone := filepath.Join(home, "not-mounted", "raft")
	o.Elsewhere = func() []string {
		return []string{o.Dir, gone, filepath.Join(home, "raft1"), filepath.Join(home, "raft2")}
	}
	n := openNode(t, o)
	createBucket(t, n, "bucket-0")
	for i := range 2 {
		breakFile(t, filepath.Join(home, fmt.Sprintf("raft%d", i), logFile))
		if _, err := n.CreateBucket(t.Context(), "lost", "alice", ""); !errors.Is(err, cluster.ErrOutcomeUnknown) {
			t.Fatalf("change while the log fails: %v", err)
		}
		createBucket(t, n, fmt.Sprintf("bucket-%d", i+1)) // waits for the move
		if dir := n.Status().Dir; dir != filepath.Join(home, fmt.Sprintf("raft%d", i+1)) {
			t.Fatalf("the directory is %s", dir)
		}
	}
	node := n.ID()
	closeNode(t, n)
	o.Birth = nil // and the next start finds the stale directory first
	n = openNode(t, o)
	wantBuckets(t, n, "bucket-0", "bucket-1", "bucket-2")
	if n.ID() != node {
		t.Fatalf("node is %s, was %s", n.ID(), node)
	}
	closeNode(t, n)
	o.Dir = gone // on a drive that is not there: another takes it
	n = openNode(t, o)
	createBucket(t, n, "zlast")
}

// breakFile makes every write of this process to an open file fail, as on a drive that went away.
func breakFile(t *testing.T, path string) {
	t.Helper()
	gone, err := os.Open(os.DevNull) // not for writing
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err != nil || to != path {
			continue
		}
		var fd int
		fmt.Sscan(e.Name(), &fd)
		if err := unix.Dup3(int(gone.Fd()), fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%s is not open", path)
}

func TestSnapshotAndCompaction(t *testing.T) {
	t.Parallel()
	n, _, o := newNode(t)
	for i := range 20 {
		createBucket(t, n, fmt.Sprintf("bucket-%d", i))
	}
	if err := n.server.Load().raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	last, _ := n.server.Load().dir.log.LastIndex()
	if err := n.server.Load().dir.log.DeleteRange(1, last-3); err != nil { // as raft does after TrailingLogs
		t.Fatal(err)
	}
	createBucket(t, n, "zlast")
	want := n.State()
	closeNode(t, n)
	o.Birth = nil
	n = openNode(t, o)
	if n.State().RowDigest() != want.RowDigest() || aside(t, o.Dir) != 0 {
		t.Fatal("a snapshot and a short log do not give the state back")
	}
	createBucket(t, n, "zzlast")
}

func TestClosedNode(t *testing.T) {
	t.Parallel()
	n, copies, _ := newNode(t)
	createBucket(t, n, "first")
	closeNode(t, n)
	closeNode(t, n)
	wantBuckets(t, n, "first")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := n.CreateBucket(ctx, "second", "alice", ""); err == nil || ctx.Err() != nil {
		t.Fatalf("change after close: %v", err)
	}
	if err := n.AddCopy(ctx, copies[0]); !errors.Is(err, ErrClosed) {
		t.Fatalf("copy after close: %v", err)
	}
}

func TestMetricsAndStatus(t *testing.T) {
	t.Parallel()
	copies := newCopies(4)
	o := testOptions(t, filepath.Join(t.TempDir(), "raft"), copies)
	reg := prometheus.NewRegistry()
	o.Metrics = reg
	n := openNode(t, o)
	createBucket(t, n, "first")
	copies[0].setFail(errors.New("input/output error"))
	createBucket(t, n, "second")
	if err := n.mirror.joined(t.Context(), copies[0].id); err == nil {
		t.Fatal("a failing drive is up to date")
	}
	for _, c := range copies[1:] {
		if err := n.mirror.joined(t.Context(), c.id); err != nil {
			t.Fatal(err)
		}
	}
	s := n.Status()
	if !s.Leader || s.InForce != s.Applied || s.Needed != 3 || len(s.Copies) != 4 || s.LogErr != nil {
		t.Fatalf("status: %+v", s)
	}
	want := map[string]float64{
		"holdfast_raftfsm_leader": 1, "holdfast_raftfsm_copies_needed": 3, "holdfast_raftfsm_in_force_index": float64(s.InForce),
		"holdfast_raftfsm_applied_index": float64(s.InForce), "holdfast_raftfsm_copies current": 3,
		"holdfast_raftfsm_copies behind": 0, "holdfast_raftfsm_copies failing": 1,
		"holdfast_raftfsm_changes_total done": 3, "holdfast_raftfsm_change_seconds": 3,
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	if !maps.Equal(got, want) {
		t.Fatalf("metrics are %v, want %v", got, want)
	}
	closeNode(t, n)
	o.Birth = nil
	openNode(t, o) // on the same registry
}
