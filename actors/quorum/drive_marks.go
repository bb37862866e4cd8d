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
	if row == nil || row.Stable {
		return ans
	}
	row.Stable, row.Synced, row.Seats = true, false, nil
	if req.Missed != 0 {
		k.Hints = append(k.Hints, Hint{Ref: row.Ref, Rev: row.Rev, Missed: req.Missed})
	}
	k.supersede()
	ans.Write = WriteLazy
	return ans
}

// supersede drops every row that a stable one makes useless. Of rows that were never known stable a
// memory stays, so that nobody takes their absence for evidence (P1).
func (s *KeyState) supersede() {
	var null, ref object.VersionRef // newest stable null version, version of a stable revision above
	for i := range s.Versions {
		if v := &s.Versions[i]; v.Stable && v.Null {
			null = v.Ref
			break
		}
	}
	kept := s.Versions[:0]
	for i := range s.Versions {
		v := s.Versions[i]
		if v.Ref == ref || v.Null && v.Ref.Compare(null) < 0 {
			if !v.Stable {
				s.Superseded = append(s.Superseded, v.Attempt())
			}
			s.unhint(v.Ref, v.Rev)
			continue
		}
		if v.Stable {
			ref = v.Ref
			if v.Kind == Purged {
				v.Data = false
			}
		}
		kept = append(kept, v)
	}
	clear(s.Versions[len(kept):])
	s.Versions = kept
}

func (s *KeyState) unhint(ref object.VersionRef, rev object.Stamp) {
	s.Hints = slices.DeleteFunc(s.Hints, func(h Hint) bool { return h.Ref == ref && h.Rev == rev })
}

// kill leaves a dead mark, answers that the attempt is held, or, with proof, drops it (I7).
func (d Drive) kill(now object.Stamp, at At, req *Request) Answer {
	k, a := at.Key, req.Attempt
	v := d.view(now, at, a)
	verdict := Kill(&v, a.Ref)
	proven := req.Kind == ReqDrop
	if b := req.Ballot; b != (Ballot{}) && !proven && b != k.Promise && b.TS <= k.Promise.TS {
		verdict = KillUnknown // a resolver's kill belongs to its ballot (P5)
	}
	if verdict == KillUnknown && proven {
		verdict = KillMark
	}
	ans := Answer{Reply: d.reply(at, req, func(r *Reply) { r.OK, r.Kill = true, verdict })}
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

// drop removes an unfinished revision.
func (s *KeyState) drop(a Attempt) {
	s.Versions = slices.DeleteFunc(s.Versions, func(v Version) bool { return v.Is(a.Ref, a.Rev) && !v.Stable })
}

// collect drops a key of which all members hold nothing but a stable, synced tombstone, or, of a
// version that was purged, the rest of it. The set's floor takes the place of all that the key
// remembers, promise and dead marks included (I18, P4).
func (d Drive) collect(at At, req *Request) Answer {
	k, set := at.Key, at.Set
	ans := Answer{Reply: d.reply(at, req, func(*Reply) {})}
	row := k.find(req.Version.Ref, req.Version.Rev)
	switch {
	case row != nil:
	case len(k.Versions) > 0:
		ans.Reply.OK = true // of a purged version: gone already
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
	} else {
		if !d.Rules.Off(NoRaiseFloor) {
			floor = max(floor, k.Promise.TS, k.Decision.Ballot.TS)
			for i := range k.Dead {
				floor = max(floor, k.Dead[i].Ref.TS, k.Dead[i].Rev)
			}
		}
		set.GCFloor = max(set.GCFloor, floor)
		k.Versions, k.Dead, k.Superseded, k.Hints = k.Versions[:0], k.Dead[:0], k.Superseded[:0], k.Hints[:0]
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
	if life := object.Stamp(d.Life.Microseconds()) << 10; now > life && now-life > dr.Horizon {
		dr.Horizon = now - life
		ans.Write = WriteSync
	}
	n := len(k.Superseded)
	k.Superseded = slices.DeleteFunc(k.Superseded, func(a Attempt) bool { return max(a.Ref.TS, a.Rev) <= dr.Horizon })
	if n != len(k.Superseded) {
		ans.Write = WriteSync
	}
	if req.Floor == 0 || req.Floor > dr.Horizon || at.Set.Config.Phase != Settled {
		return ans
	}
	if max(k.Promise.TS, k.Decision.Ballot.TS) > req.Floor {
		return ans // something has happened since
	}
	k.Promise, k.Decision = Ballot{}, Decision{}
	k.Dead = slices.DeleteFunc(k.Dead, func(m DeadMark) bool { return max(m.Ref.TS, m.Rev) <= req.Floor })
	ans.Reply.OK, ans.Write = true, WriteSync
	return ans
}

// heal copies what others hold: stable versions past the accept rule, and attempts proved dead. The
// token proves that nothing has come to the key since before the sources were read (I19).
func (d Drive) heal(at At, req *Request) Answer {
	k := at.Key
	ans := Answer{Reply: d.reply(at, req, func(*Reply) {})}
	if (k.Token == 0 || k.Token != req.Token) && !d.Rules.Off(NoHealToken) {
		return ans
	}
	for i := range req.Dead {
		a := req.Dead[i]
		if held := k.find(a.Ref, a.Rev); held != nil && held.Stable {
			continue
		}
		k.drop(a)
		if k.dead(a) < 0 {
			k.Dead = append(k.Dead, DeadMark{Attempt: a, Proven: true})
		}
	}
	for i := range req.Versions {
		row := req.Versions[i]
		if j := k.dead(row.Attempt()); j >= 0 {
			k.Dead = slices.Delete(k.Dead, j, j+1) // it was chosen: a single mark proved nothing
		}
		row.Seats, row.Stable, row.Synced = nil, true, false
		if held := k.find(row.Ref, row.Rev); held != nil {
			held.Stable, held.Seats = true, nil
			held.Data = held.Data || row.Data
		} else {
			k.insert(&row)
		}
	}
	k.supersede()
	k.decide(req.Promised, req.Decision)
	k.Token = 0
	ans.Reply.OK, ans.Write = true, WriteSync
	return ans
}
