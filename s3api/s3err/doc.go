// Package s3err is the catalogue of the errors that the S3 interface can answer: AWS's code, HTTP
// status and message for each, as data, and the XML document that carries them.
//
// It decides nothing: which domain error becomes which Code is the business of s3api/errors.go.
// A Code is itself an error, so the common case needs no allocation:
//
//	return s3err.NoSuchKey
//
// and more is said with
//
//	return s3err.InvalidArgument.Msg("Argument maxKeys must be an integer between 0 and 2147483647").
//		With("ArgumentName", "max-keys").With("ArgumentValue", v)
//
// Values are immutable: Msg and With copy, so any of them may be shared between goroutines.
package s3err
