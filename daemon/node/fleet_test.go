package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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

// look is one round of the watch at every path, one after the other.
func (f *fleet) look(ctx context.Context) {
	for _, path := range f.paths {
		f.attend(ctx, path)
	}
}

// hanging is a fleet of fresh drives that are all absent. What is asked of a path in hangs waits until
// that is closed.
type hanging struct {
	*fleet
	dirs    []string
	out     *bytes.Buffer
	mu      sync.Mutex
	probes  map[string]chan struct{} // guarded by mu
	inodes  map[string]chan struct{} // guarded by mu
	opening map[string]chan struct{} // guarded by mu
}

func newHanging(t *testing.T, n int) *hanging {
	t.Helper()
	h := &hanging{out: &bytes.Buffer{}, probes: map[string]chan struct{}{}, inodes: map[string]chan struct{}{}, opening: map[string]chan struct{}{}}
	var drives []cluster.Drive
	base := t.TempDir()
	for i := range n {
		dir := filepath.Join(base, string(rune('a'+i)))
		label := ondisk.Label{Cluster: cluster.ID{1}, Drive: cluster.DriveID{byte(i + 1)}, Created: time.Unix(1700000000, 0), Capacity: 1 << 32, SegmentSize: segment.SizeFor(1 << 32), Inline: 2048, SetSize: 4}
		if err := drive.FormatOn(vfs.Default, dir, label); err != nil {
			t.Fatal(err)
		}
		drives, h.dirs = append(drives, cluster.Drive{ID: label.Drive, Path: dir}), append(h.dirs, dir)
	}
	h.fleet = newFleet(drives, h.dirs, cluster.ID{1}, slog.New(slog.NewTextHandler(h.out, nil)))
	h.answer = 500 * time.Millisecond // a busy machine takes a while to answer, too
	h.open = func(ctx context.Context, path string, found drive.Found) (*drive.Actor, error) {
		h.wait(h.opening, path)
		return drive.Open(ctx, drive.Options{Path: path, Label: found.Label})
	}
	h.probe = func(path string) drive.Found { h.wait(h.probes, path); return drive.Probe(path) }
	h.inode = func(path string) ([2]uint64, error) { h.wait(h.inodes, path); return formatInode(path) }
	h.joined = func(context.Context, *drive.Actor) error { return nil }
	h.left = func(cluster.DriveID) {}
	t.Cleanup(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, stuck := range []map[string]chan struct{}{h.probes, h.inodes, h.opening} {
			for _, let := range stuck {
				close(let)
			}
			clear(stuck)
		}
		h.stopWatch()
		h.Close()
	})
	return h
}

func (h *hanging) wait(stuck map[string]chan struct{}, path string) {
	h.mu.Lock()
	let := stuck[path]
	h.mu.Unlock()
	if let != nil {
		<-let
	}
}

// stick lets what is asked of a path hang; the returned function ends that.
func (h *hanging) stick(stuck map[string]chan struct{}, path string) (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	let := make(chan struct{})
	stuck[path] = let
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(stuck, path)
		close(let)
	}
}

func (h *hanging) serves(path string) bool {
	return slices.ContainsFunc(h.actors(), func(a *drive.Actor) bool { return a.Path() == path })
}

// TestWatchGoesOnBesideADiskThatHangs: a path that does not answer, in service or not, keeps the watch
// from no other drive, is named, and returns when it answers again.
func TestWatchGoesOnBesideADiskThatHangs(t *testing.T) {
	h := newHanging(t, 3)
	release := h.stick(h.probes, h.dirs[1])
	await.True(t, "the others are in service", func() bool {
		h.look(t.Context())
		return h.serves(h.dirs[0]) && h.serves(h.dirs[2])
	})
	if h.serves(h.dirs[1]) {
		t.Fatal("what does not answer is in service")
	}
	if m := h.missing(); len(m) != 1 || !strings.Contains(m[0], h.dirs[1]) || !strings.Contains(m[0], "does not answer") {
		t.Errorf("missing: %q", m)
	}
	if !strings.Contains(h.out.String(), "does not answer") {
		t.Errorf("log: %s", h.out)
	}
	h.stick(h.inodes, h.dirs[0])
	if err := os.Rename(h.dirs[2], h.dirs[2]+".away"); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the third is missed", func() bool {
		h.look(t.Context())
		return !h.serves(h.dirs[2])
	})
	if !h.serves(h.dirs[0]) || h.serves(h.dirs[1]) {
		t.Errorf("in service: %d drives", len(h.actors()))
	}
	release()
	await.True(t, "the second drive returns", func() bool {
		h.look(t.Context())
		return h.serves(h.dirs[1])
	})
}

// TestDrivesReturnBesideOneThatDoesNotOpen: each path is watched for itself.
func TestDrivesReturnBesideOneThatDoesNotOpen(t *testing.T) {
	h := newHanging(t, 3)
	h.answer = answerLimit
	release := h.stick(h.opening, h.dirs[0])
	h.watch()
	await.True(t, "the others are in service", func() bool { return h.serves(h.dirs[1]) && h.serves(h.dirs[2]) })
	if h.serves(h.dirs[0]) {
		t.Error("what does not open is in service")
	}
	release()
	await.True(t, "all are in service", func() bool { return h.serves(h.dirs[0]) })
}

// TestSlowOpenIsNotTakenForAnotherProcess: the attempt that hangs holds the lock.
func TestSlowOpenIsNotTakenForAnotherProcess(t *testing.T) {
	h := newHanging(t, 1)
	h.open = func(context.Context, string, drive.Found) (*drive.Actor, error) { return nil, errSlowOpen }
	h.look(t.Context())
	h.probe = func(string) drive.Found { return drive.Found{Kind: drive.FoundInUse, Err: drive.ErrInUse} }
	h.look(t.Context())
	if m := h.missing(); len(m) != 1 || !strings.Contains(m[0], errSlowOpen.Error()) {
		t.Errorf("missing: %q", m)
	}
}

// TestStartBesideADiskThatHangs: a place that does not answer is an absent drive like any other.
func TestStartBesideADiskThatHangs(t *testing.T) {
	let := make(chan struct{})
	defer close(let)
	probe := func(path string) drive.Found {
		if path == "/a" {
			<-let
		}
		return drive.Found{Kind: drive.FoundStore}
	}
	cands, err := probeAll(t.Context(), []string{"/a", "/b", "/c"}, probe, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for i, kind := range []drive.FoundKind{drive.FoundUnusable, drive.FoundStore, drive.FoundStore} {
		if cands[i].found.Kind != kind {
			t.Errorf("%s: %+v", cands[i].path, cands[i].found)
		}
	}
	adm, err := admitStore(cands)
	if err != nil || len(adm.absent) != 1 || !errors.Is(adm.absent[0].why, errSilent) {
		t.Errorf("%+v, %v", adm, err)
	}
	// Told to stop, it waits for nobody.
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("signal")
	stop(why)
	if _, err := probeAll(ctx, []string{"/a"}, probe, time.Hour); !errors.Is(err, why) {
		t.Errorf("a start that was told to stop: %v", err)
	}
}

// TestStartThatHangsEndsWhenTold also when what it waits for looks at no context.
func TestStartThatHangsEndsWhenTold(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("signal")
	let := make(chan struct{})
	defer close(let)
	_, err := startUnless(ctx, time.Millisecond, func() (*Node, error) {
		stop(why)
		<-let
		return nil, nil
	})
	if !errors.Is(err, why) || !errors.Is(err, errStartCut) {
		t.Errorf("start: %v", err)
	}
	n, err := startUnless(ctx, time.Hour, func() (*Node, error) { return nil, os.ErrClosed })
	if n != nil || !errors.Is(err, os.ErrClosed) {
		t.Errorf("a start that ends by itself: %v", err)
	}
}
