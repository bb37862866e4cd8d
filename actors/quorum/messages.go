package quorum

import (
	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
)

// Ballot orders the prepared operations of a key on the same scale as stamps: a stamp and the write
// id of the operation. Zero: none.
type Ballot = object.VersionRef

// Kind is what a version is.
type Kind uint8

// Kinds of a version.
const (
	Object    Kind = iota + 1
	Marker         // a delete marker of a versioned key: hides older versions
	Tombstone      // a deleted key; collected once all members have it
	Purged         // a revision that removes its version for good; collected likewise
)

// Version is one revision of one version as a drive holds it: the row of DESIGN.md 4 as far as the
// protocol is concerned. (Ref, Rev) names it. The first revision of a version is Ref.TS.
type Version struct {
	Ref    object.VersionRef
	Rev    object.Stamp
	Ballot Ballot // highest ballot under which it was accepted; a plain write's is Ref
	Kind   Kind
	Null   bool           // the null version: a stable one reclaims all older null versions of its key
	Body   uint64         // names the contents (its ETag); opaque
	Meta   uint64         // names the metadata of this revision; opaque
	Data   bool           // this drive has the shard
	Upload object.WriteID // it completes; the upload's row stays until this one is stable
	Epoch  uint64         // the set epoch in which the attempt was stamped
	Seats  []Seat         // the epochs and ballots in which it was accepted here; oldest first; unused once stable
	Stable bool
	Synced bool // the stable mark would survive a crash (P3)
}

// Attempt names a stamped try of a write: the version, or a revision of one.
type Attempt struct {
	Ref   object.VersionRef
	Rev   object.Stamp
	Epoch uint64 // in which it was stamped
	Null  bool   // of the null version
}

// Attempt is the version's.
func (v *Version) Attempt() Attempt {
	return Attempt{Ref: v.Ref, Rev: v.Rev, Epoch: v.Epoch, Null: v.Null}
}

// Is says whether v is the named revision.
func (v *Version) Is(ref object.VersionRef, rev object.Stamp) bool {
	return v.Rev == rev && v.Ref == ref
}

// RequestKind is what a coordinator wants of a drive.
type RequestKind uint8

// Requests. After each: the fields it uses beside Kind, Key and the fence, and what the reply says.
const (
	// ReqReport: All, At, Pin. The key's versions from the newest to the newest stable one (I9), or all, or
	// those that At names. Pin keeps the shards of what is reported readable until ReqUnpin (I21).
	ReqReport RequestKind = iota + 1
	// ReqPrepare: Ballot, All. Promises to take nothing below Ballot (I11) and reports. OK: promised.
	ReqPrepare
	// ReqStage: shard data is here; nothing is decided. Reply: Highest, for the stamp.
	ReqStage
	// ReqCommit: Version, Ballot, Decision. Offers a version or revision. A plain write's Ballot is its Ref.
	// OK: durably accepted.
	ReqCommit
	// ReqMark: Version (Ref, Rev, Null), Missed. The version is chosen (I10). No reply is awaited.
	ReqMark
	// ReqKill: Attempt. Its coordinator asks for a dead mark. Kill: the verdict; Held, Chosen.
	ReqKill
	// ReqDrop: Attempt, proved dead (I7): the holder marks it too and drops it.
	ReqDrop
	// ReqCollect: Now, Version names a tombstone, or purged revision, that all members hold stable and synced (I18).
	ReqCollect
	// ReqForget: Now, Floor, the highest ballot that any member remembers of the key. Promise, decision and
	// marks may go if the drive's horizon has passed it: all members are in sync and nothing is in doubt (I18).
	ReqForget
	// ReqToken: opens a heal token on the target (I19). Reply: Token.
	ReqToken
	// ReqHeal: Token, Versions (stable ones), Dead (proved), Decision, Uploads, Hints. Copies what others hold. OK: taken.
	ReqHeal
	// ReqHinted: Version, Missed. The members in Missed have got the version: their hints go.
	ReqHinted
	// ReqFetch: Version. One piece of a pinned shard. OK: it was there.
	ReqFetch
	// ReqUnpin: Pin. Ends all pins of that name on the key.
	ReqUnpin
	// ReqUpload: Upload, Ballot. Opens a multipart upload, unless the stamp is below what was promised.
	ReqUpload
	// ReqDecide: Ballot, Decision, Dead, Upload. A decision without a version: attempts that were found
	// neither chosen nor finishable are dropped and marked, and an upload may end (abort). OK: accepted.
	ReqDecide
	// ReqAdopt: Config, Member. The set has a new epoch. OK: adopted durably. Reply: Config, Floor.
	ReqAdopt
	// ReqFence: Revision, Sealed, Removed. The bucket has a new revision. OK: known durably.
	ReqFence
	// ReqFloor: Floor. Raises the set's GC floor, for a rebuild.
	ReqFloor
)

// Fence says under which configuration a message was sent (I17).
type Fence struct {
	Set      cluster.SetID
	Epoch    uint64
	Revision uint64 // of the key's bucket; the bucket id itself is one incarnation (I23)
}

// Request is a message to one drive. The slices belong to the sender, which does not change them.
type Request struct {
	Kind RequestKind
	Fence
	Key      object.Key
	Ballot   Ballot
	Decision Decision
	Version  Version
	Versions []Version
	Attempt  Attempt
	Dead     []Attempt
	All      bool
	At       object.VersionID
	Pin      PinID // zero: none
	Missed   Slots
	Token    uint64
	Upload   object.WriteID
	Uploads  []object.WriteID // Heal: that are open
	Hints    []Hint           // Heal of a newcomer: who else lacks the versions
	Config   SetConfig
	Member   int
	Sealed   bool // Fence: no writes. Report, Prepare, Commit, Kill, Drop: the sender empties a sealed bucket.
	Removed  bool
	Floor    object.Stamp
	// Now is the lowest of the clocks that W members reported: the drive's horizon may follow it.
	Now object.Stamp
}

// Refusal is why a drive did not look at a request.
type Refusal uint8

// Refusals. None means that the reply is an answer.
const (
	RefusedNot    Refusal = iota
	RefusedEpoch          // the sender's set epoch is older: Reply.Config is newer. Nothing was done.
	RefusedBehind         // the drive has not adopted the sender's set epoch or bucket revision yet
	RefusedBucket         // the bucket's revision is newer, sealed or removed
	RefusedSync           // the slot is not in sync: unknown, never absent (I15)
)

// Reply is a drive's answer. Its slices alias the drive's state and are valid until its next step.
type Reply struct {
	Kind     RequestKind
	Refused  Refusal
	Config   SetConfig // RefusedEpoch
	OK       bool
	Ahead    bool         // refused because the stamp lies too far ahead (I22)
	Judge    bool         // the slot is in sync: the answer is evidence (I15)
	Unsure   bool         // refused, but a former life of the drive may have accepted it
	Bare     bool         // of a revision's commit: accepted, and the drive has no shard of the object
	Highest  object.Stamp // highest stamp that a next attempt must exceed
	Promise  Ballot
	Decision Decision
	// Versions: newest first. Complete: nothing older is held. Otherwise older ones are unknown.
	Versions []Version
	Complete bool
	Dead     []DeadMark
	Uploads  []object.WriteID
	Hints    []Hint
	Kill     KillVerdict
	Held     Seat // of a kill: how the attempt was first accepted here
	Chosen   bool // of a kill: the attempt is known to be stable, or was
	Token    uint64
	Floor    object.Stamp // the set's GC floor, of ReqAdopt and a report
	Now      object.Stamp // the drive's clock, of a report
	Horizon  object.Stamp // the drive's, of a report
}

// Decision is what a prepared operation found before it committed under Ballot: the newest chosen
// revision was (Ref, Rev), or nothing if Ref is zero. Since k members had promised Ballot, nothing
// newer with a lower ballot was chosen, nor ever will be; without this trace its remains could be
// finished after all, behind a decision that did not know them (P7).
type Decision struct {
	Ballot Ballot
	Ref    object.VersionRef
	Rev    object.Stamp
}

// DeadMark is a drive's oath never to accept an attempt. Proven: it was proved dead (I7). Ballot is
// that of the decision that buried it, if one did: k members had promised the ballot, so nothing of
// the attempt with a lower one was chosen or will be.
type DeadMark struct {
	Attempt
	Proven bool
	Ballot Ballot
}

// Hint is what a stable version is missing: redundancy debt.
type Hint struct {
	Ref    object.VersionRef
	Rev    object.Stamp
	Missed Slots
}
