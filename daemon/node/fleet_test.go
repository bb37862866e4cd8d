package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
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
