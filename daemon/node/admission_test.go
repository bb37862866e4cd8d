package node

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"holdfast/actors/drive"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

var (
	ours   = cluster.ID{1}
	theirs = cluster.ID{2}
)

// at makes candidate number i of a kind.
func at(i int, kind drive.FoundKind, err error) candidate {
	return candidate{path: fmt.Sprintf("/d%d", i), found: drive.Found{Kind: kind, Err: err, Place: [2]uint64{1, uint64(i)}}}
}

func store(i int, id cluster.ID) candidate {
	c := at(i, drive.FoundStore, nil)
	c.found.Label = ondisk.Label{Cluster: id, Drive: cluster.DriveID{byte(i)}}
	return c
}

func fresh(i int) candidate { return at(i, drive.FoundFresh, nil) }

func TestAdmit(t *testing.T) {
	why := errors.New("the reason")
	provisional := store(2, ours)
	provisional.found.Label.Provisional = true
	twin := store(2, ours)
	twin.found.Label.Drive = cluster.DriveID{1}
	same := fresh(2)
	same.found.Place = [2]uint64{1, 1}
	twice := fresh(1)
	twice.found.Place = [2]uint64{}
	missing := twice
	for name, tc := range map[string]struct {
		cands  []candidate
		birth  bool
		absent int
		err    error
		says   string
	}{
		"one fresh":              {cands: []candidate{fresh(1)}, birth: true},
		"four fresh":             {cands: []candidate{fresh(1), fresh(2), fresh(3), fresh(4)}, birth: true},
		"two":                    {cands: []candidate{fresh(1), fresh(2)}, err: ErrDriveCount, says: "2 given"},
		"three":                  {cands: []candidate{fresh(1), fresh(2), fresh(3)}, err: ErrDriveCount, says: "3 given"},
		"five":                   {cands: []candidate{fresh(1), fresh(2), fresh(3), fresh(4), fresh(5)}, birth: true},
		"store":                  {cands: []candidate{store(1, ours), store(2, ours), store(3, ours), store(4, ours)}},
		"one unmounted":          {cands: []candidate{store(1, ours), fresh(2), store(3, ours), store(4, ours)}, absent: 1},
		"one damaged":            {cands: []candidate{store(1, ours), at(2, drive.FoundDamaged, why), store(3, ours), store(4, ours)}, absent: 1},
		"one unwritable":         {cands: []candidate{store(1, ours), at(2, drive.FoundUnusable, why), store(3, ours), store(4, ours)}, absent: 1},
		"birth died half way":    {cands: []candidate{fresh(1), provisional, fresh(3), fresh(4)}, birth: true},
		"committed birth":        {cands: []candidate{store(1, ours), provisional, store(3, ours), store(4, ours)}},
		"foreign at birth":       {cands: []candidate{fresh(1), at(2, drive.FoundForeign, why), fresh(3), fresh(4)}, err: ErrDriveRefused, says: "the reason"},
		"file at birth":          {cands: []candidate{fresh(1), at(2, drive.FoundFile, why), fresh(3), fresh(4)}, err: ErrDriveRefused, says: "the reason"},
		"unwritable at birth":    {cands: []candidate{fresh(1), at(2, drive.FoundUnusable, why), fresh(3), fresh(4)}, err: ErrDriveRefused, says: "the reason"},
		"damaged at birth":       {cands: []candidate{fresh(1), at(2, drive.FoundDamaged, why), fresh(3), fresh(4)}, err: ErrDriveRefused, says: "the reason"},
		"newer":                  {cands: []candidate{store(1, ours), at(2, drive.FoundNewer, why), store(3, ours), store(4, ours)}, err: ErrDriveRefused, says: "the reason"},
		"in use":                 {cands: []candidate{store(1, ours), at(2, drive.FoundInUse, why), store(3, ours), store(4, ours)}, err: ErrDriveRefused, says: "the reason"},
		"foreign in a store":     {cands: []candidate{store(1, ours), at(2, drive.FoundForeign, why), store(3, ours), store(4, ours)}, err: ErrDriveRefused, says: "the reason"},
		"another cluster":        {cands: []candidate{store(1, ours), store(2, theirs), store(3, ours), store(4, ours)}, err: ErrDriveRefused, says: "/d2 to " + theirs.String()},
		"clone":                  {cands: []candidate{store(1, ours), twin, store(3, ours), store(4, ours)}, err: ErrDriveRefused, says: "/d1 and /d2"},
		"same directory":         {cands: []candidate{fresh(1), same, fresh(3), fresh(4)}, err: ErrDriveRefused, says: "/d1 and /d2"},
		"same missing directory": {cands: []candidate{missing, fresh(2), fresh(3), twice}, err: ErrDriveRefused, says: "/d1 is given twice"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := admit(tc.cands)
			if !errors.Is(err, tc.err) || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("admit: %v; want %v that says %q", err, tc.err, tc.says)
			}
			if err == nil && (a.birth != tc.birth || len(a.absent) != tc.absent || len(a.present)+len(a.absent) != len(tc.cands)) {
				t.Fatalf("admit: birth %v, %d present, %d absent; want birth %v, %d absent", a.birth, len(a.present), len(a.absent), tc.birth, tc.absent)
			}
		})
	}
}

// TestControlQuorum: any two groups, one that made a change durable and one that suffices to start, meet.
func TestControlQuorum(t *testing.T) {
	for drives := 1; drives <= 64; drives++ {
		if controlQuorum(drives)+controlEvidence(drives) <= drives {
			t.Errorf("%d drives: %d and %d need not meet", drives, controlQuorum(drives), controlEvidence(drives))
		}
		if drives >= 4 && controlEvidence(drives) > drives-min(drives-drives%2, 16)/2 {
			t.Errorf("%d drives: the loss of n/2 leaves fewer than %d copies", drives, controlEvidence(drives))
		}
	}
}
