package quorum

import (
	"slices"
	"time"

	"holdfast/actors/object"
)

// Drive is the drive's side of the protocol: what one request does to one key, and what is
// answered. It has no state but what it is handed, so that an index, a test and a simulator can run
// it over rows kept as they like.
type Drive struct {
	Rules Rules
	Life  time.Duration // how long an attempt may live; the horizon trails the clock by it
}

// At is the state a request meets.
type At struct {
	Key    *KeyState
	Set    *SetState
	Bucket *BucketState
	Drive  *DriveState
}

// WriteKind says what a step changed.
type WriteKind uint8

// Kinds of change.
const (
	WriteNone WriteKind = iota
	// WriteLazy: marks, pins and tokens. Nobody waits for its sync.
	WriteLazy
	// WriteSync: the reply leaves when the change is durable (I1).
	WriteSync
)

// Answer is what a step comes to. Every reply leaves only when all that it speaks of, but stable
// marks, is durable (I1), whoever wrote it.
type Answer struct {
	Reply Reply
	Write WriteKind
}

// Step carries out one request at the drive's time now.
func (d Drive) Step(now object.Stamp, at At, req *Request) Answer {
	switch req.Kind {
	case ReqAdopt:
		return d.adopt(at, req)
	case ReqFence:
		return d.fenceBucket(at, req)
	case ReqMark:
		return d.mark(at, req)
	case ReqHinted:
		return d.hinted(at, req)
	case ReqFetch:
		return d.fetch(at, req)
	case ReqUnpin:
		return d.unpin(at, req)
	}
	if r := d.fenced(at, req); r.Refused != RefusedNot {
		return Answer{Reply: r}
	}
	switch req.Kind {
	case ReqReport:
		return d.report(now, at, req)
	case ReqPrepare:
		return d.prepare(now, at, req)
	case ReqStage:
		return Answer{Reply: d.reply(at, req, func(r *Reply) {
			v := d.view(now, at, Attempt{})
			r.OK, r.Highest = true, max(at.Drive.Highest, v.keyHighest())
		})}
	case ReqCommit:
		ans := d.commit(now, at, req)
		if v := &req.Version; ans.Reply.OK && v.Kind == Object && v.Rev != v.Ref.TS {
			held := at.Key.find(v.Ref, v.Rev)
			ans.Reply.Bare = held != nil && !held.Data
		}
		return ans
	case ReqKill, ReqDrop:
		return d.kill(now, at, req)
	case ReqCollect:
		return d.collect(now, at, req)
	case ReqForget:
		return d.forget(now, at, req)
	case ReqToken:
		at.Key.Tokens++
		at.Key.Token = at.Key.Tokens
		return Answer{Write: WriteLazy, Reply: d.reply(at, req, func(r *Reply) { r.OK, r.Token = true, at.Key.Token })}
	case ReqHeal:
		return d.heal(at, req)
	case ReqUpload:
		return d.upload(now, at, req)
	case ReqDecide:
		return d.decideOn(now, at, req)
	case ReqFloor:
		at.Set.GCFloor = max(at.Set.GCFloor, req.Floor)
		return Answer{Write: WriteSync, Reply: d.reply(at, req, func(r *Reply) { r.OK = true })}
	}
	panic("quorum: request of unknown kind")
}

// reply is the frame of every answer.
func (d Drive) reply(at At, req *Request, fill func(*Reply)) Reply {
	r := Reply{Kind: req.Kind, Judge: at.Set.State == SlotInSync || d.Rules.Off(NoInSync)}
	fill(&r)
	return r
}

// fenced is what a request's configuration alone refuses (I17): another set epoch, an older, sealed
// or removed bucket. An attempt and a ballot live in one epoch, and so does a kill (P5).
func (d Drive) fenced(at At, req *Request) Reply {
	r := Reply{Kind: req.Kind}
	set := at.Set
	switch {
	case set.State == SlotNone || set.State == SlotLost && !d.Rules.Off(NoWatermark):
		r.Refused = RefusedSync
	case req.Epoch > set.Config.Epoch:
		r.Refused = RefusedBehind
	case req.Epoch < set.Config.Epoch && !d.lenient(req):
		r.Refused, r.Config = RefusedEpoch, set.Config
	case req.Kind != ReqFloor: // which is of the whole set
		r.Refused = d.fencedBucket(at.Bucket, req)
	}
	return r
}

// lenient says that the rule which binds the request to its epoch is switched off.
func (d Drive) lenient(req *Request) bool {
	if req.Ballot != (Ballot{}) && req.Ballot != req.Version.Ref {
		return d.Rules.Off(NoBallotEpoch)
	}
	return (req.Kind == ReqCommit || req.Kind == ReqKill) && d.Rules.Off(NoAttemptEpoch)
}

func (d Drive) fencedBucket(b *BucketState, req *Request) Refusal {
	switch {
	case b.Removed:
		return RefusedBucket // an incarnation never comes back (I23)
	case req.Revision < b.Revision && !d.Rules.Off(NoBucketRevision):
		return RefusedBucket
	case b.Sealed && !req.Sealed && changes(req.Kind) && !d.Rules.Off(NoSeal):
		return RefusedBucket
	case req.Revision > b.Revision:
		return RefusedBehind // until the control plane has told it what the revision says
	}
	return RefusedNot
}

// changes says whether a request may bring something into a bucket.
func changes(k RequestKind) bool {
	return k == ReqPrepare || k == ReqCommit || k == ReqUpload || k == ReqStage || k == ReqDecide
}

// view is what the key's state says of one attempt.
func (d Drive) view(now object.Stamp, at At, a Attempt) KeyView {
	k, set := at.Key, at.Set
	v := KeyView{
		Rules: d.Rules, Promise: k.Promise, GCFloor: set.GCFloor, Horizon: at.Drive.Horizon, Since: at.Drive.Since,
		Highest: at.Drive.Highest, Now: now,
		Foreign: a.Epoch < set.Joined, Rebuilding: set.State != SlotInSync, LastRev: k.Revised,
	}
	if len(k.Versions) > 0 {
		v.Newest = k.Versions[0].Ref
	}
	for i := range k.Versions {
		held := &k.Versions[i]
		if held.Rev != held.Ref.TS {
			v.LastRev = max(v.LastRev, held.Rev)
		}
		v.Older = v.Older || held.Ref.Compare(a.Ref) < 0 || held.Ref == a.Ref && held.Rev < a.Rev
		if held.Is(a.Ref, a.Rev) {
			v.Holds, v.Stable = true, held.Stable
		}
		if held.Stable && (a.Null && held.Null && held.Ref.Compare(a.Ref) > 0 || held.Ref == a.Ref && held.Rev > a.Rev) {
			v.Obsolete = true
		}
	}
	v.Dead = k.dead(a) >= 0
	v.Superseded = k.reclaimed(a) != nil
	return v
}

// reclaimed is what is remembered of an attempt that was held, or nil.
func (s *KeyState) reclaimed(a Attempt) *Reclaimed {
	for i := range s.Superseded {
		if r := &s.Superseded[i]; r.Ref == a.Ref && r.Rev == a.Rev {
			return r
		}
	}
	return nil
}

// other says that an attempt is held, or was, but was never accepted under a ballot.
func (s *KeyState) other(a Attempt, b Ballot) bool {
	if held := s.find(a.Ref, a.Rev); held != nil {
		return !held.Stable && !slices.ContainsFunc(held.Seats, func(s Seat) bool { return s.Ballot == b })
	}
	r := s.reclaimed(a)
	return r != nil && !r.Stable && r.Seat.Ballot != b
}

// dead is the place of an attempt's dead mark, -1 if there is none.
func (s *KeyState) dead(a Attempt) int {
	return slices.IndexFunc(s.Dead, func(m DeadMark) bool { return m.Ref == a.Ref && m.Rev == a.Rev })
}

// prepare promises a ballot (I11, I12) and reports.
func (d Drive) prepare(now object.Stamp, at At, req *Request) Answer {
	v := d.view(now, at, Attempt{})
	verdict := Promise(&v, req.Ballot)
	ans := d.report(now, at, req)
	ans.Reply.OK, ans.Reply.Ahead, ans.Reply.Highest = verdict.Accepted, verdict.Ahead, verdict.Highest
	if verdict.Accepted && !verdict.Repeat {
		at.Key.Promise = req.Ballot
		ans.Reply.Promise = req.Ballot
		ans.Write = WriteSync
		if d.Rules.Off(NoDurablePromise) {
			ans.Write = WriteLazy
		}
	}
	return ans
}

// commit accepts a version or revision, or refuses it.
func (d Drive) commit(now object.Stamp, at At, req *Request) Answer {
	k, o := at.Key, Offer{Ref: req.Version.Ref, Rev: req.Version.Rev, Ballot: req.Ballot}
	v := d.view(now, at, req.Version.Attempt())
	if v.Obsolete && !req.Version.Null && req.Version.Rev == req.Version.Ref.TS {
		v.Obsolete = false // a version that has a name of its own is not reclaimed by newer ones
	}
	v.Other = k.other(req.Version.Attempt(), o.Ballot) && !d.Rules.Off(NoBallotCount)
	verdict := Accept(&v, o)
	ans := Answer{Reply: d.reply(at, req, func(r *Reply) {
		r.OK, r.Ahead, r.Unsure, r.Highest = verdict.Accepted, verdict.Ahead, verdict.Unsure, verdict.Highest
	})}
	if !verdict.Accepted || verdict.Repeat && !v.Holds {
		return ans
	}
	if verdict.Repeat {
		held := k.find(req.Version.Ref, req.Version.Rev)
		news := req.Version.Data && !held.Data // whoever finishes it brings the shard that was missing here
		held.Data = held.Data || req.Version.Data
		if !held.Stable && (d.sit(at.Set, held, req.Ballot) || held.Ballot.Compare(req.Ballot) < 0) {
			news = true
			if held.Ballot.Compare(req.Ballot) < 0 {
				held.Ballot = req.Ballot
			}
		}
		if !news {
			return ans
		}
		if !d.Rules.Off(NoHealToken) {
			k.Token = 0 // I19: what was read before does not know of this ballot
		}
	} else {
		row := req.Version
		row.Ballot, row.Seats, row.Stable, row.Synced = req.Ballot, nil, false, false
		d.sit(at.Set, &row, req.Ballot)
		if d.Rules.Off(NoKeepToStable) && row.Null {
			k.Versions = slices.DeleteFunc(k.Versions, func(v Version) bool { return v.Null && v.Ref.Compare(row.Ref) < 0 })
		}
		k.insert(&row)
		k.Token = 0 // I19
	}
	if req.Ballot != req.Version.Ref || req.Decision != (Decision{}) {
		k.decide(req.Ballot, req.Decision)
	}
	at.Drive.Highest = max(at.Drive.Highest, req.Ballot.TS)
	ans.Write = WriteSync
	return ans
}

// decide notes an accepted ballot: it is a promise too, and the decision behind it stays.
func (s *KeyState) decide(b Ballot, dec Decision) {
	if b.Compare(s.Promise) > 0 {
		s.Promise = b
	}
	if dec.Ballot.Compare(s.Decision.Ballot) > 0 {
		s.Decision = dec
	}
}

// sit notes the epoch and the ballot in which a row was accepted (P2). It reports whether that is news.
func (d Drive) sit(set *SetState, row *Version, b Ballot) bool {
	seat := set.Config.Seat(set.Member)
	seat.Ballot = b
	if slices.Contains(row.Seats, seat) {
		return false
	}
	row.Seats = slices.Clip(row.Seats)
	for i := 1; i < len(row.Seats); i++ { // the first accept, and the last one of each epoch, are enough
		if row.Seats[i].Epoch == seat.Epoch {
			row.Seats = slices.Delete(row.Seats, i, i+1)
			break
		}
	}
	row.Seats = append(row.Seats, seat)
	return true
}

func (s *KeyState) find(ref object.VersionRef, rev object.Stamp) *Version {
	if len(s.Versions) > fewRevisions {
		if i, ok := search(s.Versions, revision{ref, rev}, (*Version).revision); ok {
			return &s.Versions[i]
		}
		return nil
	}
	for i := range s.Versions {
		if s.Versions[i].Is(ref, rev) {
			return &s.Versions[i]
		}
	}
	return nil
}

// insert puts a row in its place; a revision has the shard that its version has.
func (s *KeyState) insert(row *Version) {
	at, _ := search(s.Versions, row.revision(), (*Version).revision)
	s.share(at, row)
	s.Versions = slices.Insert(s.Versions, at, *row)
}

// share gives a row whose place is at the shard that other revisions of its version have.
func (s *KeyState) share(at int, row *Version) {
	first, end := at, at
	for first > 0 && s.Versions[first-1].Ref == row.Ref {
		first--
	}
	for end < len(s.Versions) && s.Versions[end].Ref == row.Ref {
		end++
	}
	for i := first; i < end; i++ {
		if s.Versions[i].Data {
			row.Data = row.Kind == Object
		}
	}
}

// report lists the versions from the newest down to the newest stable one that stands (I9).
func (d Drive) report(now object.Stamp, at At, req *Request) Answer {
	k := at.Key
	rows, whole := k.Versions, true
	switch {
	case req.At.Named && !req.At.Null:
		rows = named(rows, req.At.Ref)
	case !req.All && !req.At.Named:
		rows = rows[:d.reach(rows)]
		whole = len(rows) == len(k.Versions)
	}
	ans := Answer{Reply: d.reply(at, req, func(r *Reply) {
		r.OK = true
		r.Versions, r.Complete = rows, whole
		r.Promise, r.Decision, r.Dead, r.Uploads, r.Hints = k.Promise, k.Decision, k.Dead, k.Uploads, k.Hints
		r.Highest, r.Now = at.Drive.Highest, now
		r.Floor, r.Horizon = at.Set.GCFloor, at.Drive.Horizon
	})}
	if req.Pin != (PinID{}) && !d.Rules.Off(NoPin) {
		for i := range rows {
			if v := &rows[i]; v.Data {
				k.pin(Pin{Ref: v.Ref, By: req.Pin})
				ans.Write = WriteLazy
			}
		}
	}
	return ans
}

// named cuts a list down to the revisions of one version.
func named(rows []Version, ref object.VersionRef) []Version {
	i := slices.IndexFunc(rows, func(v Version) bool { return v.Ref == ref })
	if i < 0 {
		return nil
	}
	n := slices.IndexFunc(rows[i:], func(v Version) bool { return v.Ref != ref })
	if n < 0 {
		return rows[i:]
	}
	return rows[i : i+n]
}

// reach is how many rows a report needs.
func (d Drive) reach(rows []Version) int {
	for i := range rows {
		last := i == 0 || rows[i-1].Ref != rows[i].Ref // the newest revision of its version
		if rows[i].Stable && !(last && rows[i].Kind == Purged) && !purgedAbove(rows, i) {
			return i + 1
		}
	}
	return len(rows)
}

// purgedAbove says whether a newer, stable revision of the same version purges it.
func purgedAbove(rows []Version, i int) bool {
	for j := i - 1; j >= 0 && rows[j].Ref == rows[i].Ref; j-- {
		if rows[j].Kind == Purged && rows[j].Stable {
			return true
		}
	}
	return false
}
