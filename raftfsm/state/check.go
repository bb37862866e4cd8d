package state

import (
	"fmt"

	"holdfast/raftfsm/cluster"
)

// Check verifies every invariant of the state. It runs on whatever is read back from outside, at
// birth, and, under the build tag "invariants", after each command.
func (s *State) Check() error {
	if len(s.head) > 1 || len(s.root) > 1 {
		return fmt.Errorf("%d rows of cluster identity, %d of its key", len(s.head), len(s.root))
	}
	if !s.Born() {
		if s.rows != 0 {
			return fmt.Errorf("%d rows before the cluster was born", s.rows)
		}
		return nil
	}
	if s.Cluster() == (cluster.ID{}) || len(s.Wrapped()) == 0 {
		return fmt.Errorf("no cluster identity or no wrapped key")
	}
	if err := s.checkTopology(); err != nil {
		return err
	}
	for _, r := range s.buckets {
		if err := s.checkBucket(r); err != nil {
			return err
		}
	}
	for _, r := range s.creds {
		if len(r.val) == 0 || r.key == credKey("") {
			return fmt.Errorf("%s has no access key or no secret", r.key)
		}
	}
	for i, r := range s.log {
		if r.key != logKey(r.val.Index) || r.val.Index > s.index {
			return fmt.Errorf("%s records change %d of a state at %d", r.key, r.val.Index, s.index)
		}
		if i >= ChangeLog {
			return fmt.Errorf("change log has %d entries", len(s.log))
		}
	}
	return nil
}

func (s *State) checkBucket(r *rec[cluster.Bucket]) error {
	b := r.val
	if _, err := cluster.ParseBucketName(string(b.Name)); err != nil {
		return err
	}
	if b.ID == 0 || uint64(b.ID) > s.index || b.Revision == 0 {
		return fmt.Errorf("bucket %s has incarnation %d, revision %d in a state at %d", b.Name, b.ID, b.Revision, s.index)
	}
	switch b.Versioning {
	case "", cluster.VersioningEnabled, cluster.VersioningSuspended:
		return nil
	}
	return fmt.Errorf("bucket %s has versioning %q", b.Name, b.Versioning)
}

func (s *State) checkTopology() error {
	for _, r := range s.nodes {
		if r.key != nodeKey(r.val.ID) {
			return fmt.Errorf("%s holds node %s", r.key, r.val.ID)
		}
	}
	known := make(map[cluster.DriveID]bool, len(s.drives))
	for _, r := range s.drives {
		if r.key != driveKey(r.val.ID) {
			return fmt.Errorf("%s holds drive %s", r.key, r.val.ID)
		}
		if _, ok := s.nodes.get(nodeKey(r.val.Node)); !ok {
			return fmt.Errorf("drive %s is on unknown node %s", r.val.ID, r.val.Node)
		}
		known[r.val.ID] = true
	}
	if n := uint64(s.topology.SetCount()); n == 0 || n != s.headVal().sets {
		return fmt.Errorf("%d erasure sets, born with %d", n, s.headVal().sets)
	}
	first := 0
	for _, r := range s.sets {
		if r.key != setsKey(first) {
			return fmt.Errorf("%s stands where set %d is due", r.key, first)
		}
		first += len(r.val)
	}
	for id, set := range s.topology.Sets {
		if err := checkSet(set, known); err != nil {
			return fmt.Errorf("set %d: %w", id, err)
		}
	}
	return nil
}

func checkSet(set cluster.Set, known map[cluster.DriveID]bool) error {
	n := set.N()
	if n != 1 && (n < 2 || n > 16 || n%2 != 0) {
		return fmt.Errorf("%d members", n)
	}
	if set.Epoch == 0 {
		return fmt.Errorf("no epoch")
	}
	for i, id := range set.Members {
		if !known[id] {
			return fmt.Errorf("slot %d is on unknown drive %s", i, id)
		}
		for _, other := range set.Members[:i] {
			if other == id {
				return fmt.Errorf("drive %s has two slots", id)
			}
		}
	}
	return nil
}
