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
	Versions []Version // newest first: Ref falling, then Rev falling
	Promise  Ballot
	Decision Decision // of the highest ballot
	Dead     []DeadMark
	Uploads  []object.WriteID // open multipart uploads
	Hints    []Hint
	// Revised is the highest revision, but the first of each version, among versions that an owner who
	// did not need the whole list left out of Versions; they are older than all that are in it. Zero if
	// the list is whole.
	Revised object.Stamp

	// Volatile: gone after a restart.

	// Superseded are attempts that were held here and have been reclaimed: held, never absence (P1). It
	// need not be durable: a drive that has restarted says "unknown" of all that are as old as its life
	// before (DriveState.Since).
	Superseded []Reclaimed
	Token      uint64 // live heal token; any change of the key ends it (I19)
	Tokens     uint64 // tokens given so far
	Pins       []Pin
}

// Reclaimed is an attempt that was held: how it was first accepted, or that it was known stable.
type Reclaimed struct {
	Attempt
	Seat   Seat
	Stable bool
}

// Pin is a shard that one round of one reader streams. It has a name, since messages come twice.
type Pin struct {
	Ref object.VersionRef
	By  PinID
}

// PinID names a round of a reader.
type PinID struct {
	Op    object.WriteID
	Round uint32
}

// CopyFrom makes s a copy of o that shares no memory with it.
func (s *KeyState) CopyFrom(o *KeyState) {
	s.Versions = slices.Grow(s.Versions, max(0, len(o.Versions)-len(s.Versions)))
	n := len(s.Versions)
	s.Versions = s.Versions[:len(o.Versions)]
	for i := range s.Versions {
		var seats []Seat
		if i < n {
			seats = s.Versions[i].Seats[:0] // rows of one key never share them
		}
		s.Versions[i] = o.Versions[i]
		s.Versions[i].Seats = append(seats, o.Versions[i].Seats...)
	}
	s.Promise, s.Decision, s.Revised = o.Promise, o.Decision, o.Revised
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
	s.Token, s.Tokens, s.Pins, s.Superseded = 0, tokens, s.Pins[:0], s.Superseded[:0]
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

// Empty says whether there is nothing to keep.
func (s *KeyState) Empty() bool {
	return len(s.Versions)+len(s.Dead)+len(s.Uploads)+len(s.Hints) == 0 &&
		s.Promise == Ballot{} && s.Decision == Decision{}
}

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
	// Since is volatile: of attempts up to it the drive does not remember which it has reclaimed.
	Since object.Stamp
}

// Restarted is called when the drive opens, with what was durable.
func (d *DriveState) Restarted() { d.Since = d.Highest }
