package quorum

import "holdfast/actors/object"

// Witness is what one in-sync slot says of a key in a list: its newest version, or nothing. A
// stable tombstone counts as nothing, so nothing may hide one that is newer than what others hold.
type Witness struct {
	Present  bool
	Ref      object.VersionRef
	Rev      object.Stamp
	Live     bool // an object, not a marker or tombstone
	Unstable bool
}

// ListVerdict is what becomes of a key in a list.
type ListVerdict uint8

// Verdicts of JudgeListed.
const (
	ListLive    ListVerdict = iota + 1 // the version that all witnesses name
	ListDead                           // left out
	ListUnclear                        // ask the resolver (I26, I32)
)

// JudgeListed judges a key by the word of at least k in-sync slots of its set. It is Read's rule
// for the case that all agree and one knows the version stable; everything else is unclear.
func JudgeListed(ws []Witness) ListVerdict {
	stable := false
	for i := range ws {
		if ws[i].Present != ws[0].Present || ws[i].Ref != ws[0].Ref || ws[i].Rev != ws[0].Rev {
			return ListUnclear
		}
		stable = stable || ws[i].Present && !ws[i].Unstable
	}
	switch {
	case !ws[0].Present:
		return ListDead
	case !stable:
		return ListUnclear
	case ws[0].Live:
		return ListLive
	}
	return ListDead
}
