// Package placement says where an object belongs: the erasure set of a key, and the sets of a
// cluster that is born. It is a leaf of pure functions over cluster.Topology; it owns nothing and
// may be called from any goroutine.
package placement

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/dchest/siphash"

	"holdfast/raftfsm/cluster"
)

// DefaultSets is the number of virtual sets of a new cluster. It never changes later, so it is
// large enough that a drive's share moves in small steps when the cluster grows.
const DefaultSets = 1024

// MaxSetSize is the largest number of slots of a set.
const MaxSetSize = 16

// ErrDriveCount is returned when sets cannot be made of so many drives.
var ErrDriveCount = errors.New("a store needs 1 drive, or 4 and more")

// SetOf is the erasure set of a key: siphash keyed by the cluster's seed over the bucket's
// incarnation (8 bytes, big endian) and the exact bytes of the key, modulo the number of sets.
// These are the bytes that decide where data lies: they never change.
func SetOf(t *cluster.Topology, bucket cluster.BucketID, name string) cluster.SetID {
	var stack [256]byte
	b := binary.BigEndian.AppendUint64(stack[:0], uint64(bucket))
	b = append(b, name...)
	k0 := binary.LittleEndian.Uint64(t.Seed[:8])
	k1 := binary.LittleEndian.Uint64(t.Seed[8:])
	return cluster.SetID(siphash.Hash(k0, k1, b) % uint64(len(t.Sets)))
}

// SetSize is the number of slots of each set over so many drives: the even number at or below it,
// at most MaxSetSize; 1 for a single drive; 0 if no set can be made.
func SetSize(drives int) int {
	switch {
	case drives == 1:
		return 1
	case drives < 4:
		return 0
	}
	return min(drives&^1, MaxSetSize)
}

// Birth lays out count sets over the drives of a new cluster. Every drive gets the same number of
// slots to within one per round, and every slot number is spread over all drives, so that data and
// parity rows are too. The same seed and drives give the same layout. size is the number of slots
// of each set, even and at most SetSize(len(drives)); 0 asks for the largest.
func Birth(seed [16]byte, drives []cluster.Drive, size, count int) (*cluster.Topology, error) {
	n := SetSize(len(drives))
	if n == 0 {
		return nil, fmt.Errorf("%w: got %d", ErrDriveCount, len(drives))
	}
	if size != 0 {
		if size > n || size < 1 || size > 1 && size%2 != 0 {
			return nil, fmt.Errorf("%w: a set of %d over %d drives", ErrDriveCount, size, len(drives))
		}
		n = size
	}
	if count < 1 {
		return nil, fmt.Errorf("place %d sets: at least one is needed", count)
	}
	t := &cluster.Topology{Seed: seed, Drives: append([]cluster.Drive(nil), drives...), Sets: make([]cluster.Set, count)}
	rng := rand.New(rand.NewPCG(binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:])))
	// A round is one set starting at each drive of a fresh permutation, members following round
	// the ring: in a round every drive has every slot once. New permutations make a lost drive's
	// partners, and so the sources of its rebuild, all other drives.
	var ring []int
	for i := range t.Sets {
		at := i % len(drives)
		if at == 0 {
			ring = rng.Perm(len(drives))
		}
		members := make([]cluster.DriveID, n)
		for slot := range members {
			members[slot] = drives[ring[(at+slot)%len(drives)]].ID
		}
		t.Sets[i] = cluster.Set{Epoch: 1, Members: members}
	}
	return t, nil
}
