package raftfsm

import "errors"

var (
	// ErrNoState is returned when neither the raft directory nor any drive holds a control state and no birth was asked for.
	ErrNoState = errors.New("no control state found")
	// ErrDamaged is returned when what holds the control state is damaged and no whole copy was found.
	ErrDamaged = errors.New("control state is damaged and no whole copy was found")
	// ErrDirectory is returned when no raft directory can be made where one may be.
	ErrDirectory = errors.New("raft directory cannot be used")
	// ErrNoCopy is returned by a Copy that holds nothing yet.
	ErrNoCopy = errors.New("drive has no copy of the control state")
	// ErrNewerCopy is returned when a drive joins with a newer control state than the node was
	// started with, which saw too few copies. The node must be opened again with that drive among them.
	ErrNewerCopy = errors.New("drive holds a newer control state than this node was started with")
	// ErrClosed is returned when the node was closed.
	ErrClosed = errors.New("control plane is closed")
)
