package drive_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

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

// TestOtherFailuresAreNotRevived: a drive that failed an I/O is out until it is checked.
func TestOtherFailuresAreNotRevived(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	r.a.Abandon(errors.New("an I/O error"))
	<-r.a.Failed()
	if r.a.Revivable() {
		t.Error("to be revived")
	}
}
