package erasureset

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/object"
	"holdfast/actors/placement"
	"holdfast/actors/slab"
	"holdfast/raftfsm/cluster"
)

// slot is the drive that holds a key's slot i.
func (f *fixture) slot(key string, i int) *drivetest.Mem {
	return f.byID[f.topo.Sets[placement.SetOf(f.topo, f.bucket.ID, key)].Members[i]]
}

// held lets a drive wait in some calls until the returned function is called.
func held(m *drivetest.Mem, which drivetest.Op) (release func()) {
	gate := make(chan struct{})
	m.Before(func(ctx context.Context, op drivetest.Op) error {
		if op != which {
			return nil
		}
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return func() { m.Before(nil); close(gate) }
}

func TestHungDriveIsReadAndWrittenAround(t *testing.T) {
	for _, size := range []int{100, 100_000, 9 << 20} {
		f := newFixture(t, 4, func(o *Options) {
			o.HedgeAfter, o.StragglerLimit, o.StallLimit, o.FrameLimit = 5*time.Millisecond, 5*time.Millisecond, 200*time.Millisecond, 2*time.Second
			o.CommitLimit = 2 * time.Second
		})
		old, data := pattern(1, size), pattern(2, size)
		f.mustPut("k", old)
		f.marks.flush()
		for i := range 4 {
			f.slot("k", i).SetHang(true)
			f.mustGet("k", old)
			f.slot("k", i).SetHang(false)
		}
		f.slot("k", 1).SetHang(true)
		f.mustPut("k", data)
		f.mustGet("k", data)
		f.slot("k", 1).SetHang(false)
		f.mustGet("k", data)
	}
}

// TestACommitThatIsNeverAnsweredEnds: a drive that hangs with a commit it was only handed is given up
// at the deadline, whether the write was acknowledged before or fails with it, and may answer later.
func TestACommitThatIsNeverAnsweredEnds(t *testing.T) {
	f := newFixture(t, 4, func(o *Options) {
		o.StragglerLimit, o.MarkLimit, o.CommitLimit = time.Millisecond, 2*time.Millisecond, 50*time.Millisecond
	})
	for _, size := range []int{50, 5000} {
		hung := []*drivetest.Mem{f.mems[0], f.mems[2]} // those that take commits without waiting
		gate := make(chan struct{})
		hang := func(m *drivetest.Mem) {
			m.Before(func(_ context.Context, op drivetest.Op) error {
				if op == drivetest.OpCommit {
					<-gate
				}
				return nil
			})
		}
		hang(hung[0])
		f.mustPut("one", pattern(1, size))
		hang(hung[1])
		if _, err := f.put("two", pattern(2, size)); !errors.Is(err, object.ErrWriteQuorum) {
			t.Fatalf("a write without a quorum in time: %v", err)
		}
		f.Close() // waits for the rounds, not for the drives
		close(gate)
		f.calls.Wait()
		for _, m := range hung {
			m.Before(nil)
		}
		f.open()
		f.mustGet("one", pattern(1, size))
		f.mustPut("two", pattern(3, size))
		f.mustGet("two", pattern(3, size))
	}
}

func TestStragglerIsMarkedWhenItComes(t *testing.T) {
	f := newFixture(t, 4, func(o *Options) { o.StragglerLimit, o.MarkLimit = time.Millisecond, 2*time.Millisecond })
	release := held(f.slot("k", 3), drivetest.OpCommit)
	info := f.mustPut("k", pattern(1, 50))
	release()
	f.Close() // waits for the round
	rep, err := (drivetest.Calls{D: f.slot("k", 3)}).Report(f.ctx(), &drivetest.ReportRequest{Epoch: 1, Key: object.Key{Bucket: f.bucket.ID, Name: "k"}})
	if err != nil || len(rep.Versions) != 1 || !rep.Versions[0].Stable || rep.Versions[0].Version.TS != info.TS {
		t.Fatalf("report %+v, %v", rep, err)
	}
	f.open()
}

func TestClockThatWentBackStillWrites(t *testing.T) {
	ahead := 400 * time.Millisecond
	f := newFixture(t, 4, func(o *Options) { o.Clock = func() time.Time { return time.Now().Add(ahead) } })
	first := f.mustPut("k", pattern(1, 50))
	f.opt.Clock = nil
	f.restart() // the new coordinator knows nothing of the old stamps
	second := f.mustPut("k", pattern(2, 5000))
	if second.TS <= first.TS { // I22
		t.Errorf("stamps %d, %d", first.TS, second.TS)
	}
	f.mustGet("k", pattern(2, 5000))
	if err := f.del("k"); err != nil {
		t.Fatal(err)
	}
	f.mustMiss("k")
}

func TestRefusedWriteIsKilledAndLeavesNothing(t *testing.T) {
	f := newFixture(t, 4, nil)
	f.mustPut("k", pattern(1, 50))
	f.slot("k", 0).SetRefuse(true)
	f.slot("k", 1).SetRefuse(true)
	for _, size := range []int{50, 5000} {
		if _, err := f.put("k", pattern(2, size)); !errors.Is(err, object.ErrWriteQuorum) {
			t.Fatal(err)
		}
		f.mustGet("k", pattern(1, 50))
	}
	f.slot("k", 0).SetRefuse(false)
	f.mustPut("k", pattern(3, 50))
	f.mustGet("k", pattern(3, 50))
}

// unfinished leaves a version on some slots only, its writer in doubt.
func (f *fixture) unfinished(key string, data []byte, holders ...int) {
	f.t.Helper()
	has := map[int]bool{}
	for _, i := range holders {
		has[i] = true
	}
	n := len(f.topo.Sets[0].Members)
	for i := range n {
		if !has[i] {
			f.slot(key, i).Before(failOn(drive.ErrFailed, drivetest.OpCommit, drivetest.OpKill)) // no proof of its death
		}
	}
	if _, err := f.put(key, data); !errors.Is(err, object.ErrWriteQuorum) {
		f.t.Fatalf("put: %v", err)
	}
	for i := range n {
		f.slot(key, i).Before(nil)
	}
}

func TestUnfinishedVersions(t *testing.T) {
	for _, size := range []int{1000, 100_000, 5 << 20} {
		old, data := pattern(1, size), pattern(2, size)
		t.Run("too few hold it: skipped, then dropped", func(t *testing.T) {
			f := newFixture(t, 4, func(o *Options) { o.ResolveAge = time.Nanosecond })
			f.mustPut("k", old)
			f.unfinished("k", data, 0, 1)
			f.mustGet("k", old)
			if n := f.ResolvePending(f.ctx()); n != 1 {
				t.Errorf("%d keys resolved", n)
			}
			f.marks.flush()
			f.mustGet("k", old)
			if n := f.ResolvePending(f.ctx()); n != 0 {
				t.Errorf("%d keys still pending", n)
			}
			if v, _, s := f.slot("k", 0).Rows(); v != 1 || s != 1 {
				t.Errorf("drive keeps %d versions, %d shards", v, s)
			}
		})
		t.Run("it may have been acknowledged: finished, also on a drive that missed it", func(t *testing.T) {
			f := newFixture(t, 4, nil)
			f.mustPut("k", old)
			f.unfinished("k", data, 0, 1)
			f.slot("k", 3).SetOffline(true)
			f.mustGet("k", data)
			f.marks.flush()
			f.slot("k", 0).SetOffline(true) // the shard coded anew on slot 2 must do
			f.mustGet("k", data)
			f.slot("k", 0).SetOffline(false)
			f.slot("k", 3).SetOffline(false)
			f.mustGet("k", data)
		})
		t.Run("nobody can tell: 503, never the old one", func(t *testing.T) {
			f := newFixture(t, 4, nil)
			f.mustPut("k", old)
			f.unfinished("k", data, 0, 1)
			f.slot("k", 2).SetOffline(true)
			f.slot("k", 3).SetOffline(true)
			if _, err := f.get("k", nil); !errors.Is(err, object.ErrReadQuorum) {
				t.Fatalf("get: %v", err)
			}
			if _, err := f.List(f.ctx(), &ListRequest{Bucket: f.bucket, Limit: 10}); !errors.Is(err, object.ErrReadQuorum) {
				t.Fatalf("list: %v", err) // I26: never an omission
			}
			f.slot("k", 2).SetOffline(false)
			f.slot("k", 3).SetOffline(false)
			f.mustGet("k", old)
		})
	}
}

func TestAcknowledgedIsFoundWithoutMarks(t *testing.T) {
	f := newFixture(t, 4, func(o *Options) { o.ResolveAge = time.Nanosecond })
	f.slot("k", 2).SetOffline(true)
	data := pattern(1, 70_000)
	f.mustPut("k", data)
	f.slot("k", 2).SetOffline(false)
	f.restart() // the marks are lost
	f.mustGet("k", data)
	f.ResolvePending(f.ctx())
	f.marks.flush()
	f.slot("k", 0).SetOffline(true)
	f.slot("k", 2).SetOffline(true)
	f.mustGet("k", data) // two of the three that took it: stable is what makes them enough
}

func TestBusyMeansLoadAndNothingElse(t *testing.T) {
	f := newFixture(t, 4, nil)
	for i := range 2 {
		f.slot("k", i).Before(failOn(drive.ErrBusy, drivetest.OpCommit))
	}
	if _, err := f.put("k", pattern(1, 50)); !errors.Is(err, object.ErrBusy) {
		t.Errorf("two busy drives: %v", err)
	}
	f.slot("k", 0).Before(nil)
	f.mustPut("k", pattern(1, 50)) // one busy drive is a straggler

	small := newFixture(t, 4, func(o *Options) {
		o.Slabs = slab.New(slab.Config{Budget: 300 << 10, Wait: time.Millisecond})
	})
	buf, err := small.opt.Slabs.Acquire(t.Context(), 128<<10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := small.put("k", pattern(1, 120_000)); !errors.Is(err, object.ErrBusy) {
		t.Errorf("no buffers: %v", err)
	}
	buf.Release()
	small.mustPut("k", pattern(1, 120_000))
	small.opt.Slabs.Close()
}

func TestSealedBucketTakesNothing(t *testing.T) {
	f := newFixture(t, 4, nil)
	f.mustPut("k", pattern(1, 50))
	if empty, err := f.BucketEmpty(f.ctx(), f.bucket); err != nil || empty {
		t.Fatalf("empty %v, %v", empty, err)
	}
	if err := f.Fence(f.ctx(), f.bucket.ID, 4, true, false); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{50, 100_000} {
		if _, err := f.put("new", pattern(1, size)); !errors.Is(err, cluster.ErrBucketSealed) {
			t.Errorf("put: %v", err)
		}
	}
	if _, err := f.CreateUpload(f.ctx(), &UploadRequest{Bucket: f.bucket, Key: "k"}); !errors.Is(err, cluster.ErrBucketSealed) {
		t.Errorf("create upload: %v", err)
	}
	if err := f.Fence(f.ctx(), f.bucket.ID, 5, false, false); err != nil {
		t.Fatal(err)
	}
	f.bucket.Revision = 5
	if err := f.del("k"); err != nil {
		t.Fatal(err)
	}
	if empty, err := f.BucketEmpty(f.ctx(), f.bucket); err != nil || !empty {
		t.Fatalf("empty %v, %v", empty, err)
	}
	for i := range 3 {
		f.mems[i].SetOffline(true)
	}
	if err := f.Fence(f.ctx(), f.bucket.ID, 6, true, false); !errors.Is(err, object.ErrReadQuorum) {
		t.Errorf("fence with one drive: %v", err)
	}
	if _, err := f.BucketEmpty(f.ctx(), f.bucket); !errors.Is(err, object.ErrReadQuorum) {
		t.Errorf("empty with one drive: %v", err)
	}
}

func TestReaderKeepsItsVersion(t *testing.T) {
	f := newFixture(t, 4, nil)
	old := pattern(1, 9<<20)
	f.mustPut("k", old)
	h, err := f.Open(f.ctx(), &OpenRequest{Bucket: f.bucket, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	f.mustPut("k", pattern(2, 100))
	f.marks.flush() // the old version is reclaimed
	st, err := h.Read(f.ctx(), rangeAll(h))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var got bytes.Buffer
	if _, err := st.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), old) {
		t.Fatalf("%d bytes: %v", got.Len(), err)
	}
}

func TestVanishedReaderFreesEverything(t *testing.T) {
	f := newFixture(t, 4, nil)
	f.mustPut("k", pattern(1, 9<<20))
	h, err := f.Open(f.ctx(), &OpenRequest{Bucket: f.bucket, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	st, err := h.Read(f.ctx(), rangeAll(h))
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("client went away")
	if _, err := st.WriteTo(failingWriter{gone}); !errors.Is(err, gone) {
		t.Errorf("write: %v", err)
	}
	st.Close()
	st.Close()
	h.Close()
	h.Close()
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestTooMuchDamageIsSaid(t *testing.T) {
	f := newFixture(t, 4, nil)
	for _, size := range []int{1000, 100_000} {
		f.mustPut("k", pattern(1, size))
		f.marks.flush()
		for i := range 3 {
			for _, id := range f.slot("k", i).OIDs() {
				f.slot("k", i).DamageShard(id, 0)
			}
		}
		if _, err := f.get("k", nil); !errors.Is(err, object.ErrDamaged) {
			t.Errorf("three damaged shards of four: %v", err)
		}
	}
}

func TestForgottenTombstonesAreFound(t *testing.T) {
	f := newFixture(t, 5, nil)
	f.opt.Buckets = func() []cluster.Bucket { return []cluster.Bucket{f.bucket} }
	f.opt.SweepEvery = -1
	for _, key := range []string{"a", "b", "c", "d/e", "d/f"} {
		f.mustPut(key, pattern(1, 50))
	}
	f.mems[1].SetOffline(true)
	for _, key := range []string{"a", "b", "d/e", "d/f"} {
		if err := f.del(key); err != nil {
			t.Fatal(err)
		}
	}
	f.marks.flush()
	f.mems[1].SetOffline(false)
	f.restart() // nobody remembers them
	if n := f.SweepTombstones(f.ctx(), 0); n < 4 {
		t.Errorf("%d tombstones found", n)
	}
	f.CollectTombstones(f.ctx())
	f.marks.flush()
	f.HealDebts(f.ctx(), 0) // what one drive had missed
	f.CollectTombstones(f.ctx())
	f.mustMiss("a")
	f.mustGet("c", pattern(1, 50))
	rows := 0
	for _, m := range f.mems {
		v, _, _ := m.Rows()
		rows += v
	}
	if rows != 4 {
		t.Errorf("%d rows are left, want those of one object", rows)
	}
}

// TestStalledReadersDoNotStopWriters: clients that take an answer and stop reading hold its buffers.
func TestStalledReadersDoNotStopWriters(t *testing.T) {
	reads := slab.New(slab.Config{Budget: 300 << 10, Wait: time.Millisecond})
	f := newFixture(t, 4, func(o *Options) { o.ReadSlabs = reads })
	f.mustPut("k", pattern(1, 200_000))
	h, err := f.Open(f.ctx(), &OpenRequest{Bucket: f.bucket, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	stalled, err := h.Read(f.ctx(), object.Range{End: h.Info().Size})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.get("k", nil); !errors.Is(err, object.ErrBusy) {
		t.Errorf("second reader: %v; want ErrBusy, or this test shows nothing", err)
	}
	f.mustPut("other", pattern(2, 200_000))
	stalled.Close()
	h.Close()
	if _, err := f.get("other", nil); err != nil {
		t.Errorf("after the stalled reader left: %v", err)
	}
	reads.Close()
}
