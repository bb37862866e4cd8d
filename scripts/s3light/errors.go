package s3light

import (
	"errors"
	"fmt"
)

// ErrMismatch is returned when the bytes of an answer differ from Request.Want.
var ErrMismatch = errors.New("s3light: body differs from what was written")

// ErrShortBody is returned when the server ends an answer before its announced end.
var ErrShortBody = errors.New("s3light: answer ended early")

// StatusError is a complete answer whose status is not 2xx.
type StatusError struct {
	Method, Path string
	Status       int
	Body         string // the first bytes of the error document
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: status %d: %s", e.Method, e.Path, e.Status, e.Body)
}

// Status returns the HTTP status an error carries, or 0 when it is not an answer of the server.
func Status(err error) int {
	var se *StatusError
	if errors.As(err, &se) {
		return se.Status
	}
	return 0
}
