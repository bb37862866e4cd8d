package segment

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/guardfs"
)

// puncher gives parts of files back to the file system, where it can.
type puncher struct {
	off bool // set by probe, before the store is shared, and by the first refusal, guarded by Store.mu
}

func unsupported(err error) bool {
	return guardfs.IsUnsupported(err) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ESPIPE)
}

// probe finds out whether holes can be punched, in a file of its own.
func (s *Store) probe() {
	s.punch.off = true
	name := s.fs.PathJoin(s.dir, "probe.tmp")
	f, err := s.fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return
	}
	if _, err := f.WriteAt(make([]byte, page), 0); err == nil {
		s.punch.off = !s.punchHole(f, name, 0, page)
	}
	_ = f.Close()
	_ = s.fs.Remove(name)
}

// punchHole gives a part of a file back. It reports whether the file system did so.
func (s *Store) punchHole(f vfs.File, name string, off, length int64) bool {
	fd := f.Fd()
	if fd == vfs.InvalidFd {
		return false
	}
	err := s.health.Change("punch", name, unsupported, func() error {
		for {
			err := unix.Fallocate(int(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, length)
			if err != unix.EINTR {
				return err
			}
		}
	})
	return err == nil
}

// Trim does a little housekeeping and returns how many things it did, at most budget: it removes
// emptied files beyond the pool, and punches units of run segments that nobody took since the Trim
// before the last. When space is tight there is no pool and no waiting. The owner calls it from time
// to time, which is what bounds its rate.
func (s *Store) Trim(ctx context.Context, budget int) (done int, err error) {
	pool, tight := s.o.Pool, s.o.Tight()
	if tight {
		pool = 0
	}
	for done < budget && ctx.Err() == nil {
		did, err := s.removeOne(pool)
		if err != nil {
			return done, fmt.Errorf("trim segments: %w", err)
		}
		if !did {
			break
		}
		done++
	}
	return done + s.punchIdle(ctx, budget-done, tight), ctx.Err()
}

// removeOne removes the file that has been in the pool longest, if there are more than pool.
func (s *Store) removeOne(pool int) (bool, error) {
	s.mu.Lock()
	if len(s.free) <= pool {
		s.mu.Unlock()
		return false, nil
	}
	g := s.segs[s.free[0]]
	s.free = s.free[1:]
	s.mu.Unlock()

	s.files.drop(g.no)
	err := s.fs.Remove(s.path(g.no))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.free = append(s.free, g.no)
		return false, err
	}
	g.file, g.written = false, 0
	s.born--
	s.lowest = min(s.lowest, g.no)
	return true, nil
}

// hole is a run of adjacent free units of a segment.
type hole struct {
	g *seg
	r units
}

// punchIdle punches runs of units that have been free for a while, or all at once.
func (s *Store) punchIdle(ctx context.Context, budget int, all bool) (done int) {
	s.mu.Lock()
	holes := s.takeHoles(budget, all)
	s.mu.Unlock()
	for _, h := range holes {
		ok := ctx.Err() == nil && s.punchUnits(h.g.no, h.r)
		s.mu.Lock()
		h.g.reserved.clearAll(h.r)
		h.g.nfree += h.r.n
		h.g.writers--
		if ok {
			h.g.alloc.clearAll(h.r)
			h.g.punched.setAll(h.r)
			h.g.virgin.setAll(h.r)
			done++
		}
		s.listRun(h.g)
		s.recycle(h.g)
		s.mu.Unlock()
	}
	return done
}

// takeHoles reserves up to budget holes to punch, like a writer's, so that nobody takes them
// meanwhile. It looks at some of the segments only: a big drive has tens of thousands, and writers
// wait. One that has nothing left to punch is not looked at again before more of it comes free.
// s.mu is held.
func (s *Store) takeHoles(budget int, all bool) (holes []hole) {
	const look = 256
	if s.punch.off {
		return nil
	}
	seen := 0
	for no, g := range s.loose { // begins anywhere
		if seen++; seen > look || len(holes) >= budget {
			break
		}
		first, rest := len(holes), false
		for i := range s.units {
			if !g.isFree(i) || g.virgin.has(i) && !g.alloc.has(i) {
				continue // in use, or takes nothing
			}
			if !g.idle.has(i) {
				g.idle.set(i)
				if !all {
					rest = true
					continue
				}
			}
			if k := len(holes) - 1; k >= first && holes[k].r.first+holes[k].r.n == i {
				holes[k].r.n++
			} else if len(holes) < budget {
				holes = append(holes, hole{g, units{i, 1}})
			} else {
				rest = true
				break
			}
			g.reserved.set(i)
			g.nfree--
		}
		if !rest {
			delete(s.loose, no)
		}
		for range holes[first:] {
			g.writers++
		}
		s.listRun(g)
	}
	return holes
}

func (s *Store) punchUnits(no uint32, r units) bool {
	h, err := s.files.get(no, forWrite)
	if err != nil {
		return false
	}
	defer s.files.put(h)
	if s.punchHole(h.file, fileName(no), r.start(), r.end()-r.start()) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.punch.off = true
	return false
}
