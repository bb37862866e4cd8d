package drive

import (
	"sync"

	"holdfast/actors/object"
	"holdfast/actors/quorum"
)

// maxSuperseded is how many reclaimed attempts a drive remembers: those of many seconds at any rate
// at which a drive can overwrite. Those beyond are forgotten in the order of their coming, and
// quorum.DriveState.Since says up to which stamp that is.
const maxSuperseded = 1 << 14

// superseded remembers attempts that were held here and have been reclaimed, so that nobody takes
// their absence for evidence (P1). It is the loop's, which asks for each commit: a chained table over
// a ring of small entries without a pointer, that allocates nothing once it has grown.
type superseded struct {
	ring  []packed
	odd   map[int32]quorum.Reclaimed // by place: what an entry cannot say
	heads []int32
	next  int          // place to be filled next
	top   object.Stamp // highest stamp ever remembered: a version above it need not be looked for
}

// packed is an attempt that was a version's first revision, taken under its own ballot in the epoch of
// its stamp by a member of a set that did not move, or known stable.
type packed struct {
	ref                  object.VersionRef
	epoch                uint64
	chain                int32 // the next place with the same hash, -1 at the end
	null, stable, seated bool
	w                    uint8
}

func (p *packed) unpack() quorum.Reclaimed {
	r := quorum.Reclaimed{Attempt: quorum.Attempt{Ref: p.ref, Rev: p.ref.TS, Epoch: p.epoch, Null: p.null}, Stable: p.stable}
	if p.seated {
		r.Seat = quorum.Seat{Epoch: p.epoch, Ballot: p.ref, W: p.w, Old: true, New: true}
	}
	return r
}

func (s *superseded) hash(write object.WriteID) int {
	return int(uint32(write[0])|uint32(write[1])<<8|uint32(write[2])<<16) & (len(s.heads) - 1)
}

// at is the attempt at a place.
func (s *superseded) at(i int32) quorum.Reclaimed {
	if r, ok := s.odd[i]; ok {
		return r
	}
	return s.ring[i].unpack()
}

// find looks for an attempt, whatever its epoch.
func (s *superseded) find(ref object.VersionRef, rev object.Stamp) (quorum.Reclaimed, bool) {
	if max(ref.TS, rev) > s.top || len(s.ring) == 0 {
		return quorum.Reclaimed{}, false
	}
	for i := s.heads[s.hash(ref.Write)]; i >= 0; i = s.ring[i].chain {
		if s.ring[i].ref != ref {
			continue
		}
		if a := s.at(i); a.Rev == rev {
			return a, true
		}
	}
	return quorum.Reclaimed{}, false
}

// add remembers an attempt and returns the stamp up to which others were forgotten for it.
func (s *superseded) add(a *quorum.Reclaimed) (since object.Stamp) {
	if s.heads == nil {
		s.heads = make([]int32, maxSuperseded)
		for i := range s.heads {
			s.heads[i] = -1
		}
	}
	s.top = max(s.top, a.Ref.TS, a.Rev)
	i := s.next
	p := packed{ref: a.Ref, epoch: a.Epoch, null: a.Null, stable: a.Stable, seated: a.Seat != quorum.Seat{}, w: a.Seat.W}
	if i < len(s.ring) {
		since = s.forget(int32(i))
		s.ring[i] = p
	} else {
		s.ring = append(s.ring, p)
	}
	if p.unpack() != *a {
		if s.odd == nil {
			s.odd = map[int32]quorum.Reclaimed{}
		}
		s.odd[int32(i)] = *a
	}
	h := s.hash(a.Ref.Write)
	s.ring[i].chain, s.heads[h] = s.heads[h], int32(i)
	if s.next++; s.next == maxSuperseded {
		s.next = 0
	}
	return since
}

// forget takes place i out of its chain.
func (s *superseded) forget(i int32) object.Stamp {
	old := s.at(i)
	at := &s.heads[s.hash(old.Ref.Write)]
	for *at != i {
		at = &s.ring[*at].chain
	}
	*at = s.ring[i].chain
	delete(s.odd, i)
	return max(old.Ref.TS, old.Rev)
}

// maxVanished is how many versions that were taken away unsettled a drive remembers for its readers.
const maxVanished = 1 << 12

// vanished remembers which revisions were taken away before they were stable: a reader with an older view
// of the index finds their rows and no P row, and must not take them for stable.
type vanished struct {
	mu   sync.Mutex
	ring []revision // guarded by mu: the last of them, drop n at n mod maxVanished
	n    uint64     // guarded by mu: how many there were
}

// add notes one and returns how many there were.
func (g *vanished) add(r revision) uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.ring) < maxVanished {
		g.ring = append(g.ring, r)
	} else {
		g.ring[g.n%maxVanished] = r
	}
	g.n++
	return g.n
}

// since says whether a revision may be among those that were taken away after the first n.
func (g *vanished) since(n uint64, r revision) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n-n > maxVanished {
		return true
	}
	for ; n < g.n; n++ {
		if g.ring[n%maxVanished] == r {
			return true
		}
	}
	return false
}
