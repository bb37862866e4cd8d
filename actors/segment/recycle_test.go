package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast/actors/guardfs"
	"holdfast/actors/ondisk"
)

// fill puts shards of size bytes until there is no more space, and returns their seeds.
func (r *rig) fill(from uint64, size int) (seeds []uint64) {
	r.t.Helper()
	for {
		err := r.put(from, size, 1<<20, int64(size))
		if errors.Is(err, ErrNoSpace) {
			return seeds
		}
		if err != nil {
			r.t.Fatal(err)
		}
		seeds = append(seeds, from)
		from++
	}
}

func TestRecycledFramesAreToldApart(t *testing.T) {
	for _, size := range []int{300_000, 3 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := newRig(t, vfs.NewMem(), func(o *Options) { o.Limit = 5; o.Pool = 100 })
			for round := uint64(1); round < 4; round++ {
				seeds := r.fill(round*1000, size)
				if len(seeds) < 3 {
					t.Fatalf("round %d: only %d shards fitted", round, len(seeds))
				}
				r.check()
				old := map[uint64]stored{}
				for _, s := range seeds {
					old[s] = r.shards[oidOf(s)]
					r.remove(s)
				}
				if st := r.s.Stats(); st.Live != 0 {
					t.Errorf("round %d: %+v", round, st)
				}
				r.put(round*1000+999, size, 1<<20, int64(size))
				for s, st := range old { // whatever still lies there is not taken for the shard
					g := r.s.Enter()
					rd, err := g.Open(oidOf(s), st.extents, 0)
					if err == nil {
						err = rd.ReadAt(make([]byte, 1), 0)
						rd.Close()
					}
					if r.s.segs[st.extents[0].Segment].gen != st.extents[0].Generation && !errors.Is(err, ondisk.ErrCorrupt) {
						t.Errorf("stale shard read: %v", err)
					}
					g.Leave()
				}
				r.remove(round*1000 + 999)
				if round == 2 {
					r.open(r.fs)
				}
			}
		})
	}
}

// A file is used for a new generation, nothing of it is committed, and the process dies: the next
// generation must not be taken for the last one.
func TestGenerationsSurviveRestart(t *testing.T) {
	r := newRig(t, vfs.NewMem(), func(o *Options) { o.Limit = 4 })
	seen := map[uint32]bool{}
	for i := range uint64(4) {
		w, err := r.stage(i, 2<<20, 1<<20, 2<<20)
		if err != nil {
			t.Fatal(err)
		}
		gen := w.Extents()[0].Generation
		if seen[gen] {
			t.Errorf("generation %d used twice", gen)
		}
		seen[gen] = true
		r.open(r.fs)
	}
	// The header rots: whatever was begun under it must be leapt over.
	f, err := r.fs.OpenReadWrite("drive/seg/00000000.seg", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff}, 40); err != nil {
		t.Fatal(err)
	}
	f.Close()
	r.open(r.fs)
	w, err := r.stage(9, 2<<20, 1<<20, 2<<20)
	if err != nil {
		t.Fatal(err)
	}
	if gen := w.Extents()[0].Generation; seen[gen] {
		t.Errorf("generation %d used twice", gen)
	}
}

func TestPinsDelayReuse(t *testing.T) {
	for _, size := range []int{500_000, 2 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := newRig(t, vfs.NewMem(), func(o *Options) { o.Limit = 4 })
			seeds := r.fill(1, size)
			victim := seeds[0]
			g := r.s.Enter()
			st := r.shards[oidOf(victim)]
			rd, err := g.Open(oidOf(victim), st.extents, 0)
			if err != nil {
				t.Fatal(err)
			}
			g.Leave()
			for _, s := range seeds {
				r.remove(s)
			}
			r.fill(1000, size) // everything but what the reader holds
			got := make([]byte, size)
			if err := rd.ReadAt(got, 0); err != nil || !bytes.Equal(got, content(victim, size)) {
				t.Errorf("pinned shard was overwritten: %v", err)
			}
			// A reader that comes later does not prolong it.
			late := r.s.Enter()
			rd.Close()
			rd.Close()
			if more := r.fill(2000, size); len(more) == 0 {
				t.Error("space did not come back when the reader closed")
			}
			late.Leave()
			r.check()
		})
	}
}

func TestGuardHoldsBackReuse(t *testing.T) {
	r := newRig(t, vfs.NewMem(), func(o *Options) { o.Limit = 4 })
	seeds := r.fill(1, 2<<20)
	g := r.s.Enter()
	st := r.shards[oidOf(seeds[0])] // looked up, not opened yet
	for _, s := range seeds {
		r.remove(s)
	}
	r.fill(1000, 2<<20)
	rd, err := g.Open(oidOf(seeds[0]), st.extents, 0)
	if err != nil {
		t.Fatal(err)
	}
	g.Leave()
	got := make([]byte, 2<<20)
	if err := rd.ReadAt(got, 0); err != nil || !bytes.Equal(got, content(seeds[0], 2<<20)) {
		t.Errorf("shard was overwritten under a guard: %v", err)
	}
	rd.Close()
	if more := r.fill(2000, 2<<20); len(more) == 0 {
		t.Error("space did not come back")
	}
}

func TestFreedSpaceWaitsForItsBatch(t *testing.T) {
	r := newRig(t, vfs.NewMem(), func(o *Options) { o.Limit = 4 })
	seeds := r.fill(1, 2<<20)
	rel := r.s.Free(r.shards[oidOf(seeds[0])].extents)
	delete(r.shards, oidOf(seeds[0]))
	if more := r.fill(1000, 2<<20); len(more) != 0 {
		t.Errorf("%d shards written to space whose release is not durable", len(more))
	}
	r.apply(rel.Rows)
	rel.Durable()
	if more := r.fill(2000, 2<<20); len(more) != 1 {
		t.Errorf("%d shards fit after the release, want 1", len(more))
	}
	r.check()
}

// The same where the segment has free units besides, beside those that are held.
func TestHeldUnitsAreNotTaken(t *testing.T) {
	r := newRig(t, vfs.NewMem(), nil)
	r.mustPut(1, 2<<20)
	st := r.shards[oidOf(1)]
	g := r.s.Enter()
	defer g.Leave()
	rd, err := g.Open(oidOf(1), st.extents, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	r.remove(1)
	r.mustPut(2, 4<<20)
	r.mustPut(3, 2<<20)
	got := make([]byte, 2<<20)
	if err := rd.ReadAt(got, 0); err != nil || !bytes.Equal(got, content(1, 2<<20)) {
		t.Errorf("pinned shard was overwritten: %v", err)
	}
	r.check()
}

// A sync whose callers have all given up still writes what they gathered. Until it has, the segment
// must not begin a new generation.
func TestAbandonedSyncHoldsItsSegment(t *testing.T) {
	reached, finish := make(chan struct{}), make(chan struct{})
	var armed atomic.Bool
	inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWriteAt && armed.Swap(false) {
			close(reached)
			<-finish
		}
		return nil
	})
	mem := vfs.NewMem()
	r := newRig(t, mem, nil)
	r.open(errorfs.Wrap(mem, inj))
	w, err := r.s.Writer(Shard{OID: oidOf(1), Frame: 1 << 20, Size: 100})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WriteFrame(make([]byte, ondisk.FrameHeaderRoom+100)); err != nil {
		t.Fatal(err)
	}
	armed.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-reached; cancel() }()
	if err := w.Sync(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("sync: %v", err)
	}
	w.Abort()
	r.s.mu.Lock()
	g := r.s.pack[fresh]
	r.s.pack[fresh] = nil
	r.s.retire(g)
	early := g.class
	r.s.mu.Unlock()
	close(finish)
	r.s.Close()
	if early != ondisk.SegmentPack || g.class != ondisk.SegmentFree {
		t.Errorf("class %d while the sync ran, %d after it", early, g.class)
	}
}

func TestFreeingTwiceIsRefused(t *testing.T) {
	r := newRig(t, vfs.NewMem(), nil)
	r.mustPut(1, 2<<20)
	r.mustPut(2, 2<<20)
	exts := r.shards[oidOf(1)].extents
	r.remove(1)
	live := r.s.Stats().Live
	if rel := r.s.Free(exts); len(rel.Rows) != 0 || r.s.Stats().Live != live {
		t.Errorf("freed twice: %+v", rel.Rows)
	}
	if rel := r.s.Free([]ondisk.Extent{{Segment: 77, Length: 1}}); len(rel.Rows) != 0 {
		t.Errorf("freed in an unknown segment: %+v", rel.Rows)
	}
}

func TestReserveIsKept(t *testing.T) {
	r := newRig(t, vfs.NewMem(), func(o *Options) { o.Limit = 6 })
	r.fill(1, 1<<20)
	if st := r.s.Stats(); st.Segments != 4 || st.Available != 0 {
		t.Errorf("%+v", st)
	}
	r.fill(1000, 2<<20)
	if st := r.s.Stats(); st.Segments != 4 || st.Reserved != 0 {
		t.Errorf("%+v", st)
	}
	r.check()
}

// A file system that is full refuses cleanly: the drive goes on.
func TestNoSpaceFromTheFileSystem(t *testing.T) {
	var full bool
	inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full && (op.Kind == errorfs.OpFilePreallocate || op.Kind == errorfs.OpCreate) {
			return &os.PathError{Op: "fallocate", Err: syscall.ENOSPC}
		}
		return nil
	})
	mem := vfs.NewMem()
	r := newRig(t, mem, nil)
	r.open(errorfs.Wrap(mem, inj))
	r.mustPut(1, 100_000)
	full = true
	for _, size := range []int{1 << 20, 3 << 20} {
		for i := range uint64(20) {
			if err := r.put(100+i, size, 1<<20, int64(size)); err != nil && !errors.Is(err, ErrNoSpace) {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
	}
	if st := r.s.Stats(); st.Reserved != 0 {
		t.Errorf("%+v", st)
	}
	if err := r.health.Err(); err != nil {
		t.Errorf("the drive failed: %v", err)
	}
	full = false
	r.mustPut(2, 3<<20)
	r.check()
}

func TestFailedSyncIsFinal(t *testing.T) {
	var broken bool
	inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken && op.Kind == errorfs.OpFileSyncData {
			return syscall.EIO
		}
		return nil
	})
	mem := vfs.NewMem()
	r := newRig(t, mem, nil)
	r.open(errorfs.Wrap(mem, inj))
	r.mustPut(1, 1000)
	broken = true
	w, err := r.stage(2, 1000, 1<<20, 1000)
	if !errors.Is(err, syscall.EIO) {
		t.Fatalf("sync: %v", err)
	}
	broken = false
	if err := w.Sync(context.Background()); err == nil {
		t.Error("a failed sync was retried")
	}
	if _, err := w.Commit(); !errors.Is(err, ErrNotSynced) {
		t.Errorf("commit: %v", err)
	}
	if err := r.put(3, 1000, 1<<20, 1000); !errors.Is(err, guardfs.ErrFailed) {
		t.Errorf("write on a failed drive: %v", err)
	}
}

// trim gives back everything that may go and returns how many bytes that was.
func (r *rig) trim(all bool) (sum int64) {
	r.t.Helper()
	for {
		n, err := r.s.Trim(all)
		if err != nil {
			r.t.Fatal(err)
		}
		if n == 0 {
			return sum
		}
		sum += n
	}
}

func TestTrimRemovesAndPunches(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, vfs.Default, func(o *Options) { o.Dir = filepath.Join(dir, "seg"); o.Limit = 20; o.Pool = 2 })
	var seeds []uint64
	for i := range uint64(12) {
		r.mustPut(i, 1_900_000)
		seeds = append(seeds, i)
	}
	for _, s := range seeds[1:] {
		r.remove(s)
	}
	if n := r.trim(false); n == 0 {
		t.Error("no file was removed")
	}
	if got := r.s.Stats(); got.Segments != 3 || got.Free != 2 {
		t.Errorf("%+v", got)
	}
	if names, _ := os.ReadDir(filepath.Join(dir, "seg")); len(names) != 3 {
		t.Errorf("files: %v", names)
	}
	before := blocks(t, filepath.Join(dir, "seg"))
	if got := r.s.Stats().Allocated / 512; got < before*9/10 || got > before*11/10 {
		t.Errorf("%d blocks counted as allocated, the file system says %d", got, before)
	}
	for _, want := range []bool{false, false, true} { // the free half of the file in use must rest
		if n := r.trim(false); n != 0 != (want && !r.s.punch.off) {
			t.Errorf("%d bytes of holes, punching off: %v, rested: %v", n, r.s.punch.off, want)
		}
		r.s.Age()
	}
	after := blocks(t, filepath.Join(dir, "seg"))
	if !r.s.punch.off && after >= before {
		t.Errorf("%d blocks before, %d after", before, after)
	}
	if got := r.s.Stats().Allocated / 512; !r.s.punch.off && (got < after*9/10 || got > after*11/10) {
		t.Errorf("%d blocks counted as allocated, the file system says %d", got, after)
	}
	if n := r.trim(false); n != 0 {
		t.Errorf("%d bytes given back twice", n)
	}
	r.check()
	r.mustPut(50, 1_900_000) // into the hole
	r.check()
	if n := r.trim(true); n == 0 || r.s.Stats().Free != 0 {
		t.Errorf("%d bytes given back when all was wanted: %+v", n, r.s.Stats())
	}
	r.open(vfs.Default)
	r.check()
}

// A big file goes little by little: a device may do nothing else while it discards.
func TestTrimGoesInSteps(t *testing.T) {
	dir := t.TempDir()
	const size = page + 40*UnitSize
	r := newRig(t, vfs.Default, func(o *Options) { o.Dir = filepath.Join(dir, "seg"); o.SegmentSize = size })
	r.mustPut(1, 39<<20)
	r.remove(1)
	if r.s.punch.off {
		return // whole files are all that such a file system takes back
	}
	for left := blocks(t, filepath.Join(dir, "seg")); left > 0; {
		n, err := r.s.Trim(true)
		now := blocks(t, filepath.Join(dir, "seg"))
		if err != nil || n == 0 || now >= left || (left-now)*512 > 2*trimStep {
			t.Fatalf("%d blocks before a step of %d bytes, %d after: %v", left, n, now, err)
		}
		left = now
	}
	if got := r.s.Stats(); got.Segments != 0 || got.Allocated != 0 {
		t.Errorf("%+v", got)
	}
	r.mustPut(2, 3<<20)
	r.check()
}

// Units that are written and freed in turn are overwritten for ever and never given back.
func TestSpaceThatIsTakenAgainHasNotRested(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, vfs.Default, func(o *Options) { o.Dir = filepath.Join(dir, "seg") })
	r.mustPut(1, 1_900_000) // keeps the segment in use
	for i := range uint64(6) {
		r.mustPut(10+i, 1_900_000)
		r.remove(10 + i)
		r.s.Age()
		if n := r.trim(false); n != 0 {
			t.Errorf("round %d: %d bytes given back", i, n)
		}
	}
	r.check()
}

// Not more rests than the pool would hold.
func TestPlentyDoesNotRest(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, vfs.Default, func(o *Options) { o.Dir = filepath.Join(dir, "seg"); o.Limit = 40; o.Pool = 2 })
	for i := range uint64(60) {
		r.mustPut(i, 1_900_000)
	}
	for i := range uint64(60) {
		if i%2 == 0 {
			r.remove(i)
		}
	}
	if r.s.punch.off {
		return
	}
	free := func() (n int) {
		for _, g := range r.s.roomy {
			for w := range g.used {
				n += bits.OnesCount64(g.spare(w, r.s.units))
			}
		}
		return n
	}
	before := free()
	if n := r.trim(false); n == 0 || free() > 2*r.s.units || free() < r.s.units {
		t.Errorf("%d bytes given back, %d of %d free units may rest", n, free(), before)
	}
	r.check()
}

func blocks(t *testing.T, dir string) (n int64) {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range names {
		var st syscall.Stat_t
		if err := syscall.Stat(filepath.Join(dir, e.Name()), &st); err != nil {
			t.Fatal(err)
		}
		n += st.Blocks
	}
	return n
}

func TestMissingFileIsDamage(t *testing.T) {
	r := newRig(t, vfs.NewMem(), nil)
	r.mustPut(1, 100_000)
	r.mustPut(2, 2<<20)
	if err := r.fs.Remove(path2(r, r.shards[oidOf(1)].extents[0].Segment)); err != nil {
		t.Fatal(err)
	}
	r.open(r.fs)
	if st := r.s.Stats(); st.Lost != 1 {
		t.Errorf("%+v", st)
	}
	if _, err := r.read(1); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("read: %v", err)
	}
	r.remove(1)
	r.mustPut(3, 200_000)
	if st := r.s.Stats(); st.Lost != 0 {
		t.Errorf("%+v", st)
	}
	r.check()
}

func path2(r *rig, no uint32) string { return r.fs.PathJoin(r.o.Dir, fileName(no)) }

func TestSwappedFileIsRefused(t *testing.T) {
	r := newRig(t, vfs.NewMem(), nil)
	r.mustPut(1, 100_000)
	r.o.Drive[0]++
	r.open(r.fs)
	if _, err := r.read(1); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("a segment of another drive was read: %v", err)
	}
}

func TestBadRowsAreRefused(t *testing.T) {
	for name, row := range map[string]ondisk.SegmentRow{
		"class":        {Class: ondisk.SegmentFree, Live: 5},
		"live":         {Class: ondisk.SegmentPack, Live: testSize, End: testSize},
		"end":          {Class: ondisk.SegmentPack, Live: 5, End: testSize + 1},
		"empty bitmap": {Class: ondisk.SegmentRun, Live: 5},
		"unit":         {Class: ondisk.SegmentRun, Live: 5, Used: []uint64{1 << 4}},
		"long bitmap":  {Class: ondisk.SegmentRun, Live: 5, Used: []uint64{1, 1}},
	} {
		_, err := Open(Options{
			FS: vfs.NewMem(), Dir: "seg", SegmentSize: testSize, Limit: 4, Health: guardfs.NewHealth(),
			Rows: map[uint32]ondisk.SegmentRow{1: row},
		})
		if !errors.Is(err, ondisk.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
