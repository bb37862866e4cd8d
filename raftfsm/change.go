package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
	out, err := n.change(ctx, c, by)
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
		if err := n.leader.wait(ctx, n.dir.log.Failed(), n.stop); err != nil {
			return reply{}, err
		}
		deadline, _ := ctx.Deadline() // Apply set one
		future := n.raft.Apply(entry, max(time.Until(deadline), time.Millisecond))
		done := make(chan error, 1)
		go func() { done <- future.Error() }() // ends at the latest when raft shuts down
		var err error
		select {
		case err = <-done:
		case <-ctx.Done():
			return reply{}, fmt.Errorf("%w: %w", cluster.ErrOutcomeUnknown, ctx.Err())
		}
		switch {
		case err == nil:
			return future.Response().(reply), nil
		case errors.Is(err, raft.ErrNotLeader):
			n.leader.lost()
		case errors.Is(err, raft.ErrEnqueueTimeout):
			return reply{}, fmt.Errorf("%w: %w", cluster.ErrNoLeader, err)
		default: // leadership lost, shut down, or the log could not be written
			return reply{}, fmt.Errorf("%w: %w", cluster.ErrOutcomeUnknown, err)
		}
	}
}

// gate is open while this node leads.
type gate struct {
	mu   sync.Mutex
	open bool          // guarded by mu
	ch   chan struct{} // closed when it opens; guarded by mu
}

func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if open && !g.open && g.ch != nil {
		close(g.ch)
		g.ch = nil
	}
	g.open = open
}

// lost closes the gate: raft said so before its notice came.
func (g *gate) lost() { g.set(false) }

func (g *gate) wait(ctx context.Context, failed, stop <-chan struct{}) error {
	g.mu.Lock()
	if g.open {
		g.mu.Unlock()
		return nil
	}
	if g.ch == nil {
		g.ch = make(chan struct{})
	}
	ch := g.ch
	g.mu.Unlock()
	select {
	case <-ch:
		return nil
	case <-failed:
		return fmt.Errorf("%w: the raft log has failed", cluster.ErrNoLeader)
	case <-stop:
		return fmt.Errorf("%w: %w", cluster.ErrNoLeader, ErrClosed)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", cluster.ErrNoLeader, ctx.Err())
	}
}
