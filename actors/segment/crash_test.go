package segment

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// TestCrash takes the power away at random moments of a busy store, of which the index survives as
// of then and the segments with what was synced and a part of what was not. Whatever was committed
// is there; a store on the remains works on.
func TestCrash(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	crashes := 12
	if testing.Short() {
		crashes = 3
	}
	mem := vfs.NewCrashableMem()
	r := newRig(t, mem, func(o *Options) { o.Limit = 10; o.SegmentSize = page + 2*UnitSize })
	rng := rand.New(rand.NewPCG(seed, 1))
	for range crashes {
		next, fs := busy(r, rng)
		r.s.Close()
		r = next
		r.open(fs)
		r.check()
		if st := r.s.Stats(); st.Reserved != 0 || st.Lost != 0 {
			t.Errorf("%+v", st)
		}
	}
}

// TestFaults lets one call of the disk fail somewhere in a busy store: the drive is marked failed,
// nothing is acknowledged that is not durable, and after a crash everything acknowledged is there.
func TestFaults(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 3))
	for range 12 {
		var left atomic.Int64
		left.Store(int64(10 + rng.IntN(150)))
		fault := errors.New("injected")
		inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFilePreallocate && left.Add(-1) == 0 {
				return fault
			}
			return nil
		})
		mem := vfs.NewCrashableMem()
		r := newRig(t, mem, nil)
		r.open(errorfs.Wrap(mem, inj))
		r.lenient, r.fs = true, mem
		for i := 0; r.health.Err() == nil && i < 20; i++ {
			busy(r, rng)
		}
		if err := r.health.Err(); !errors.Is(err, fault) {
			t.Errorf("the drive did not fail: %v, %d calls left", err, left.Load())
		}
		next, fs := r.crash(rng)
		r.s.Close()
		next.open(fs)
		next.check()
	}
}

// crash returns what is left if the power goes now.
func (r *rig) crash(rng *rand.Rand) (*rig, vfs.FS) {
	unsynced := []int{0, 30, 100}[rng.IntN(3)]
	r.mu.Lock()
	defer r.mu.Unlock()
	next := &rig{t: r.t, o: r.o, rows: maps.Clone(r.rows), shards: maps.Clone(r.shards)}
	return next, r.fs.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rng})
}

// busy writes, deletes, aborts and compacts from several goroutines, some shards being left staged,
// and returns the remains of a crash somewhere in the middle.
func busy(r *rig, rng *rand.Rand) (left *rig, fs vfs.FS) {
	var wg sync.WaitGroup
	for i := range 4 {
		mine := rand.New(rand.NewPCG(rng.Uint64(), 2))
		at := mine.IntN(12)
		wg.Go(func() {
			for j := range 12 {
				if i == 0 && j == at {
					left, fs = r.crash(mine)
				}
				r.step(mine)
			}
		})
	}
	wg.Go(func() {
		_, err := r.s.Compact(context.Background(), r)
		if err != nil && !errors.Is(err, ErrNoSpace) {
			r.failed(err)
		}
		if _, err := r.s.Trim(true); err != nil {
			r.failed(err)
		}
	})
	wg.Wait()
	return left, fs
}

func (r *rig) step(rng *rand.Rand) {
	if rng.IntN(3) == 0 {
		r.mu.Lock()
		var victim uint64
		for _, st := range r.shards {
			victim = st.seed
			break
		}
		_, ok := r.shards[oidOf(victim)]
		r.mu.Unlock()
		if ok {
			r.removeOnce(victim)
		}
		return
	}
	id := rng.Uint64()
	size := []int{200, 9_000, 80_000, 500_000, 1_500_000}[rng.IntN(5)]
	hint := int64(size)
	if rng.IntN(4) == 0 {
		hint = -1
	}
	w, err := r.stage(id, size, 256<<10, hint)
	switch {
	case errors.Is(err, ErrNoSpace):
	case err != nil:
		r.failed(err)
	case rng.IntN(6) == 0:
		w.Abort()
	case rng.IntN(6) == 0: // left behind
	default:
		r.commit(id, size, 256<<10, w)
	}
}

// failed reports an error of the store, unless its drive is meant to fail.
func (r *rig) failed(err error) {
	if !r.lenient || r.health.Err() == nil {
		r.t.Error(err)
	}
}

// removeOnce is remove for several goroutines.
func (r *rig) removeOnce(seed uint64) {
	r.mu.Lock()
	_, ok := r.shards[oidOf(seed)]
	var rel *Release
	if ok {
		rel = r.s.Free(r.shards[oidOf(seed)].extents)
		r.apply(rel.Rows)
		delete(r.shards, oidOf(seed))
	}
	r.mu.Unlock()
	if ok {
		rel.Durable()
	}
}

var _ Mover = (*rig)(nil)
