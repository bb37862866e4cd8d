package ondisk

import (
	"time"

	"holdfast/raftfsm/cluster"
)

// Label is the content of a drive's FORMAT file: who the drive is and how it was laid out.
type Label struct {
	Cluster cluster.ID
	Drive   cluster.DriveID
	// Provisional is set until the birth of the store is committed. While every label found is
	// provisional there is no store yet, and a birth that died may be begun again.
	Provisional bool
	Created     time.Time
	Capacity    int64  // bytes of the file system when the drive was formatted
	SegmentSize int64  // bytes of a segment file
	Inline      int    // largest shard kept in the index, bytes
	MountPoint  bool   // the place was a mount point: an unmounted one is then never written
	Pebble      uint64 // Pebble format major version
	Compat      []string
	ROCompat    []string
	Incompat    []string // features a release must know to open the drive
}
