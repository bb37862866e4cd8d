package drive_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/await"
	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/object"
)

// hangRig is a drive on a file system that can be made to hang.
func hangRig(t *testing.T) (*rig, *drivetest.Hang) {
	t.Helper()
	return hangRigOf(t, drive.Limits{Hung: 400 * time.Millisecond})
}

func hangRigOf(t *testing.T, limits drive.Limits) (*rig, *drivetest.Hang) {
	t.Helper()
	hang := &drivetest.Hang{}
	mem := vfs.NewMem()
	if err := drive.FormatOn(mem, "/d", testLabel()); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, o: drive.Options{
		Path: "/d", FS: drivetest.Inject(mem, hang), Label: testLabel(), MemTable: 1 << 20,
		Limits: limits,
	}}
	r.open()
	t.Cleanup(func() { hang.Set(false); r.a.Close() })
	return r, hang
}

func (r *rig) waitState(want drive.State) {
	r.t.Helper()
	await.True(r.t, "the drive's state changes", func() bool { return r.a.Health().State == want })
}

// TestHungDriveIsLeftAndComesBack: whoever waits for a drive that does not answer is told, others
// are refused at once, and the drive serves again as soon as it answers.
func TestHungDriveIsLeftAndComesBack(t *testing.T) {
	r, hang := hangRig(t)
	r.commit(r.version("before", "x"))
	oid := object.NewOID(r.stamp())
	w, err := r.a.Stage(context.Background(), drive.StageRequest{OID: oid, Write: object.NewWriteID(), Frame: 1 << 20, Size: 100})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WriteFrame(context.Background(), make([]byte, 4096+100)); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		hang.Set(true)
		waits := make(chan error, 2)
		go func() {
			_, err := r.a.Commit(context.Background(), r.version("during", "y"))
			waits <- err
		}()
		go func() { waits <- w.Sync(context.Background()) }()
		for range 2 {
			// Behind a first hang the staged bytes may be synced already.
			if err := <-waits; !errors.Is(err, drive.ErrFailed) && (err != nil || round == 0) {
				t.Fatalf("round %d: a call that hangs ended with %v", round, err)
			}
		}
		if h := r.a.Health(); h.State != drive.Absent || !errors.Is(h.Err, drive.ErrOffline) {
			t.Fatalf("round %d: health %+v", round, h)
		}
		start := time.Now()
		if _, err := r.a.Commit(context.Background(), r.version("refused", "z")); !errors.Is(err, drive.ErrOffline) {
			t.Fatalf("round %d: commit: %v", round, err)
		}
		if _, err := r.a.Report(context.Background(), &drivetest.ReportRequest{Set: testSet, Epoch: 1, Key: key("before")}); !errors.Is(err, drive.ErrOffline) {
			t.Fatalf("round %d: report: %v", round, err)
		}
		if _, err := r.a.Stage(context.Background(), drive.StageRequest{OID: oid, Frame: 1, Size: 1}); !errors.Is(err, drive.ErrOffline) {
			t.Fatalf("round %d: stage: %v", round, err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("round %d: three refusals took %v", round, took)
		}
		hang.Set(false)
		r.waitState(drive.Online)
		r.commit(r.version("after", "x"))
		if err := w.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	w.Abort()
	if len(r.report("during").Versions) == 0 {
		t.Error("what the drive had taken when it hung is gone")
	}
	if len(r.report("refused").Versions) != 0 {
		t.Error("what was refused is there")
	}
}

// TestOneStuckCallIsNoHang: a drive whose log can be synced answers, whatever else is stuck in it.
func TestOneStuckCallIsNoHang(t *testing.T) {
	r, hang := hangRig(t)
	r.commit(r.staged("k", pattern(100_000, 1), 256<<10))
	rep := r.report("k")
	defer rep.Release()
	hang.Set(true)
	read := make(chan error, 1)
	go func() { read <- rep.Shard.ReadAt(context.Background(), make([]byte, 100), 0) }()
	await.True(t, "the read hangs", func() bool { return hang.Waiting() > 0 })
	hang.Pass(true)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for range 200 { // five times as long as it would take, and nobody else uses the drive
		<-look.C
		if h := r.a.Health(); h.State != drive.Online {
			t.Fatalf("health %+v", h)
		}
	}
	hang.Set(false)
	if err := <-read; err != nil {
		t.Fatal(err)
	}
}

// TestHungDriveIsClosed: closing a drive that does not answer fails it, and does not hang as well.
func TestHungDriveIsClosed(t *testing.T) {
	r, hang := hangRig(t)
	hang.Set(true)
	done := make(chan error, 1)
	go func() {
		_, err := r.a.Commit(context.Background(), r.version("k", "x"))
		done <- err
	}()
	await.True(t, "the commit hangs", func() bool { return hang.Waiting() > 0 })
	if err := r.a.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := <-done; err == nil {
		t.Error("the commit was answered")
	}
	if h := r.a.Health(); h.State != drive.Failed {
		t.Errorf("health %+v", h)
	}
}

// TestStuckCallIsLeftBehind: a call that is stuck alone, while the drive answers otherwise, does not keep
// the drive from being closed.
func TestStuckCallIsLeftBehind(t *testing.T) {
	r, hang := hangRigOf(t, drive.Limits{Hung: time.Hour, Close: 300 * time.Millisecond})
	r.commit(r.staged("k", pattern(100_000, 1), 256<<10))
	rep := r.report("k")
	hang.Set(true)
	read := make(chan error, 1)
	go func() { read <- rep.Shard.ReadAt(context.Background(), make([]byte, 100), 0) }()
	await.True(t, "the read hangs", func() bool { return hang.Waiting() > 0 })
	hang.Pass(true)
	if err := r.a.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if h := r.a.Health(); h.State != drive.Failed {
		t.Errorf("health %+v", h)
	}
	hang.Set(false)
	<-read
	rep.Release()
	r.open()
	rep = r.report("k")
	defer rep.Release()
	if string(r.read(rep.Shard)) != string(pattern(100_000, 1)) {
		t.Error("other bytes")
	}
}

// TestReclaimAcrossHangs: what the reclaimer had under way when the drive fell silent is not done a
// second time, which would count the space of others as free.
func TestReclaimAcrossHangs(t *testing.T) {
	r, hang := hangRig(t)
	keep := r.staged("keep", pattern(300_000, 9), 256<<10) // in the segment that the others are packed into
	r.commit(keep)
	r.mark(keep)
	live := r.a.SegmentStats().Live
	for round := range 4 {
		var gone []*drivetest.Commit
		for i := range 40 {
			c := r.staged(fmt.Sprintf("o%d", i), pattern(20_000, byte(i)), 256<<10)
			r.commit(c)
			r.mark(c)
		}
		for i := range 40 {
			d := r.tombstone(fmt.Sprintf("o%d", i))
			r.commit(d)
			gone = append(gone, d)
		}
		var marks []drive.Mark
		for _, c := range gone {
			marks = append(marks, drive.Mark{Key: c.Key, Set: c.Set, Ref: c.Ref})
		}
		if err := r.a.Mark(marks); err != nil {
			t.Fatal(err)
		}
		hang.Set(true)
		r.waitState(drive.Absent)
		hang.Set(false)
		r.waitState(drive.Online)
		await.True(t, fmt.Sprintf("round %d: all but one shard is given back", round), func() bool {
			now := r.a.SegmentStats().Live
			if now < live {
				t.Fatalf("round %d: %d bytes are live, of which %d must be", round, now, live)
			}
			return now == live
		})
	}
	rep := r.report("keep")
	defer rep.Release()
	if string(r.read(rep.Shard)) != string(pattern(300_000, 9)) {
		t.Error("other bytes")
	}
}
