package raftfsm

import (
	"context"
	"errors"
	"fmt"

	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/command"
	"holdfast/raftfsm/state"
)

// State is the state in force.
func (n *Node) State() *state.State { return n.mirror.visible.Load() }

// ID is this node's identity.
func (n *Node) ID() cluster.NodeID { return n.id.node }

// Cluster is the cluster's identity.
func (n *Node) Cluster() cluster.ID { return n.o.Cluster }

// Topology maps sets to drives. The caller must not change it.
func (n *Node) Topology() *cluster.Topology { return n.State().Topology() }

// Bucket finds a bucket. One that is being deleted is returned together with cluster.ErrBucketSealed.
func (n *Node) Bucket(name cluster.BucketName) (cluster.Bucket, error) {
	b, ok := n.State().Bucket(name)
	switch {
	case !ok:
		return b, fmt.Errorf("bucket %s: %w", name, cluster.ErrNoBucket)
	case b.Sealing != 0:
		return b, fmt.Errorf("bucket %s: %w", name, cluster.ErrBucketSealed)
	}
	return b, nil
}

// Buckets lists all buckets in order of name.
func (n *Node) Buckets() []cluster.Bucket { return n.State().Buckets() }

// CreateBucket makes a bucket. Errors: cluster.ErrBucketOwned, ErrBucketExists, ErrBucketSealed,
// ErrTooManyBuckets, and as Apply.
func (n *Node) CreateBucket(ctx context.Context, name cluster.BucketName, owner, region string) (cluster.Bucket, error) {
	// Clients that create their bucket before each run are answered from memory.
	if b, ok := n.State().Bucket(name); ok && b.Sealing == 0 {
		if b.Owner == owner {
			return b, fmt.Errorf("bucket %s: %w", name, cluster.ErrBucketOwned)
		}
		return cluster.Bucket{}, fmt.Errorf("bucket %s: %w", name, cluster.ErrBucketExists)
	}
	out, err := n.Apply(ctx, &command.CreateBucket{Name: name, Owner: owner, Region: region}, By{Who: owner})
	return out.Bucket, err
}

// SealBucket begins the deletion op of one incarnation of a bucket.
func (n *Node) SealBucket(ctx context.Context, b cluster.Bucket, op uint64, by By) (cluster.Bucket, error) {
	out, err := n.Apply(ctx, command.NewSealBucket(b.Name, b.ID, op), by)
	return out.Bucket, err
}

// UnsealBucket gives the deletion op up.
func (n *Node) UnsealBucket(ctx context.Context, b cluster.Bucket, op uint64, by By) (cluster.Bucket, error) {
	out, err := n.Apply(ctx, command.NewUnsealBucket(b.Name, b.ID, op), by)
	return out.Bucket, err
}

// RemoveBucket completes the deletion op.
func (n *Node) RemoveBucket(ctx context.Context, b cluster.Bucket, op uint64, by By) error {
	_, err := n.Apply(ctx, command.NewRemoveBucket(b.Name, b.ID, op), by)
	return err
}

// SetVersioning turns the versioning of a bucket on or suspends it; status is cluster.VersioningEnabled
// or VersioningSuspended. When it returns, no drive that could be reached takes a write of before.
// Errors: cluster.ErrNoBucket, ErrBucketSealed, ErrBucketState, and as Apply.
func (n *Node) SetVersioning(ctx context.Context, name cluster.BucketName, status, who string) error {
	b, err := n.Bucket(name)
	if err != nil || b.Versioning == status {
		return err
	}
	_, err = n.Apply(ctx, &command.SetVersioning{Name: name, Bucket: b.ID, Status: status}, By{Who: who})
	return err
}

// Credential finds a secret by access key; the root user's is the one the node was started with.
func (n *Node) Credential(accessKey string) (cluster.Credential, bool) {
	if accessKey == n.o.Root.User {
		return cluster.Credential{AccessKey: accessKey, SecretKey: n.o.Root.Password, Root: true}, true
	}
	sealed, ok := n.State().Credential(accessKey)
	if !ok {
		return cluster.Credential{}, false
	}
	secret, err := n.key.Open(owner(accessKey), sealed)
	if err != nil {
		n.log.Error("secret of an access key cannot be opened", "err", err)
		return cluster.Credential{}, false
	}
	return cluster.Credential{AccessKey: accessKey, SecretKey: secret}, true
}

// PutCredential adds an access key or changes its secret.
func (n *Node) PutCredential(ctx context.Context, accessKey, secret string, by By) error {
	if accessKey == n.o.Root.User {
		return fmt.Errorf("access key %q: %w: it is the root user's", accessKey, cluster.ErrConflict)
	}
	_, err := n.Apply(ctx, &command.PutCredential{AccessKey: accessKey, Sealed: n.key.Seal(owner(accessKey), secret)}, by)
	return err
}

// RemoveCredential takes an access key away.
func (n *Node) RemoveCredential(ctx context.Context, accessKey string, by By) error {
	_, err := n.Apply(ctx, &command.RemoveCredential{AccessKey: accessKey}, by)
	return err
}

// UpdateDrive records where a drive of this node was found, if that is news.
func (n *Node) UpdateDrive(ctx context.Context, id cluster.DriveID, path string, by By) error {
	for _, d := range n.Topology().Drives {
		if d == (cluster.Drive{ID: id, Node: n.id.node, Path: path}) {
			return nil
		}
	}
	_, err := n.Apply(ctx, &command.UpdateDrive{Drive: cluster.Drive{ID: id, Node: n.id.node, Path: path}}, by)
	return err
}

// SetFeatureLevel lets the cluster use what older programs do not know.
func (n *Node) SetFeatureLevel(ctx context.Context, level uint64, by By) error {
	_, err := n.Apply(ctx, &command.SetFeatureLevel{Level: level}, by)
	return err
}

// rotate puts the wrapping for changed root credentials in force. If it cannot be done now, the next
// start with the old credentials beside the new does it.
func (n *Node) rotate(ctx context.Context) error {
	if n.rewrap == nil {
		return nil
	}
	_, err := n.Apply(ctx, &command.Rewrap{Old: n.State().Wrapped(), New: n.rewrap},
		By{Who: "server", Why: "root credentials changed"})
	switch {
	case errors.Is(err, cluster.ErrControlQuorum), errors.Is(err, cluster.ErrNoLeader), errors.Is(err, cluster.ErrOutcomeUnknown):
		n.log.Warn("changed root credentials are not stored yet, keep the old ones configured", "err", err)
		return nil
	case err != nil:
		return err
	}
	n.log.Info("root credentials changed, the old ones are no longer needed")
	return nil
}

// owner is what a credential's secret is bound to.
func owner(accessKey string) string { return "credential " + accessKey }
