package quorum

import (
	"slices"

	"holdfast/actors/object"
)

// revision names one revision of one version. Lists of a key's revisions are kept newest first, so that one is
// found by halving and two lists are merged in one pass: a key may have very many.
type revision struct {
	ref object.VersionRef
	rev object.Stamp
}

// above says that a stands before b in a list.
func (a revision) above(b revision) bool {
	c := a.ref.Compare(b.ref)
	return c > 0 || c == 0 && a.rev > b.rev
}

func (v *Version) revision() revision { return revision{v.Ref, v.Rev} }
func (a *row) revision() revision     { return revision{a.Ref, a.Rev} }
func (t *tally) revision() revision   { return revision{t.ref, t.rev} }
func (s *Seen) revision() revision    { return revision{s.Ref, s.Rev} }

// fewRevisions is how many are as fast searched from the first, or inserted one by one.
const fewRevisions = 8

// search returns the place of a revision in a list, or the one where it belongs.
func search[T any](list []T, at revision, of func(*T) revision) (int, bool) {
	lo, hi := 0, len(list)
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); of(&list[mid]).above(at) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(list) && of(&list[lo]) == at
}

// spread puts a blank entry into a list for each revision of another that it lacks, all in one pass. If these are
// few, or the other is in no order, it leaves the list as it is: the caller inserts what it does not find.
func spread[T, S any](list []T, other []S, of func(*T) revision, ofOther func(*S) revision, blank func(*S) T) []T {
	if len(other) <= fewRevisions {
		return list
	}
	var last revision
	missing, i := 0, 0
	for j := range other {
		at := ofOther(&other[j])
		if j > 0 && !last.above(at) {
			return list
		}
		last = at
		for i < len(list) && of(&list[i]).above(at) {
			i++
		}
		if i == len(list) || of(&list[i]) != at {
			missing++
		}
	}
	if missing <= fewRevisions {
		return list
	}
	i = len(list) - 1
	to := i + missing
	list = slices.Grow(list, missing)[:to+1]
	for j := len(other) - 1; to > i; j-- { // from the oldest: all between i and to is free
		at := ofOther(&other[j])
		for i >= 0 && at.above(of(&list[i])) {
			list[to] = list[i]
			i, to = i-1, to-1
		}
		if i < 0 || of(&list[i]) != at {
			list[to] = blank(&other[j])
			to--
		}
	}
	return list
}
