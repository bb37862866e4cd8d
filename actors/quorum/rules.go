package quorum

// Rules is a set of rules that are switched off. Zero is the protocol; nothing else is ever run but
// by the simulator, which proves with each switch that its rule is needed.
type Rules uint64

// Each rule, with the counter-example or invariant that it answers.
const (
	NoDeadClause      Rules = 1 << iota // accept: an attempt with a dead mark is refused (H19, I7)
	NoPromiseClause                     // accept: a ballot below the promise is refused (H8, I11)
	NoNewestClause                      // accept: only what is newer than all held (I11)
	NoGCFloor                           // accept: unknown keys refuse ballots at or below the set's floor (H6, I18)
	NoHorizon                           // accept: ballots of attempts that are over are refused, on every key (I18)
	NoClockBound                        // accept: stamps far ahead are refused (H17, I22)
	NoWriteQuorum                       // W accepts, not k (I2)
	NoEvidence                          // k in-sync answers, not one (I4)
	NoStableOrW                         // only what is stable or chosen is returned (H1, I3)
	NoSkipBound                         // a higher version is skipped only if c + x < W (I5)
	NoKeepToStable                      // drives keep, and report, versions down to the newest stable one (H4, I9)
	NoKillProof                         // dropped only with k dead marks (I7)
	NoMarkExclusion                     // a drive never marks dead what it holds (I7)
	NoSuperseded                        // a superseded attempt counts as held (P1)
	NoSameWriteID                       // a new stamp only after the old attempt is proved dead (H3, H15, I8)
	NoAttemptEpoch                      // an attempt lives in one set epoch (P5, I17)
	NoBallotEpoch                       // a ballot lives in one set epoch (P5, I17)
	NoOneEpochCount                     // W is counted by the ack rule of one epoch (P2, I3, I10)
	NoJointAcks                         // W of the old and W of the new members (I16)
	NoJointKill                         // k marks of the old and of the new members (P6)
	NoBeginWait                         // copying waits until k old members adopted begin (I16)
	NoFlipWait                          // flip waits until the newcomer holds everything (I16)
	NoDoneWait                          // done waits until W old members adopted flip (H13, I16)
	NoCopyFloors                        // a rebuild copies the GC floor (I16)
	NoCopyTombstones                    // a rebuild copies tombstones (I16)
	NoNewcomerUnknown                   // a newcomer's ignorance of older attempts is no evidence (P5)
	NoInSync                            // only in-sync slots give evidence (H5, I15)
	NoWatermark                         // a drive that lost batches is not in sync (H18, I15)
	NoCollectAll                        // a tombstone goes only if all members hold it stable (I18)
	NoCollectSynced                     // ... and their marks are synced (P3)
	NoRaiseFloor                        // collecting raises the floor to promise and ballots too (P4)
	NoHealToken                         // a heal write needs a token opened before its sources were read (H7, I19)
	NoPin                               // a read pins the shards it streams (H16, I21)
	NoDurablePromise                    // promises survive a restart (H10, I11)
	NoResolveFirst                      // preconditions are judged on a resolved state (H9, I13)
	NoDecision                          // what a decision found not chosen is never finished later (P7)
	NoRevisionCount                     // revisions of a version are counted each for itself
	NoBucketRevision                    // messages under an older bucket revision are refused (H20, I17)
	NoSeal                              // a bucket is removed only behind k seals in every set (H12, I23)
	NoOneDecision                       // complete and abort of an upload share the key's ballots (I27)
	NoListHorizon                       // a page is cut where the first truncated answer ends (I26)
	NoListResolve                       // keys on which witnesses differ are resolved (H14, I26)
	NoListMoved                         // a null version that may have moved to before a page's next range is read (I26)
	NoStaleAhead                        // a node whose stamps are refused stops coordinating (I22)
	NoUniqueRevision                    // a revision's ballot is promised by W: two with one stamp cannot be
	NoBallotCount                       // W is counted under one ballot (I3, I10)
	NoCopyMarks                         // a newcomer takes over dead marks (I7, I16)
	NoFloorFirst                        // floors are raised everywhere before a tombstone goes anywhere (I18)
	NoUploadStamp                       // an upload that was ended is not opened by a late message (I27)
	NoFreshRead                         // a read knows the newest version that a decision tells of (I3)
	NoReadFloor                         // ... and that what a drive lacks may have been collected while it read (I3, I18)
	NoCopyUploads                       // a newcomer takes over all uploads that may be open (I27, I16)
	NoGoneForGood                       // an upload that is said to be gone is so for all that are asked later (I27, I16)
	NoBuryNamed                         // what is passed over and will not be replaced is buried (P7, I27)
	NoCopyPromises                      // who is told of a decision promises its ballot (I11, I16)
	NoShardSum                          // a shard that does not match its checksum is not served (I20); the owner's rule
	NoSpoilt                            // a drive lacks a shard that was found damaged, and says so (I2b, I28)
	NoKilledUnknown                     // what became of a completion that was killed is unknown: its upload may be gone (I27)
)

// Off says whether all rules of x are switched off.
func (r Rules) Off(x Rules) bool { return r&x == x }

// RuleName is a rule's name in tables and on command lines.
type RuleName struct {
	Rule Rules
	Name string
}

// RuleNames lists all rules.
func RuleNames() []RuleName {
	return []RuleName{
		{NoDeadClause, "accept-dead"}, {NoPromiseClause, "accept-promise"}, {NoNewestClause, "accept-newest"},
		{NoGCFloor, "gc-floor"}, {NoHorizon, "horizon"}, {NoClockBound, "clock-bound"},
		{NoWriteQuorum, "write-quorum"}, {NoEvidence, "evidence"}, {NoStableOrW, "stable-or-w"}, {NoSkipBound, "skip-bound"},
		{NoKeepToStable, "keep-to-stable"}, {NoKillProof, "kill-proof"}, {NoMarkExclusion, "mark-exclusion"},
		{NoSuperseded, "superseded"}, {NoSameWriteID, "same-write-id"}, {NoAttemptEpoch, "attempt-epoch"},
		{NoBallotEpoch, "ballot-epoch"}, {NoOneEpochCount, "one-epoch-count"}, {NoJointAcks, "joint-acks"},
		{NoJointKill, "joint-kill"}, {NoBeginWait, "begin-wait"}, {NoFlipWait, "flip-wait"}, {NoDoneWait, "done-wait"},
		{NoCopyFloors, "copy-floors"},
		{NoCopyTombstones, "copy-tombstones"}, {NoNewcomerUnknown, "newcomer-unknown"}, {NoInSync, "in-sync"},
		{NoWatermark, "watermark"}, {NoCollectAll, "collect-all"}, {NoCollectSynced, "collect-synced"},
		{NoRaiseFloor, "raise-floor"}, {NoHealToken, "heal-token"}, {NoPin, "pin"}, {NoDurablePromise, "durable-promise"},
		{NoResolveFirst, "resolve-first"}, {NoDecision, "decision"}, {NoRevisionCount, "revision-count"},
		{NoBucketRevision, "bucket-revision"}, {NoSeal, "seal"}, {NoOneDecision, "one-decision"},
		{NoListHorizon, "list-horizon"}, {NoListResolve, "list-resolve"}, {NoListMoved, "list-moved"}, {NoStaleAhead, "stale-ahead"},
		{NoUniqueRevision, "unique-revision"}, {NoBallotCount, "ballot-count"},
		{NoCopyMarks, "copy-marks"}, {NoFloorFirst, "floor-first"}, {NoUploadStamp, "upload-stamp"}, {NoFreshRead, "fresh-read"},
		{NoReadFloor, "read-floor"}, {NoCopyUploads, "copy-uploads"},
		{NoGoneForGood, "gone-for-good"}, {NoKilledUnknown, "killed-unknown"}, {NoBuryNamed, "bury-named"},
		{NoCopyPromises, "copy-promises"}, {NoShardSum, "shard-sum"}, {NoSpoilt, "spoilt"},
	}
}
