package quorum

import (
	"slices"

	"holdfast/actors/object"
)

// Witnessed is what a drive says of a key in a list: its newest version that is not known purged. A
// stable tombstone or marker counts as nothing for a list of objects, so it is left out.
func Witnessed(k *KeyState) (w Witness, ok bool) {
	v := Newest(k)
	if v == nil || v.Stable && v.Kind != Object {
		return Witness{}, false
	}
	return Witness{Present: true, Ref: v.Ref, Rev: v.Rev, Live: v.Kind == Object, Unstable: !v.Stable}, true
}

// Standing walks the rows of one key as a drive holds them, newest first, for a list of versions.
type Standing struct {
	last, null object.VersionRef
}

// Next takes the next row and says whether the list must know of it: it is the newest revision of a
// version that is neither known removed nor known replaced, or it is in doubt.
func (s *Standing) Next(ref object.VersionRef, kind Kind, null, stable bool) bool {
	if ref == s.last || null && ref.Compare(s.null) < 0 {
		return false
	}
	s.last = ref
	if stable && null {
		s.null = ref
	}
	return !stable || kind == Object || kind == Marker
}

// Newest is a drive's newest version of a key that is not known purged, nil if there is none.
func Newest(k *KeyState) *Version {
	var gone, null object.VersionRef
	for i := range k.Versions {
		v := &k.Versions[i]
		switch {
		case v.Ref == gone, v.Null && v.Ref.Compare(null) < 0:
			continue
		case v.Stable && v.Kind == Purged:
			gone = v.Ref
			if v.Null {
				null = v.Ref
			}
			continue
		}
		return v
	}
	return nil
}

// Lister makes one page of a bucket's list. Every set is answered by k in-sync members (I4); a drive
// answers for all sets that are dealt to it in one request. The merge is cut where the first
// truncated answer ends, and what k members do not agree on goes through the resolver (I26, I32).
type Lister struct {
	off   Rules
	sets  []ListSet
	start string
	limit int

	asked   map[int][]int // drive -> sets dealt to it
	failed  map[int]bool
	answers map[int]*ListAnswer
	open    []string // keys to be resolved
	live    map[string]bool
	page    []string
	next    string
	more    bool
	state   ListState
	lacking int
}

// ListSet is a set with the drives of its members, -1 where there is none.
type ListSet struct {
	Config SetConfig
	Drives [maxMembers]int
}

// ListItem is one key of an answer.
type ListItem struct {
	Name string
	Set  int // index in the lister's sets
	Witness
}

// ListAnswer is what one drive says of a range: its items from the start on in key order. If it is
// truncated it says nothing of what comes after its last item. Silent are the sets, of those asked
// for, that it cannot vouch for: not in sync, or at another epoch.
type ListAnswer struct {
	Items     []ListItem
	Truncated bool
	Silent    []int
}

// ListState is how far a page has come.
type ListState uint8

// States of a Lister.
const (
	ListAsking      ListState = iota // answers are awaited
	ListResolving                    // the owner reads the keys of Unclear, with a Get, and reports each by Resolved
	ListPage                         // Page is there
	ListUnavailable                  // fewer than k members of set Lacking answer, or a key cannot be resolved: 503
)

// NewLister returns the machine of one page: at most limit names from start on.
func NewLister(sets []ListSet, start string, limit int, off Rules) *Lister {
	return &Lister{
		off: off, sets: sets, start: start, limit: limit,
		asked: map[int][]int{}, failed: map[int]bool{}, answers: map[int]*ListAnswer{}, live: map[string]bool{},
	}
}

// State says what is next; Lacking is the set that made it ListUnavailable, -1 if a key did.
func (l *Lister) State() (state ListState, lacking int) { return l.state, l.lacking }

// Unclear are the keys to be resolved.
func (l *Lister) Unclear() []string { return l.open }

// Page are the names, whether there are more, and from where the next page starts.
func (l *Lister) Page() (names []string, next string, more bool) { return l.page, l.next, l.more }

// Ask deals the sets to drives: whom to ask, from the page's start on, for which sets. It is called
// at the beginning and after each failure. A drive that is named again is asked anew for all its sets, and
// what it says to an earlier question is not to be handed in any more: it would be taken for all of them.
func (l *Lister) Ask() map[int][]int {
	out := map[int][]int{}
	for i := range l.sets {
		need := l.k(i) - l.have(i)
		for _, m := range l.members(i) {
			d := l.sets[i].Drives[m]
			if need <= 0 {
				break
			}
			if d >= 0 && !l.failed[d] && !slices.Contains(l.asked[d], i) {
				out[d] = append(out[d], i)
				need--
			}
		}
		if need > 0 {
			l.state, l.lacking = ListUnavailable, i
			return nil
		}
	}
	for d, sets := range out {
		again := len(l.asked[d]) > 0
		if l.asked[d] = append(l.asked[d], sets...); again { // for all its sets: it answers once
			delete(l.answers, d)
			out[d] = slices.Clone(l.asked[d])
		}
	}
	return out
}

func (l *Lister) k(set int) int {
	if l.off.Off(NoEvidence) {
		return 1
	}
	return l.sets[set].Config.K
}

// members are a set's judges.
func (l *Lister) members(set int) []int {
	var out []int
	for m := range l.sets[set].Config.Judges().All() {
		out = append(out, m)
	}
	return out
}

// have counts the drives that were asked for a set and did not fail.
func (l *Lister) have(set int) int {
	n := 0
	for d, sets := range l.asked {
		if !l.failed[d] && slices.Contains(sets, set) {
			n++
		}
	}
	return n
}

// Lost tells that a drive failed: its sets are dealt to others by the next Ask.
func (l *Lister) Lost(drive int) {
	l.failed[drive] = true
	delete(l.answers, drive)
}

// Answered takes a drive's answer. It reports whether Ask is to be called again.
func (l *Lister) Answered(drive int, a ListAnswer) (again bool) {
	if len(a.Silent) > 0 && !l.off.Off(NoInSync) { // it cannot vouch for all: others must
		l.Lost(drive)
		return true
	}
	a.Items = slices.Clone(a.Items)
	l.answers[drive] = &a
	for d := range l.asked {
		if !l.failed[d] && l.answers[d] == nil {
			return false
		}
	}
	l.merge()
	return false
}

// horizon is the name up to which every answer speaks; all is that they speak of everything.
func (l *Lister) horizon() (last string, all bool) {
	all = true
	for _, a := range l.answers {
		if n := len(a.Items); a.Truncated && n > 0 && (all || a.Items[n-1].Name < last) {
			last, all = a.Items[n-1].Name, false
		}
	}
	return last, all || l.off.Off(NoListHorizon)
}

// merge judges all keys up to the horizon.
func (l *Lister) merge() {
	last, all := l.horizon()
	sets := map[string]int{}
	for _, a := range l.answers {
		for i := range a.Items {
			if it := &a.Items[i]; all || it.Name <= last {
				sets[it.Name] = it.Set
			}
		}
	}
	for name, set := range sets {
		switch JudgeListed(l.witnesses(name, set)) {
		case ListLive:
			l.live[name] = true
		case ListUnclear:
			if !l.off.Off(NoListResolve) {
				l.open = append(l.open, name)
			}
		}
	}
	slices.Sort(l.open)
	l.more = !all
	l.next = last + "\x00"
	for _, a := range l.answers {
		l.more = l.more || a.Truncated
	}
	l.state = ListResolving
	l.finish()
}

// witnesses are what the drives asked for a set say of one key.
func (l *Lister) witnesses(name string, set int) []Witness {
	var ws []Witness
	for d, a := range l.answers {
		if !slices.Contains(l.asked[d], set) {
			continue
		}
		i, ok := slices.BinarySearchFunc(a.Items, name, func(it ListItem, name string) int {
			switch {
			case it.Name < name:
				return -1
			case it.Name > name:
				return 1
			}
			return 0
		})
		w := Witness{}
		if ok {
			w = a.Items[i].Witness
		}
		ws = append(ws, w)
	}
	return ws
}

// Resolved tells what a Get made of an unclear key; ok is false if it could not be resolved, and the
// page fails rather than leave a key out.
func (l *Lister) Resolved(name string, live, ok bool) {
	l.open = slices.DeleteFunc(l.open, func(n string) bool { return n == name })
	if !ok {
		l.state, l.lacking = ListUnavailable, -1
		return
	}
	if live {
		l.live[name] = true
	}
	l.finish()
}

func (l *Lister) finish() {
	if len(l.open) > 0 || l.state != ListResolving {
		return
	}
	for name := range l.live {
		if name >= l.start {
			l.page = append(l.page, name)
		}
	}
	slices.Sort(l.page)
	if len(l.page) > l.limit {
		l.page, l.more = l.page[:l.limit], true
		l.next = l.page[l.limit-1] + "\x00"
	}
	l.state = ListPage
}
