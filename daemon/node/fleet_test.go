package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast/actors/await"
	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/ondisk"
	"holdfast/actors/segment"
	"holdfast/raftfsm/cluster"
)

// TestDriveFilledByOthersReturnsWithoutARestart: the watch takes it out when there is space again
// and lets it return, with the same identity.
func TestDriveFilledByOthersReturnsWithoutARestart(t *testing.T) {
	var full drivetest.FilledByOthers
	var out bytes.Buffer
	dir := filepath.Join(t.TempDir(), "d")
	label := ondisk.Label{Cluster: cluster.ID{1}, Drive: cluster.DriveID{7}, Created: time.Unix(1700000000, 0), Capacity: 1 << 32, SegmentSize: segment.SizeFor(1 << 32), Inline: 2048, SetSize: 4}
	if err := drive.FormatOn(vfs.Default, dir, label); err != nil {
		t.Fatal(err)
	}
	f := newFleet([]cluster.Drive{{ID: label.Drive, Path: dir}}, []string{dir}, label.Cluster, slog.New(slog.NewTextHandler(&out, nil)))
	f.open = func(ctx context.Context, path string, found drive.Found) (*drive.Actor, error) {
		return drive.Open(ctx, drive.Options{Path: path, Label: found.Label, FS: errorfs.Wrap(vfs.Default, &full), Usage: func() (int64, int64, error) {
			if full.Load() {
				return 1 << 32, 0, nil
			}
			return 1 << 32, 1 << 31, nil
		}})
	}
	f.joined = func(_ context.Context, a *drive.Actor) error { return nil }
	left := 0
	f.left = func(cluster.DriveID) { left++ }
	defer f.Close()
	ctx := t.Context()
	f.look(ctx)
	first := f.actors()[0]
	full.Store(true)
	first.StoreControl(ctx, ondisk.ControlMeta{Cluster: label.Cluster, Index: 1}, map[string][]byte{"k": []byte("v")}, nil) // meets no space
	<-first.Failed()
	f.look(ctx)
	if h := f.Drive(label.Drive).Health(); h.State != drive.Failed || !errors.Is(h.Err, syscall.ENOSPC) || left != 0 {
		t.Fatalf("while it is full: %+v, left %d times", h, left)
	}
	full.Store(false)
	await.True(t, "the drive returns", func() bool {
		f.look(ctx)
		return f.Drive(label.Drive).Health().State == drive.Online
	})
	if f.actors()[0] == first || left != 1 || len(f.missing()) != 0 || !strings.Contains(out.String(), "drive returned") {
		t.Errorf("left %d times, missing %v:\n%s", left, f.missing(), out.String())
	}
}

// TestWatchGoesOnBesideADiskThatHangs: a path that does not answer, in service or not, keeps the watch
// from no other drive.
func TestWatchGoesOnBesideADiskThatHangs(t *testing.T) {
	var drives []cluster.Drive
	var dirs []string
	base := t.TempDir()
	for i := range 3 {
		dir := filepath.Join(base, string(rune('a'+i)))
		label := ondisk.Label{Cluster: cluster.ID{1}, Drive: cluster.DriveID{byte(i + 1)}, Created: time.Unix(1700000000, 0), Capacity: 1 << 32, SegmentSize: segment.SizeFor(1 << 32), Inline: 2048, SetSize: 4}
		if err := drive.FormatOn(vfs.Default, dir, label); err != nil {
			t.Fatal(err)
		}
		drives, dirs = append(drives, cluster.Drive{ID: label.Drive, Path: dir}), append(dirs, dir)
	}
	f := newFleet(drives, dirs, cluster.ID{1}, slog.New(slog.DiscardHandler))
	f.open = func(ctx context.Context, path string, found drive.Found) (*drive.Actor, error) {
		return drive.Open(ctx, drive.Options{Path: path, Label: found.Label})
	}
	f.joined = func(context.Context, *drive.Actor) error { return nil }
	f.left = func(cluster.DriveID) {}
	defer f.Close()
	let := make(chan struct{})
	defer close(let)
	wait := func(path string) {
		if path != dirs[2] {
			<-let
		}
	}
	f.probe = func(path string) drive.Found {
		if path == dirs[1] {
			wait(path)
		}
		return drive.Probe(path)
	}
	f.look(t.Context()) // the second does not even begin
	f.inode = func(path string) ([2]uint64, error) { wait(path); return formatInode(path) }
	if got := len(f.actors()); got != 2 {
		t.Fatalf("%d drives are in service", got)
	}
	if err := os.Rename(dirs[2], dirs[2]+".away"); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { f.look(t.Context()); f.look(t.Context()); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("the watch waits for a disk that hangs")
	}
	if got := f.actors(); len(got) != 1 || got[0].Path() != dirs[0] {
		t.Errorf("in service: %d drives", len(got))
	}
}

// TestStartBesideADiskThatHangs: a place that does not answer is an absent drive like any other.
func TestStartBesideADiskThatHangs(t *testing.T) {
	let := make(chan struct{})
	defer close(let)
	cands := probeAll([]string{"/a", "/b", "/c"}, func(path string) drive.Found {
		if path == "/a" {
			<-let
		}
		return drive.Found{Kind: drive.FoundStore}
	}, 200*time.Millisecond)
	for i, kind := range []drive.FoundKind{drive.FoundUnusable, drive.FoundStore, drive.FoundStore} {
		if cands[i].found.Kind != kind {
			t.Errorf("%s: %+v", cands[i].path, cands[i].found)
		}
	}
	adm, err := admitStore(cands)
	if err != nil || len(adm.absent) != 1 || !errors.Is(adm.absent[0].why, drive.ErrOffline) {
		t.Errorf("%+v, %v", adm, err)
	}
}
