package ondisk

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"holdfast/raftfsm/cluster"
)

// TestMergerSums: in whatever order and grouping operands meet, the result is their sum.
func TestMergerSums(t *testing.T) {
	key := AppendUsageKey(nil, 1)
	gen := rapid.SliceOfN(rapid.Make[Usage](), 1, 8)
	rapid.Check(t, func(t *rapid.T) {
		list := gen.Draw(t, "operands")
		var want Usage
		for _, u := range list {
			want.Add(&u)
		}
		merge := func(list []Usage, older bool) []byte {
			m, err := Merger().Merge(key, AppendUsage(nil, &list[0]))
			for i := 1; i < len(list) && err == nil; i++ {
				if older {
					err = m.MergeOlder(AppendUsage(nil, &list[i]))
				} else {
					err = m.MergeNewer(AppendUsage(nil, &list[i]))
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			b, _, err := m.Finish(true)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		a, b := merge(list, false), merge(list, true)
		got, err := DecodeUsage(a)
		if err != nil || got != want || !bytes.Equal(a, b) {
			t.Fatalf("got %+v, %v, want %+v (%x, %x)", got, err, want, a, b)
		}
	})
}

// TestMergerKeepsUnknown: a counter of a newer release is summed, not lost.
func TestMergerKeepsUnknown(t *testing.T) {
	op := appendZigzag(AppendUsage(nil, &Usage{Objects: 1}), 40, -5)
	m, err := Merger().Merge(AppendUsageKey(nil, 1), op)
	if err == nil {
		err = m.MergeNewer(op)
	}
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := m.Finish(true)
	if want := appendZigzag(AppendUsage(nil, &Usage{Objects: 2}), 40, -10); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %x, %v, want %x", got, err, want)
	}
}

func TestMergerRefuses(t *testing.T) {
	for name, c := range map[string]struct{ key, value []byte }{
		"another kind": {AppendSetKey(nil, 1), AppendUsage(nil, &Usage{})},
		"no row":       {AppendUsageKey(nil, 1), nil},
		"text":         {AppendUsageKey(nil, 1), appendBytes([]byte{rowFormat}, 1, "x")},
	} {
		if _, err := Merger().Merge(c.key, c.value); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMergerInPebble: counters survive flushes and compaction, over a base that is zero too, and
// beginning again after a row was deleted.
func TestMergerInPebble(t *testing.T) {
	db, err := pebble.Open("idx", &pebble.Options{FS: vfs.NewMem(), Comparer: Comparer(), Merger: Merger(), Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, deltas := range [][2]int64{{5, 3}, {-2, 4}, {7, -7}} {
		for i, d := range deltas {
			if err := db.Merge(AppendUsageKey(nil, cluster.BucketID(i+1)), AppendUsage(nil, &Usage{Objects: d}), pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Compact(t.Context(), []byte("B"), []byte("C"), false); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{10, 0} {
		wantObjects(t, db, cluster.BucketID(i+1), want)
	}
	if err := db.Delete(AppendUsageKey(nil, 1), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if err := db.Merge(AppendUsageKey(nil, 1), AppendUsage(nil, &Usage{Objects: 1}), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	wantObjects(t, db, 1, 1)
}

func wantObjects(t *testing.T, db *pebble.DB, bucket cluster.BucketID, want int64) {
	t.Helper()
	v, closer, err := db.Get(AppendUsageKey(nil, bucket))
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	if u, err := DecodeUsage(v); err != nil || u.Objects != want {
		t.Errorf("bucket %d: %+v, %v, want %d", bucket, u, err, want)
	}
}
