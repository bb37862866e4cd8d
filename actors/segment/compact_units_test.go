package segment

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

// scatter fills a store with shards of so many bytes until no segment is left and removes those of them
// that keep does not want, asked with the number of its segment's shards before it. It returns the rest.
func (r *rig) scatter(size int, keep func(nth int) bool) (left []uint64) {
	r.t.Helper()
	nth := map[uint32]int{}
	for _, seed := range r.fill(1, size) {
		no := r.shards[oidOf(seed)].extents[0].Segment
		if keep(nth[no]) {
			left = append(left, seed)
		} else {
			r.remove(seed)
		}
		nth[no]++
	}
	return left
}

func first(nth int) bool { return nth == 0 }

// TestScatteredUnitsAreGathered: a live shard in each segment keeps small ones out only until they are
// gathered, whatever number of units they have.
func TestScatteredUnitsAreGathered(t *testing.T) {
	for _, c := range []struct {
		size  int
		units int64
	}{{1<<20 + 1000, 9}, {2 << 20, 9}, {5 << 20, 17}, {9 << 20, 25}} {
		t.Run(fmt.Sprint(c.size), func(t *testing.T) {
			r := newRig(t, vfs.NewMem(), func(o *Options) { o.Limit = 12; o.SegmentSize = page + c.units*UnitSize })
			left := r.scatter(c.size, first)
			if len(left) < 8 {
				t.Fatalf("%d shards of %d bytes", len(left), c.size)
			}
			if err := r.put(9000, 100_000, 1<<20, 100_000); !errors.Is(err, ErrNoSpace) {
				t.Fatalf("there is room before: %v", err)
			}
			r.compactAll()
			if st := r.s.Stats(); st.Available < scarce || st.Reserved != 0 {
				t.Errorf("%+v", st)
			}
			r.check()
			if more := r.fill(10_000, 100_000); len(more) < 2*int(r.o.SegmentSize/120_000) {
				t.Errorf("%d small shards fit", len(more))
			}
			r.check()
			r.open(r.fs)
			r.check()
			for _, seed := range left {
				r.remove(seed)
			}
			r.check()
		})
	}
}

// TestExtentsAreSplitToFit: what lies in one piece goes to holes of a unit each if there are no others.
func TestExtentsAreSplitToFit(t *testing.T) {
	r := newRig(t, vfs.NewMem(), func(o *Options) { o.Limit = 12 })
	for _, seed := range r.fill(1, 2<<20+500_000) { // three units of four, and the rest in what they leave
		if len(r.shards[oidOf(seed)].extents) > 1 {
			r.remove(seed)
		}
	}
	before := len(r.shards)
	if n := r.compactAll(); n == 0 {
		t.Fatal("nothing was moved")
	}
	split := 0
	for _, st := range r.shards {
		if len(st.extents) > 1 {
			split++
		}
	}
	if split == 0 || len(r.shards) != before {
		t.Errorf("%d of %d shards were split", split, len(r.shards))
	}
	r.check()
	r.open(r.fs)
	r.check()
}

// Segments that are not short are left alone, and so are those that there is no room for elsewhere.
func TestRunsAreNotMovedWithoutNeed(t *testing.T) {
	r := newRig(t, vfs.NewMem(), func(o *Options) { o.Limit = 20 })
	for i := range uint64(12) {
		r.mustPut(i, 3<<20-100_000)
	}
	for i := range uint64(12) {
		if i%4 != 0 {
			r.remove(i)
		}
	}
	if n := r.compactAll(); n != 0 {
		t.Errorf("%d segments were emptied while there are others", n)
	}
	full := newRig(t, vfs.NewMem(), func(o *Options) { o.Limit = 8 })
	full.fill(1, 2<<20-100_000) // 2 units of 4, twice
	if n := full.compactAll(); n != 0 {
		t.Errorf("%d segments were emptied into nothing", n)
	}
	r.check()
	full.check()
}

func TestGatheringPassesOverDamage(t *testing.T) {
	for what, at := range map[string]int64{"first header": 40, "data": 500_000, "second frame": 1<<20 + page + 1000} {
		t.Run(what, func(t *testing.T) {
			mem := vfs.NewMem()
			r := newRig(t, mem, func(o *Options) { o.Limit = 12; o.SegmentSize = page + 6*UnitSize })
			left := r.scatter(3<<19, first)
			e := r.shards[oidOf(left[2])].extents[0]
			raw, err := mem.UnsafeGetFileDataBuffer(path2(r, e.Segment))
			if err != nil {
				t.Fatal(err)
			}
			raw[e.Offset+at] ^= 1
			r.compactAll()
			if _, err := r.read(left[2]); !errors.Is(err, ondisk.ErrCorrupt) {
				t.Errorf("damaged shard: %v", err)
			}
			if got := r.shards[oidOf(left[2])].extents[0]; got != e {
				t.Errorf("damaged shard was moved to %+v", got)
			}
			if st := r.s.Stats(); st.Available == 0 {
				t.Errorf("one damaged shard kept all from being gathered: %+v", st)
			}
			r.remove(left[2])
			r.check()
			if more := r.fill(10_000, 100_000); len(more) == 0 {
				t.Error("no room")
			}
		})
	}
}

// TestGatheringUnderReaders: a reader of a shard that was moved reads on, and its segment is not used
// again before it is closed.
func TestGatheringUnderReaders(t *testing.T) {
	r := newRig(t, vfs.NewMem(), func(o *Options) { o.Limit = 12 })
	left := r.scatter(3<<19, first)
	guard := r.s.Enter()
	var open []*Reader
	for _, seed := range left {
		rd, err := guard.Open(oidOf(seed), r.shards[oidOf(seed)].extents, 0)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, rd)
	}
	guard.Leave()
	for range 4 { // what readers hold is not free yet, so there always is one worth it
		if _, err := r.s.Compact(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	r.fill(10_000, 100_000)
	r.fill(20_000, 1_500_000)
	for i, rd := range open {
		got := make([]byte, rd.Size())
		if err := rd.ReadAt(got, 0); err != nil || string(got) != string(content(left[i], len(got))) {
			t.Errorf("reader %d: %v", i, err)
		}
		rd.Close()
	}
	r.check()
	r.compactAll()
	if more := r.fill(30_000, 100_000); len(more) == 0 {
		t.Errorf("what readers held did not come back: %+v", r.s.Stats())
	}
	r.check()
}

// cutting takes the power away at the nth call of the index.
type cutting struct {
	*rig
	rng  *rand.Rand
	left int
	rest *rig
	fs   vfs.FS
}

func (c *cutting) cut() {
	if c.left--; c.left == 0 {
		c.rest, c.fs = c.crash(c.rng)
	}
}

func (c *cutting) Locate(ctx context.Context, oid object.OID) ([]ondisk.Extent, error) {
	c.cut()
	return c.rig.Locate(ctx, oid)
}

func (c *cutting) Move(ctx context.Context, oid object.OID, from ondisk.Extent, w *Writer) (bool, error) {
	c.mu.Lock()
	c.left--
	now := c.left == 0
	c.mu.Unlock()
	if now {
		c.rest, c.fs = c.crash(c.rng)
	}
	return c.rig.Move(ctx, oid, from, w)
}

// TestCrashWhileUnitsAreGathered takes the power away at every look-up and every move: all shards are
// there behind it, in the old place or the new, and the gathering goes on.
func TestCrashWhileUnitsAreGathered(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for at := 1; ; at++ {
		r := newRig(t, vfs.NewCrashableMem(), func(o *Options) { o.Limit = 9; o.SegmentSize = page + 6*UnitSize })
		r.scatter(3<<19, first)
		c := &cutting{rig: r, rng: rng, left: at}
		for {
			if did, err := r.s.Compact(context.Background(), c); err != nil {
				t.Fatal(err)
			} else if !did {
				break
			}
		}
		if c.rest == nil {
			if at < 6 {
				t.Fatalf("only %d calls", at)
			}
			return
		}
		c.rest.open(c.fs)
		c.rest.check()
		c.rest.compactAll()
		c.rest.check()
		if more := c.rest.fill(10_000, 100_000); len(more) == 0 {
			t.Fatalf("crash at call %d: no room: %+v", at, c.rest.s.Stats())
		}
		c.rest.check()
		r.s.Close()
	}
}

func TestGatheringCanBeBrokenOff(t *testing.T) {
	for _, after := range []int{1, 2, 3} {
		r := newRig(t, vfs.NewMem(), func(o *Options) { o.Limit = 12; o.SegmentSize = page + 9*UnitSize })
		r.scatter(1<<20+1000, func(nth int) bool { return nth < 3 })
		ctx, cancel := context.WithCancel(context.Background())
		if _, err := r.s.Compact(ctx, &breaking{r, after, cancel}); !errors.Is(err, context.Canceled) {
			t.Errorf("broken off: %v", err)
		}
		cancel()
		r.check()
		if st := r.s.Stats(); st.Reserved != 0 {
			t.Errorf("%+v", st)
		}
		r.compactAll()
		r.check()
	}
}
