package drive_test

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/drive/drivetest"
)

// TestDeletedKeyWrittenAgainBeforeTheMark: a tombstone that was alone when it came is marked by heart, and
// newer versions may have come since. The key has not ended then.
func TestDeletedKeyWrittenAgainBeforeTheMark(t *testing.T) {
	for _, batch := range []string{"one after the other", "collected in between"} {
		t.Run(batch, func(t *testing.T) {
			r := newRig(t, vfs.NewMem(), "/d")
			gone := r.tombstone("k")
			r.commit(gone)
			late := r.version("k", "late") // its stamp lies between, it comes last
			c := r.version("k", "x")
			r.commit(c)
			r.mark(gone)
			if batch == "collected in between" {
				tomb := drivetest.Tomb{Key: gone.Key, Set: gone.Set, Ref: gone.Ref}
				if err := r.a.Collect(context.Background(), []drivetest.Tomb{tomb}); err != nil {
					t.Fatal(err)
				}
			}
			if reply := r.commit(late); reply.Accepted || reply.Highest < c.Ref.TS {
				t.Errorf("a version older than the newest: %+v", reply)
			}
			r.mark(c)
			for range 2 {
				if rep := r.report("k"); len(rep.Versions) != 1 || rep.Versions[0].Version.TS != c.Ref.TS || string(rep.Inline) != "x" {
					t.Fatalf("what is left of the key: %+v", rep)
				}
				r.reopen()
			}
		})
	}
}
