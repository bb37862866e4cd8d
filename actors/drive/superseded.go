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
	ring  []packed                   // attempt n at n mod maxSuperseded
	odd   map[int32]quorum.Reclaimed // by place: what an entry cannot say
	heads []uint32                   // by hash: number of the newest attempt
	next  uint32                     // number of the next attempt; it may wrap around
	top   object.Stamp               // highest stamp ever remembered: a version above it need not be looked for
}

// packed is an attempt that was a version's first revision, taken under its own ballot in the epoch of
// its stamp by a member of a set that did not move, or known stable.
type packed struct {
	ref                  object.VersionRef
	epoch                uint64
	chain                uint32 // number of the next older attempt with the same hash; nothing once that is forgotten
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
	if len(s.odd) > 0 {
		if r, ok := s.odd[i]; ok {
			return r
		}
	}
	return s.ring[i].unpack()
}

// kept says whether attempt n is remembered. Nobody takes a forgotten one out of its chain: what is
// behind it is older, so the chain ends there.
func (s *superseded) kept(n uint32) bool { return s.next-n-1 < uint32(len(s.ring)) }

// find looks for an attempt, whatever its epoch.
func (s *superseded) find(ref object.VersionRef, rev object.Stamp) (quorum.Reclaimed, bool) {
	if max(ref.TS, rev) > s.top || len(s.ring) == 0 {
		return quorum.Reclaimed{}, false
	}
	for n := s.heads[s.hash(ref.Write)]; s.kept(n); {
		i := int32(n % maxSuperseded)
		if s.ring[i].ref == ref {
			if a := s.at(i); a.Rev == rev {
				return a, true
			}
		}
		older := s.ring[i].chain
		if s.next-older <= s.next-n { // of an earlier round of the numbers
			break
		}
		n = older
	}
	return quorum.Reclaimed{}, false
}

// add remembers an attempt and returns the stamp up to which others were forgotten for it.
func (s *superseded) add(a *quorum.Reclaimed) (since object.Stamp) {
	if s.heads == nil {
		s.heads = make([]uint32, maxSuperseded)
		s.next = 2 * maxSuperseded // no number in heads is near
	}
	s.top = max(s.top, a.Ref.TS, a.Rev)
	i := int32(s.next % maxSuperseded)
	p := packed{ref: a.Ref, epoch: a.Epoch, null: a.Null, stable: a.Stable, seated: a.Seat != quorum.Seat{}, w: a.Seat.W}
	h := &s.heads[s.hash(a.Ref.Write)]
	p.chain = *h
	if int(i) < len(s.ring) {
		old := s.at(i)
		since = max(old.Ref.TS, old.Rev)
		if len(s.odd) > 0 {
			delete(s.odd, i)
		}
		s.ring[i] = p
	} else {
		s.ring = append(s.ring, p)
	}
	if p.unpack() != *a {
		if s.odd == nil {
			s.odd = map[int32]quorum.Reclaimed{}
		}
		s.odd[i] = *a
	}
	*h = s.next
	s.next++
	return since
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
