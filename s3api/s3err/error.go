package s3err

import (
	"errors"
	"fmt"
)

// Error is a Code with what one request adds to it.
type Error struct {
	Code     Code
	Text     string  // own message; "" = the catalogue's
	Resource string  // path that the error is about; "" = the caller of AppendXML says
	Fields   []Field // further elements of the document, in order
	Cause    error   // for the log, never sent; may be nil
}

// Field is one further element of the error document, such as ActualObjectSize.
type Field struct{ Name, Value string }

var (
	_ error = Code(0)
	_ error = (*Error)(nil)
)

// Error makes a Code usable as an error by itself.
func (c Code) Error() string { return c.String() + ": " + c.Message() }

// Msg returns the error with its own message.
func (c Code) Msg(format string, args ...any) *Error {
	if len(args) == 0 {
		return &Error{Code: c, Text: format}
	}
	return &Error{Code: c, Text: fmt.Sprintf(format, args...)}
}

// With returns the error with one further element.
func (c Code) With(name, value string) *Error { return (&Error{Code: c}).With(name, value) }

// Because returns the error with the fault behind it, for the log only.
func (c Code) Because(cause error) *Error { return &Error{Code: c, Cause: cause} }

// Message is what the document says to people.
func (e *Error) Message() string {
	if e.Text != "" {
		return e.Text
	}
	return e.Code.Message()
}

// Status is the HTTP status.
func (e *Error) Status() int { return e.Code.Status() }

// Error is for logs. It shows no Fields: they repeat what the client sent (string to sign, key).
func (e *Error) Error() string {
	s := e.Code.String() + ": " + e.Message()
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap gives the fault behind the error.
func (e *Error) Unwrap() error { return e.Cause }

// Is makes errors.Is(err, s3err.NoSuchKey) true for every *Error with that code.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && c == e.Code
}

// With returns a copy with one further element.
func (e *Error) With(name, value string) *Error {
	c := *e
	c.Fields = append(append(make([]Field, 0, len(e.Fields)+1), e.Fields...), Field{name, value})
	return &c
}

// On returns a copy that names the resource it is about.
func (e *Error) On(resource string) *Error {
	c := *e
	c.Resource = resource
	return &c
}

// Because returns a copy with the fault behind it, for the log only.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.Cause = cause
	return &c
}

// From finds the Error in err's chain. Whatever holds neither *Error nor Code is an
// InternalError with err as its cause. err must not be nil.
func From(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var c Code
	if errors.As(err, &c) {
		return &Error{Code: c}
	}
	return InternalError.Because(err)
}
