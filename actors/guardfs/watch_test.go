package guardfs_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast/actors/await"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/guardfs"
)

// TestHangIsSeen: a drive does not answer if a call is under way and no sync comes back, for as long
// as both last.
func TestHangIsSeen(t *testing.T) {
	var hang drivetest.Hang
	health := guardfs.NewHealth()
	fs := guardfs.Checked(errorfs.Wrap(vfs.NewMem(), &hang), health)
	open := func(name string) vfs.File {
		f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	quick, stuck := open("quick"), open("stuck")
	tick := func(n int) (silent int) {
		for range n {
			silent = health.Tick()
		}
		return silent
	}
	if n := tick(200); n != 0 {
		t.Fatalf("an idle drive is silent for %d ticks", n)
	}
	begin := func() (wait func()) {
		done := make(chan error, 1)
		before := hang.Waiting()
		go func() { done <- stuck.Sync() }()
		await.True(t, "the call hangs", func() bool { return hang.Waiting() > before })
		return func() {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	hang.Set(true)
	waits := []func(){begin()}
	for want := range 10 {
		if n := tick(1); n != want {
			t.Fatalf("tick %d: silent for %d", want, n)
		}
	}
	if n := tick(300); n != 309 { // more than there are ages
		t.Fatalf("silent for %d ticks", n)
	}
	for range 100 { // as many calls as there are ages, and more
		waits = append(waits, begin())
		tick(1)
	}
	if n := tick(1); n != 410 {
		t.Fatalf("silent for %d ticks", n)
	}
	hang.Set(false)
	for _, wait := range waits {
		wait()
	}
	if n := tick(1); n != 0 {
		t.Fatalf("answers again, and is silent for %d ticks", n)
	}

	// A call that takes long while syncs come back is no hang.
	hang.Set(true)
	wait := begin()
	hang.Pass(true)
	for range 50 {
		if err := quick.Sync(); err != nil {
			t.Fatal(err)
		}
		if n := tick(1); n > 1 {
			t.Fatalf("silent for %d ticks beside syncs that come back", n)
		}
	}
	if n := tick(10); n != 10 {
		t.Fatalf("silent for %d ticks behind the last sync", n)
	}
	hang.Set(false)
	wait()
}
