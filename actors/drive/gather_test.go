package drive_test

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/await"
	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
)

// TestSmallShardsFitBesideScatteredOnes: big objects that were deleted leave a shorter one in each of
// the segments that a drive may have. It takes small objects all the same, and everything is there
// after a restart.
func TestSmallShardsFitBesideScatteredOnes(t *testing.T) {
	const big, medium, small, rounds = 10 << 20, 2 << 20, 100 << 10, 45
	r := smallRig(t, 256<<20, 0)
	live := func() int64 { return r.a.SegmentStats().Live }
	for i := range rounds {
		r.commit(r.staged(fmt.Sprintf("big%d", i), pattern(big, byte(i)), 1<<20))
		r.commit(r.staged(fmt.Sprintf("medium%d", i), pattern(medium, byte(i)), 1<<20))
		before := live()
		d := r.tombstone(fmt.Sprintf("big%d", i))
		r.commit(d)
		r.mark(d)
		await.True(t, "the big one is given back", func() bool { return live() < before-big/2 })
		if st := r.a.SegmentStats(); i > rounds/2 && st.Available == 0 {
			t.Logf("%d of %d segments, %d MiB live", st.Segments, st.Limit, st.Live>>20)
			break
		}
	}
	const many = 300
	for i := range many {
		name := fmt.Sprintf("small%d", i)
		var c *drivetest.Commit
		await.True(t, fmt.Sprintf("%s is taken: %+v", name, r.a.SegmentStats()), func() (ok bool) {
			var err error
			c, err = r.tryStaged(name, small)
			return err == nil
		})
		r.commit(c)
	}
	r.reopen()
	for i := range rounds {
		name := fmt.Sprintf("medium%d", i)
		rep := r.report(name)
		if len(rep.Versions) == 0 {
			continue // that many segments there are not
		}
		if string(r.read(rep.Shard)) != string(pattern(medium, byte(i))) {
			t.Errorf("%s came back different", name)
		}
		rep.Release()
	}
	for i := range many {
		rep := r.report(fmt.Sprintf("small%d", i))
		if rep.Shard == nil || rep.Shard.Size() != small {
			t.Errorf("small%d is not there", i)
		}
		rep.Release()
	}
}

// TestCrashWhileShardsAreGathered stops the world at calls of a drive that gathers what is scattered
// over its segments: everything acknowledged is there, in the old place or the new.
func TestCrashWhileShardsAreGathered(t *testing.T) {
	const capacity, medium = 24 << 20, 1<<20 + 1000 // a unit of four
	mem := vfs.NewCrashableMem()
	if err := drive.FormatOn(mem, "/d", crashLabel()); err != nil {
		t.Fatal(err)
	}
	c := &crasher{t: t, mem: mem, every: 9, off: true}
	if testing.Short() {
		c.every = 31
	}
	r := &rig{t: t, o: drive.Options{Path: "/d", FS: drivetest.Inject(mem, c), Label: crashLabel(), MemTable: 1 << 20,
		Usage: func() (int64, int64, error) { return capacity, capacity - 1<<20, nil },
	}}
	r.open()
	defer func() { r.a.Close() }()
	all := &model{keys: map[string]string{}, uploads: map[string]int{}}
	scattered := func() bool { st := r.a.SegmentStats(); return st.Available <= 2 }
	for i := 0; !scattered(); i++ {
		name, payload := fmt.Sprintf("medium%d", i), pattern(medium, byte(i))
		r.commit(r.staged("big", pattern(5<<19, byte(i)), 1<<20))
		r.commit(r.staged(name, payload, 1<<20))
		before := r.a.SegmentStats().Live
		d := r.tombstone("big")
		r.commit(d)
		r.mark(d)
		await.True(t, "the big one is given back", func() bool { return r.a.SegmentStats().Live < before-1<<20 })
		all.keys[name] = string(payload)
	}
	t.Logf("%d objects: %+v", len(all.keys), r.a.SegmentStats())
	c.begin("gather", all)
	c.end()
	c.mu.Lock()
	c.off = false
	c.mu.Unlock()
	await.True(t, "enough is gathered", func() bool { return r.a.SegmentStats().Available > 2 })
	// What is written meanwhile may be there or not, but must not be in the way.
	for i := range 40 {
		await.True(t, "small ones are taken", func() bool {
			_, err := r.tryStaged(fmt.Sprint(i), 500_000)
			return err == nil
		})
	}
	c.mu.Lock()
	c.off = true
	t.Logf("%d calls, %d crashes", c.calls, c.checked)
	c.mu.Unlock()
	r.reopen()
	for name, want := range all.keys {
		rep := r.report(name)
		if string(r.read(rep.Shard)) != want {
			t.Errorf("%s came back different", name)
		}
		rep.Release()
	}
}
