package drive

import (
	"context"

	"holdfast/actors/object"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// Fence tells a drive the newest revision of a bucket: once it has returned, nothing of an older
// revision is accepted, and nothing at all while sealed. removed forgets the bucket; whatever rows it
// still has go in the background.
func Fence(ctx context.Context, d Doer, bucket cluster.BucketID, revision uint64, sealed, removed bool) error {
	req := Request{Request: quorum.Request{Kind: quorum.ReqFence, Key: object.Key{Bucket: bucket}, Sealed: sealed, Removed: removed}}
	req.Revision = revision
	var reply Reply
	return d.Do(ctx, &req, &reply)
}

// Adopt tells a drive of every set that it is a member of. sets are those of a topology, by id.
func Adopt(ctx context.Context, d Doer, id cluster.DriveID, sets []cluster.Set) error {
	var calls []Call
	for i := range sets {
		for member, m := range sets[i].Members {
			if m != id {
				continue
			}
			req := &Request{Request: quorum.Request{Kind: quorum.ReqAdopt, Member: member, Config: ConfigOf(cluster.SetID(i), &sets[i])}}
			req.Set = req.Config.ID
			calls = append(calls, Call{Req: req, Reply: &Reply{}})
		}
	}
	d.DoAll(ctx, calls)
	for i := range calls {
		if calls[i].Err != nil {
			return calls[i].Err
		}
	}
	return nil
}

// ConfigOf is what the protocol needs to know of a set.
func ConfigOf(id cluster.SetID, s *cluster.Set) quorum.SetConfig {
	return quorum.SetConfig{ID: id, Epoch: s.Epoch, Shape: quorum.ShapeOf(len(s.Members))}
}
