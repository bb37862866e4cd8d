// Package quorum is the protocol core: what a drive accepts, when a write is acknowledged, what a
// read may return, how an unfinished write ends, how conditional changes, revisions and uploads are
// decided, how a slot moves from drive to drive, when something may be forgotten, and how the answers
// of several drives merge into a list. It is pure: state machines stepped with events and the time,
// no I/O, no goroutines, no clock of its own, so that the daemon and a simulator run the very same
// code. Machines are not safe for concurrent use; their owner steps them one at a time. Messages are
// plain values; slices in a reply alias the drive's state until its next step, slices in an Effect
// are valid until the operation's next step. The invariants I1..I32 are named where they are
// enforced; DESIGN.md beside this file lists them.
package quorum
