package quorum

import (
	"slices"

	"holdfast/actors/object"
)

// mark makes a revision stable (I10: whoever sends it has seen W accepts) and reclaims what that
// supersedes (I6): older revisions of the version and, if it is the null version, older null ones.
// It is a fact about the past, so no configuration fences it.
func (d Drive) mark(at At, req *Request) Answer {
	k := at.Key
	ans := Answer{Reply: d.reply(at, req, func(r *Reply) { r.OK = true })}
	row := k.find(req.Version.Ref, req.Version.Rev)
	if row == nil { // what a newer revision has replaced may lie short of shards all the same
		for i := range k.Versions {
			if v := &k.Versions[i]; v.Ref == req.Version.Ref && v.Rev > req.Version.Rev && v.Stable && k.hint(v, req.Missed) {
				ans.Write = WriteLazy
				break
			}
		}
		return ans
	}
	if row.Stable {
		if k.hint(row, req.Missed) {
			ans.Write = WriteLazy
		}
		return ans
	}
	row.Stable, row.Synced, row.Seats = true, false, nil
	k.hint(row, req.Missed)
	k.supersede()
	ans.Write = WriteLazy
	return ans
}

// supersede drops every row that a stable one makes useless. A memory stays, so that nobody takes
// their absence for evidence (P1): the mark of one that was stable may be all that told of its W
// accepts, and its coordinator may not have heard.
func (s *KeyState) supersede() {
	var null, ref object.VersionRef // newest stable null version, version of a stable revision above
	var top Version                 // that revision
	for i := range s.Versions {
		if v := &s.Versions[i]; v.Stable && v.Null {
			null = v.Ref
			break
		}
	}
	kept := s.Versions[:0]
	for i := range s.Versions {
		v := s.Versions[i]
		if v.Stable || v.Ref == ref || v.Null && v.Ref.Compare(null) < 0 {
			s.closeUpload(v.Upload)
		}
		if v.Ref == ref || v.Null && v.Ref.Compare(null) < 0 {
			s.Superseded = append(s.Superseded, v.reclaimed())
			if missed := s.unhint(v.Ref, v.Rev); v.Ref == ref && top.Kind == Object {
				s.hint(&top, missed) // whoever lacks the shard lacks it under the new revision too
			}
			continue
		}
		if v.Stable {
			ref, top = v.Ref, v
			if v.Kind == Purged {
				v.Data = false
			}
		}
		kept = append(kept, v)
	}
	clear(s.Versions[len(kept):])
	s.Versions = kept
}

// reclaimed is what stays of a row.
func (v *Version) reclaimed() Reclaimed {
	r := Reclaimed{Attempt: v.Attempt(), Stable: v.Stable}
	if len(v.Seats) > 0 {
		r.Seat = v.Seats[0]
	}
	return r
}

// closeUpload forgets an upload that was completed: its version is stable, or something that stands
// above has replaced it before anybody knew whether it was chosen (I27).
func (s *KeyState) closeUpload(id object.WriteID) {
	if id != (object.WriteID{}) {
		s.Uploads = slices.DeleteFunc(s.Uploads, func(u object.WriteID) bool { return u == id })
	}
}

// hint notes who lacks a stable revision or its shard (I2b). It reports whether that is news.
func (s *KeyState) hint(v *Version, missed Slots) bool {
	if missed == 0 {
		return false
	}
	for i := range s.Hints {
		if h := &s.Hints[i]; h.Ref == v.Ref && h.Rev == v.Rev {
			news := missed&^h.Missed != 0
			h.Missed |= missed
			return news
		}
	}
	s.Hints = append(s.Hints, Hint{Ref: v.Ref, Rev: v.Rev, Missed: missed})
	return true
}

// Spoilt is for the drive's owner: somebody found the shard of a version damaged. The drive lacks it from now
// on, so that nobody counts it among the k that a reader, a resolution or a heal needs (I20). The debt lies with
// the drive itself, and its owner sees to it (I2b): nobody else may know. Lazy: if the power takes it, the shard
// is found again.
func (d Drive) Spoilt(at At, ref object.VersionRef) WriteKind {
	if d.Rules.Off(NoSpoilt) {
		return WriteNone
	}
	k, wrote := at.Key, WriteNone
	for i := range k.Versions {
		v := &k.Versions[i]
		if v.Ref != ref || v.Kind != Object || !v.Data {
			continue
		}
		v.Data, wrote = false, WriteLazy
		if v.Stable { // a revision in doubt above it may be dropped, and takes the debt over if it stands
			k.hint(v, at.Set.Config.SlotsOf(Slot(at.Set.Member)))
		}
	}
	return wrote
}

// unhint forgets who lacks a revision.
func (s *KeyState) unhint(ref object.VersionRef, rev object.Stamp) (missed Slots) {
	s.Hints = slices.DeleteFunc(s.Hints, func(h Hint) bool {
		if h.Ref != ref || h.Rev != rev {
			return false
		}
		missed = h.Missed
		return true
	})
	return missed
}

// undebt forgets who lacks a version that is gone: nothing that is healed later would end such a hint. It
// reports whether there was one.
func (s *KeyState) undebt(ref object.VersionRef) bool {
	n := len(s.Hints)
	s.Hints = slices.DeleteFunc(s.Hints, func(h Hint) bool { return h.Ref == ref })
	return n != len(s.Hints)
}

// kill leaves a dead mark, answers that the attempt is held, or, with proof, drops it (I7).
func (d Drive) kill(now object.Stamp, at At, req *Request) Answer {
	k, a := at.Key, req.Attempt
	v := d.view(now, at, a)
	verdict := Kill(&v, a.Ref)
	proven := req.Kind == ReqDrop
	if verdict == KillUnknown && proven {
		verdict = KillMark
	}
	ans := Answer{Reply: d.reply(at, req, func(r *Reply) { r.OK, r.Kill = true, verdict })}
	if held := k.find(a.Ref, a.Rev); held != nil {
		was := held.reclaimed()
		ans.Reply.Held, ans.Reply.Chosen = was.Seat, was.Stable
	} else if was := k.reclaimed(a); was != nil {
		ans.Reply.Held, ans.Reply.Chosen = was.Seat, was.Stable
	}
	switch {
	case verdict == KillHeld, verdict == KillUnknown:
		return ans
	case verdict == KillDrop && !proven:
		ans.Reply.Kill = KillHeld
		if !d.Rules.Off(NoMarkExclusion) {
			return ans
		}
		ans.Reply.Kill = KillMark // and goes on holding it
	case verdict == KillDrop:
		k.drop(a)
	}
	if i := k.dead(a); i < 0 {
		k.Dead = append(k.Dead, DeadMark{Attempt: a, Proven: proven})
	} else if proven && !k.Dead[i].Proven {
		k.Dead[i].Proven = true
	} else {
		return ans
	}
	k.Token = 0
	ans.Write = WriteSync
	return ans
}

// bury drops an attempt that is dead and leaves a mark.
func (s *KeyState) bury(a Attempt, b Ballot) *DeadMark {
	s.drop(a)
	i := s.dead(a)
	if i < 0 {
		i = len(s.Dead)
		s.Dead = append(s.Dead, DeadMark{Attempt: a})
	}
	if m := &s.Dead[i]; b.Compare(m.Ballot) > 0 {
		m.Ballot = b
	}
	return &s.Dead[i]
}

// binds says that a mark is needed. That of an attempt far ahead of its time is not: it is refused for that
// (I22), and over long before it is not. To raise a floor to it would shut a set for as long (H17).
// A drive that has believed such a stamp once, of any key, refuses none below it: there the mark is needed.
func (m *DeadMark) binds(now, highest object.Stamp) bool {
	return m.Rev <= max(now, highest)+MaxAhead
}

// drop removes an unfinished revision.
func (s *KeyState) drop(a Attempt) {
	s.Versions = slices.DeleteFunc(s.Versions, func(v Version) bool { return v.Is(a.Ref, a.Rev) && !v.Stable })
}

// collect drops a key of which all members hold nothing but a stable, synced tombstone, or, of a
// version that was purged, the rest of it. The set's floor takes the place of all that the key
// remembers, promise and dead marks included (I18, P4).
func (d Drive) collect(now object.Stamp, at At, req *Request) Answer {
	k, set := at.Key, at.Set
	d.age(now, at, req)
	ans := Answer{Reply: d.reply(at, req, func(*Reply) {})}
	row := k.find(req.Version.Ref, req.Version.Rev)
	switch {
	case row != nil:
	case len(k.Versions) > 0:
		ans.Reply.OK = true // of a purged version: gone already
		if k.undebt(req.Version.Ref) {
			ans.Write = WriteLazy
		}
		return ans
	default: // dropped before, or never here: the floor is raised all the same
		told := req.Version
		told.Stable = true
		row = &told
	}
	if !row.Stable || row.Kind != Tombstone && row.Kind != Purged || set.Config.Phase != Settled {
		return ans
	}
	floor := max(row.Ref.TS, row.Rev, row.Ballot.TS)
	if len(k.Versions) > 1 {
		// Something else holds the key; only what is over goes, and late messages meet the horizon.
		if max(floor, k.Promise.TS) > at.Drive.Horizon && !d.Rules.Off(NoHorizon) {
			return ans
		}
		k.Versions = slices.DeleteFunc(k.Versions, func(v Version) bool { return v.Is(req.Version.Ref, req.Version.Rev) })
		k.undebt(req.Version.Ref)
	} else {
		if !d.Rules.Off(NoRaiseFloor) {
			floor = max(floor, k.Promise.TS, k.Decision.Ballot.TS)
			for i := range k.Dead {
				if m := &k.Dead[i]; m.binds(now, at.Drive.Highest) {
					floor = max(floor, m.Rev)
				}
			}
		}
		if floor > now+MaxAhead && !d.Rules.Off(NoClockBound) {
			return ans // H17
		}
		set.GCFloor = max(set.GCFloor, floor)
		for i := range k.Versions {
			k.Superseded = append(k.Superseded, k.Versions[i].reclaimed())
		}
		k.Versions, k.Dead, k.Hints = k.Versions[:0], k.Dead[:0], k.Hints[:0]
		k.Promise, k.Decision = Ballot{}, Decision{}
	}
	if !d.Rules.Off(NoHealToken) {
		k.Token = 0
	}
	ans.Reply.OK, ans.Write = true, WriteSync
	return ans
}

// forget lets go of what a key remembers beside its versions, as far as attempts that old are over
// (I18). What superseded attempts left goes by age alone, the rest only on the collector's word that
// all members are in sync and nothing is in doubt.
func (d Drive) forget(now object.Stamp, at At, req *Request) Answer {
	k, dr := at.Key, at.Drive
	ans := Answer{Reply: d.reply(at, req, func(*Reply) {})}
	if d.age(now, at, req) {
		ans.Write = WriteSync
	}
	k.Superseded = slices.DeleteFunc(k.Superseded, func(a Reclaimed) bool { return max(a.Ref.TS, a.Rev) <= dr.Horizon })
	if req.Floor == 0 || req.Floor > dr.Horizon || at.Set.Config.Phase != Settled {
		return ans
	}
	if max(k.Promise.TS, k.Decision.Ballot.TS) > req.Floor {
		return ans // something has happened since
	}
	k.Promise, k.Decision = Ballot{}, Decision{}
	k.Dead = slices.DeleteFunc(k.Dead, func(m DeadMark) bool { return m.Rev <= req.Floor || !m.binds(now, at.Drive.Highest) })
	ans.Reply.OK, ans.Write = true, WriteSync
	return ans
}

// age lets the horizon follow the clocks. One drive's clock alone could jump ahead and leave a
// horizon that refuses everybody for years, so it follows the lowest of many (H17).
func (d Drive) age(now object.Stamp, at At, req *Request) bool {
	life := object.Stamp(d.Life.Microseconds()) << 10
	now = min(now, req.Now)
	if now <= life || now-life <= at.Drive.Horizon {
		return false
	}
	at.Drive.Horizon = now - life
	return true
}

// absent is the place of a row that is about to be taken in. It has no kind.
func absent(v *Version) Version { return Version{Ref: v.Ref, Rev: v.Rev} }

// heal copies what others hold: stable versions past the accept rule, and attempts proved dead. The
// token proves that nothing has come to the key since before the sources were read (I19).
func (d Drive) heal(at At, req *Request) Answer {
	k := at.Key
	ans := Answer{Reply: d.reply(at, req, func(*Reply) {})}
	if (k.Token == 0 || k.Token != req.Token) && !d.Rules.Off(NoHealToken) {
		return ans
	}
	if b := req.Decision.Ballot; b != (Ballot{}) && k.Decision.Ballot.Compare(b) > 0 {
		return ans // decided anew since the sources were read
	}
	binds := len(req.Dead) > 0 || len(req.Uploads) > 0 && !d.Rules.Off(NoGoneForGood)
	if binds && k.Promise.Compare(req.Decision.Ballot) > 0 {
		return ans // somebody counts on what was reported with the promise
	}
	for i := range req.Dead {
		a := req.Dead[i]
		if held := k.find(a.Ref, a.Rev); held != nil && held.Stable {
			continue
		}
		k.bury(a, req.Decision.Ballot).Proven = true
	}
	k.Versions = spread(k.Versions, req.Versions, (*Version).revision, (*Version).revision, absent)
	for i := range req.Versions {
		row := req.Versions[i]
		if j := k.dead(row.Attempt()); j >= 0 {
			k.Dead = slices.Delete(k.Dead, j, j+1) // it was chosen: a single mark proved nothing
		}
		row.Seats, row.Stable, row.Synced = nil, true, false
		switch held := k.find(row.Ref, row.Rev); {
		case held == nil:
			k.insert(&row)
		case held.Kind == 0:
			at, _ := search(k.Versions, row.revision(), (*Version).revision)
			k.share(at, &row)
			*held = row
		default:
			held.Stable, held.Seats = true, nil
			held.Data = held.Data || row.Data
		}
	}
	for _, h := range req.Hints {
		if row := k.find(h.Ref, h.Rev); row != nil {
			k.hint(row, h.Missed)
		}
	}
	for _, id := range req.Uploads {
		if !slices.Contains(k.Uploads, id) {
			k.Uploads = append(k.Uploads, id)
		}
	}
	k.supersede()
	if b := req.Decision.Ballot; d.Rules.Off(NoCopyPromises) {
		k.decide(Ballot{}, req.Decision)
	} else {
		k.decide(b, req.Decision) // who knows a decision takes nothing below it: it would count as overruled
	}
	k.Token = 0
	ans.Reply.OK, ans.Write = true, WriteSync
	return ans
}
