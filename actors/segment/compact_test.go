package segment

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

// Locate and Move make rig the index of a compaction.
func (r *rig) Locate(_ context.Context, oid object.OID) ([]ondisk.Extent, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.shards[oid].extents), nil
}

func (r *rig) Move(_ context.Context, oid object.OID, from ondisk.Extent, w *Writer) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := r.shards[oid]
	i := slices.Index(st.extents, from)
	if i < 0 {
		return false, nil
	}
	rows, err := w.Commit()
	if err != nil {
		return false, err
	}
	r.apply(rows)
	rel := r.s.Free([]ondisk.Extent{from})
	r.apply(rel.Rows)
	st.extents = slices.Concat(st.extents[:i], w.Extents(), st.extents[i+1:])
	r.shards[oid] = st
	rel.Durable()
	return true, nil
}

func (r *rig) compactAll() (n int) {
	r.t.Helper()
	for {
		did, err := r.s.Compact(context.Background(), r)
		if err != nil {
			r.t.Fatal(err)
		}
		if !did {
			return n
		}
		n++
	}
}

func TestCompactionKeepsLiveDataAndGivesSpaceBack(t *testing.T) {
	r := newRig(t, vfs.NewMem(), func(o *Options) { o.Limit = 10 })
	rng := rand.New(rand.NewPCG(3, 4))
	sizes := []int{100, 3000, 40_000, 90_000, 400_000, 1 << 20}
	next := uint64(1)
	for round := range 4 {
		for { // full
			size := sizes[rng.IntN(len(sizes))]
			if err := r.put(next, size, 256<<10, int64(size)); errors.Is(err, ErrNoSpace) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			next++
		}
		for _, st := range r.shards { // 3 of 4 go
			if rng.IntN(4) > 0 {
				r.remove(st.seed)
			}
		}
		before := r.s.Stats()
		n := r.compactAll()
		after := r.s.Stats()
		if n == 0 || after.Available <= before.Available || after.Live > before.Live || after.Reserved != 0 {
			t.Errorf("round %d: %d segments compacted: %+v, then %+v", round, n, before, after)
		}
		r.check()
		r.open(r.fs)
		r.check()
	}
}

// With nothing but the reserve left, compaction still makes progress and never runs out itself.
func TestCompactionOfAFullDrive(t *testing.T) {
	r := newRig(t, vfs.NewMem(), func(o *Options) { o.Limit = 8 })
	seeds := r.fill(1, 200_000)
	for i, s := range seeds {
		if i%5 == 0 { // 80 % live: worth it only because nothing else is left
			r.remove(s)
		}
	}
	if n := r.compactAll(); n == 0 {
		t.Fatal("nothing was compacted")
	}
	r.check()
	if more := r.fill(10_000, 200_000); len(more) == 0 {
		t.Errorf("no space came back: %+v", r.s.Stats())
	}
	r.check()
}

// A file system that is full is reason enough, however many segments there might be: half-dead
// segments are copied and what they held goes back.
func TestTightSpaceIsGivenBack(t *testing.T) {
	tight := false
	r := newRig(t, vfs.NewMem(), func(o *Options) { o.Limit = 50; o.Tight = func() bool { return tight } })
	for i := range uint64(100) {
		r.mustPut(i, 200_000)
	}
	for i := range uint64(100) {
		if i%2 == 0 {
			r.remove(i)
		}
	}
	before := r.s.Stats()
	if n := r.compactAll(); n != 0 {
		t.Errorf("%d segments half live were compacted without need", n)
	}
	tight = true
	if n := r.compactAll(); n == 0 {
		t.Error("nothing was compacted")
	}
	r.trim(true)
	if after := r.s.Stats(); after.Segments >= before.Segments || after.Free != 0 {
		t.Errorf("%+v, then %+v", before, after)
	}
	r.check()
}

func TestCompactionPassesOverDamage(t *testing.T) {
	mem := vfs.NewMem()
	r := newRig(t, mem, func(o *Options) { o.Limit = 8 })
	seeds := r.fill(1, 200_000)
	for i, s := range seeds {
		if i%4 != 0 {
			r.remove(s)
		}
	}
	e := r.shards[oidOf(seeds[4])].extents[0]
	raw, err := mem.UnsafeGetFileDataBuffer(path2(r, e.Segment))
	if err != nil {
		t.Fatal(err)
	}
	raw[e.Offset+e.Length/2] ^= 1
	r.compactAll()
	if _, err := r.read(seeds[4]); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("damaged shard: %v", err)
	}
	if got := r.shards[oidOf(seeds[4])].extents[0]; got != e {
		t.Errorf("damaged shard was moved to %+v", got)
	}
	r.remove(seeds[4]) // healed elsewhere: the segment goes free at last
	if g := r.s.segs[e.Segment]; g.class != ondisk.SegmentFree {
		t.Errorf("segment still in use with %d live bytes", g.live)
	}
	r.check()
}

// breaking is an index that fails or is told to stop after some moves.
type breaking struct {
	*rig
	left int
	stop context.CancelFunc
}

func (b *breaking) Locate(ctx context.Context, oid object.OID) ([]ondisk.Extent, error) {
	if b.left--; b.left == 0 {
		b.stop()
	}
	return b.rig.Locate(ctx, oid)
}

func TestCompactionCanBeBrokenOff(t *testing.T) {
	for _, after := range []int{1, 3, 20} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			r := newRig(t, vfs.NewMem(), func(o *Options) { o.Limit = 8 })
			seeds := r.fill(1, 50_000)
			for i, s := range seeds {
				if i%3 != 0 {
					r.remove(s)
				}
			}
			ctx, cancel := context.WithCancel(context.Background())
			if _, err := r.s.Compact(ctx, &breaking{r, after, cancel}); !errors.Is(err, context.Canceled) {
				t.Errorf("broken off: %v", err)
			}
			r.check()
			if st := r.s.Stats(); st.Reserved != 0 {
				t.Errorf("%+v", st)
			}
			r.compactAll()
			r.check()
		})
	}
}
