package ondisk

import (
	"encoding/binary"

	"holdfast/raftfsm/cluster"
)

// Fence is the row F: the newest revision of a bucket that a drive was told of. Data messages sent
// under an older one are refused, also after a restart, when a message from before it may still
// arrive. Removed buckets keep theirs: an incarnation's id is never used again.
type Fence struct {
	Revision uint64
	Sealed   bool // nothing is accepted
	Removed  bool // nothing is accepted ever again, and what rows are left go
}

// Flags of a fence row.
const (
	fenceSealed  = 1
	fenceRemoved = 2
)

// AppendFenceKey appends the key of an F row.
func AppendFenceKey(dst []byte, bucket cluster.BucketID) []byte {
	return appendBucket(dst, RowFence, bucket)
}

// ParseFenceKey reads the key of an F row.
func ParseFenceKey(key []byte) (cluster.BucketID, error) {
	if err := fixedKey("fence", key, RowFence, bucketEnd); err != nil {
		return 0, err
	}
	return cluster.BucketID(binary.BigEndian.Uint64(key[1:])), nil
}

// AppendFence appends the value of an F row.
func AppendFence(dst []byte, f *Fence) []byte {
	dst = append(dst, rowFormat)
	dst = appendUint(dst, 1, f.Revision)
	flags := uint64(0)
	if f.Sealed {
		flags |= fenceSealed
	}
	if f.Removed {
		flags |= fenceRemoved
	}
	return appendUint(dst, 2, flags)
}

// DecodeFence reads what AppendFence wrote.
func DecodeFence(value []byte) (Fence, error) {
	var f Fence
	d := rowDecoder("fence row", value)
	for d.next() {
		switch d.num {
		case 1:
			f.Revision = d.u64()
		case 2:
			flags := d.u64()
			f.Sealed, f.Removed = flags&fenceSealed != 0, flags&fenceRemoved != 0
		}
	}
	return f, d.err
}
