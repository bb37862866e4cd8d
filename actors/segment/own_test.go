package segment

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/ondisk"
)

// countFS counts descriptors for reading.
type countFS struct {
	vfs.FS
	opened, open atomic.Int64
}

func (c *countFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := c.FS.Open(name, opts...)
	if err != nil {
		return nil, err
	}
	c.opened.Add(1)
	c.open.Add(1)
	return &countFile{f, c}, nil
}

type countFile struct {
	vfs.File
	c *countFS
}

func (f *countFile) Close() error {
	f.c.open.Add(-1)
	return f.File.Close()
}

// Readers of long shards read through their own descriptors, one at a time, and close them all,
// also when several goroutines share a reader and run from segment to segment.
func TestLongShardsAreReadThroughDescriptorsOfTheirOwn(t *testing.T) {
	fs := &countFS{FS: vfs.NewMem()}
	r := newRig(t, fs, func(o *Options) { o.SegmentSize = page + 2*UnitSize })
	const size = 6<<20 + 100
	r.mustPut(1, size)
	r.mustPut(2, 1<<20) // short
	r.check()
	shared := fs.open.Load()
	want := content(1, size)

	for range 3 {
		g := r.s.Enter()
		rd, err := g.Open(oidOf(1), r.shards[oidOf(1)].extents, 0)
		g.Leave()
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range uint64(4) {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(i, 1))
				buf := make([]byte, ondisk.FrameHeaderRoom+1<<20)
				for range 20 {
					if n := rnd.IntN(rd.Frames()); i < 2 {
						got, err := rd.ReadFrames(n, [][]byte{buf})
						if err != nil || !bytes.Equal(got[0], want[n<<20:min(size, (n+1)<<20)]) {
							t.Errorf("frame %d: %v", n, err)
						}
						continue
					}
					from := rnd.IntN(size)
					p := buf[:min(size-from, 1+rnd.IntN(1<<20))]
					if err := rd.ReadAt(p, int64(from)); err != nil || !bytes.Equal(p, want[from:from+len(p)]) {
						t.Errorf("%d bytes at %d: %v", len(p), from, err)
					}
				}
			})
		}
		wg.Wait()
		if n := fs.open.Load() - shared; n != 1 {
			t.Errorf("%d descriptors are open between reads", n)
		}
		for range 2 {
			if err := rd.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if n := fs.open.Load() - shared; n != 0 {
			t.Errorf("%d descriptors are left open", n)
		}
	}
	before := fs.opened.Load()
	for range 3 {
		if _, err := r.read(2); err != nil {
			t.Fatal(err)
		}
	}
	if n := fs.opened.Load() - before; n != 0 {
		t.Errorf("a short shard opened %d descriptors", n)
	}
}
