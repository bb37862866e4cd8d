package drive

import (
	"context"

	"holdfast/actors/object"
)

func (a *Actor) segmentBytes() int64 { return 0 }

func (a *Actor) Stage(ctx context.Context, req StageRequest) (ShardWriter, error) {
	return nil, ErrOffline
}

func (a *Actor) OpenShard(ctx context.Context, oid object.OID) (ShardReader, error) {
	return nil, ErrNoShard
}

func (a *Actor) openShard(oid object.OID) (ShardReader, error) { return nil, ErrNoShard }

func (b *batch) take(oid object.OID) error { return ErrNoShard }

type reclaimer struct{}

func (r *reclaimer) wakeUp() {}
