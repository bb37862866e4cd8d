package quorum

import (
	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
)

// ListItem is what one drive says of a key in a list: its newest version, one of its versions where
// versions are listed, or a common prefix of keys. Owners hand the items of their drives to a Lister as
// they are.
type ListItem struct {
	Name     string // key or, if Common, the common prefix with its delimiter
	Common   bool
	Example  string // Common: first key below it that is live or unstable; Ref, Rev, Kind, Unstable, Null and Set are that key's
	Set      cluster.SetID
	Ref      object.VersionRef
	Rev      object.Stamp
	Kind     Kind
	Unstable bool
	Null     bool   // of versions: the null version
	Row      []byte // the owner's; only from the drive that was asked for whole rows of the set
}

// ListAnswer is what one drive says of a range: its items in the order of lists. If it is truncated
// it says nothing of what comes after its last item.
type ListAnswer struct {
	Entries   []ListItem
	Truncated bool
	// Silent are the sets, of those asked for, that it cannot vouch for: not in sync, or at another
	// epoch. What it says of them is no evidence (I15).
	Silent []cluster.SetID
}

// Told says whether a list of current versions must know of a key's newest version. What is known
// removed counts as nothing, and nothing may hide what is newer than what others hold.
func Told(kind Kind, stable bool) bool { return !stable || kind == Object }

// Listed says whether versions of a kind have a place in a list, which may be one of all versions.
func Listed(kind Kind, versions bool) bool { return kind == Object || versions && kind == Marker }

// Topmost walks the rows of one key as a drive holds them, newest first, to the newest one that is
// not known removed.
type Topmost struct {
	gone, null object.VersionRef
}

// Next takes the next row and says whether it is the one.
func (t *Topmost) Next(ref object.VersionRef, kind Kind, null, stable bool) bool {
	if ref == t.gone || null && ref.Compare(t.null) < 0 {
		return false // removed; and so is every older null version if that was one
	}
	if kind != Purged || !stable {
		return true
	}
	if t.gone = ref; null {
		t.null = ref
	}
	return false
}

// Newest is a drive's newest version of a key that is not known removed, nil if there is none.
func Newest(k *KeyState) *Version {
	var top Topmost
	for i := range k.Versions {
		if v := &k.Versions[i]; top.Next(v.Ref, v.Kind, v.Null, v.Stable) {
			return v
		}
	}
	return nil
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
	return !stable || Listed(kind, true)
}

// ListVerdict is what becomes of a key or version in a list.
type ListVerdict uint8

// Verdicts of JudgeListed.
const (
	ListLive    ListVerdict = iota + 1 // the version that all witnesses name
	ListDead                           // left out
	ListUnclear                        // ask the resolver (I26, I32)
)

// JudgeListed judges a key, or one version of it, by the word of at least k in-sync members of its set:
// at has an item for each drive that holds it, nil for one that does not, and by says which drives speak
// for the set. It is Read's rule for the case that all agree and one knows the version stable; everything
// else is unclear. item is one of the drives' items, the one with the row if there is any.
func JudgeListed(at []*ListItem, by []int, versions bool) (verdict ListVerdict, item *ListItem) {
	item = at[by[0]]
	stable := false
	for _, i := range by {
		it := at[i]
		if it == nil || item == nil {
			if it != item {
				return ListUnclear, nil
			}
			continue
		}
		if it.Ref != item.Ref || it.Rev != item.Rev {
			return ListUnclear, nil
		}
		stable = stable || !it.Unstable
		if it.Row != nil {
			item = it
		}
	}
	switch {
	case item == nil:
		return ListDead, nil
	case !stable:
		return ListUnclear, nil
	case Listed(item.Kind, versions):
		return ListLive, item
	}
	return ListDead, nil
}
