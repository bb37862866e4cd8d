package quorum

import (
	"slices"

	"holdfast/actors/object"
)

// The state of a drive as far as the protocol is concerned, cut as it lies on disk: a key's M, V, U,
// P and H rows, a set's E row, a bucket's F row, the drive's Z row. Values, so that whoever runs the
// machine can keep a durable and a volatile copy of each.

// KeyState is all that one drive knows of one key.
type KeyState struct {
	Versions   []Version // newest first: Ref falling, then Rev falling
	Promise    Ballot
	Dead       []DeadMark
	Superseded []Attempt        // accepted once and reclaimed: held, never absence (P1)
	Uploads    []object.WriteID // open multipart uploads
	Hints      []Hint

	// Volatile: gone after a restart.
	Token  uint64 // live heal token; any change of the key ends it (I19)
	Tokens uint64 // tokens given so far
	Pins   []Pin
}

// Pin is a shard that readers stream.
type Pin struct {
	Ref   object.VersionRef
	Count int
}

// CopyFrom makes s a copy of o that shares no memory with it.
func (s *KeyState) CopyFrom(o *KeyState) {
	for i := range s.Versions[:min(len(s.Versions), cap(s.Versions))] {
		s.Versions[i].Seats = nil // may be shared with a version that moved
	}
	s.Versions = append(s.Versions[:0], o.Versions...)
	for i := range s.Versions {
		s.Versions[i].Seats = slices.Clone(s.Versions[i].Seats)
	}
	s.Promise = o.Promise
	s.Dead = append(s.Dead[:0], o.Dead...)
	s.Superseded = append(s.Superseded[:0], o.Superseded...)
	s.Uploads = append(s.Uploads[:0], o.Uploads...)
	s.Hints = append(s.Hints[:0], o.Hints...)
	s.Token, s.Tokens = o.Token, o.Tokens
	s.Pins = append(s.Pins[:0], o.Pins...)
}

// Restarted drops what a restart drops. tokens is a number above all tokens ever given, so that an
// old token never matches a new one.
func (s *KeyState) Restarted(tokens uint64) {
	s.Token, s.Tokens, s.Pins = 0, tokens, s.Pins[:0]
	for i := range s.Versions {
		s.Versions[i].Synced = s.Versions[i].Stable
	}
}

// Synced tells that all marks up to now are durable (P3).
func (s *KeyState) Synced() {
	for i := range s.Versions {
		s.Versions[i].Synced = s.Versions[i].Stable
	}
}

// Known says whether anything of the key is remembered, so that the set's GC floor does not bind.
func (s *KeyState) Known() bool {
	return len(s.Versions)+len(s.Dead)+len(s.Superseded) > 0 || s.Promise != Ballot{}
}

// Empty says whether there is nothing to keep.
func (s *KeyState) Empty() bool { return !s.Known() && len(s.Uploads)+len(s.Hints) == 0 }

// SlotState is what a drive's slot of a set is good for.
type SlotState uint8

// States of a slot.
const (
	SlotNone       SlotState = iota // not a member
	SlotInSync                      // its answers are evidence
	SlotRebuilding                  // takes writes; what it does not hold is unknown (I15)
	SlotLost                        // the drive lost what it had promised (watermark): as rebuilding, and takes nothing
)

// SetState is a drive's own view of one set it is a member of.
type SetState struct {
	Config  SetConfig
	Member  int // the drive's own index
	State   SlotState
	Joined  uint64 // epoch in which the drive came in as a newcomer; attempts of earlier ones are unknown to it
	GCFloor object.Stamp
}

// BucketState is what a drive knows of one bucket incarnation.
type BucketState struct {
	Revision uint64
	Sealed   bool
	Removed  bool
}

// DriveState belongs to the drive as a whole.
type DriveState struct {
	Highest object.Stamp // highest stamp accepted
	// Horizon: every attempt with a ballot at or below it is over. It trails the clock by the life of
	// an attempt and never falls; it is durable before anything that relies on it is forgotten.
	Horizon object.Stamp
}
