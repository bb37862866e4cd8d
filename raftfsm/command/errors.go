package command

import (
	"errors"
	"fmt"
)

var (
	// ErrMalformed is returned when the bytes are not a log entry.
	ErrMalformed = errors.New("malformed log entry")
	// ErrVersion is returned when a log entry was written by another version of the envelope.
	ErrVersion = errors.New("log entry of an unknown version")
	// ErrUnknownTag is returned when a log entry holds a command that this program does not know.
	ErrUnknownTag = errors.New("unknown command")
)

func errMissing(what string) error { return fmt.Errorf("%s is missing", what) }
