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
// a ring, without a pointer, that allocates nothing once it has grown.
type superseded struct {
	ring  []quorum.Reclaimed
	chain []int32 // of each place of the ring: the next with the same hash, -1 at the end
	heads []int32
	next  int          // place to be filled next
	top   object.Stamp // highest stamp ever remembered: a version above it need not be looked for
}

func (s *superseded) hash(write object.WriteID) int {
	return int(uint32(write[0])|uint32(write[1])<<8|uint32(write[2])<<16) & (len(s.heads) - 1)
}

// find looks for an attempt, whatever its epoch.
func (s *superseded) find(ref object.VersionRef, rev object.Stamp) (quorum.Reclaimed, bool) {
	if max(ref.TS, rev) > s.top || len(s.ring) == 0 {
		return quorum.Reclaimed{}, false
	}
	for i := s.heads[s.hash(ref.Write)]; i >= 0; i = s.chain[i] {
		if a := &s.ring[i]; a.Ref == ref && a.Rev == rev {
			return *a, true
		}
	}
	return quorum.Reclaimed{}, false
}

// add remembers an attempt and returns the stamp up to which others were forgotten for it.
func (s *superseded) add(a quorum.Reclaimed) (since object.Stamp) {
	if s.heads == nil {
		s.heads = make([]int32, maxSuperseded)
		for i := range s.heads {
			s.heads[i] = -1
		}
	}
	s.top = max(s.top, a.Ref.TS, a.Rev)
	i := s.next
	if i < len(s.ring) {
		since = s.forget(i)
		s.ring[i] = a
	} else {
		s.ring, s.chain = append(s.ring, a), append(s.chain, -1)
	}
	h := s.hash(a.Ref.Write)
	s.chain[i], s.heads[h] = s.heads[h], int32(i)
	if s.next++; s.next == maxSuperseded {
		s.next = 0
	}
	return since
}

// forget takes place i out of its chain.
func (s *superseded) forget(i int) object.Stamp {
	old := &s.ring[i]
	at := &s.heads[s.hash(old.Ref.Write)]
	for *at != int32(i) {
		at = &s.chain[*at]
	}
	*at = s.chain[i]
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
