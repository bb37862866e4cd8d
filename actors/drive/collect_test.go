package drive_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
)

// Short runs of tombstones go row by row, long ones by one range deletion: what lies between and
// beside them stays, whatever came to the keys since they were deleted.
func TestCollectTakesTombstonesAlone(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	var want []string
	var tombs []drivetest.Tomb
	names := make(map[string]*drivetest.Commit)
	for n, run := range []int{1, 2, 15, 16, 17, 40, 700} {
		for i := range run {
			name := fmt.Sprintf("%02d/%04d", n, i)
			c := r.version(name, "x")
			r.commit(c)
			r.mark(c)
			names[name] = c
		}
		stays := fmt.Sprintf("%02d/stays", n)
		c := r.version(stays, "x")
		r.commit(c)
		want = append(want, stays)
	}
	var marked []*drivetest.Commit
	for name := range names {
		d := r.tombstone(name)
		r.commit(d)
		marked = append(marked, d)
		tombs = append(tombs, drivetest.Tomb{Key: d.Key, Set: d.Set, Ref: d.Ref})
	}
	r.mark(marked...)
	again := []string{"03/0007", "05/0000", "06/0300"} // written anew before the collection
	for _, name := range again {
		r.commit(r.version(name, "y"))
		want = append(want, name)
	}
	if err := r.a.Collect(context.Background(), tombs); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	for range 2 {
		if got := r.scan(drive.ScanRequest{Limit: 2000}); !slices.Equal(got, want) {
			t.Fatalf("left are %q, want %q", got, want)
		}
		for _, name := range again {
			if rep := r.report(name); len(rep.Versions) == 0 || string(rep.Inline) != "y" {
				t.Fatalf("%s: %+v", name, rep)
			}
		}
		r.reopen()
	}
}
