package segment

import (
	"errors"
	"fmt"
	"math/bits"
	"syscall"

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

// trimStep is how much one call of the file system gives back: a device may do nothing else for as
// long as it takes to discard it.
const trimStep = 4 * UnitSize

// Age is told now and then that time has passed. Units that were free at two calls in a row, and all
// the while between them, have rested. What is written and deleted in turn is thus overwritten, which
// spares the device the discards and the next writer the allocation.
func (s *Store) Age() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.loose {
		for w := range g.used {
			free := g.spare(w, s.units)
			g.rested[w], g.idle[w] = g.idle[w]&free, free
		}
	}
}

// Trim does one step of giving space back to the file system and returns about how many bytes that
// was, 0 if there is nothing to do: of emptied files beyond the pool, then of free units of run
// segments that have rested, or that are more than the pool would hold. With all set there is no pool
// and no resting. The owner calls it from time to time, which is what bounds its rate. A step is
// synced: a file system that discards what it gets back does so when its journal commits, and steps
// would otherwise pile up for the next writer to wait for.
func (s *Store) Trim(all bool) (int64, error) {
	n, err := s.shrink(all)
	if n == 0 && err == nil {
		n, err = s.punchStep(all)
	}
	if err != nil {
		return n, fmt.Errorf("trim segments: %w", err)
	}
	return n, nil
}

// shrink takes a step of the emptied file that is on its way out, from its end on, or removes it if
// little is left of it. It returns 0 if there is no such file.
func (s *Store) shrink(all bool) (int64, error) {
	s.mu.Lock()
	g, keep := s.leaving, s.o.Pool
	if all {
		keep = 0
	}
	if g == nil && len(s.free) > keep {
		g = s.segs[s.free[0]] // it has been in the pool longest
		s.free = s.free[1:]
		s.leaving, s.cut = g, s.size
	}
	to, off := s.cut, s.punch.off
	s.mu.Unlock()
	if g == nil {
		return 0, nil
	}
	from := max(page, to-trimStep)
	if off || from == page {
		return s.remove(g)
	}
	h, err := s.files.get(g.no, forWrite)
	if err != nil {
		return 0, err
	}
	if little(h) || !s.punchHole(h.file, fileName(g.no), from, to-from) {
		s.files.put(h)
		return s.remove(g)
	}
	defer s.files.put(h)
	s.mu.Lock()
	s.cut, g.written = from, min(g.written, from)
	s.mu.Unlock()
	return to - from, h.file.SyncData()
}

// little reports whether a file takes no more space than one step gives back.
func little(h *handle) bool {
	info, err := h.file.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Blocks*512 <= trimStep
}

// remove removes the file that is on its way out.
func (s *Store) remove(g *seg) (int64, error) {
	s.files.drop(g.no)
	err := s.fs.Remove(s.path(g.no))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = nil
	if err != nil {
		s.free = append(s.free, g.no)
		return 0, err
	}
	n := max(g.written, page)
	g.file, g.written = false, 0
	s.born--
	s.lowest = min(s.lowest, g.no)
	return n, nil
}

// punchStep punches a run of free units.
func (s *Store) punchStep(all bool) (int64, error) {
	s.mu.Lock()
	g, r := s.takeHole(all || s.plenty())
	s.mu.Unlock()
	if g == nil {
		return 0, nil
	}
	done, err := s.punchUnits(g.no, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	g.reserved.clearAll(r)
	g.nfree += r.n
	g.writers--
	g.alloc.clearAll(done)
	g.bare.setAll(done)
	s.listRun(g)
	s.recycle(g)
	return int64(done.n) * UnitSize, err
}

// punchUnits punches the first units of r, or all of them if the file has little, and returns which.
func (s *Store) punchUnits(no uint32, r units) (done units, err error) {
	h, err := s.files.get(no, forWrite)
	if err != nil {
		return units{}, err
	}
	defer s.files.put(h)
	if !little(h) {
		r.n = min(r.n, trimStep/UnitSize)
	}
	if !s.punchHole(h.file, fileName(no), r.start(), r.end()-r.start()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.punch.off = true
		return units{}, nil
	}
	return r, h.file.SyncData()
}

// spare is the free units of a word of the bitmaps that may take space.
func (g *seg) spare(w, total int) uint64 {
	return low(total-64*w) &^ (g.used[w] | g.reserved[w] | g.held[w] | g.bare[w])
}

// low is a word with its first n bits set.
func low(n int) uint64 {
	if n >= 64 {
		return ^uint64(0)
	}
	return 1<<n - 1
}

// plenty reports whether more free units of segments in use may take space than the pool would hold.
// It looks at some of the segments only: a big drive has tens of thousands. s.mu is held.
func (s *Store) plenty() bool {
	const look = 1024
	seen, spare := 0, 0
	for _, g := range s.loose {
		if seen++; seen > look {
			break
		}
		for w := range g.used {
			spare += bits.OnesCount64(g.spare(w, s.units))
		}
	}
	return seen > 0 && spare*len(s.loose)/min(seen, look) > s.o.Pool*s.units
}

// takeHole reserves adjacent units to punch, like a writer's, so that nobody takes them meanwhile. It
// looks at some of the segments only. One that has nothing left to punch is not looked at again before
// more of it comes free. s.mu is held.
func (s *Store) takeHole(all bool) (*seg, units) {
	const look = 256
	if s.punch.off {
		return nil, units{}
	}
	seen := 0
	for no, g := range s.loose { // begins anywhere
		if seen++; seen > look {
			break
		}
		left := false
		for w := range g.used {
			spare := g.spare(w, s.units)
			left = left || spare != 0
			if !all {
				spare &= g.rested[w]
			}
			if spare == 0 {
				continue
			}
			r := units{64*w + bits.TrailingZeros64(spare), 0}
			for i := r.first; i < s.units && g.spare(i/64, s.units)&(1<<(i%64)) != 0 && (all || g.rested.has(i)); i++ {
				r.n++
			}
			g.reserved.setAll(r)
			g.nfree -= r.n
			g.writers++
			s.listRun(g)
			return g, r
		}
		if !left {
			delete(s.loose, no)
		}
	}
	return nil, units{}
}
