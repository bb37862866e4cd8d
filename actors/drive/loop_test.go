package drive_test

import (
	"context"
	"errors"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/actors/await"
	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/raftfsm/cluster"
)

// slowLog holds back syncs of the journal while it is shut.
type slowLog struct {
	mu   sync.Mutex
	gate chan struct{} // guarded by mu: nil = open
	met  chan struct{} // gets a token for each sync that is held back
}

func (*slowLog) String() string { return "slow log" }

func (s *slowLog) MaybeError(op errorfs.Op) error {
	sync := op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncTo
	if !sync || path.Ext(op.Path) != ".log" {
		return nil
	}
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		s.met <- struct{}{}
		<-gate
	}
	return nil
}

func (s *slowLog) shut() (open func()) {
	gate := make(chan struct{})
	s.mu.Lock()
	s.gate = gate
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		s.gate = nil
		s.mu.Unlock()
		close(gate)
	}
}

// TestNothingIsVisibleBeforeItIsDurable: a reader sees what was there before a batch as long as that is
// not synced.
func TestNothingIsVisibleBeforeItIsDurable(t *testing.T) {
	s := &slowLog{met: make(chan struct{}, 16)}
	r := newRig(t, errorfs.Wrap(vfs.NewMem(), s), "/d")
	ctx := context.Background()
	old := r.version("k", "old")
	r.commit(old)
	r.mark(old)
	open := s.shut()
	answered := make(chan error, 1)
	c := r.version("k", "new")
	go func() {
		_, err := r.a.Commit(ctx, c)
		answered <- err
	}()
	<-s.met // the batch is written, its sync is held back
	for range 30 {
		if rep := r.report("k"); len(rep.Versions) != 1 || rep.Versions[0].Version.TS != old.Ref.TS || string(rep.Inline) != "old" {
			t.Fatalf("a report before the sync: %+v", rep)
		}
		time.Sleep(time.Millisecond) // whoever made it visible too early has had the time
	}
	select {
	case err := <-answered:
		t.Fatalf("the commit was answered before the sync: %v", err)
	default:
	}
	open()
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	if rep := r.report("k"); len(rep.Versions) != 2 || rep.Versions[0].Version.TS != c.Ref.TS {
		t.Fatalf("report after the sync: %+v", rep)
	}
}

func TestCallersKeepTheirDeadlineWhenTheDiskHangs(t *testing.T) {
	s := &slowLog{met: make(chan struct{}, 16)}
	r := newRig(t, errorfs.Wrap(vfs.NewMem(), s), "/d")
	open := s.shut()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if _, err := r.a.Commit(ctx, r.version("k", "x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("commit on a disk that hangs: %v", err)
	}
	var busy error
	for range 5000 { // the mailbox is bounded, and the refusal says so
		ctx, cancel := context.WithTimeout(context.Background(), time.Microsecond)
		_, busy = r.a.Commit(ctx, r.version("k", "x"))
		cancel()
		if errors.Is(busy, drive.ErrBusy) {
			break
		}
	}
	if !errors.Is(busy, drive.ErrBusy) {
		t.Fatalf("a full mailbox: %v", busy)
	}
	if h := r.a.Health(); h.Queue == 0 || h.State != drive.Online {
		t.Fatalf("health %+v", h)
	}
	open()
}

// answers receives started commits.
type answers chan error

func (c answers) Answered(_ int, reply *drive.Reply, err error) {
	if (err == nil) != reply.OK {
		err = errors.New("neither accepted nor an error")
	}
	c <- err
}

// TestStartedCommitsAreAlwaysAnswered: what the writer hangs with, and what waits behind it, is
// answered when the drive is given up, and what came before it is, too.
func TestStartedCommitsAreAlwaysAnswered(t *testing.T) {
	s := &slowLog{met: make(chan struct{}, 16)}
	r := newRig(t, errorfs.Wrap(vfs.NewMem(), s), "/d")
	got := make(answers, 100)
	start := func() error {
		started, err := r.a.Start(r.version("k", "x").Request(), got, 1)
		if started != (err == nil) {
			t.Fatalf("started %t, %v", started, err)
		}
		return err
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	open := s.shut()
	begun := 0
	for range 10 {
		if err := start(); err != nil {
			t.Fatal(err)
		}
		begun++
	}
	<-s.met // the first batch is under way
	r.a.Abandon(errors.New("gone"))
	for range 10 { // some of them may meet the drive while it is going
		if err := start(); err == nil {
			begun++
		} else if !errors.Is(err, drive.ErrFailed) && !errors.Is(err, drive.ErrOffline) {
			t.Fatal(err)
		}
	}
	for range begun {
		if err := <-got; !errors.Is(err, drive.ErrFailed) {
			t.Fatalf("answer of a drive that failed: %v", err)
		}
	}
	open()
	r.a.Close()
	if len(got) != 0 {
		t.Fatal("answered twice")
	}
}

func TestAFailedAssertionFailsTheDriveAlone(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	ctx := context.Background()
	if err := r.a.Panic(ctx); !errors.Is(err, drive.ErrFailed) {
		t.Fatalf("the call whose assertion failed: %v", err)
	}
	waitFailed(t, r.a.Actor, "the assertion")
	if _, err := r.a.Commit(ctx, r.version("k", "x")); !errors.Is(err, drive.ErrFailed) {
		t.Fatalf("commit on a failed drive: %v", err)
	}
	if _, err := r.a.Report(ctx, &drivetest.ReportRequest{Key: key("k")}); !errors.Is(err, drive.ErrFailed) {
		t.Fatalf("report from a failed drive: %v", err)
	}
	if h := r.a.Health(); !strings.Contains(h.Err.Error(), "assertion") {
		t.Fatalf("health %+v", h)
	}
}

func TestCallsOnAClosedDriveFail(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	ctx := context.Background()
	var wg sync.WaitGroup
	for i := range 16 {
		cs := make([]*drivetest.Commit, 50)
		for j := range cs {
			cs[j] = r.version(string(rune('a'+i)), "x")
		}
		wg.Go(func() {
			for _, c := range cs {
				if _, err := r.a.Commit(ctx, c); err != nil && !errors.Is(err, drive.ErrOffline) {
					t.Errorf("commit while the drive closes: %v", err)
				}
				if _, err := r.a.Report(ctx, &drivetest.ReportRequest{Epoch: 1, Key: c.Key}); err != nil && !errors.Is(err, drive.ErrOffline) {
					t.Errorf("report while the drive closes: %v", err)
				}
			}
		})
	}
	if err := r.a.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if err := r.a.Mark(nil); !errors.Is(err, drive.ErrOffline) {
		t.Fatalf("mark on a closed drive: %v", err)
	}
	if h := r.a.Health(); h.State != drive.Absent {
		t.Fatalf("health %+v", h)
	}
}

func TestMetricsFollowTheDriveOffTheRegistry(t *testing.T) {
	registry := prometheus.NewRegistry()
	mem := vfs.NewMem()
	if err := drive.FormatOn(mem, "/d", testLabel()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r := &rig{t: t, o: drive.Options{Path: "/d", FS: mem, Label: testLabel(), Registry: registry}}
		r.open()
		r.commit(r.version("k", "x"))
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, f := range families {
			seen[f.GetName()] = true
			for _, m := range f.GetMetric() {
				if len(m.GetLabel()) < 2 || m.GetLabel()[0].GetValue() != testLabel().Drive.String() {
					t.Errorf("%s: labels %v", f.GetName(), m.GetLabel())
				}
			}
		}
		for _, name := range []string{"mailbox_depth", "batch_operations", "sync_seconds", "written_bytes_total", "up"} {
			if !seen["holdfast_drive_"+name] {
				t.Errorf("no metric %s in %v", name, seen)
			}
		}
		if err := r.a.Close(); err != nil {
			t.Fatal(err)
		}
		if families, _ := registry.Gather(); len(families) != 0 {
			t.Fatalf("%d metrics stay after close", len(families))
		}
	}
}

func TestWatermarksSurvive(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	peer := cluster.DriveID{5}
	c := r.version("k", "x")
	r.a.Heard(map[cluster.DriveID]uint64{peer: 9})
	reply := r.commit(c)
	r.reopen()
	own, peers := r.a.Watermarks()
	if own < reply.Batch || peers[peer] != 9 || r.a.Highest() < c.Ref.TS {
		t.Fatalf("own %d peers %v highest %d", own, peers, r.a.Highest())
	}
}

// TestMarksReachTheDiskOfAnIdleDrive: nothing comes after them, and they are durable all the same.
func TestMarksReachTheDiskOfAnIdleDrive(t *testing.T) {
	mem := vfs.NewCrashableMem()
	r := newRig(t, mem, "/d")
	c := r.version("k", "x")
	before := r.commit(c).Batch
	if err := r.a.Mark([]drive.Mark{{Key: c.Key, Set: c.Set, Ref: c.Ref, Missed: 1 << 3}}); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the mark is durable", func() bool { return r.a.Health().Durable != before })
	after := &rig{t: t, o: r.o}
	after.o.FS = mem.CrashClone(vfs.CrashCloneCfg{})
	after.open()
	defer func() { after.a.Close() }()
	if rep := after.report("k"); len(rep.Versions) != 1 || !rep.Versions[0].Stable {
		t.Fatalf("after a power cut: %+v", rep.Versions)
	}
	in, err := drive.Inspect(context.Background(), "/d", drive.InspectQuery{FS: after.o.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})})
	if err != nil || in.Rows['H'].Rows != 1 || in.Rows['P'].Rows != 0 {
		t.Fatalf("rows %+v, %v", in.Rows, err)
	}
}
