package quorum

import (
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

// MaxAhead is how far above a drive's clock, and above everything it has seen, a stamp may lie: 500
// ms in the units of object.Stamp (I22). A node whose clock runs ahead must not poison a key.
const MaxAhead = object.Stamp(500_000 << 10)

// KeyView is what a drive knows of a key when it judges an offer for it.
type KeyView struct {
	Newest     object.VersionRef // newest version held; zero if none is
	Holds      bool              // the very version in question is held
	Stable     bool              // ... and known stable
	Promise    object.Stamp
	Floor      object.Stamp
	GCFloor    object.Stamp // of the set
	Dead       []ondisk.Attempt
	Superseded []ondisk.Attempt
	Highest    object.Stamp // highest stamp the drive has accepted for any key
	Now        object.Stamp // the drive's clock; 0 switches the check against it off
}

// known says whether the drive remembers anything of the key, so that the set's GC floor does not bind.
func (v *KeyView) known() bool {
	return v.Newest != object.VersionRef{} || v.Promise != 0 || len(v.Dead)+len(v.Superseded) > 0
}

// Verdict is a drive's answer to an offer.
type Verdict struct {
	Accepted bool
	Repeat   bool // the version was held before: nothing is to be written
	// Highest is the highest stamp known for the key; a refused sender stamps above it.
	Highest object.Stamp
}

// Accept is the rule by which a drive takes a version (I11): the attempt has no dead mark, its
// stamp is at or above the key's promise and above every version held, above the floor of
// conditional writes and, if the key is unknown, above the set's GC floor (I18), and not ahead of
// time (I22). A version that is held is accepted again whatever else holds (P7).
func Accept(v *KeyView, ref object.VersionRef) Verdict {
	if IsAttempt(v.Dead, ref) { // first: a drive never both holds an attempt and marks it dead (I7)
		return Verdict{Highest: v.keyHighest(ref)}
	}
	if v.Holds {
		return Verdict{Accepted: true, Repeat: true, Highest: v.Highest}
	}
	switch {
	case ref.Compare(v.Newest) <= 0,
		ref.TS < v.Promise,
		ref.TS <= v.Floor,
		!v.known() && ref.TS <= v.GCFloor:
		return Verdict{Highest: v.keyHighest(ref)}
	case v.Now != 0 && ref.TS > max(v.Now, v.Highest)+MaxAhead:
		return Verdict{Highest: v.keyHighest(object.VersionRef{})}
	}
	return Verdict{Accepted: true, Highest: max(v.Highest, ref.TS)}
}

// keyHighest is the stamp that a next attempt must exceed, given that ref was refused.
func (v *KeyView) keyHighest(ref object.VersionRef) object.Stamp {
	h := max(v.Newest.TS, v.Promise, v.Floor)
	if !v.known() {
		h = max(h, v.GCFloor)
	}
	for _, d := range v.Dead {
		if d.Write == ref.Write {
			h = max(h, d.TS)
		}
	}
	return h
}

// KillVerdict is a drive's answer to being told that an attempt is dead.
type KillVerdict uint8

const (
	KillMark KillVerdict = iota + 1 // never accepted: leave a dead mark
	KillDrop                        // held and unfinished: leave a dead mark and drop it
	KillHeld                        // held stable, or accepted and since superseded: refuse (P1, P5)
)

// Kill is the rule by which a drive takes a dead mark (I7).
func Kill(v *KeyView, ref object.VersionRef) KillVerdict {
	switch {
	case v.Holds && v.Stable, IsAttempt(v.Superseded, ref):
		return KillHeld
	case v.Holds:
		return KillDrop
	}
	return KillMark
}

// IsAttempt says whether ref is among the attempts.
func IsAttempt(list []ondisk.Attempt, ref object.VersionRef) bool {
	for i := range list {
		if list[i].TS == ref.TS && list[i].Write == ref.Write {
			return true
		}
	}
	return false
}
