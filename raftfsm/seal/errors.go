package seal

import "errors"

var (
	// ErrRootMismatch is returned when the root credentials are not those that the cluster was last started with.
	ErrRootMismatch = errors.New("root credentials differ from those of this cluster")
	// ErrMalformed is returned when bytes are not what this package made.
	ErrMalformed = errors.New("malformed sealed data")
	// ErrForeign is returned when a secret was sealed under another key or for another owner.
	ErrForeign = errors.New("secret was sealed under another key or for another owner")
)
