package quorum

import "holdfast/actors/object"

// MaxAhead is how far above a drive's clock, and above everything it has seen, a stamp may lie: 500
// ms in the units of object.Stamp (I22). A node whose clock runs ahead must not poison a key.
const MaxAhead = object.Stamp(500_000 << 10)

// KeyView is what a drive knows of a key when it judges a message about one version of it.
type KeyView struct {
	Rules   Rules
	Newest  object.VersionRef // newest version held; zero if none is
	LastRev object.Stamp      // highest revision held that is not a version's first; 0 if there is none
	Holds   bool              // the very revision in question is held
	Stable  bool              // ... and known stable
	Dead    bool              // ... has a dead mark here
	// Superseded: it was accepted here and has been reclaimed (P1).
	Superseded bool
	// Other: it is held, or was, but was accepted under other ballots than the offer's alone, and nobody
	// knows it stable.
	Other bool
	// Obsolete: a newer stable version held here would have reclaimed it, had it been accepted.
	Obsolete bool
	// Older: a version older than this is held, so nothing that superseded it was collected since.
	Older bool
	// Foreign: it was stamped before this drive became a member of the set (P5).
	Foreign    bool
	Rebuilding bool // the drive does not hold all of the set yet
	Promise    Ballot
	GCFloor    object.Stamp // of the set
	Horizon    object.Stamp // of the drive
	Since      object.Stamp // of older attempts the drive does not remember whether it reclaimed them
	Highest    object.Stamp // highest stamp the drive has accepted for any key
	Now        object.Stamp // the drive's clock; 0 switches the check against it off
}

// Offer is a version or revision on its way to a drive.
type Offer struct {
	Ref    object.VersionRef
	Rev    object.Stamp
	Ballot Ballot // Ref for a plain write
}

// Plain is the offer of a write that did not prepare.
func Plain(ref object.VersionRef) Offer { return Offer{Ref: ref, Rev: ref.TS, Ballot: ref} }

// Verdict is a drive's answer to an offer.
type Verdict struct {
	Accepted bool
	Repeat   bool // the version was held before: nothing is to be written
	Ahead    bool // refused for its clock alone (I22)
	Unsure   bool // refused, but the drive may have accepted it in a former life and reclaimed it since
	// Highest is the highest stamp known for the key; a refused sender stamps above it.
	Highest object.Stamp
}

// Accept is the rule by which a drive takes a version (I11): the attempt has no dead mark (I7), its
// ballot is not below the key's promise and above all other stamps held; above the set's GC floor if
// nothing of the key is held (I18), above the drive's horizon, and not ahead of time (I22). What was
// accepted under the very ballot is accepted again whatever else holds, since that only says what is
// so (P1, P7). What was accepted under another is not an accept of a plain write, and under a ballot
// only if that has not been promised away.
func Accept(v *KeyView, o Offer) Verdict {
	off := v.Rules
	switch {
	case v.Dead && !off.Off(NoDeadClause): // first: a drive never both holds an attempt and marks it dead (I7)
		return Verdict{Highest: max(v.keyHighest(), o.Ref.TS)}
	case o.Ballot == o.Ref && v.Other:
		// A resolution brought it here, behind whose ballot the plain one is promised away. To count the
		// two together would let W come about behind a decision that had found less.
		return Verdict{Highest: v.keyHighest()}
	case o.Ballot != o.Ref && v.isBarred(o.Ballot) && (v.Other || !v.Holds && !v.Superseded) && !off.Off(NoPromiseClause):
		// A resolution that finishes what is held does so under a ballot: one that was promised away
		// since must not add to what a later resolution has counted (P5).
		return Verdict{Unsure: v.lapsed(o), Highest: v.keyHighest()}
	case v.Holds, v.Superseded && !off.Off(NoSuperseded):
		return Verdict{Accepted: true, Repeat: true, Highest: v.Highest}
	case v.isOld(o) && !off.Off(NoNewestClause),
		v.isBarred(o.Ballot) && !off.Off(NoPromiseClause),
		v.Newest == object.VersionRef{} && o.Ballot.TS <= v.GCFloor && !off.Off(NoGCFloor),
		o.Ballot.TS <= v.Horizon && !off.Off(NoHorizon):
		return Verdict{Unsure: v.lapsed(o), Highest: v.keyHighest()}
	case v.isAhead(o.Ballot):
		return Verdict{Ahead: true, Highest: v.keyHighest()}
	}
	return Verdict{Accepted: true, Highest: max(v.Highest, o.Ballot.TS)}
}

// Promise is the rule by which a drive promises a ballot: it is above the promise given and above
// all stamps held, and what Accept asks of floors and clocks holds (P4: a prepare too).
func Promise(v *KeyView, b Ballot) Verdict {
	off := v.Rules
	switch {
	case b == v.Promise && b.TS > max(v.Newest.TS, v.LastRev): // else it is a late repetition: what is reported is no state below b
		return Verdict{Accepted: true, Repeat: true, Highest: v.Highest}
	case b.TS <= v.Promise.TS, b.TS <= v.Newest.TS, b.TS <= v.LastRev,
		v.Newest == object.VersionRef{} && b.TS <= v.GCFloor && !off.Off(NoGCFloor),
		b.TS <= v.Horizon && !off.Off(NoHorizon):
		return Verdict{Highest: v.keyHighest()}
	case v.isAhead(b):
		return Verdict{Ahead: true, Highest: v.keyHighest()}
	}
	return Verdict{Accepted: true, Highest: max(v.Highest, b.TS)}
}

// isOld says that the drive holds something at or above the offer's ballot.
func (v *KeyView) isOld(o Offer) bool {
	switch {
	case v.Obsolete, o.Ballot.TS <= v.LastRev:
		return true
	case o.Ballot == o.Ref: // a new version: equal stamps are ordered by write id
		return o.Ref.Compare(v.Newest) <= 0
	}
	return o.Ballot.TS <= v.Newest.TS && v.Newest != o.Ref
}

// isBarred says that the key is promised to a higher ballot. Of two ballots with one stamp, which
// two nodes may choose, the first bars the other: k promises each must not both lead to W accepts.
func (v *KeyView) isBarred(b Ballot) bool { return b != v.Promise && b.TS <= v.Promise.TS }

// lapsed says that the drive may have accepted the offer in a former life and reclaimed it since.
func (v *KeyView) lapsed(o Offer) bool { return v.Obsolete && o.Rev <= v.Since }

func (v *KeyView) isAhead(b Ballot) bool {
	return v.Now != 0 && b.TS > max(v.Now, v.Highest)+MaxAhead && !v.Rules.Off(NoClockBound)
}

// keyHighest is the stamp that a next attempt must exceed.
func (v *KeyView) keyHighest() object.Stamp {
	h := max(v.Newest.TS, v.LastRev, v.Promise.TS, v.Horizon)
	if v.Newest == (object.VersionRef{}) {
		h = max(h, v.GCFloor)
	}
	return h
}

// KillVerdict is a drive's answer to being told that an attempt is dead.
type KillVerdict uint8

const (
	KillMark    KillVerdict = iota + 1 // never accepted: leave a dead mark
	KillDrop                           // held and unfinished: held, unless there is proof; then mark and drop it
	KillHeld                           // held stable, or accepted and since superseded: refuse (P1, P5)
	KillUnknown                        // the drive may have forgotten: neither mark nor held (P1, P5)
)

// Kill is the rule by which a drive takes a dead mark (I7).
func Kill(v *KeyView, ref object.VersionRef) KillVerdict {
	switch {
	case v.Holds && v.Stable, v.Superseded && !v.Rules.Off(NoSuperseded):
		return KillHeld
	case v.Dead:
		return KillMark
	case v.Holds:
		return KillDrop
	case v.forgot(ref) && !v.Rules.Off(NoNewcomerUnknown):
		return KillUnknown
	}
	return KillMark
}

// forgot says that the drive may have accepted and forgotten the attempt, or was not there. A drive
// that holds nothing newer which could have reclaimed it, and collected nothing, forgot nothing.
func (v *KeyView) forgot(ref object.VersionRef) bool {
	switch {
	case v.Foreign && (v.Rebuilding || v.Obsolete):
		return true
	case ref.TS <= max(v.Horizon, v.Since) && v.Obsolete:
		return true
	}
	return !v.Older && ref.TS <= v.GCFloor
}
