package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast/actors/drive"
	"holdfast/raftfsm/cluster"
)

var (
	// ErrDriveCount is returned when the number of drives cannot form erasure sets.
	ErrDriveCount = errors.New("unusable number of drives")
	// ErrDriveRefused is returned when a drive may not be used; nothing was written anywhere.
	ErrDriveRefused = errors.New("drive refused")
	// ErrTooFewDrives is returned when so many drives are absent that the newest control state, and
	// with it every object, can no longer be told.
	ErrTooFewDrives = errors.New("too few drives")
)

// candidate is one drive argument and what was found there, before anything is opened.
type candidate struct {
	path  string
	found drive.Found
}

// admission is the decision about a list of candidates.
type admission struct {
	birth   bool          // no drive holds a store: one is to be born on all of them
	present []candidate   // hold a drive of this store
	absent  []absentDrive // named in log, health and banner, never written
	cluster cluster.ID
}

// absentDrive is a given path that cannot be served now, and why.
type absentDrive struct {
	path string
	why  error
}

// admit decides over the given drives without writing anything. What can only be a mistake of the
// caller is refused; what may be a broken or unmounted drive is absent, once a store exists.
func admit(cands []candidate) (admission, error) {
	var paths []string
	var found []drive.Found
	for _, c := range cands {
		if slices.Contains(paths, c.path) {
			return admission{}, fmt.Errorf("%w: %s is given twice", ErrDriveRefused, c.path)
		}
		paths, found = append(paths, c.path), append(found, c.found)
	}
	if err := drive.Conflict(paths, found); err != nil {
		return admission{}, fmt.Errorf("%w: %w", ErrDriveRefused, err)
	}
	born := slices.ContainsFunc(cands, func(c candidate) bool { return c.found.Kind == drive.FoundStore && !c.found.Label.Provisional })
	if n := len(cands); !born && (n == 2 || n == 3) {
		return admission{}, fmt.Errorf("%w: %d given; erasure sets need 4 drives and more (half of them may be lost), and 1 drive works without redundancy, but %d drives could neither vote nor heal", ErrDriveCount, n, n)
	}
	if !born {
		return admitBirth(cands)
	}
	return admitStore(cands)
}

// admitBirth lets a store be born only when every place is usable: an odd one out would be left
// behind for ever.
func admitBirth(cands []candidate) (admission, error) {
	for _, c := range cands {
		switch c.found.Kind {
		case drive.FoundFresh:
		case drive.FoundStore: // provisional: an earlier birth died before it was committed
		default:
			return admission{}, fmt.Errorf("%w: %w", ErrDriveRefused, c.found.Err)
		}
	}
	return admission{birth: true, present: cands}, nil
}

func admitStore(cands []candidate) (admission, error) {
	var a admission
	votes := map[cluster.ID][]string{}
	for _, c := range cands {
		switch c.found.Kind {
		case drive.FoundStore:
			votes[c.found.Label.Cluster] = append(votes[c.found.Label.Cluster], c.path)
			a.present = append(a.present, c)
			a.cluster = c.found.Label.Cluster
		case drive.FoundFresh:
			a.absent = append(a.absent, absentDrive{c.path, fmt.Errorf("%w: the directory is missing or empty (not mounted?); it is left untouched", drive.ErrOffline)})
		case drive.FoundDamaged, drive.FoundUnusable:
			a.absent = append(a.absent, absentDrive{c.path, c.found.Err})
		default: // a file, a foreign directory, a newer format, in use elsewhere: the command is wrong
			return admission{}, fmt.Errorf("%w: %w", ErrDriveRefused, c.found.Err)
		}
	}
	if len(votes) > 1 {
		return admission{}, fmt.Errorf("%w: the drives belong to different clusters: %s", ErrDriveRefused, describeVotes(votes))
	}
	return a, nil
}

// describeVotes names the drives of each cluster, the smallest group first: it is the likely mistake.
func describeVotes(votes map[cluster.ID][]string) string {
	var groups []string
	for id, paths := range votes {
		groups = append(groups, fmt.Sprintf("%4d\x00%s to %s", len(paths), strings.Join(paths, ", "), id))
	}
	slices.Sort(groups)
	for i, g := range groups {
		_, groups[i], _ = strings.Cut(g, "\x00")
	}
	return strings.Join(groups, "; ")
}

// sameCount refuses to work with another number of drives than the store has. With fewer, a majority
// of those given is none of the store's: what it answers may be old, and a change that it takes is
// forgotten when the others are started without it.
func sameCount(given, born int) error {
	switch {
	case given > born:
		return fmt.Errorf("%w: %d given, the store was born on %d; adding drives comes with a later release", ErrDriveCount, given, born)
	case given < born:
		return fmt.Errorf("%w: %d given, the store was born on %d: give them all, those that are gone too", ErrDriveCount, given, born)
	}
	return nil
}

// controlQuorum is the number of drives whose copy of the control state makes a change durable:
// a majority, so that any half of the drives (rounded up) still holds the newest.
func controlQuorum(drives int) int { return drives/2 + 1 }

// controlEvidence is the number of copies that is certain to include the newest.
func controlEvidence(drives int) int { return drives - controlQuorum(drives) + 1 }
