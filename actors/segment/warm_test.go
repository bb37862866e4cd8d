package segment

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/ondisk"
)

// What is read from memory is what is read in the usual way, with nothing found out where there is no
// page cache, no open file, or a bit that flipped.
func TestReadWarm(t *testing.T) {
	const size = 6<<20 + 100
	disk := func(o *Options) {
		o.SegmentSize = page + 8*UnitSize
		o.Dir = filepath.Join(t.TempDir(), "seg")
	}
	r := newRig(t, vfs.Default, disk)
	r.mustPut(1, size)
	want := content(1, size)
	extents := r.shards[oidOf(1)].extents
	g := r.s.Enter()
	rd, err := g.Open(oidOf(1), extents, 0)
	g.Leave()
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	buf := make([]byte, ondisk.FrameHeaderRoom+256<<10)
	if _, ok := rd.ReadWarm(buf, 0, 1); ok {
		t.Error("the reader has no file yet")
	}
	if err := rd.ReadAt(make([]byte, size), 0); err != nil { // into memory
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		off := rng.Int64N(size)
		n := min(1+rng.IntN(128<<10), size-int(off))
		got, ok := rd.ReadWarm(buf, off, n)
		if !ok || len(got) == 0 || len(got) > n || !bytes.Equal(got, want[off:][:len(got)]) {
			t.Fatalf("%d bytes at %d: %d bytes, %t", n, off, len(got), ok)
		}
		if short := int(off) + len(got); len(got) < n && short%rd.Frame() != 0 {
			t.Fatalf("%d bytes at %d end at %d", n, off, short)
		}
	}
	for _, c := range []struct {
		buf    []byte
		off, n int
	}{{buf, -1, 1}, {buf, 0, 0}, {buf, size, 1}, {buf, size - 1, 2}, {buf, 0, 256<<10 + 1}, {nil, 0, 1}} {
		if _, ok := rd.ReadWarm(c.buf, int64(c.off), c.n); ok {
			t.Errorf("%d bytes at %d into %d", c.n, c.off, len(c.buf))
		}
	}
	f, err := os.OpenFile(r.s.path(extents[0].Segment), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := extents[0].Offset + ondisk.FrameHeaderRoom + 70<<10
	if _, err := f.WriteAt([]byte{^want[70<<10]}, at); err != nil {
		t.Fatal(err)
	}
	if _, ok := rd.ReadWarm(buf, 80<<10, 10); ok {
		t.Error("a block with a flipped bit was read")
	}
	if _, ok := rd.ReadWarm(buf, 10, 10); !ok {
		t.Error("its neighbour was not")
	}
}
