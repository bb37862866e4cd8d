package quorum

import (
	"slices"
	"time"

	"holdfast/actors/object"
)

// resolve is the part that all prepared operations share: it prepares under a ballot (I11, I12) and
// ends what is in doubt under it, so that what follows is decided on a resolved state (I13). A
// version that may be chosen is finished, one that cannot be is passed over or, by a thorough
// resolution, killed (I7).
type resolve struct {
	env      *Env
	t        *Target
	write    object.WriteID // of the ballots
	all      bool           // down to the oldest version, not only to the newest stable one
	thorough bool           // bury what is passed over, mark what is chosen
	filling  bool           // a newcomer
	null     bool           // what will be written replaces null versions
	// unique: the ballot's stamp will name a revision, or a version of another write id, so no other ballot
	// may have the same one. Each member promises a stamp once; W promises of each would meet.
	unique bool

	c        *calls // the operation's
	state    resolveState
	tries    int
	highest  object.Stamp
	ballot   Ballot
	read     Read
	promised Slots
	granted  Slots // promised, in sync or not
	refused  Slots
	ahead    Slots
	lost     Slots
	heard    Slots // reported, promised or not
	rows     []row
	reports  [maxMembers]reportCopy
	buried   []Attempt // neither chosen nor finishable
	w        Write
	current  row   // being finished
	accepted Slots // the decision
	wake     time.Time
}

// maxMembers is the most members a set has: 16 slots and a newcomer.
const maxMembers = 17

// row is what the answers say of one revision.
type row struct {
	Version
	holders, data, stable Slots
}

// reportCopy is what a member reported.
type reportCopy struct {
	dead    []DeadMark
	uploads []object.WriteID
	hints   []Hint
}

type resolveState uint8

const (
	preparing resolveState = iota + 1
	pausing                // before another ballot
	finishing              // current
	deciding               // what is buried
	resolved
	unresolved
)

// outcome of a step of resolve.
type resolution uint8

const (
	resolveGoing resolution = iota
	resolveDone
	resolveFailed
)

// begin starts, or starts anew, with a fresh ballot.
func (r *resolve) begin(now time.Time) resolution {
	ts, ok := r.env.stamp(now, r.highest)
	if !ok {
		r.state = unresolved
		return resolveFailed
	}
	r.ballot = Ballot{TS: ts, Write: r.write}
	r.state = preparing
	r.granted, r.promised, r.refused, r.ahead, r.lost, r.heard, r.wake = 0, 0, 0, 0, 0, 0, time.Time{}
	r.rows, r.buried = r.rows[:0], r.buried[:0]
	r.read = NewReadIn(&r.t.Config, r.env.Rules)
	r.read.asked = r.t.Config.Judges()
	for i := range r.reports {
		r.reports[i] = reportCopy{}
	}
	r.c.start(r.t.Config.Members(), r.t, &Request{Kind: ReqPrepare, Ballot: r.ballot, All: r.all})
	return resolveGoing
}

// retry begins anew after a pause that grows, so that rivals do not chase each other for ever.
func (r *resolve) retry(now time.Time) resolution {
	r.tries++
	if r.tries > r.env.Limits.Tries {
		r.state = unresolved
		return resolveFailed
	}
	r.state = pausing
	jitter := time.Duration(r.write[15]) * time.Millisecond / 16
	r.wake = now.Add(time.Duration(r.tries)*time.Millisecond + jitter)
	return resolveGoing
}

func (r *resolve) step(now time.Time, ev *Event) resolution {
	if ev.Kind == EvReply && ev.Reply.Refused == RefusedEpoch && ev.Reply.Config.Epoch > r.t.Config.Epoch {
		r.t.Config = ev.Reply.Config // P5: a ballot lives in one epoch; prepare again
		return r.retry(now)
	}
	if ev.Kind == EvConfig && ev.Config.Epoch > r.t.Config.Epoch {
		r.t.Config = *ev.Config
		return r.retry(now)
	}
	switch r.state {
	case preparing:
		if r.c.take(ev) {
			r.prepared(ev)
			return r.judge(now)
		}
	case pausing:
		if !now.Before(r.wake) {
			return r.begin(now)
		}
	case finishing:
		return r.finished(now, ev)
	case deciding:
		if r.c.take(ev) {
			return r.decided(ev)
		}
	}
	return resolveGoing
}

// prepared counts one answer to the prepare. Only who promised gives evidence: the others may still
// take what the ballot is to keep out.
func (r *resolve) prepared(ev *Event) {
	m := Slot(ev.From)
	if ev.Kind == EvLost || ev.Reply.Refused != RefusedNot {
		r.read.unknown |= m
		r.lost |= m
		return
	}
	rep := ev.Reply
	r.highest = max(r.highest, rep.Highest)
	if !rep.OK {
		r.refused |= m
		if rep.Ahead {
			r.ahead |= m
		}
		r.read.unknown |= m
		return
	}
	r.heard |= m
	r.granted |= m
	re := ReadEvent{Kind: ReadAnswer, Slot: ev.From, Decision: rep.Decision, Partial: !rep.Complete, Witness: !rep.Judge, Dead: rep.Dead}
	if rep.Judge {
		r.promised |= m
	}
	re.Seen = slices.Grow(re.Seen, len(rep.Versions))
	r.rows = spread(r.rows, rep.Versions, (*row).revision, (*Version).revision, unheld)
	for i := range rep.Versions {
		v := &rep.Versions[i]
		re.Seen = append(re.Seen, Seen{
			Ref: v.Ref, Rev: v.Rev, Stable: v.Stable, Purged: v.Kind == Purged, Null: v.Null, Ballot: v.Ballot, Epoch: v.Epoch, Seats: v.Seats,
		})
		r.note(m, v)
	}
	r.reports[ev.From] = reportCopy{dead: slices.Clone(rep.Dead), uploads: slices.Clone(rep.Uploads), hints: slices.Clone(rep.Hints)}
	r.read.answer(&re)
}

// note merges one reported row into what is known of its revision.
func (r *resolve) note(m Slots, v *Version) {
	i, ok := search(r.rows, v.revision(), (*row).revision)
	if !ok {
		r.rows = slices.Insert(r.rows, i, unheld(v))
	}
	w := &r.rows[i]
	w.holders |= m
	if v.Stable {
		w.stable |= m
	}
	if !v.Data {
		return
	}
	first, end := i, i+1 // all revisions of the version that were reported so far
	for first > 0 && r.rows[first-1].Ref == v.Ref {
		first--
	}
	for end < len(r.rows) && r.rows[end].Ref == v.Ref {
		end++
	}
	for j := first; j < end; j++ {
		if r.rows[j].holders != 0 {
			r.rows[j].data |= m
		}
	}
}

// unheld is the row of a revision that nobody is known to hold.
func unheld(v *Version) row {
	n := row{Version: *v}
	n.Seats = nil
	return n
}

// permitted says that enough members have promised the ballot.
func (r *resolve) permitted(promised, granted Slots) bool {
	if r.unique && !r.env.Rules.Off(NoUniqueRevision) && !r.t.Config.Acks(granted, r.env.Rules) {
		return false
	}
	return r.t.Config.Evident(promised, r.env.Rules)
}

// judge looks for the next version to end, newest first.
func (r *resolve) judge(now time.Time) resolution {
	r.wake = time.Time{}
	if !r.permitted(r.promised, r.granted) {
		switch {
		case r.permitted(r.promised|r.c.out&r.t.Config.Judges(), r.granted|r.c.out):
			return resolveGoing
		case r.refused != 0:
			return r.retry(now)
		}
		r.state = unresolved
		return resolveFailed
	}
	if r.thorough && r.c.out != 0 {
		return resolveGoing
	}
	var null, gone object.VersionRef
	for i := range r.read.versions {
		t := &r.read.versions[i]
		at := r.row(t.ref, t.rev)
		switch {
		case t.ref == gone, at.Null && t.ref.Compare(null) < 0:
			continue // the mark of what is newer reclaims it
		case !r.read.reaches(t.ref):
			r.all = true // what stands lies below a removed version
			return r.retry(now)
		case r.read.chosen(t):
			gone = t.ref
			if at.Null {
				null = t.ref
			}
			if t.purged {
				continue
			}
			if !r.all {
				return r.conclude()
			}
			continue
		case r.env.Rules.Off(NoResolveFirst):
			continue
		case r.read.dead(t):
			if a := at.Attempt(); r.buries(at) && !slices.Contains(r.buried, a) {
				r.buried = append(r.buried, a)
			}
			continue
		case r.c.out != 0:
			return resolveGoing // the others may settle it
		}
		return r.finish(now, at)
	}
	if !r.read.reaches(object.VersionRef{}) {
		r.all = true
		return r.retry(now)
	}
	return r.conclude()
}

// buries says that a revision which was found dead is to be buried, and not only passed over. The decision
// that comes with what is written now overrules it, until another decision takes its place: that knows what was
// written now, and no more what that had passed over. A null version is replaced by then; any other would be
// finished after all, and be an upload's second completion, or a PUT whose condition had not held.
func (r *resolve) buries(at *row) bool {
	return r.thorough || !(at.Null && r.null) && !r.env.Rules.Off(NoBuryNamed)
}

// sure says that W know of what was buried, if anything was.
func (r *resolve) sure() bool {
	return len(r.buried) == 0 || r.t.Config.Acks(r.accepted, r.env.Rules)
}

// conclude ends the resolution. It buries what is dead, by a decision under its ballot; one that fills a
// newcomer also what somebody has sworn never to take and nobody holds who was heard.
func (r *resolve) conclude() resolution {
	if r.filling && !r.clean() && !r.env.Rules.Off(NoCopyMarks) {
		r.buried = append(r.buried, r.marked()...)
	}
	if len(r.buried) == 0 {
		r.state = resolved
		return resolveDone
	}
	r.state, r.accepted = deciding, 0
	r.c.start(r.t.Config.Members(), r.t, &Request{Kind: ReqDecide, Ballot: r.ballot, Decision: r.newest(), Dead: r.buried})
	return resolveGoing
}

// clean says that nobody can hold anything but stable versions: all judges have answered.
func (r *resolve) clean() bool {
	if r.t.Config.Unheard(r.promised) != 0 {
		return false
	}
	for i := range r.rows {
		if at := &r.rows[i]; at.stable != at.holders {
			return false
		}
	}
	return true
}

// marked are the attempts with a dead mark that no answer holds, unless something chosen has taken their
// place: then they are over, and may have been chosen in their time.
func (r *resolve) marked() []Attempt {
	var out []Attempt
	for m := range r.granted.All() {
		for _, d := range r.reports[m].dead {
			_, held := search(r.rows, revision{d.Ref, d.Rev}, (*row).revision)
			if !held && !r.replaced(d.Attempt) && !slices.Contains(out, d.Attempt) {
				out = append(out, d.Attempt)
			}
		}
	}
	return out
}

// replaced says that a chosen revision makes an attempt useless.
func (r *resolve) replaced(a Attempt) bool {
	above, _ := search(r.read.versions, revision{a.Ref, a.Rev}, (*tally).revision)
	for i := above - 1; i >= 0; i-- {
		t := &r.read.versions[i]
		switch same := t.ref == a.Ref; {
		case !same && !a.Null:
			return false
		case (same || t.null) && r.read.chosen(t):
			return true
		}
	}
	return false
}

// decided counts who accepted the decision. With W of them what it buries is out of the way; who accepts
// it alone does no harm: what k members had promised away is dead, whether the others know it or not.
func (r *resolve) decided(ev *Event) resolution {
	if ev.Kind == EvReply && ev.Reply.Refused == RefusedNot && ev.Reply.OK {
		r.accepted |= Slot(ev.From)
	}
	if r.c.out != 0 && !r.t.Config.Acks(r.accepted, r.env.Rules) {
		return resolveGoing
	}
	for _, a := range r.buried {
		r.read.versions = slices.DeleteFunc(r.read.versions, func(x tally) bool { return x.ref == a.Ref && x.rev == a.Rev })
		r.rows = slices.DeleteFunc(r.rows, func(x row) bool { return x.Is(a.Ref, a.Rev) })
	}
	r.c.out, r.state = 0, resolved
	return resolveDone
}

func (r *resolve) row(ref object.VersionRef, rev object.Stamp) *row {
	if i, ok := search(r.rows, revision{ref, rev}, (*row).revision); ok {
		return &r.rows[i]
	}
	return &row{Version: Version{Ref: ref, Rev: rev}}
}

// finish brings a version that may be chosen to W under the ballot (I3), which takes k shards.
func (r *resolve) finish(now time.Time, at *row) resolution {
	if at.Kind == Object && at.data.Len() < r.t.Config.K {
		r.state = unresolved
		return resolveFailed
	}
	r.current, r.state = *at, finishing
	r.w = NewWriteIn(&r.t.Config, r.env.Limits.Write, r.env.Rules)
	return r.write1(r.w.Step(now, WriteEvent{Kind: WriteBegin, Slots: r.t.Config.Members(), Finish: true}))
}

// write1 carries out what the write of the current version wants.
func (r *resolve) write1(e WriteEffect) resolution {
	v := r.current.Version
	if e.Offer != 0 {
		v.Data = v.Kind == Object
		v.Stable, v.Synced, v.Seats = false, false, nil
		r.c.start(e.Offer, r.t, &Request{Kind: ReqCommit, Version: v, Ballot: r.ballot})
	}
	r.wake = e.Wake
	r.c.tell(e.Mark, r.t, &Request{Kind: ReqMark, Version: v, Missed: e.Missed})
	switch {
	case e.Ack:
		t := r.tally(v.Ref, v.Rev)
		t.stable |= r.w.Accepted()
		at := r.row(v.Ref, v.Rev)
		at.holders |= r.w.Accepted()
		if v.Kind == Object {
			at.data |= r.w.Accepted()
		}
		if !e.Over {
			r.c.tell(r.w.Accepted(), r.t, &Request{Kind: ReqMark, Version: v, Missed: r.t.Config.SlotsOf(r.t.Config.Members() &^ r.w.Accepted())})
		}
		r.c.out, r.state = 0, preparing
		return resolveDone // the caller judges on
	case e.Fail:
		return resolveFailed
	}
	return resolveGoing
}

func (r *resolve) tally(ref object.VersionRef, rev object.Stamp) *tally {
	if i, ok := search(r.read.versions, revision{ref, rev}, (*tally).revision); ok {
		return &r.read.versions[i]
	}
	panic("quorum: resolving a version that nobody reported")
}

// finished takes an answer to the commit of the current version.
func (r *resolve) finished(now time.Time, ev *Event) resolution {
	var we WriteEvent
	switch {
	case ev.Kind == EvTick:
		we.Kind = WriteTick
	case r.c.take(ev):
		we = writeEvent(ev)
		r.highest = max(r.highest, we.Highest)
	default:
		return resolveGoing
	}
	switch r.write1(r.w.Step(now, we)) {
	case resolveDone:
		return r.judge(now)
	case resolveFailed: // promised away, or marked dead: with another ballot it may end
		return r.retry(now)
	}
	return resolveGoing
}

// writeEvent is what an answer to a commit means to its Write.
func writeEvent(ev *Event) WriteEvent {
	we := WriteEvent{Slot: ev.From}
	switch {
	case ev.Kind == EvLost:
		if we.Kind, we.Reason = WriteFailed, ev.Reason; we.Reason == 0 {
			we.Reason = ReasonUnknown
		}
	case ev.Reply.Refused == RefusedEpoch, ev.Reply.Refused == RefusedBucket:
		we.Kind, we.Reason = WriteFailed, ReasonStale
	case ev.Reply.Refused != RefusedNot:
		// It has not adopted the epoch yet, or is not in the set yet. A message that comes again may find it so.
		we.Kind, we.Reason = WriteFailed, ReasonUnknown
	case ev.Reply.OK:
		we.Kind = WriteAccepted
	case ev.Reply.Unsure:
		we.Kind, we.Reason, we.Highest = WriteFailed, ReasonUnknown, ev.Reply.Highest
	default:
		we.Kind, we.Highest, we.Ahead = WriteRefused, ev.Reply.Highest, ev.Reply.Ahead
	}
	return we
}

// standing lists what is chosen, newest first, and of each version the newest such revision alone.
func (r *resolve) standing() []row {
	var out []row
	var last, null object.VersionRef
	for i := range r.read.versions {
		t := &r.read.versions[i]
		at := r.row(t.ref, t.rev)
		if t.ref == last || at.Null && t.ref.Compare(null) < 0 || !r.read.chosen(t) {
			continue
		}
		last = t.ref
		if at.Null && null == (object.VersionRef{}) {
			null = t.ref
		}
		out = append(out, *at)
	}
	return out
}

// hopeless says that too many members are away for anything to be written.
func (r *resolve) hopeless() bool {
	return !r.t.Config.Acks(r.t.Config.Members()&^r.lost, r.env.Rules)
}

// newest is the newest chosen revision, for the decision.
func (r *resolve) newest() Decision {
	d := Decision{Ballot: r.ballot}
	for i := range r.read.versions {
		if t := &r.read.versions[i]; r.read.chosen(t) {
			d.Ref, d.Rev = t.ref, t.rev
			break
		}
	}
	return d
}

// settleMarks tells holders of chosen versions that they are stable, where they did not know (I10). A
// thorough resolution also books what members lack that should have it: a hint may have been lost with
// the coordinator that knew (I2b).
func (r *resolve) settleMarks(standing []row) {
	c, book := &r.t.Config, r.thorough && r.t.Config.Phase == Settled
	var booked []map[revision]Slots // by member, once something is lacking
	for i := range standing {
		at := &standing[i]
		have := at.holders
		if at.Kind == Object {
			have &= at.data
		}
		if late := at.holders &^ at.stable; late != 0 {
			r.c.tell(late, r.t, &Request{Kind: ReqMark, Version: at.Version, Missed: c.SlotsOf(c.Members() &^ have)})
		}
		lack := r.heard &^ have
		if lack == 0 || !book {
			continue
		}
		if booked == nil {
			booked = r.booked()
		}
		to := at.holders
		for m := range to.All() {
			if lack&^booked[m][at.revision()] == 0 { // else it steps through a long key for each of many versions
				to &^= Slot(m)
			}
		}
		r.c.tell(to, r.t, &Request{Kind: ReqMark, Version: at.Version, Missed: lack})
	}
}

// booked is what each member has reported of who lacks which row.
func (r *resolve) booked() []map[revision]Slots {
	out := make([]map[revision]Slots, maxMembers)
	for m := range r.granted.All() {
		for _, h := range r.reports[m].hints {
			if out[m] == nil {
				out[m] = make(map[revision]Slots, len(r.reports[m].hints))
			}
			out[m][revision{h.Ref, h.Rev}] |= h.Missed
		}
	}
	return out
}

// hints are what the members know of who lacks which row, but for a slot that moves: it gets all.
func (r *resolve) hints() map[revision]Slots {
	missed := map[revision]Slots{}
	for m := range r.granted.All() {
		for _, h := range r.reports[m].hints {
			missed[revision{h.Ref, h.Rev}] |= h.Missed &^ Slot(r.t.Config.Moving)
		}
	}
	return missed
}
