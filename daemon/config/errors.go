package config

import "errors"

var (
	// ErrEllipsis is returned when an argument has a malformed {first...last}.
	ErrEllipsis = errors.New("invalid ellipsis")
	// ErrInvalid is returned when a setting has a value it cannot have, or two settings contradict each other.
	ErrInvalid = errors.New("invalid setting")
)
