package raftfsm

import (
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"holdfast/raftfsm/command"
	"holdfast/raftfsm/state"
)

var _ raft.BatchingFSM = (*fsm)(nil)

// fsm is the adapter between raft and the replicated value: it decodes, applies and offers. All
// its methods are called by one goroutine of raft.
type fsm struct {
	current *state.State
	offer   func(*state.State) // told each state that was reached
}

// reply is what Apply hands to the proposer on this node.
type reply struct {
	out   state.Outcome
	index uint64 // the state that the answer was judged by
	err   error
}

// Apply implements raft.FSM.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM. An entry that cannot be understood ends the process:
// going on without it would let this replica diverge from the others.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	replies := make([]any, len(logs))
	for i, l := range logs {
		r, err := f.step(l)
		if err != nil {
			panic(fmt.Sprintf("raftfsm: entry %d of term %d: %v", l.Index, l.Term, err))
		}
		replies[i] = r
	}
	f.offer(f.current)
	return replies
}

// step applies one entry. It returns an error only for an entry that this program cannot understand.
func (f *fsm) step(l *raft.Log) (reply, error) {
	if l.Type != raft.LogCommand {
		return reply{}, nil
	}
	e, err := command.Decode(l.Data)
	if err != nil {
		return reply{}, err
	}
	var r reply
	f.current, r.out, r.err = f.current.Apply(e, l.Index, l.Term)
	r.index = f.current.Index()
	return r, nil
}

// Snapshot implements raft.FSM: a pointer.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) { return snapshot{f.current}, nil }

// Restore implements raft.FSM.
func (f *fsm) Restore(r io.ReadCloser) error {
	s, err := state.ReadSnapshot(r)
	if err != nil {
		return err
	}
	f.current = s
	f.offer(s)
	return nil
}

// snapshot is a state on its way to a file.
type snapshot struct{ state *state.State }

// Persist implements raft.FSMSnapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := s.state.WriteTo(sink); err != nil {
		sink.Cancel() // the first error is the one that tells
		return err
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s snapshot) Release() {}
