package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/actors/drive"
	"holdfast/actors/ondisk"
	"holdfast/actors/placement"
	"holdfast/actors/segment"
	"holdfast/raftfsm"
	"holdfast/raftfsm/cluster"
)

// setCount is the number of virtual erasure sets of a new store. It never changes.
const setCount = 1024

// formatAll lays out every place for a new store, with labels that stay provisional until the first
// control state is durable: a birth that dies may be begun again.
func (n *Node) formatAll(adm *admission) (*raftfsm.Birth, error) {
	adm.cluster = cluster.ID(cluster.NewID())
	var drives []cluster.Drive
	for i := range adm.present {
		c := &adm.present[i]
		d := cluster.Drive{ID: cluster.DriveID(cluster.NewID()), Path: c.path}
		label, err := n.label(adm.cluster, d)
		if err == nil {
			err = drive.Format(c.path, label)
		}
		if err == nil { // what a birth that died may have left
			err = os.RemoveAll(filepath.Join(c.path, raftDirName))
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDriveRefused, err)
		}
		c.found = drive.Found{Kind: drive.FoundStore, Label: label}
		drives = append(drives, d)
	}
	topology, err := placement.Birth(cluster.NewID(), drives, n.cfg.SetSize, setCount)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return &raftfsm.Birth{Node: host, Topology: *topology}, nil
}

// label describes a drive about to be formatted.
func (n *Node) label(id cluster.ID, d cluster.Drive) (ondisk.Label, error) {
	capacity, err := capacityAt(d.Path)
	if err != nil {
		return ondisk.Label{}, fmt.Errorf("drive %s: %w", d.Path, err)
	}
	return ondisk.Label{
		Cluster: id, Drive: d.ID, Provisional: true, Created: time.Now().UTC(),
		Capacity: capacity, SegmentSize: segment.SizeFor(capacity), Inline: int(n.cfg.InlineLimit),
		MountPoint: drive.IsMountPoint(d.Path),
	}, nil
}

// capacityAt is the size of the file system that path lies, or will lie, on.
func capacityAt(path string) (int64, error) {
	for {
		var st unix.Statfs_t
		err := unix.Statfs(path, &st)
		switch {
		case err == nil:
			return int64(st.Blocks) * st.Bsize, nil
		case !errors.Is(err, unix.ENOENT) || path == filepath.Dir(path):
			return 0, &os.PathError{Op: "statfs", Path: path, Err: err}
		}
		path = filepath.Dir(path)
	}
}
