package command

import (
	"fmt"

	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/fields"
)

// CreateBucket makes a bucket whose incarnation is the raft index of this command.
type CreateBucket struct {
	Name       cluster.BucketName
	Owner      string
	Region     string
	ObjectLock bool
}

// Tag implements Command.
func (c *CreateBucket) Tag() Tag { return TagCreateBucket }

// Subject implements Command.
func (c *CreateBucket) Subject() string { return string(c.Name) }

func (c *CreateBucket) appendBody(b []byte) []byte {
	b = fields.AppendText(b, 1, string(c.Name))
	b = fields.AppendText(b, 2, c.Owner)
	b = fields.AppendText(b, 3, c.Region)
	if c.ObjectLock {
		b = fields.AppendUint(b, 4, 1)
	}
	return b
}

func (c *CreateBucket) field(f fields.Field) error {
	switch f.Num {
	case 1:
		return f.Text((*string)(&c.Name))
	case 2:
		return f.Text(&c.Owner)
	case 3:
		return f.Text(&c.Region)
	case 4:
		return f.Bool(&c.ObjectLock)
	}
	return f.Unexpected()
}

func (c *CreateBucket) check() error {
	_, err := cluster.ParseBucketName(string(c.Name))
	return err
}

// deletion is what the three steps of deleting a bucket share.
type deletion struct {
	Name   cluster.BucketName
	Bucket cluster.BucketID // the incarnation meant
	Op     uint64           // names this deletion; not 0
}

// Subject implements Command.
func (c *deletion) Subject() string { return string(c.Name) }

func (c *deletion) appendBody(b []byte) []byte {
	b = fields.AppendText(b, 1, string(c.Name))
	b = fields.AppendUint(b, 2, uint64(c.Bucket))
	return fields.AppendUint(b, 3, c.Op)
}

func (c *deletion) field(f fields.Field) error {
	switch f.Num {
	case 1:
		return f.Text((*string)(&c.Name))
	case 2:
		return f.Uint((*uint64)(&c.Bucket))
	case 3:
		return f.Uint(&c.Op)
	}
	return f.Unexpected()
}

func (c *deletion) check() error {
	if c.Bucket == 0 || c.Op == 0 {
		return errMissing("bucket incarnation or operation id")
	}
	_, err := cluster.ParseBucketName(string(c.Name))
	return err
}

// SealBucket begins a deletion: it raises the bucket's revision, under which no write is accepted.
type SealBucket struct{ deletion }

// UnsealBucket ends a deletion that found the bucket in use.
type UnsealBucket struct{ deletion }

// RemoveBucket ends a deletion that found the bucket empty.
type RemoveBucket struct{ deletion }

// NewSealBucket names the bucket, its incarnation and the deletion.
func NewSealBucket(name cluster.BucketName, id cluster.BucketID, op uint64) *SealBucket {
	return &SealBucket{deletion{name, id, op}}
}

// NewUnsealBucket names the bucket, its incarnation and the deletion.
func NewUnsealBucket(name cluster.BucketName, id cluster.BucketID, op uint64) *UnsealBucket {
	return &UnsealBucket{deletion{name, id, op}}
}

// NewRemoveBucket names the bucket, its incarnation and the deletion.
func NewRemoveBucket(name cluster.BucketName, id cluster.BucketID, op uint64) *RemoveBucket {
	return &RemoveBucket{deletion{name, id, op}}
}

// Tag implements Command.
func (c *SealBucket) Tag() Tag { return TagSealBucket }

// Tag implements Command.
func (c *UnsealBucket) Tag() Tag { return TagUnsealBucket }

// Tag implements Command.
func (c *RemoveBucket) Tag() Tag { return TagRemoveBucket }

// SetVersioning turns the versioning of one incarnation of a bucket on or suspends it; it raises the
// bucket's revision, so that no write of before is accepted behind it.
type SetVersioning struct {
	Name   cluster.BucketName
	Bucket cluster.BucketID
	Status string // cluster.VersioningEnabled or cluster.VersioningSuspended
}

// Tag implements Command.
func (c *SetVersioning) Tag() Tag { return TagSetVersioning }

// Subject implements Command.
func (c *SetVersioning) Subject() string { return string(c.Name) }

func (c *SetVersioning) appendBody(b []byte) []byte {
	b = fields.AppendText(b, 1, string(c.Name))
	b = fields.AppendUint(b, 2, uint64(c.Bucket))
	return fields.AppendText(b, 3, c.Status)
}

func (c *SetVersioning) field(f fields.Field) error {
	switch f.Num {
	case 1:
		return f.Text((*string)(&c.Name))
	case 2:
		return f.Uint((*uint64)(&c.Bucket))
	case 3:
		return f.Text(&c.Status)
	}
	return f.Unexpected()
}

func (c *SetVersioning) check() error {
	switch {
	case c.Bucket == 0:
		return errMissing("bucket incarnation")
	case c.Status != cluster.VersioningEnabled && c.Status != cluster.VersioningSuspended:
		return fmt.Errorf("versioning %q", c.Status)
	}
	_, err := cluster.ParseBucketName(string(c.Name))
	return err
}
