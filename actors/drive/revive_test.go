package drive_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast/actors/await"
	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
)

// TestDriveFilledByOthersIsRevivable: it fails, says when it may be opened anew, and then has
// everything that was acknowledged and takes new data.
func TestDriveFilledByOthersIsRevivable(t *testing.T) {
	var full drivetest.FilledByOthers
	r := newRig(t, errorfs.Wrap(vfs.NewMem(), &full), "/d")
	r.o.Usage = func() (int64, int64, error) {
		if full.Load() {
			return 64 << 20, 0, nil
		}
		return 64 << 20, 48 << 20, nil
	}
	r.reopen()
	for round := range 3 {
		if r.a.Revivable() {
			t.Fatal("a drive that works is to be revived")
		}
		acked := fmt.Sprintf("acked%d", round)
		r.commit(r.version(acked, "payload"))
		full.Store(true)
		if _, err := r.a.Commit(context.Background(), r.version("refused", "new")); !errors.Is(err, drive.ErrFailed) && !errors.Is(err, drive.ErrFull) {
			t.Fatalf("commit without space: %v", err)
		}
		r.a.Commit(context.Background(), r.tombstone("t")) // new data may be refused in time; this meets the full file system
		<-r.a.Failed()
		if r.a.Revivable() {
			t.Fatal("to be revived without space")
		}
		full.Store(false)
		if !r.a.Revivable() {
			t.Fatalf("not to be revived: %v", r.a.Health().Err)
		}
		if err := r.a.Quiesce(context.Background()); err != nil {
			t.Fatal(err)
		}
		r.reopen()
		for i := range round + 1 {
			if rep := r.report(fmt.Sprintf("acked%d", i)); len(rep.Versions) != 1 || string(rep.Inline) != "payload" {
				t.Fatalf("acked%d is gone behind round %d: %+v", i, round, rep)
			}
		}
	}
}

// TestFailedDriveClosesHoweverLateOneLooks: its writer may have ended with the error by then, which is no
// error of Close. Whoever opens the drive anew closes it first, and would never get to it.
func TestFailedDriveClosesHoweverLateOneLooks(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	if !r.a.CanCloseIndex(nil) {
		t.Error("a drive that works cannot close its index")
	}
	why := errors.New("the last batch could not be written")
	if r.a.CanCloseIndex(why) {
		t.Error("the index of a drive whose writer failed is to be closed")
	}
	if h := r.a.Health(); h.State != drive.Failed || !errors.Is(h.Err, why) {
		t.Errorf("health: %+v", h)
	}
	if err := r.a.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// opened counts the files of its file system that are open and no part of the index.
type opened struct {
	vfs.FS
	files *atomic.Int64
}

type openedFile struct {
	vfs.File
	files *atomic.Int64
}

func (f openedFile) Close() error { f.files.Add(-1); return f.File.Close() }

func (o opened) count(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || path.Base(path.Dir(name)) == "idx" {
		return f, err
	}
	o.files.Add(1)
	return openedFile{f, o.files}, nil
}

func (o opened) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := o.FS.Create(name, c)
	return o.count(name, f, err)
}

func (o opened) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := o.FS.Open(name, opts...)
	return o.count(name, f, err)
}

func (o opened) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := o.FS.OpenReadWrite(name, c, opts...)
	return o.count(name, f, err)
}

// TestFailedDriveLetsItsFilesGo: it may fail and return any number of times in the life of a process.
func TestFailedDriveLetsItsFilesGo(t *testing.T) {
	fs := opened{vfs.NewMem(), new(atomic.Int64)}
	r := newRig(t, fs, "/d")
	r.commit(r.version("inline", "payload"))
	r.report("inline")
	r.commit(r.staged("staged", pattern(1<<20, 1), 64<<10))
	if fs.files.Load() == 0 {
		t.Fatal("no file is open, so this test shows nothing")
	}
	r.a.Abandon(errors.New("an I/O error"))
	if err := r.a.Close(); err != nil {
		t.Fatal(err)
	}
	await.True(t, "its files are closed", func() bool { return fs.files.Load() == 0 })
}

// TestOtherFailuresAreNotRevived: a drive that failed an I/O is out until it is checked.
func TestOtherFailuresAreNotRevived(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	r.a.Abandon(errors.New("an I/O error"))
	<-r.a.Failed()
	if r.a.Revivable() {
		t.Error("to be revived")
	}
}
