package s3api

import (
	"context"

	"holdfast/actors/erasureset"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

// Objects is the data plane as the handlers see it; actors/erasureset.Store is the one that ships.
type Objects interface {
	Put(ctx context.Context, req *erasureset.PutRequest) (*erasureset.Info, error)
	Open(ctx context.Context, req *erasureset.OpenRequest) (erasureset.Handle, error)
	Delete(ctx context.Context, req *erasureset.DeleteRequest) (erasureset.Deleted, error)
	List(ctx context.Context, req *erasureset.ListRequest) (*erasureset.ListPage, error)
	ListVersions(ctx context.Context, req *erasureset.VersionsRequest) (*erasureset.VersionsPage, error)

	CreateUpload(ctx context.Context, req *erasureset.UploadRequest) (*ondisk.Upload, error)
	PutPart(ctx context.Context, req *erasureset.PartRequest) (*ondisk.Part, error)
	// Upload returns an open upload and its current parts in order of number.
	Upload(ctx context.Context, bucket cluster.Bucket, key string, id object.WriteID) (*ondisk.Upload, []ondisk.Part, error)
	Complete(ctx context.Context, req *erasureset.CompleteRequest) (*erasureset.Info, error)
	Abort(ctx context.Context, bucket cluster.Bucket, key string, id object.WriteID) error
	ListUploads(ctx context.Context, req *erasureset.ListUploadsRequest) (*erasureset.UploadsPage, error)
}

var _ Objects = (*erasureset.Store)(nil)

// Control is the control plane as the handlers see it. Lookups are local memory reads.
type Control interface {
	// Bucket errors: cluster.ErrNoBucket, cluster.ErrBucketSealed.
	Bucket(name cluster.BucketName) (cluster.Bucket, error)
	// Buckets lists all buckets in name order.
	Buckets() []cluster.Bucket
	// CreateBucket errors: cluster.ErrBucketOwned, ErrBucketExists, ErrTooManyBuckets, ErrNoLeader, ErrOutcomeUnknown.
	CreateBucket(ctx context.Context, name cluster.BucketName, owner, region string) (cluster.Bucket, error)
	// DeleteBucket seals, checks emptiness on every set, and removes. Errors: cluster.ErrBucketNotEmpty
	// and as above.
	DeleteBucket(ctx context.Context, name cluster.BucketName) error
	// SetVersioning enables or suspends the versions of a bucket. Errors: cluster.ErrNoBucket,
	// ErrBucketSealed, ErrBucketState, ErrNoLeader, ErrOutcomeUnknown.
	SetVersioning(ctx context.Context, name cluster.BucketName, status, who string) error
	// Credential finds a secret by access key.
	Credential(accessKey string) (cluster.Credential, bool)
}

// Buffers are the memory of bodies on their way out, or in, bounded for all requests together.
type Buffers interface {
	// Wanted receives soon after somebody began to wait for room.
	Wanted() <-chan struct{}
	// Waiting says whether anybody waits now.
	Waiting() bool
}

// Health answers the probes below /-/health and their /minio/health aliases.
type Health interface {
	// Ready says whether this node can serve requests now; the error names what is missing.
	Ready() error
	// Quorum reports how many sets lack write and read quorum, of how many.
	Quorum() Quorum
}

// Quorum is the answer of the cluster probe.
type Quorum struct {
	Sets, WithoutWrite, WithoutRead int
	DrivesOnline, Drives            int
	Absent                          []string // what is missing, for people; anybody may read it, so no paths
}
