package drive_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/await"
	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/segment"
)

// allocated is what the files below dir take on the real file system.
func allocated(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	return n
}

// TestDriveOf256MiBFillsRefusesDeletesAndAccepts fills a small drive with every kind of data.
func TestDriveOf256MiBFillsRefusesDeletesAndAccepts(t *testing.T) {
	const capacity = 256 << 20
	r := smallRig(t, capacity, 0)
	dir := r.o.Path
	for round := range 2 {
		stored := r.fillUp(t, round)
		if int64(stored) < capacity/2 {
			t.Fatalf("round %d: full at %d bytes of data", round, stored)
		}
		if free := capacity - allocated(dir); free < 0 {
			t.Fatalf("round %d: %d bytes more than there are", round, -free)
		}
		if !r.a.Health().Full {
			t.Fatalf("round %d: health %+v", round, r.a.Health())
		}
		if _, err := r.a.Commit(context.Background(), r.version("inline", "new")); !errors.Is(err, drive.ErrFull) {
			t.Fatalf("round %d: inline commit on a full drive: %v", round, err)
		}
		r.reopen()
		r.emptyOut(t, round)
		await.True(t, fmt.Sprintf("round %d: the drive is empty", round), func() bool {
			return !r.a.Health().Full && r.a.SegmentStats().Live == 0
		})
		r.commit(r.version("inline", "new"))
	}
}

// smallRig is a drive that believes to have a file system of so many bytes for itself.
func smallRig(t *testing.T, capacity, reserve int64) *rig {
	t.Helper()
	dir := t.TempDir() + "/d"
	label := testLabel()
	label.Capacity, label.SegmentSize = capacity, segment.SizeFor(capacity)
	if err := drive.FormatOn(vfs.Default, dir, label); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, o: drive.Options{Path: dir, Label: label, MinReserve: reserve, Usage: func() (int64, int64, error) {
		return capacity, capacity - allocated(dir), nil
	}}}
	r.open()
	t.Cleanup(func() { r.a.Close() })
	return r
}

// TestDeleteThenPutOnAFullDrive: who deletes may store at once, although what is deleted is given back
// in the background.
func TestDeleteThenPutOnAFullDrive(t *testing.T) {
	const reserve = 80 << 20
	r := smallRig(t, 256<<20, reserve)
	r.fillUp(t, 0)
	if r.a.Health().Reclaiming {
		t.Error("a full drive without anything deleted gives hope")
	}
	start := time.Now()
	if _, err := r.tryStaged("no", 3<<20); !errors.Is(err, drive.ErrFull) || time.Since(start) > time.Second {
		t.Fatalf("a full drive without anything deleted: %v after %v", err, time.Since(start))
	}
	next := 3
	for round := range 3 {
		// As much as is missing, and one object's worth.
		r.a.Look()
		missing := reserve + r.o.Label.SegmentSize/2 + 3<<20 - r.a.Health().Free
		for ; missing > 0; missing -= 9 << 20 {
			d := r.tombstone(fmt.Sprintf("o0/%d", next))
			next += 4 // of each four the last has 9 MiB
			r.commit(d)
			if err := r.a.Mark([]drive.Mark{{Key: d.Key, Set: d.Set, Ref: d.Ref}}); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		c, err := r.tryStaged(fmt.Sprintf("staged%d", round), 3<<20)
		if err != nil {
			t.Fatalf("round %d: staged after a delete: %v", round, err)
		}
		r.commit(c)
		r.commit(r.version(fmt.Sprintf("inline%d", round), "new"))
		t.Logf("round %d: taken after %v", round, time.Since(start))
		for i := 0; err == nil; i++ {
			if c, err = r.tryStaged(fmt.Sprintf("again%d/%d", round, i), 3<<20); err == nil {
				r.commit(c)
			}
		}
		if !errors.Is(err, drive.ErrFull) {
			t.Fatal(err)
		}
	}
}

// fillUp stores objects of several sizes until the drive refuses, and returns how many bytes.
func (r *rig) fillUp(t *testing.T, round int) (stored int) {
	for i := 0; ; i++ {
		size := []int{3 << 20, 1 << 20, 70 << 10, 9 << 20}[i%4]
		c, err := r.tryStaged(fmt.Sprintf("o%d/%d", round, i), size)
		if errors.Is(err, drive.ErrFull) {
			return stored
		}
		if err != nil {
			t.Fatal(err)
		}
		r.commit(c)
		r.mark(c)
		stored += size
	}
}

func (r *rig) tryStaged(name string, size int) (*drivetest.Commit, error) {
	ts := r.stamp()
	oid := object.NewOID(ts)
	ctx := context.Background()
	w, err := r.a.Stage(ctx, drive.StageRequest{OID: oid, Write: object.NewWriteID(), Frame: 1 << 20, Size: int64(size)})
	if err != nil {
		return nil, err
	}
	buf := make([]byte, ondisk.FrameHeaderRoom+1<<20)
	for left := size; left > 0 && err == nil; left -= 1 << 20 {
		err = w.WriteFrame(ctx, buf[:ondisk.FrameHeaderRoom+min(left, 1<<20)])
	}
	if err == nil {
		err = w.Sync(ctx)
	}
	if err != nil {
		w.Abort()
		return nil, err
	}
	v := &ondisk.Version{
		Kind: ondisk.KindObject, N: 4, K: 2, Unit: 256 << 10, Frame: 1 << 20,
		Size: int64(size), Stored: int64(size), ETag: "d41d8cd98f00b204e9800998ecf8427e",
		Refs: []ondisk.Ref{{Set: testSet, OID: oid, Length: int64(size)}},
	}
	c := r.commitOf(name, v, ts, oid, nil)
	c.Staged = true
	return c, nil
}

// emptyOut deletes everything, which works on a full drive.
func (r *rig) emptyOut(t *testing.T, round int) {
	for _, name := range r.scan(drive.ScanRequest{}) {
		d := r.tombstone(name)
		r.commit(d)
		r.mark(d)
		if err := r.a.Collect(context.Background(), []drivetest.Tomb{{Key: d.Key, Set: d.Set, Ref: d.Ref}}); err != nil {
			t.Fatalf("round %d: collect: %v", round, err)
		}
	}
	if names := r.scan(drive.ScanRequest{Tombstones: true}); len(names) != 0 {
		t.Fatalf("round %d: left over: %v", round, names)
	}
}

// TestBallastIsGivenUpWhenOthersFillTheFileSystem and made again once there is room.
func TestBallastIsGivenUpWhenOthersFillTheFileSystem(t *testing.T) {
	const capacity = 2 << 30
	dir := t.TempDir() + "/d"
	if err := drive.FormatOn(vfs.Default, dir, testLabel()); err != nil {
		t.Fatal(err)
	}
	var free atomic.Int64
	free.Store(capacity / 2)
	r := &rig{t: t, o: drive.Options{Path: dir, Label: testLabel(), MemTable: 1 << 20, Usage: func() (int64, int64, error) {
		return capacity, free.Load(), nil
	}}}
	r.open()
	defer func() { r.a.Close() }()
	ballast := func(want bool) {
		t.Helper()
		await.True(t, fmt.Sprintf("the ballast is there: %t", want), func() bool {
			_, err := os.Stat(dir + "/ballast")
			return (err == nil) == want
		})
	}
	ballast(true)
	r.reopen() // it is known again
	free.Store(1 << 20)
	ballast(false)
	if !r.a.Health().Full {
		t.Fatal("not full")
	}
	free.Store(capacity / 2)
	ballast(true)
}

// TestFullDriveDoesNotFlap: what one write takes and one deletion gives does not open and close it.
func TestFullDriveDoesNotFlap(t *testing.T) {
	const reserve = 1 << 30
	dir := t.TempDir() + "/d"
	label := testLabel()
	if err := drive.FormatOn(vfs.Default, dir, label); err != nil {
		t.Fatal(err)
	}
	var free atomic.Int64
	r := &rig{t: t, o: drive.Options{Path: dir, Label: label, MemTable: 1 << 20, MinReserve: reserve, Usage: func() (int64, int64, error) {
		return 4 * reserve, free.Load(), nil
	}}}
	free.Store(reserve + 1<<20)
	r.open()
	defer func() { r.a.Close() }()
	for _, step := range []struct {
		free int64
		full bool
	}{
		{reserve + 1<<20, false}, {reserve - 1, true}, {reserve + 1, true},
		{reserve + label.SegmentSize/2, false}, {reserve + 1, false}, {reserve - 1, true},
	} {
		free.Store(step.free)
		r.a.Look()
		if got := r.a.Health().Full; got != step.full {
			t.Errorf("%d bytes beyond the reserve: full %t, want %t", step.free-reserve, got, step.full)
		}
	}
}
