package actors

import "errors"

var (
	// ErrFull is returned when a mailbox is at its limit. The message was not taken.
	ErrFull = errors.New("mailbox is full")
	// ErrStopped is returned when a message is offered to an actor that has ended.
	ErrStopped = errors.New("actor has stopped")
	// ErrPanic is what an actor ends with when its loop panicked.
	ErrPanic = errors.New("actor panicked")
)
