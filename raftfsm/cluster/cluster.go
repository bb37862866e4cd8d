// Package cluster is the ground floor: the nouns of the control plane that every other package
// speaks. It imports the standard library only, holds no behaviour beyond parsing, printing and
// validating, and every value is immutable once published: whoever holds a *Topology or a Bucket
// from the control plane may read it from any goroutine and must not write to it.
package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"
)

// ID names a cluster for its whole life. It is minted when a store is born and stamped on every
// drive's FORMAT.
type ID [16]byte

// DriveID is a drive's own identity, minted when the drive is formatted. Order of arguments and
// mount path may change; this does not.
type DriveID [16]byte

// NodeID names one process's place in the cluster. It is kept with every copy of the control state
// and outlives the node's raft identity, which is new whenever a raft log is founded afresh.
type NodeID [16]byte

// SetID numbers an erasure set, 0 <= SetID < Topology.SetCount().
type SetID uint32

// BucketID is one incarnation of a bucket: the raft index of the command that created it. A
// bucket that is deleted and created again gets another one, so rows of the old are never visible.
type BucketID uint64

// NewID returns 16 random bytes from the system's source.
func NewID() [16]byte {
	var id [16]byte
	rand.Read(id[:]) // never fails: crypto/rand aborts the process instead (Go 1.24)
	return id
}

func (id ID) String() string      { return hex.EncodeToString(id[:]) }
func (id DriveID) String() string { return hex.EncodeToString(id[:]) }
func (id NodeID) String() string  { return hex.EncodeToString(id[:]) }

// IsZero reports whether the drive identity was never set.
func (id DriveID) IsZero() bool { return id == DriveID{} }

// Set is one erasure set: n slots, each mapped to a drive. A slot, not a drive, owns a row of the
// coding matrix: slots 0..k-1 hold data shards, k..n-1 parity.
type Set struct {
	Epoch   uint64    // raised by each membership step; starts at 1
	Members []DriveID // by slot; len(Members) = n
}

// N is the number of slots; K the data shards (read evidence); W the write quorum.
func (s Set) N() int { return len(s.Members) }

// K is the number of data shards and of in-sync answers that make evidence: max(1, n/2).
func (s Set) K() int { return max(1, len(s.Members)/2) }

// W is the number of durable accepts that make an acknowledgement: n/2+1, and 1 for n = 1.
func (s Set) W() int {
	if len(s.Members) == 1 {
		return 1
	}
	return len(s.Members)/2 + 1
}

// Node is a node as the control plane knows it.
type Node struct {
	ID   NodeID
	Name string // how people call it: its host name; empty on a stand-alone node
}

// Settings are cluster-wide limits that are chosen at birth.
type Settings struct {
	// MaxBuckets is the number of buckets one owner may have. 0 = DefaultMaxBuckets.
	MaxBuckets uint32
}

// DefaultMaxBuckets is the limit of S3 itself for one account.
const DefaultMaxBuckets = 10000

// Change is one entry of the log of who changed what, when and why.
type Change struct {
	Index   uint64 // raft index of the command
	Request [16]byte
	Time    time.Time
	Who     string // access key, or the name of the part of the program that acted by itself
	What    string // name of the command
	Subject string // what it was done to: a bucket, an access key, a drive
	Why     string
}

// Drive is a drive as the control plane knows it.
type Drive struct {
	ID   DriveID
	Node NodeID
	Path string // where the drive was last mounted, for people; identity is ID
}

// Topology maps sets to drives. The number of sets is fixed when the cluster is born.
type Topology struct {
	Seed   [16]byte // key of the siphash that maps object keys to sets
	Drives []Drive
	Sets   []Set
}

// SetCount is S, the number of virtual sets.
func (t *Topology) SetCount() int { return len(t.Sets) }

// Bucket is one bucket and its configuration.
type Bucket struct {
	Name     BucketName
	ID       BucketID
	Revision uint64 // raised by each change that data messages are fenced by
	Created  time.Time
	Owner    string // access key of the creator
	Region   string // LocationConstraint given at creation, as given
	Sealing  uint64 // operation id of a running deletion; 0 = none
	// Versioning is "" (never enabled), VersioningEnabled or VersioningSuspended.
	Versioning string
	ObjectLock bool
}

// What the versioning of a bucket can be set to. A bucket in which it was never enabled has neither;
// there is no way back to that.
const (
	VersioningEnabled   = "Enabled"   // each write makes a version of its own
	VersioningSuspended = "Suspended" // a write replaces the null version; others stay
)

// Versioned says whether a write makes a version of its own, and not the null version.
func (b *Bucket) Versioned() bool { return b.Versioning == VersioningEnabled }

// Credential is one access key with its secret in clear; it lives in memory only.
type Credential struct {
	AccessKey string
	SecretKey string
	Root      bool
}

// String never shows the secret.
func (c Credential) String() string { return fmt.Sprintf("access key %q", c.AccessKey) }

// GoString never shows the secret.
func (c Credential) GoString() string { return c.String() }

// MarshalText is String, for JSON.
func (id ID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// MarshalText is String, for JSON.
func (id DriveID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// MarshalText is String, for JSON.
func (id NodeID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }
