// Package state holds the replicated value: what all nodes of a cluster agree on.
//
// A *State is immutable. Apply returns another one that shares everything the command did not
// touch, so readers hold a pointer and take no lock, a snapshot is a pointer, and what changed
// between two states is found by comparing pointers (Diff). Apply is a pure function of the state,
// the log entry and its index: no clock, no randomness, no I/O, no order of maps.
//
// A state is also a set of small rows (Rows), each with its own checksum, so that copies on the
// drives are written by difference; FromRows is the way back and verifies everything. The rows:
//
//	cluster           identity, seed, settings, feature level, number of sets
//	root              the cluster key, wrapped by the root-derived key
//	node/<id>         a node
//	drive/<id>        a drive
//	sets/<number>     64 erasure sets with members and epochs, from that number on
//	bucket/<name>     a bucket
//	cred/<key>        an access key with its sealed secret
//	log/<index>       one of the last ChangeLog changes; also what repeated requests are known by
//
// It holds no secrets in clear and knows nothing of raft, drives' contents or disks.
package state

import (
	"fmt"
	"slices"
	"strings"

	"holdfast/raftfsm/cluster"
)

// ChangeLog is the number of changes that are remembered.
const ChangeLog = 1024

// setsPerRow keeps a row of sets below 1.5 KB at 16 members each, plus their drives.
const setsPerRow = 64

// State is one version of the replicated value.
type State struct {
	index, term uint64 // of the last command that changed something
	digest      Digest
	rows        int

	head    table[head]
	root    table[[]byte]
	nodes   table[cluster.Node]
	drives  table[cluster.Drive]
	sets    table[[]cluster.Set]
	buckets table[cluster.Bucket]
	creds   table[[]byte]
	log     table[cluster.Change]

	topology *cluster.Topology // drives and sets in the form that the data plane reads
}

// head is the row "cluster".
type head struct {
	id       cluster.ID
	seed     [16]byte
	settings cluster.Settings
	feature  uint64
	sets     uint64
}

// New returns the state before the first command.
func New() *State { return &State{topology: &cluster.Topology{}} }

// Born reports whether the first command was applied.
func (s *State) Born() bool { return len(s.head) == 1 }

// Index and Term name the last log entry that changed the state.
func (s *State) Index() uint64 { return s.index }

// Term is the term of the entry Index.
func (s *State) Term() uint64 { return s.term }

// Cluster is the cluster's identity.
func (s *State) Cluster() cluster.ID { return s.headVal().id }

// Settings are the cluster's limits, with defaults filled in.
func (s *State) Settings() cluster.Settings {
	set := s.headVal().settings
	if set.MaxBuckets == 0 {
		set.MaxBuckets = cluster.DefaultMaxBuckets
	}
	return set
}

// Feature is the feature level: what newer rows and messages may be used.
func (s *State) Feature() uint64 { return s.headVal().feature }

func (s *State) headVal() head {
	if !s.Born() {
		return head{}
	}
	return s.head[0].val
}

// Wrapped is the cluster key as wrapped by the root-derived key. The caller must not change it.
func (s *State) Wrapped() []byte {
	if len(s.root) == 0 {
		return nil
	}
	return s.root[0].val
}

// Topology maps sets to drives. The caller must not change it.
func (s *State) Topology() *cluster.Topology { return s.topology }

// Nodes lists the nodes in order of their identity.
func (s *State) Nodes() []cluster.Node { return values(s.nodes) }

// Bucket finds a bucket by name.
func (s *State) Bucket(name cluster.BucketName) (cluster.Bucket, bool) {
	r, ok := s.bucket(name)
	if !ok {
		return cluster.Bucket{}, false
	}
	return r.val, true
}

// bucket is on the path of every request and makes no garbage.
func (s *State) bucket(name cluster.BucketName) (*rec[cluster.Bucket], bool) {
	i, ok := slices.BinarySearchFunc(s.buckets, name, func(r *rec[cluster.Bucket], name cluster.BucketName) int {
		return strings.Compare(string(r.val.Name), string(name))
	})
	if !ok {
		return nil, false
	}
	return s.buckets[i], true
}

// Buckets lists all buckets in order of name.
func (s *State) Buckets() []cluster.Bucket { return values(s.buckets) }

// Credential returns the sealed secret of an access key. The caller must not change it.
func (s *State) Credential(accessKey string) ([]byte, bool) {
	r, ok := s.creds.get(credKey(accessKey))
	if !ok {
		return nil, false
	}
	return r.val, true
}

// AccessKeys lists all access keys in order.
func (s *State) AccessKeys() []string {
	keys := make([]string, len(s.creds))
	for i, r := range s.creds {
		keys[i] = r.key[len(credKey("")):]
	}
	return keys
}

// Changes lists the last changes, oldest first.
func (s *State) Changes() []cluster.Change { return values(s.log) }

// RowCount and RowDigest cover all rows.
func (s *State) RowCount() int { return s.rows }

// RowDigest is the digest over all rows.
func (s *State) RowDigest() Digest { return s.digest }

// Rows returns all rows. The caller must not change the values.
func (s *State) Rows() map[string][]byte {
	all := make(map[string][]byte, s.rows)
	s.head.rows(all)
	s.root.rows(all)
	s.nodes.rows(all)
	s.drives.rows(all)
	s.sets.rows(all)
	s.buckets.rows(all)
	s.creds.rows(all)
	s.log.rows(all)
	return all
}

// Diff tells which rows make next out of old: those to set, and the keys of those to remove. For
// states that come from each other it costs a comparison of pointers per row.
func Diff(old, next *State) (put map[string][]byte, del []string) {
	put = map[string][]byte{}
	del = diff(old.head, next.head, put, del)
	del = diff(old.root, next.root, put, del)
	del = diff(old.nodes, next.nodes, put, del)
	del = diff(old.drives, next.drives, put, del)
	del = diff(old.sets, next.sets, put, del)
	del = diff(old.buckets, next.buckets, put, del)
	del = diff(old.creds, next.creds, put, del)
	del = diff(old.log, next.log, put, del)
	return put, del
}

func values[T any](t table[T]) []T {
	out := make([]T, len(t))
	for i, r := range t {
		out[i] = r.val
	}
	return out
}

func bucketKey(name cluster.BucketName) string { return "bucket/" + string(name) }
func credKey(accessKey string) string          { return "cred/" + accessKey }
func nodeKey(id cluster.NodeID) string         { return "node/" + id.String() }
func driveKey(id cluster.DriveID) string       { return "drive/" + id.String() }
func setsKey(first int) string                 { return fmt.Sprintf("sets/%08d", first) }
func logKey(index uint64) string               { return fmt.Sprintf("log/%016x", index) }
