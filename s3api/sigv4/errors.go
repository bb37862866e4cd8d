package sigv4

import (
	"fmt"

	"holdfast/s3api/s3err"
)

// ErrAnonymous is returned when a request carries no signature at all. It reads as AccessDenied to
// whoever does not ask for it by name.
var ErrAnonymous = fmt.Errorf("request is anonymous: %w", s3err.AccessDenied)

// errLineTooLong is returned when a line of a chunked body's framing does not end within its limit.
var errLineTooLong = malformedChunk("a line is too long")
