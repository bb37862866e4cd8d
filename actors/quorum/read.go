package quorum

import (
	"slices"

	"holdfast/actors/object"
)

// Seen is one revision of a version in a drive's report.
type Seen struct {
	Ref    object.VersionRef
	Rev    object.Stamp
	Stable bool
	Purged bool   // the revision removes its version: readers look below it
	Null   bool   // the null version: hides older null ones
	Ballot Ballot // highest one under which it was accepted
	Epoch  uint64 // in which it was stamped
	// Seats are the epochs in which it was accepted. Nil: the present one, in a set that does not move.
	Seats []Seat
}

// tally is what the answers say of one revision.
type tally struct {
	ref             object.VersionRef
	rev             object.Stamp
	ballot          Ballot
	epoch           uint64
	purged, null    bool
	holders, stable Slots
	seats           []count // nil: the holders count
}

// count is how many drives accepted a revision in one epoch.
type count struct {
	seat     Seat // of one of them
	old, new int
}

// Read finds the version that a key's readers may see. It asks k slots, and the others only when
// those do not settle it. GET, HEAD, copies, conditions and lists use it alike (I32).
type Read struct {
	SetConfig
	off      Rules
	usable   Slots // believed to answer, asked first
	asked    Slots
	answered Slots // gave evidence
	unknown  Slots // erred: neither present nor absent (I15)
	witness  Slots // of these, what they hold was told
	versions []tally
	few      [4]tally // first home of versions
	decision Decision // the highest told
	known    Ballot   // of a decision that was told before this read began
	buried   []DeadMark
	ends     []end                    // of answers that are no whole lists
	floors   [maxMembers]object.Stamp // of each answer: up to there its slot may have collected something
	// earlier are slots that lacked the version stood in the read before, and held nothing newer: what they
	// lack was not collected, if those that held it tell of it again.
	earlier Slots
	stood   object.VersionRef

	// At is the version that is looked for; none named: the current one. Answers must hold all of its revisions.
	At object.VersionID
}

// end is the oldest version that a slot's answer speaks of.
type end struct {
	slot int
	ref  object.VersionRef
}

// ReadEventKind says what happened.
type ReadEventKind uint8

// Events of a Read.
const (
	ReadBegin   ReadEventKind = iota + 1 // Slots: those believed to answer
	ReadAnswer                           // Slot, Seen, Decision, Partial; Witness if it is no judge
	ReadUnknown                          // Slot: error, timeout, damaged, not in sync
	ReadSlow                             // answers take long: ask another slot
)

// ReadEvent is one event.
type ReadEvent struct {
	Kind  ReadEventKind
	Slot  int
	Slots Slots
	Seen  []Seen
	// Witness: the slot is not in sync. What it holds counts, what it does not hold says nothing (I15).
	Witness  bool
	Partial  bool // there may be versions older than the last one Seen
	Decision Decision
	Dead     []DeadMark   // copied
	Floor    object.Stamp // what is as old may have been collected at this slot: its GC floor or horizon
}

// Outcome is what a read comes to.
type Outcome uint8

// Outcomes of a Read.
const (
	Waiting  Outcome = iota // for answers
	NoQuorum                // fewer than k slots can answer (I4)
	Absent                  // no version that may be returned
	Found                   // Ref may be returned (I3)
	InDoubt                 // Ref may neither be returned nor skipped: it must be resolved first
	Deeper                  // what stands lies below a removed version, or was written since: ask afresh, for whole lists
)

// ReadEffect is what to do next.
type ReadEffect struct {
	Ask     Slots // send a report request to these
	Outcome Outcome
	Ref     object.VersionRef
	Rev     object.Stamp
	Holders Slots // slots that reported Ref
}

// NewRead returns a machine for one read of one key in a set that does not move.
func NewRead(s Shape) Read { return Read{SetConfig: SetConfig{Shape: s}} }

// NewReadIn returns a machine for one read of one key under a configuration.
func NewReadIn(c *SetConfig, off Rules) Read { return Read{SetConfig: *c, off: off} }

// Step takes one event. No event may follow a final outcome.
func (r *Read) Step(ev ReadEvent) ReadEffect {
	switch ev.Kind {
	case ReadBegin:
		r.usable = ev.Slots
		return ReadEffect{Ask: r.ask(r.needed())}
	case ReadAnswer:
		r.answer(&ev)
	case ReadUnknown:
		r.unknown |= Slot(ev.Slot)
	case ReadSlow:
		return ReadEffect{Ask: r.ask(1)}
	}
	return r.judge()
}

// answer counts what one slot says.
func (r *Read) answer(ev *ReadEvent) {
	if ev.Witness {
		r.unknown |= Slot(ev.Slot)
		r.witness |= Slot(ev.Slot)
	} else {
		r.answered |= Slot(ev.Slot)
		if n := len(ev.Seen); ev.Partial && n > 0 {
			r.ends = append(r.ends, end{ev.Slot, ev.Seen[n-1].Ref})
		}
	}
	r.floors[ev.Slot] = ev.Floor
	r.versions = spread(r.versions, ev.Seen, (*tally).revision, (*Seen).revision, uncounted)
	for i := range ev.Seen {
		r.count(ev.Slot, &ev.Seen[i])
	}
	if ev.Decision.Ballot.Compare(r.decision.Ballot) > 0 && !r.off.Off(NoDecision) {
		r.decision = ev.Decision
	}
	for i := range ev.Dead {
		if ev.Dead[i].Ballot != (Ballot{}) && !r.off.Off(NoDecision) {
			r.buried = append(r.buried, ev.Dead[i])
		}
	}
}

// needed is how many answers make evidence (I4).
func (r *Read) needed() int {
	if r.off.Off(NoEvidence) {
		return 1
	}
	return r.K
}

// ask books the next m slots: usable ones first, in slot order, so that data shards come before parity.
func (r *Read) ask(m int) Slots {
	next := (r.usable & r.Judges() &^ r.asked).First(m)
	next |= (r.Judges() &^ r.usable &^ r.asked).First(m - next.Len())
	r.asked |= next
	return next
}

func (r *Read) count(slot int, s *Seen) {
	if r.versions == nil {
		r.versions = r.few[:0]
	}
	i, ok := search(r.versions, s.revision(), (*tally).revision)
	if !ok {
		r.versions = slices.Insert(r.versions, i, uncounted(s))
	}
	t := &r.versions[i]
	t.holders |= Slot(slot)
	if s.Stable {
		t.stable |= Slot(slot)
	}
	if s.Ballot.Compare(t.ballot) > 0 {
		t.ballot = s.Ballot
	}
	for _, seat := range s.Seats {
		t.sit(seat, r.off)
	}
}

// uncounted is the tally of a revision before anybody's answer counts.
func uncounted(s *Seen) tally {
	return tally{ref: s.Ref, rev: s.Rev, purged: s.Purged, null: s.Null, epoch: s.Epoch}
}

// sit counts one accept in its epoch (P2) and under its ballot.
func (t *tally) sit(seat Seat, off Rules) {
	for i := range t.seats {
		if c := &t.seats[i]; c.seat.Epoch == seat.Epoch && (c.seat.Ballot == seat.Ballot || off.Off(NoBallotCount)) {
			c.add(seat)
			return
		}
	}
	c := count{seat: seat}
	c.add(seat)
	t.seats = append(t.seats, c)
}

func (c *count) add(s Seat) {
	if s.Old {
		c.old++
	}
	if s.New {
		c.new++
	}
}

// acked says that the accepts of one epoch met its ack rule.
func (c *count) acked(off Rules) bool {
	w := int(c.seat.W)
	return c.old >= w && (!c.seat.Joint || c.new >= w || off.Off(NoJointAcks))
}

// judge draws the conclusion of all answers so far.
func (r *Read) judge() ReadEffect {
	out := r.asked &^ r.answered &^ r.unknown
	if a, k := r.answered.Len(), r.needed(); a < k { // I4
		if a+out.Len() >= k {
			return ReadEffect{}
		}
		if ask := r.ask(k - a - out.Len()); ask != 0 {
			return ReadEffect{Ask: ask}
		}
		if out != 0 {
			return ReadEffect{}
		}
		return ReadEffect{Outcome: NoQuorum}
	}
	var gone, null object.VersionRef
	for i := range r.versions {
		t := &r.versions[i]
		switch {
		case t.ref == gone, t.null && t.ref.Compare(null) < 0:
			continue
		case r.chosen(t) && t.purged:
			gone = t.ref
			if t.null {
				null = t.ref
			}
			continue
		case r.At.Named && !r.At.Names(t.ref, t.null):
			continue
		case !r.reaches(t.ref):
			return ReadEffect{Outcome: Deeper}
		case r.chosen(t): // I3: nothing newer can have been acknowledged, k + W > n
			if r.torn(t.ref) {
				return ReadEffect{Outcome: Deeper}
			}
			return ReadEffect{Outcome: Found, Ref: t.ref, Rev: t.rev, Holders: t.holders}
		case r.dead(t): // I5
			continue
		}
		if ask := r.ask(r.N + 1); ask != 0 || out != 0 {
			return ReadEffect{Ask: ask}
		}
		return ReadEffect{Outcome: InDoubt, Ref: t.ref, Rev: t.rev, Holders: t.holders}
	}
	if !r.reaches(object.VersionRef{}) || r.torn(object.VersionRef{}) {
		return ReadEffect{Outcome: Deeper}
	}
	return ReadEffect{Outcome: Absent}
}

// torn says that the answers speak of different times: one of them tells of a decision, which found a
// revision that stands above what this read came to and that no answer has. The others are older than
// that; what they do not know may have been acknowledged before what the one knows was done. Answers
// to a new read are not: it begins behind the decision.
func (r *Read) torn(stands object.VersionRef) bool {
	d := &r.decision
	if d.Ref == (object.VersionRef{}) || d.Ballot.Compare(r.known) <= 0 || stands.Compare(d.Ref) > 0 || r.off.Off(NoFreshRead) {
		return false
	}
	if r.At.Named && !r.At.Names(d.Ref, true) && !r.At.Names(d.Ref, false) {
		return false // of another version
	}
	for i := range r.versions {
		if t := &r.versions[i]; t.ref == d.Ref && t.rev >= d.Rev {
			return false
		}
	}
	return true
}

// collected says that an object which this read came to may be gone: a slot that gave evidence lacks it, and may
// have collected what ended it. That answer may be from behind the end of a tombstone, or of a removed version,
// of which the others did not know yet when they gave theirs.
func (r *Read) collected(stands object.VersionRef) bool {
	if r.off.Off(NoReadFloor) {
		return false
	}
	lack := r.answered
	for i := range r.versions {
		if t := &r.versions[i]; t.ref == stands {
			lack &^= t.holders
		}
	}
	if r.stood == stands {
		lack &^= r.earlier
	}
	for s := range lack.All() {
		if r.floors[s] >= stands.TS {
			return true
		}
	}
	return false
}

// lacking are the slots that gave evidence and hold neither a version nor anything newer.
func (r *Read) lacking(ref object.VersionRef) Slots {
	lack := r.answered
	for i := range r.versions {
		if t := &r.versions[i]; t.ref.Compare(ref) >= 0 {
			lack &^= t.holders
		}
	}
	return lack
}

// reaches says that enough answers speak of versions as old as ref. Lists end with the newest stable
// version, so this is only in question below one that is removed.
func (r *Read) reaches(ref object.VersionRef) bool {
	short := Slots(0)
	for _, e := range r.ends {
		if ref.Compare(e.ref) < 0 {
			short |= Slot(e.slot)
		}
	}
	return (r.answered &^ short).Len() >= r.needed()
}

// chosen says that a revision is acknowledged, or might as well be: stable somewhere, accepted by
// the ack rule of one epoch and under one ballot (I3, P2), or found so by a later decision.
func (r *Read) chosen(t *tally) bool {
	holders := t.holders
	if r.off.Off(NoRevisionCount) {
		for i := range r.versions {
			if r.versions[i].ref == t.ref {
				holders |= r.versions[i].holders
			}
		}
	}
	switch {
	case t.stable != 0, r.decision.Ballot != Ballot{} && r.decision.Ref == t.ref && r.decision.Rev == t.rev:
		return true
	case r.off.Off(NoStableOrW):
		return holders.Len() >= r.needed()
	case t.seats == nil || r.off.Off(NoOneEpochCount) || r.off.Off(NoRevisionCount):
		return holders.Len() >= r.need(r.off)
	}
	for i := range t.seats {
		if t.seats[i].acked(r.off) {
			return true
		}
	}
	return false
}

// dead says that a revision cannot have been acknowledged: even if all who are silent held it, they
// would be fewer than W; or a decision that would have finished it did not know it (P7).
func (r *Read) dead(t *tally) bool {
	silent := r.Unheard(r.answered)
	for _, e := range r.ends {
		if t.ref.Compare(e.ref) < 0 {
			silent |= Slot(e.slot)
		}
	}
	if r.off.Off(NoSkipBound) || (t.holders&r.Judges()|silent).Len() < r.W {
		return true
	}
	return r.split(t) || r.overruled(t)
}

// split says that a revision which was stamped in this epoch of a slot move cannot get W among those
// members that are no judges now, and it needs both (I16). Of one that is older than the epoch that says
// nothing: it may have been acknowledged before.
func (r *Read) split(t *tally) bool {
	if r.Phase == Settled || t.epoch != r.Epoch || r.off.Off(NoJointAcks) {
		return false
	}
	other := r.Old()
	if r.Phase == Begun {
		other = r.New()
	}
	return (t.holders&other | other&^r.answered&^r.witness).Len() < r.W
}

// overruled says that a decision under a higher ballot found something older to be the newest chosen,
// or buried the revision. Among k members that had promised that ballot too few held it, so nothing of
// it with a lower ballot is chosen; and with a higher one it is not: one of W accepts would show here.
func (r *Read) overruled(t *tally) bool {
	if t.ballot == (Ballot{}) {
		return false
	}
	for i := range r.buried {
		if m := &r.buried[i]; m.Ref == t.ref && m.Rev == t.rev && t.ballot.Compare(m.Ballot) < 0 {
			return true
		}
	}
	d := &r.decision
	newer := t.ref.Compare(d.Ref) > 0 || t.ref == d.Ref && t.rev > d.Rev
	return newer && t.ballot.Compare(d.Ballot) < 0
}

// Answered are the slots that gave evidence.
func (r *Read) Answered() Slots { return r.answered }
