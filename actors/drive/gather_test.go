package drive_test

import (
	"fmt"
	"testing"

	"holdfast/actors/await"
	"holdfast/actors/drive"
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
		var c *drive.Commit
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
