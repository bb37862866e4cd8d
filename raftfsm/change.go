package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/command"
	"holdfast/raftfsm/state"
)

// By says who changes something and why, for the change log. A Request that is repeated is obeyed
// once; left zero, one is chosen.
type By struct {
	Who, Why string
	Request  [16]byte
}

// Apply makes one change and returns when it is in force: committed by raft, applied, durable on
// W drives and seen by every hook. Errors of the command itself are those of package state and
// cluster. Beyond them: cluster.ErrControlQuorum and cluster.ErrNoLeader mean that nothing was done;
// cluster.ErrOutcomeUnknown that it may or may not come into force.
func (n *Node) Apply(ctx context.Context, c command.Command, by By) (state.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, n.limits.change)
	defer cancel()
	start := time.Now()
	out, err := n.change(ctx, c, by)
	n.metrics.observe(start, err)
	if err != nil {
		return out, fmt.Errorf("change configuration: %w", err)
	}
	return out, nil
}

func (n *Node) change(ctx context.Context, c command.Command, by By) (state.Outcome, error) {
	if n.mirror.available() < n.o.W {
		return state.Outcome{}, n.mirror.shortage()
	}
	if by.Request == [16]byte{} {
		by.Request = cluster.NewID()
	}
	entry := command.Encode(command.Entry{Request: by.Request, Time: time.Now(), Who: by.Who, Why: by.Why, Command: c})
	r, err := n.propose(ctx, entry)
	if err != nil {
		return state.Outcome{}, err
	}
	// A refusal, too, was judged by a state that must not be lost once someone was told of it.
	if err := n.mirror.settle(ctx, r.index); err != nil {
		return state.Outcome{}, fmt.Errorf("%w: %w", cluster.ErrOutcomeUnknown, err)
	}
	return r.out, r.err
}

// propose puts an entry into the log and returns what the state machine answered.
func (n *Node) propose(ctx context.Context, entry []byte) (reply, error) {
	for {
		s, err := n.awaitLeader(ctx)
		if err != nil {
			return reply{}, fmt.Errorf("%w: %w", cluster.ErrNoLeader, err)
		}
		deadline, _ := ctx.Deadline() // Apply set one
		future := s.raft.Apply(entry, max(time.Until(deadline), time.Millisecond))
		done := make(chan error, 1)
		go func() { done <- future.Error() }() // ends at the latest when raft shuts down
		select {
		case err = <-done:
		case <-ctx.Done():
			return reply{}, fmt.Errorf("%w: %w", cluster.ErrOutcomeUnknown, ctx.Err())
		}
		switch {
		case err == nil:
			return future.Response().(reply), nil
		case errors.Is(err, raft.ErrNotLeader): // nothing was done: wait for the next election
		case errors.Is(err, raft.ErrEnqueueTimeout):
			return reply{}, fmt.Errorf("%w: %w", cluster.ErrNoLeader, err)
		default: // leadership lost, shut down, or the log could not be written
			return reply{}, fmt.Errorf("%w: %w", cluster.ErrOutcomeUnknown, err)
		}
	}
}
