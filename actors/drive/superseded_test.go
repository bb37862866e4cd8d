package drive

import (
	"math/rand/v2"
	"testing"

	"holdfast/actors/object"
	"holdfast/actors/quorum"
)

// TestSupersededRemembersEachAttempt adds attempts of every shape, more than are remembered.
func TestSupersededRemembersEachAttempt(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s superseded
	var all []quorum.Reclaimed
	since := object.Stamp(0)
	for i := range maxSuperseded + 3000 {
		ref := object.VersionRef{TS: object.Stamp(i + 1)}
		ref.Write[0], ref.Write[1], ref.Write[9] = byte(rng.IntN(8)), byte(rng.IntN(4)), byte(rng.IntN(256)) // long chains
		a := quorum.Reclaimed{Attempt: quorum.Attempt{Ref: ref, Rev: ref.TS, Epoch: 3, Null: rng.IntN(2) == 0}}
		switch rng.IntN(6) {
		case 0:
			a.Stable = true
		case 1:
			a.Rev += 5
		case 2:
			a.Seat = quorum.Seat{Epoch: 4, Ballot: ref, W: 3, Old: true, New: true}
		case 3:
			a.Seat = quorum.Seat{Epoch: 3, Ballot: object.VersionRef{TS: ref.TS + 1}, W: 3, Joint: true, New: true}
		default:
			a.Seat = quorum.Seat{Epoch: 3, Ballot: ref, W: 3, Old: true, New: true}
		}
		all = append(all, a)
		since = max(since, s.add(&a))
	}
	for i, a := range all {
		got, ok := s.find(a.Ref, a.Rev)
		if kept := i >= len(all)-maxSuperseded; ok != kept || ok && got != a {
			t.Fatalf("%d: %+v %v, want %+v", i, got, ok, a)
		}
		if !ok && max(a.Ref.TS, a.Rev) > since {
			t.Fatalf("%d was forgotten, and the stamp is %d", i, since)
		}
		if _, ok := s.find(a.Ref, a.Rev+100); ok {
			t.Fatalf("%d: another revision was found", i)
		}
	}
	if len(s.odd) > maxSuperseded {
		t.Fatalf("%d odd entries", len(s.odd))
	}
}
