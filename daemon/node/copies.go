package node

import (
	"context"
	"errors"

	"holdfast/actors/drive"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm"
)

// controlCopy lets the control plane keep its state on a local drive.
type controlCopy struct{ *drive.Actor }

// LoadControl reads the drive's copy.
func (c controlCopy) LoadControl(ctx context.Context) (raftfsm.CopyMeta, map[string][]byte, error) {
	m, rows, err := c.Actor.LoadControl(ctx)
	if errors.Is(err, drive.ErrNoControl) {
		return raftfsm.CopyMeta{}, nil, raftfsm.ErrNoCopy
	}
	return raftfsm.CopyMeta{Cluster: m.Cluster, Index: m.Index, Term: m.Term, Node: m.Node, Rows: m.Rows, Digest: m.Digest}, rows, err
}

// StoreControl writes the drive's copy.
func (c controlCopy) StoreControl(ctx context.Context, m raftfsm.CopyMeta, put map[string][]byte, del []string) error {
	return c.Actor.StoreControl(ctx, ondisk.ControlMeta{
		Cluster: m.Cluster, Index: m.Index, Term: m.Term, Node: m.Node, Rows: m.Rows, Digest: m.Digest,
	}, put, del)
}
