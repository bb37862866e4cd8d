package node

import (
	"sync/atomic"

	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/state"
)

// bucketIndex finds the buckets of one state of the control plane by id.
type bucketIndex struct {
	of   *state.State
	byID map[cluster.BucketID]cluster.Bucket
}

// bucketOf returns a function that finds a bucket as it is now.
func (n *Node) bucketOf() func(cluster.BucketID) (cluster.Bucket, bool) {
	var last atomic.Pointer[bucketIndex]
	return func(id cluster.BucketID) (cluster.Bucket, bool) {
		now, x := n.raft.State(), last.Load()
		if x == nil || x.of != now {
			list := now.Buckets()
			x = &bucketIndex{of: now, byID: make(map[cluster.BucketID]cluster.Bucket, len(list))}
			for i := range list {
				x.byID[list[i].ID] = list[i]
			}
			last.Store(x)
		}
		b, ok := x.byID[id]
		return b, ok
	}
}
