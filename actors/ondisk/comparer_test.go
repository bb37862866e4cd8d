package ondisk

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"holdfast/actors/object"
)

// drawBytes gives rows, their starts, and strings that are nothing: separators are such.
func drawBytes(t *rapid.T, label string) []byte {
	kind := rapid.SampledFrom([]byte("MVUMMDQ")).Draw(t, label+" kind")
	b := append([]byte{kind}, make([]byte, rapid.SampledFrom([]int{8, 8, 8, 3}).Draw(t, label+" bucket"))...)
	return append(b, rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 1, 2, 'a', 0xff}), 0, 6).Draw(t, label)...)
}

// TestComparerContracts holds Comparer to what Pebble demands of it, for all byte strings. It asks
// what pebble's own CheckComparer asks but for one thing: that a prefix without its first bytes is a
// prefix again. Only tables with synthetic prefixes need that, and the index ingests none.
func TestComparerContracts(t *testing.T) {
	c := Comparer()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawBytes(t, "a"), drawBytes(t, "b")
		if rapid.Bool().Draw(t, "extend") {
			b = append(bytes.Clone(a), b[1:]...)
		}
		pa, pb := c.Split.Prefix(a), c.Split.Prefix(b)
		order := c.Compare(a, b)
		want := bytes.Compare(pa, pb)
		if want == 0 {
			want = c.ComparePointSuffixes(a[len(pa):], b[len(pb):])
		}
		if order != want || c.Equal(a, b) != (order == 0) {
			t.Fatalf("Compare(%x, %x) = %d, by prefix and suffix %d", a, b, order, want)
		}
		if c.Split(pa) != len(pa) {
			t.Fatalf("Split(%x) = %d: a prefix has a suffix", pa, c.Split(pa))
		}
		if order <= 0 && bytes.Compare(pa, pb) > 0 {
			t.Fatalf("%x <= %x, but prefix %x > %x", a, b, pa, pb)
		}
		if x, y := c.AbbreviatedKey(a), c.AbbreviatedKey(b); x < y && order >= 0 || x > y && order <= 0 {
			t.Fatalf("AbbreviatedKey disagrees with Compare on %x and %x", a, b)
		}
		if order < 0 {
			if sep := c.Separator(nil, a, b); c.Compare(a, sep) > 0 || c.Compare(sep, b) >= 0 {
				t.Fatalf("Separator(%x, %x) = %x", a, b, sep)
			}
		}
		if s := c.Successor(nil, a); c.Compare(a, s) > 0 {
			t.Fatalf("Successor(%x) = %x", a, s)
		}
		next := c.ImmediateSuccessor(nil, pa)
		if c.Split(next) != len(next) || c.Compare(pa, next) >= 0 {
			t.Fatalf("ImmediateSuccessor(%x) = %x", pa, next)
		}
		if c.Compare(pa, pb) < 0 && c.Compare(pb, next) < 0 {
			t.Fatalf("prefix %x lies between %x and its immediate successor %x", pb, pa, next)
		}
	})
}

// TestComparerInPebble: a database with this comparer, bloom filters and several tables finds rows by
// prefix, and one opened with Pebble's default comparer is refused.
func TestComparerInPebble(t *testing.T) {
	fs := vfs.NewMem()
	opts := &pebble.Options{FS: fs, Comparer: Comparer(), Merger: Merger(), FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}}
	opts.Levels[0].FilterPolicy = bloom.FilterPolicy(10)
	db, err := pebble.Open("idx", opts)
	if err != nil {
		t.Fatal(err)
	}
	const names, versions = 300, 3
	key := func(i int) object.Key { return object.Key{Bucket: 1, Name: fmt.Sprintf("k\x00%03d", i)} }
	for ts := range versions {
		for i := range names {
			k := AppendVersionKey(nil, key(i), object.VersionRef{TS: object.Stamp(ts + 1)}, object.Stamp(ts+1))
			if err := db.Set(k, fmt.Appendf(nil, "%d.%d", i, ts+1), pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Compact(t.Context(), []byte("M"), []byte("N"), false); err != nil {
		t.Fatal(err)
	}
	it, err := db.NewIter(&pebble.IterOptions{UseL6Filters: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		n := 0
		for ok := it.SeekPrefixGE(AppendVersionPrefix(nil, key(i))); ok; ok = it.Next() {
			want := fmt.Sprintf("%d.%d", i, versions-n)
			if string(it.Value()) != want {
				t.Fatalf("version %d of %d is %q, want %q", n, i, it.Value(), want)
			}
			n++
		}
		if n != versions {
			t.Fatalf("%d versions of %d, want %d", n, i, versions)
		}
	}
	if it.SeekPrefixGE(AppendVersionPrefix(nil, object.Key{Bucket: 1, Name: "k"})) {
		t.Fatal("found a name that only begins others")
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err := pebble.Open("idx", &pebble.Options{FS: fs, Logger: quiet{}}); err == nil {
		db.Close()
		t.Fatal("an index of another key order was opened")
	}
}

// quiet drops what Pebble logs.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}
