package raftfsm

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestOneDrive(t *testing.T) {
	t.Parallel()
	copies := newCopies(1)
	o := testOptions(t, filepath.Join(t.TempDir(), "raft"), copies)
	o.W = 1
	n := openNode(t, o)
	createBucket(t, n, "first")
	closeNode(t, n)
	o.Birth = nil
	if err := os.RemoveAll(o.Dir); err != nil {
		t.Fatal(err)
	}
	n = openNode(t, o)
	wantBuckets(t, n, "first")
}

// TestMissingDriveIsNotWritten: the directory's parent is never created.
func TestMissingDriveIsNotWritten(t *testing.T) {
	t.Parallel()
	h := live(t)
	gone := filepath.Join(t.TempDir(), "not-mounted")
	h.o.Dir = filepath.Join(gone, "raft")
	if _, err := open(t.Context(), h.o, testLimits()); err == nil {
		t.Fatal("opened on a drive that is not there")
	}
	if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the mount point was created: %v", err)
	}
}
