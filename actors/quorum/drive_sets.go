package quorum

import (
	"slices"

	"holdfast/actors/object"
)

// adopt takes a newer epoch of a set. A drive that comes in as a newcomer opens as rebuilding; it is
// in sync from the flip on, which the control plane decides only when it holds everything (I16).
func (d Drive) adopt(at At, req *Request) Answer {
	set, c := at.Set, &req.Config
	ans := Answer{Reply: Reply{Kind: req.Kind, OK: true, Config: set.Config, Floor: set.GCFloor}}
	if c.Epoch <= set.Config.Epoch {
		return ans // the reply says which epoch it is at
	}
	switch {
	case !c.Members().Has(req.Member):
		set.State = SlotNone
	case set.State == SlotNone && c.Phase == Begun && req.Member == c.Newcomer():
		set.State, set.Joined = SlotRebuilding, c.Epoch
	case set.State == SlotNone && c.Epoch > 1 && !d.Rules.Off(NoInSync):
		set.State, set.Joined = SlotRebuilding, c.Epoch // it was never told of the set: it knows nothing
	case set.State == SlotNone:
		set.State = SlotInSync
	case set.State == SlotRebuilding && c.Phase == Flipped && req.Member == c.Newcomer():
		set.State = SlotInSync
	case set.State == SlotRebuilding && set.Config.Phase != Settled && set.Member == set.Config.Newcomer() && req.Member < c.N:
		set.State = SlotInSync // it slept through its flip, and perhaps into the next move
	}
	set.Config, set.Member = *c, req.Member
	ans.Reply.Config, ans.Write = *c, WriteSync
	return ans
}

// fenceBucket learns a bucket's revision (I17, I23).
func (d Drive) fenceBucket(at At, req *Request) Answer {
	b := at.Bucket
	ans := Answer{Reply: Reply{Kind: req.Kind, OK: true}}
	if req.Revision < b.Revision || b.Removed {
		return ans
	}
	next := BucketState{Revision: req.Revision, Sealed: req.Sealed, Removed: req.Removed}
	if next != *b {
		*b = next
		ans.Write = WriteSync
	}
	return ans
}

// upload opens an upload. A message that comes late must not open again what was ended since: whoever
// ended it had W promises above the stamp, and where those are forgotten the floor or the horizon is
// above it (I27). So the stamp is a promise: no ballot below it ends the upload.
func (d Drive) upload(now object.Stamp, at At, req *Request) Answer {
	k := at.Key
	v := d.view(now, at, Attempt{})
	highest := max(v.keyHighest(), v.GCFloor)
	ans := Answer{Reply: d.reply(at, req, func(r *Reply) { r.Highest = highest })}
	switch {
	case slices.Contains(k.Uploads, req.Upload):
		ans.Reply.OK = true
		if req.Ballot.TS > k.Promise.TS && !v.isAhead(req.Ballot) && !d.Rules.Off(NoUploadStamp) {
			k.Promise, ans.Write = req.Ballot, WriteSync // it is offered again, under a newer stamp
		}
		return ans
	case req.Ballot.TS <= max(v.Promise.TS, v.GCFloor, v.Horizon) && !d.Rules.Off(NoUploadStamp):
		return ans
	case v.isAhead(req.Ballot):
		ans.Reply.Ahead = true
		return ans
	}
	k.Uploads = append(k.Uploads, req.Upload)
	if req.Ballot.TS > k.Promise.TS && !d.Rules.Off(NoUploadStamp) {
		k.Promise = req.Ballot
	}
	k.Token = 0 // I19
	at.Drive.Highest = max(at.Drive.Highest, req.Ballot.TS)
	ans.Reply.OK, ans.Write = true, WriteSync
	return ans
}

// decideOn accepts a decision without a version: of an abort, or of a resolution that buries what it
// found neither chosen nor finishable. It obeys the key's ballots like a commit (I12), so that of
// complete and abort only one comes through (I27), and what it buries was not finished since: whoever
// could have done so had promises above the ballot.
func (d Drive) decideOn(now object.Stamp, at At, req *Request) Answer {
	k := at.Key
	v := d.view(now, at, Attempt{})
	ans := Answer{Reply: d.reply(at, req, func(r *Reply) { r.Highest = v.keyHighest() })}
	barred := v.isBarred(req.Ballot) || req.Ballot.TS <= v.Horizon || v.Newest == object.VersionRef{} && req.Ballot.TS <= v.GCFloor
	if barred && !d.Rules.Off(NoOneDecision) {
		return ans
	}
	if req.Upload != (object.WriteID{}) {
		k.closeUpload(req.Upload)
		k.Token = 0 // I19
	}
	for i := range req.Dead {
		if held := k.find(req.Dead[i].Ref, req.Dead[i].Rev); held == nil || !held.Stable && held.Ballot.Compare(req.Ballot) < 0 {
			k.bury(req.Dead[i], req.Ballot)
		}
	}
	k.decide(req.Ballot, req.Decision)
	ans.Reply.OK, ans.Write = true, WriteSync
	return ans
}

// hinted removes the hints of members that were healed: they have all that stands up to the version,
// and what has not stood since needs no hint.
func (d Drive) hinted(at At, req *Request) Answer {
	k := at.Key
	n, own := len(k.Hints), at.Set.Config.SlotsOf(Slot(at.Set.Member))
	for i := range k.Hints {
		h := &k.Hints[i]
		if c := h.Ref.Compare(req.Version.Ref); c > 0 || c == 0 && h.Rev > req.Version.Rev {
			continue
		}
		got := req.Missed
		if v := k.find(h.Ref, h.Rev); v != nil && v.Kind == Object && !v.Data { // its shard was found damaged since
			got &^= own
		}
		h.Missed &^= got
	}
	k.Hints = slices.DeleteFunc(k.Hints, func(h Hint) bool { return h.Missed == 0 })
	ans := Answer{Reply: d.reply(at, req, func(r *Reply) { r.OK = true })}
	if n != len(k.Hints) {
		ans.Write = WriteLazy
	}
	return ans
}

// pin keeps a version's shard readable whatever happens to its row (I21).
func (s *KeyState) pin(p Pin) {
	if !slices.Contains(s.Pins, p) {
		s.Pins = append(s.Pins, p)
	}
}

// fetch reads a piece of a shard: of a version that is held with its shard, or pinned.
func (d Drive) fetch(at At, req *Request) Answer {
	k, ref := at.Key, req.Version.Ref
	pinned := slices.ContainsFunc(k.Pins, func(p Pin) bool { return p.Ref == ref })
	held := slices.ContainsFunc(k.Versions, func(v Version) bool { return v.Ref == ref && v.Data })
	return Answer{Reply: d.reply(at, req, func(r *Reply) { r.OK = pinned || held })}
}

func (d Drive) unpin(at At, req *Request) Answer {
	at.Key.Pins = slices.DeleteFunc(at.Key.Pins, func(p Pin) bool { return p.By == req.Pin })
	return Answer{Write: WriteLazy, Reply: d.reply(at, req, func(r *Reply) { r.OK = true })}
}

// Current is the newest version of a list of rows that stands: nil if there is none or it is a
// marker or tombstone. The rows are resolved: of each version the newest revision counts.
func Current(rows []Version) *Version {
	var done object.VersionRef
	for i := range rows {
		v := &rows[i]
		if v.Ref == done {
			continue
		}
		done = v.Ref
		switch v.Kind {
		case Purged:
			continue
		case Object:
			return v
		}
		return nil
	}
	return nil
}

// Named is the named version of a resolved list, its newest revision; nil if there is none or it was
// removed.
func Named(rows []Version, id object.VersionID) *Version {
	for i := range rows {
		if v := &rows[i]; id.Names(v.Ref, v.Null) {
			if v.Kind == Purged {
				return nil
			}
			return v
		}
	}
	return nil
}
