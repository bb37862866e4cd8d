package state

import (
	"errors"
	"fmt"
)

var (
	// ErrCorrupt is returned when rows or a snapshot fail a checksum, a digest or an invariant.
	ErrCorrupt = errors.New("damaged control state")
	// ErrNewer is returned when rows or a snapshot were written by a newer program.
	ErrNewer = errors.New("control state of a newer version")
	// ErrNotBorn is returned when a command comes before Birth.
	ErrNotBorn = errors.New("cluster is not born yet")
	// ErrBorn is returned when Birth comes a second time.
	ErrBorn = errors.New("cluster is already born")
	// ErrFeatureLevel is returned when the feature level would sink.
	ErrFeatureLevel = errors.New("feature level cannot sink")
	// ErrInvalid is returned when a command asks for a state that breaks an invariant.
	ErrInvalid = errors.New("invalid change")
)

func rowError(key string, kind error, what string) error {
	return fmt.Errorf("row %q: %w: %s", key, kind, what)
}
