package state

import (
	"bytes"
	"fmt"
	"slices"

	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/command"
)

// Outcome is what a command answers.
type Outcome struct {
	// Index is the index of the entry that made the change: the first, if it was repeated.
	Index uint64
	// Bucket is the bucket as a bucket command left it.
	Bucket cluster.Bucket
}

// Apply returns the state after a log entry. A command that cannot be obeyed returns an error and
// the state it found, unchanged in every part: such an entry leaves no trace.
func (s *State) Apply(e command.Entry, index, term uint64) (*State, Outcome, error) {
	if e.Command == nil {
		return s, Outcome{Index: index}, nil // an ignorable entry of a newer program
	}
	if c, ok := s.repeated(e.Request); ok {
		out := Outcome{Index: c.Index}
		out.Bucket, _ = s.Bucket(cluster.BucketName(c.Subject))
		return s, out, nil
	}
	next := *s
	next.index, next.term = index, term
	err := next.dispatch(e)
	if err != nil {
		return s, Outcome{}, fmt.Errorf("%s %s: %w", e.Command.Tag(), e.Command.Subject(), err)
	}
	next.remember(e)
	if invariants {
		if err := next.Check(); err != nil {
			panic(fmt.Sprintf("state: after %s at %d: %v", e.Command.Tag(), index, err))
		}
	}
	out := Outcome{Index: index}
	out.Bucket, _ = next.Bucket(cluster.BucketName(e.Command.Subject()))
	return &next, out, nil
}

// dispatch changes s, which is a fresh copy that nobody else sees yet.
func (s *State) dispatch(e command.Entry) error {
	if c, ok := e.Command.(*command.Birth); ok {
		return s.birth(c)
	}
	if !s.Born() {
		return ErrNotBorn
	}
	switch c := e.Command.(type) {
	case *command.CreateBucket:
		return s.createBucket(c, e)
	case *command.SealBucket:
		return s.sealBucket(c)
	case *command.UnsealBucket:
		return s.unsealBucket(c)
	case *command.RemoveBucket:
		return s.removeBucket(c)
	case *command.SetVersioning:
		return s.setVersioning(c)
	case *command.PutCredential:
		put(s, &s.creds, credKey(c.AccessKey), c.Sealed, appendBlob)
		return nil
	case *command.RemoveCredential:
		if _, ok := s.Credential(c.AccessKey); !ok {
			return cluster.ErrNoCredential
		}
		drop(s, &s.creds, credKey(c.AccessKey))
		return nil
	case *command.Rewrap:
		if !bytes.Equal(s.Wrapped(), c.Old) {
			return cluster.ErrConflict
		}
		put(s, &s.root, "root", c.New, appendBlob)
		return nil
	case *command.UpdateDrive:
		return s.updateDrive(c)
	case *command.SetFeatureLevel:
		h := s.headVal()
		if c.Level < h.feature {
			return fmt.Errorf("%w: %d is in force", ErrFeatureLevel, h.feature)
		}
		h.feature = c.Level
		put(s, &s.head, "cluster", h, appendHead)
		return nil
	}
	panic(fmt.Sprintf("state: no method for %T", e.Command)) // a command was declared and forgotten here
}

func (s *State) birth(c *command.Birth) error {
	if s.Born() {
		return ErrBorn
	}
	t := c.Topology
	put(s, &s.head, "cluster", head{
		id: c.Cluster, seed: t.Seed, settings: c.Settings, feature: c.Feature, sets: uint64(len(t.Sets)),
	}, appendHead)
	put(s, &s.root, "root", c.Wrapped, appendBlob)
	for _, n := range c.Nodes {
		put(s, &s.nodes, nodeKey(n.ID), n, command.AppendNode)
	}
	for _, d := range t.Drives {
		put(s, &s.drives, driveKey(d.ID), d, command.AppendDrive)
	}
	for first := 0; first < len(t.Sets); first += setsPerRow {
		put(s, &s.sets, setsKey(first), t.Sets[first:min(first+setsPerRow, len(t.Sets))], command.AppendSets)
	}
	s.topology = s.buildTopology()
	if err := s.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

func (s *State) createBucket(c *command.CreateBucket, e command.Entry) error {
	owned := 0
	for _, r := range s.buckets {
		if r.val.Owner == c.Owner {
			owned++
		}
	}
	if b, ok := s.Bucket(c.Name); ok {
		switch {
		case b.Sealing != 0:
			return cluster.ErrBucketSealed
		case b.Owner == c.Owner:
			return cluster.ErrBucketOwned
		}
		return cluster.ErrBucketExists
	}
	if limit := s.Settings().MaxBuckets; owned >= int(limit) {
		return fmt.Errorf("%w: the limit is %d", cluster.ErrTooManyBuckets, limit)
	}
	put(s, &s.buckets, bucketKey(c.Name), cluster.Bucket{
		Name: c.Name, ID: cluster.BucketID(s.index), Revision: 1, Created: e.Time,
		Owner: c.Owner, Region: c.Region, ObjectLock: c.ObjectLock,
	}, appendBucket)
	return nil
}

// incarnation finds the very bucket that a step of a deletion means.
func (s *State) incarnation(name cluster.BucketName, id cluster.BucketID) (cluster.Bucket, error) {
	b, ok := s.Bucket(name)
	if !ok || b.ID != id {
		return b, cluster.ErrNoBucket
	}
	return b, nil
}

func (s *State) sealBucket(c *command.SealBucket) error {
	b, err := s.incarnation(c.Name, c.Bucket)
	if err != nil {
		return err
	}
	if b.Sealing != 0 && b.Sealing != c.Op {
		return cluster.ErrBucketSealed
	}
	b.Sealing, b.Revision = c.Op, b.Revision+1
	put(s, &s.buckets, bucketKey(b.Name), b, appendBucket)
	return nil
}

func (s *State) unsealBucket(c *command.UnsealBucket) error {
	b, err := s.incarnation(c.Name, c.Bucket)
	if err != nil {
		return err
	}
	if b.Sealing != c.Op {
		return cluster.ErrConflict
	}
	b.Sealing, b.Revision = 0, b.Revision+1
	put(s, &s.buckets, bucketKey(b.Name), b, appendBucket)
	return nil
}

func (s *State) removeBucket(c *command.RemoveBucket) error {
	b, err := s.incarnation(c.Name, c.Bucket)
	if err != nil {
		return err
	}
	if b.Sealing != c.Op {
		return cluster.ErrConflict
	}
	drop(s, &s.buckets, bucketKey(b.Name))
	return nil
}

func (s *State) setVersioning(c *command.SetVersioning) error {
	b, err := s.incarnation(c.Name, c.Bucket)
	switch {
	case err != nil:
		return err
	case b.Sealing != 0:
		return cluster.ErrBucketSealed
	case b.Versioning == c.Status:
		return nil
	case b.ObjectLock && c.Status != cluster.VersioningEnabled:
		return fmt.Errorf("%w: object lock needs versioning", cluster.ErrBucketState)
	}
	b.Versioning, b.Revision = c.Status, b.Revision+1
	put(s, &s.buckets, bucketKey(b.Name), b, appendBucket)
	return nil
}

func (s *State) updateDrive(c *command.UpdateDrive) error {
	if _, ok := s.drives.get(driveKey(c.Drive.ID)); !ok {
		return cluster.ErrNoDrive
	}
	if _, ok := s.nodes.get(nodeKey(c.Drive.Node)); !ok {
		return fmt.Errorf("%w: node %s is not known", ErrInvalid, c.Drive.Node)
	}
	put(s, &s.drives, driveKey(c.Drive.ID), c.Drive, command.AppendDrive)
	s.topology = s.buildTopology()
	return nil
}

// repeated finds the change that a request already made.
func (s *State) repeated(request [16]byte) (cluster.Change, bool) {
	if request == [16]byte{} {
		return cluster.Change{}, false
	}
	for _, r := range slices.Backward(s.log) {
		if r.val.Request == request {
			return r.val, true
		}
	}
	return cluster.Change{}, false
}

// remember adds the change to the log and forgets the oldest.
func (s *State) remember(e command.Entry) {
	put(s, &s.log, logKey(s.index), cluster.Change{
		Index: s.index, Request: e.Request, Time: e.Time, Who: e.Who, Why: e.Why,
		What: e.Command.Tag().String(), Subject: e.Command.Subject(),
	}, appendChange)
	for len(s.log) > ChangeLog {
		drop(s, &s.log, s.log[0].key)
	}
}

// put sets one row of one table of s, keeping the fields of the row it replaces that are unknown here.
func put[T any](s *State, t *table[T], key string, val T, encode func([]byte, T) []byte) {
	r := &rec[T]{key: key, val: val}
	if old, ok := t.get(key); ok {
		r.unknown = old.unknown
	}
	r.row = sealRow(key, append(encode(nil, val), r.unknown...))
	next, old := t.with(r)
	*t = next
	s.digest.Toggle(key, r.row)
	s.rows++
	if old != nil {
		s.digest.Toggle(key, old.row)
		s.rows--
	}
}

// drop removes one row of one table of s.
func drop[T any](s *State, t *table[T], key string) {
	next, old := t.without(key)
	*t = next
	if old != nil {
		s.digest.Toggle(key, old.row)
		s.rows--
	}
}

func (s *State) buildTopology() *cluster.Topology {
	t := &cluster.Topology{Seed: s.headVal().seed, Drives: values(s.drives)}
	for _, r := range s.sets {
		t.Sets = append(t.Sets, r.val...)
	}
	return t
}
