package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/erasureset"
	"holdfast/raftfsm"
	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/state"
)

// fenceLimit bounds how long telling one drive of a bucket's revision may take.
const fenceLimit = 10 * time.Second

// control is the control plane as the S3 handlers see it. It adds to raft what needs the data plane:
// a bucket is deleted only when it is sealed on the drives and empty.
type control struct {
	*raftfsm.Node
	store *erasureset.Store
	log   *slog.Logger
}

func newControl(raft *raftfsm.Node, store *erasureset.Store, log *slog.Logger) *control {
	return &control{Node: raft, store: store, log: log}
}

// DeleteBucket seals a bucket, so that no drive takes a write for it, looks whether it is empty on
// every set, and removes it or lifts the seal.
func (c *control) DeleteBucket(ctx context.Context, name cluster.BucketName) error {
	b, err := c.Bucket(name)
	if err != nil {
		return err
	}
	// Cheap and without effect: most buckets that cannot be deleted are refused here.
	if empty, err := c.store.BucketEmpty(ctx, b); err != nil || !empty {
		return notEmpty(name, err)
	}
	op := newOperation()
	by := raftfsm.By{Who: b.Owner, Why: "delete bucket"}
	if b, err = c.SealBucket(ctx, b, op, by); err != nil {
		return err
	}
	return c.finishDeletion(ctx, b, by)
}

// finishDeletion decides over a sealed bucket.
func (c *control) finishDeletion(ctx context.Context, b cluster.Bucket, by raftfsm.By) error {
	// The hooks of raft told the drives; this makes sure that in every set enough of them know.
	err := c.store.Fence(ctx, b.ID, b.Revision, true, false)
	empty := false
	if err == nil {
		empty, err = c.store.BucketEmpty(ctx, b)
	}
	if err == nil && empty {
		return c.RemoveBucket(ctx, b, b.Sealing, by)
	}
	// The caller may be gone; the seal must not stay.
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), fenceLimit)
	defer cancel()
	_, lift := c.UnsealBucket(undo, b, b.Sealing, by)
	return errors.Join(notEmpty(b.Name, err), lift)
}

// finishDeletions takes up the deletions that an earlier run of this node left in the middle.
func (c *control) finishDeletions(ctx context.Context) {
	for _, b := range c.Buckets() {
		if b.Sealing == 0 {
			continue
		}
		err := c.finishDeletion(ctx, b, raftfsm.By{Who: "server", Why: "deletion was interrupted by a stop"})
		switch {
		case err == nil:
			c.log.Info("interrupted bucket deletion finished", keyBucket, b.Name)
		case errors.Is(err, cluster.ErrBucketNotEmpty):
			c.log.Info("interrupted bucket deletion given up", keyBucket, b.Name)
		default:
			c.log.Warn("interrupted bucket deletion cannot be finished now", keyBucket, b.Name, keyErr, err)
		}
	}
}

func notEmpty(name cluster.BucketName, err error) error {
	if err == nil {
		err = cluster.ErrBucketNotEmpty
	}
	return fmt.Errorf("bucket %s: %w", name, err)
}

// newOperation names one deletion; zero means none.
func newOperation() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand aborts the process instead (Go 1.24)
	return binary.BigEndian.Uint64(b[:]) | 1
}

// applied tells the drives of every bucket that a change of the control state touched. It runs
// before the change is answered.
func (n *Node) applied(old, next *state.State) {
	type fence struct {
		bucket  cluster.Bucket
		removed bool
	}
	var fences []fence
	for _, b := range next.Buckets() {
		if was, ok := old.Bucket(b.Name); !ok || was.ID != b.ID || was.Revision != b.Revision {
			fences = append(fences, fence{b, false})
		}
	}
	for _, b := range old.Buckets() {
		if is, ok := next.Bucket(b.Name); !ok || is.ID != b.ID {
			fences = append(fences, fence{b, true})
		}
	}
	if len(fences) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), fenceLimit)
	defer cancel()
	var wg sync.WaitGroup
	for _, a := range n.fleet.actors() {
		wg.Go(func() {
			for _, f := range fences {
				if err := drive.Fence(ctx, a, f.bucket.ID, f.bucket.Revision, f.bucket.Sealing != 0, f.removed); err != nil {
					n.log.Warn("bucket fence", keyDrive, a.ID(), keyBucket, f.bucket.Name, keyErr, err)
				}
			}
		})
	}
	wg.Wait()
}

// fence tells a drive that is about to serve the sets that it is a member of, and the revision of
// every bucket.
func (n *Node) fence(ctx context.Context, a *drive.Actor) error {
	if err := drive.Adopt(ctx, a, a.ID(), n.raft.Topology().Sets); err != nil {
		return err
	}
	for _, b := range n.raft.Buckets() {
		if err := drive.Fence(ctx, a, b.ID, b.Revision, b.Sealing != 0, false); err != nil {
			return err
		}
	}
	return nil
}

// join prepares a drive that came back: first its copy of the control state, then its fences.
func (n *Node) join(ctx context.Context, a *drive.Actor) error {
	ctx, cancel := context.WithTimeout(ctx, joinLimit)
	defer cancel()
	if err := amnesia(a, n.fleet.opened()); err != nil {
		return err
	}
	if err := n.raft.AddCopy(ctx, controlCopy{a}); err != nil {
		return err
	}
	if err := n.fence(ctx, a); err != nil {
		n.raft.RemoveCopy(a.ID())
		return err
	}
	n.store.Observe(a.Highest())
	n.locate(ctx, a)
	return a.Confirm()
}

// locate records where a drive was found, for people. Nothing depends on it.
func (n *Node) locate(ctx context.Context, a *drive.Actor) {
	if err := n.raft.UpdateDrive(ctx, a.ID(), a.Path(), raftfsm.By{Who: "server", Why: "found there"}); err != nil {
		n.log.Warn("place of a drive not recorded", keyDrive, a.ID(), keyPath, a.Path(), keyErr, err)
	}
}
