package raftlog

import "errors"

var (
	// ErrDamaged is returned when the file is not what was written to it.
	ErrDamaged = errors.New("damaged raft log")
	// ErrVersion is returned when the file was written in another version of the format.
	ErrVersion = errors.New("raft log of an unknown version")
	// ErrInUse is returned when somebody else has the file open.
	ErrInUse = errors.New("raft log is in use")
	// ErrFailed is returned by every write after one that failed.
	ErrFailed = errors.New("raft log has failed")
	// ErrClosed is returned when the log was closed.
	ErrClosed = errors.New("raft log is closed")
	// ErrGap is returned when entries do not follow the last one.
	ErrGap = errors.New("raft log entries do not follow each other")

	// errNotFound has the very text by which raft knows a key that was never set.
	errNotFound = errors.New("not found")
	// errPanic marks a panic of bbolt, which may have left its locks taken.
	errPanic = errors.New("panic below the raft log")
)
