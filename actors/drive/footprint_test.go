package drive_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/actors/await"
)

// TestUsedIsWhatTheFilesTake: an operator compares the figure with du, and emptied segments stay until
// they are used again; live is what objects refer to.
func TestUsedIsWhatTheFilesTake(t *testing.T) {
	dir := t.TempDir() + "/d"
	r := newRig(t, vfs.Default, dir)
	if err := r.a.Close(); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	r.o.Registry = registry
	r.open()
	r.commit(r.staged("a", pattern(3<<20, 1), 256<<10))
	// Within a few hundred KiB: logs and tables of the index come and go.
	near := func(a, b float64) bool { return a-b < 512<<10 && b-a < 512<<10 }
	await.True(t, "used is what du shows", func() bool { return near(gauge(t, registry, "holdfast_drive_used_bytes"), du(t, dir)) })
	if live := gauge(t, registry, "holdfast_drive_live_bytes"); live < 3<<20 || live > 4<<20 {
		t.Errorf("%.0f bytes are live", live)
	}
	d := r.tombstone("a")
	r.commit(d)
	r.mark(d)
	await.True(t, "nothing is live", func() bool { return gauge(t, registry, "holdfast_drive_live_bytes") == 0 })
}

// gauge is the value of a metric of the one drive of a registry.
func gauge(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func du(t *testing.T, dir string) (total float64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			total += 512 * float64(info.Sys().(*syscall.Stat_t).Blocks)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return total
}
