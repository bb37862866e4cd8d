package erasureset

import (
	"errors"
	"fmt"
	"testing"

	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
)

// TestListsDoNotRestOnDrivesThatAreNotInSync: what such a drive does not hold it may have lost, so what
// two of them agree on is no evidence.
func TestListsDoNotRestOnDrivesThatAreNotInSync(t *testing.T) {
	f := newFixture(t, 4, nil)
	const keys = 40
	for i := range keys {
		f.mustPut(fmt.Sprintf("key-%02d", i), []byte("x"))
	}
	f.marks.flush()
	drives := f.opt.Drives
	blank := 0 // so many drives are members of no set yet
	f.Store.opt.Drives = f.blanked(drives, &blank)
	list := func() (int, int, error) {
		f.plans.plans = nil
		page, err := f.List(f.ctx(), &ListRequest{Bucket: f.bucket, Limit: keys})
		if err != nil {
			return 0, 0, err
		}
		versions, err := f.ListVersions(f.ctx(), &VersionsRequest{Bucket: f.bucket, Limit: keys})
		if err != nil {
			return 0, 0, err
		}
		return len(page.Entries), len(versions.Entries), nil
	}
	for ; blank <= 2; blank++ {
		for range 5 { // each begins with another drive
			if n, m, err := list(); n != keys || m != keys || err != nil {
				t.Errorf("%d drives are not in sync: %d keys, %d versions, %v", blank, n, m, err)
			}
		}
	}
	if n, m, err := list(); !errors.Is(err, object.ErrReadQuorum) {
		t.Errorf("one drive is in sync: %d keys, %d versions, %v", n, m, err)
	}
	blank = 0
	if n, m, err := list(); n != keys || m != keys || err != nil {
		t.Errorf("all are again: %d keys, %d versions, %v", n, m, err)
	}
}

// blanked replaces the first drives by ones that know of nothing.
func (f *fixture) blanked(drives func(cluster.DriveID) drive.Drive, count *int) func(cluster.DriveID) drive.Drive {
	blanks := map[cluster.DriveID]drive.Drive{}
	for _, d := range f.topo.Drives {
		blanks[d.ID] = drivetest.NewMem(d.ID)
	}
	return func(id cluster.DriveID) drive.Drive {
		for i := range *count {
			if f.topo.Drives[i].ID == id {
				return blanks[id]
			}
		}
		return drives(id)
	}
}
