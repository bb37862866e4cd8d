package s3api

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"

	"holdfast/actors"
	"holdfast/actors/drive"
	"holdfast/actors/erasure"
	"holdfast/actors/guardfs"
	"holdfast/actors/journal"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/placement"
	"holdfast/actors/segment"
	"holdfast/raftfsm/cluster"
	"holdfast/s3api/s3err"
)

// domainError says which S3 error a domain error becomes.
type domainError struct {
	name string // as written in Go, for the test that finds every exported one
	err  error
	s3   *s3err.Error
}

// domainErrors is the only mapping of domain errors to S3 errors. Those that must never reach a
// client (a drive's own, corruption that a layer above should have voted on) are listed as the
// closest truth that can be told.
func domainErrors() []domainError {
	plain := func(c s3err.Code) *s3err.Error { return &s3err.Error{Code: c} }
	return []domainError{
		{"object.ErrNotFound", object.ErrNotFound, plain(s3err.NoSuchKey)},
		{"object.ErrNoVersion", object.ErrNoVersion, plain(s3err.NoSuchVersion)},
		{"object.ErrVersionID", object.ErrVersionID, s3err.InvalidArgument.Msg("Invalid version id specified")},
		{"object.ErrNotModified", object.ErrNotModified, plain(s3err.NotModified)},
		{"object.ErrPrecondition", object.ErrPrecondition, plain(s3err.PreconditionFailed)},
		{"object.ErrNoUpload", object.ErrNoUpload, plain(s3err.NoSuchUpload)},
		{"object.ErrKeyEmpty", object.ErrKeyEmpty, plain(s3err.InvalidURI)},
		{"object.ErrKeyTooLong", object.ErrKeyTooLong, plain(s3err.KeyTooLongError)},
		{"object.ErrKeyEncoding", object.ErrKeyEncoding, plain(s3err.InvalidURI)},
		{"object.ErrStorageFull", object.ErrStorageFull, plain(s3err.InsufficientStorage)},
		{"object.ErrBusy", object.ErrBusy, plain(s3err.SlowDown)},
		{"object.ErrReplaced", object.ErrReplaced, s3err.ServiceUnavailable.Msg("The object was replaced again and again while it was read.")},
		{"object.ErrReadQuorum", object.ErrReadQuorum, s3err.ServiceUnavailable.Msg("Read quorum lost: too few drives of the erasure set answered.")},
		{"object.ErrWriteQuorum", object.ErrWriteQuorum, s3err.ServiceUnavailable.Msg("Write quorum lost: too few drives of the erasure set took the change.")},
		{"object.ErrDamaged", object.ErrDamaged, s3err.InternalError.Msg("The object's data is damaged beyond repair.")},
		{"object.ErrInvalidPart", object.ErrInvalidPart, plain(s3err.InvalidPart)},
		{"object.ErrInvalidPartOrder", object.ErrInvalidPartOrder, plain(s3err.InvalidPartOrder)},
		{"object.ErrPartTooSmall", object.ErrPartTooSmall, plain(s3err.EntityTooSmall)},
		{"object.ErrMetadataTooLarge", object.ErrMetadataTooLarge, plain(s3err.MetadataTooLarge)},

		{"cluster.ErrNoBucket", cluster.ErrNoBucket, plain(s3err.NoSuchBucket)},
		{"cluster.ErrBucketName", cluster.ErrBucketName, plain(s3err.InvalidBucketName)},
		{"cluster.ErrBucketExists", cluster.ErrBucketExists, plain(s3err.BucketAlreadyExists)},
		{"cluster.ErrBucketOwned", cluster.ErrBucketOwned, plain(s3err.BucketAlreadyOwnedByYou)},
		{"cluster.ErrBucketNotEmpty", cluster.ErrBucketNotEmpty, plain(s3err.BucketNotEmpty)},
		{"cluster.ErrTooManyBuckets", cluster.ErrTooManyBuckets, plain(s3err.TooManyBuckets)},
		{"cluster.ErrBucketSealed", cluster.ErrBucketSealed, s3err.OperationAborted.Msg("The bucket is being deleted. Please try again.")},
		{"cluster.ErrBucketState", cluster.ErrBucketState, plain(s3err.InvalidBucketState)},
		{"cluster.ErrNoLeader", cluster.ErrNoLeader, s3err.ServiceUnavailable.Msg("The configuration has no leader: no change can be made now.")},
		{"cluster.ErrOutcomeUnknown", cluster.ErrOutcomeUnknown, s3err.ServiceUnavailable.Msg("The outcome of the change is unknown. Please look before you try again.")},

		{"cluster.ErrControlQuorum", cluster.ErrControlQuorum, s3err.ServiceUnavailable.Msg("Too few drives can keep a copy of the configuration: no change can be made now.")},
		{"cluster.ErrConflict", cluster.ErrConflict, plain(s3err.OperationAborted)},
		{"cluster.ErrNoCredential", cluster.ErrNoCredential, plain(s3err.InvalidAccessKeyId)},
		{"cluster.ErrNoDrive", cluster.ErrNoDrive, plain(s3err.InternalError)},

		{"drive.ErrBusy", drive.ErrBusy, plain(s3err.SlowDown)},
		{"drive.ErrFull", drive.ErrFull, plain(s3err.InsufficientStorage)},
		{"drive.ErrOffline", drive.ErrOffline, plain(s3err.ServiceUnavailable)},
		{"drive.ErrFailed", drive.ErrFailed, plain(s3err.ServiceUnavailable)},
		{"drive.ErrStale", drive.ErrStale, plain(s3err.ServiceUnavailable)},
		{"drive.ErrNotInSync", drive.ErrNotInSync, plain(s3err.ServiceUnavailable)},
		{"drive.ErrNoShard", drive.ErrNoShard, plain(s3err.InternalError)},
		{"drive.ErrDamaged", drive.ErrDamaged, plain(s3err.InternalError)},
		{"drive.ErrNoUpload", drive.ErrNoUpload, plain(s3err.NoSuchUpload)},
		{"drive.ErrUnsettled", drive.ErrUnsettled, plain(s3err.ServiceUnavailable)},
		{"drive.ErrNoControl", drive.ErrNoControl, plain(s3err.InternalError)},
		{"actors.ErrFull", actors.ErrFull, plain(s3err.SlowDown)},
		{"actors.ErrStopped", actors.ErrStopped, plain(s3err.ServiceUnavailable)},
		{"segment.ErrNoSpace", segment.ErrNoSpace, plain(s3err.InsufficientStorage)},
		{"segment.ErrClosed", segment.ErrClosed, plain(s3err.ServiceUnavailable)},
		{"guardfs.ErrFailed", guardfs.ErrFailed, plain(s3err.ServiceUnavailable)},
	}
}

// innerErrors never reach a request unless a layer below has a fault: errors of starting a store,
// of calling a package wrongly, and corruption that a vote should have settled.
func innerErrors() []domainError {
	var list []domainError
	for name, err := range map[string]error{
		"actors.ErrPanic":         actors.ErrPanic,
		"drive.ErrClone":          drive.ErrClone,
		"drive.ErrForeign":        drive.ErrForeign,
		"drive.ErrFormatted":      drive.ErrFormatted,
		"drive.ErrHeld":           drive.ErrHeld,
		"drive.ErrIdentity":       drive.ErrIdentity,
		"drive.ErrInUse":          drive.ErrInUse,
		"drive.ErrNested":         drive.ErrNested,
		"drive.ErrNotDirectory":   drive.ErrNotDirectory,
		"drive.ErrNotFile":        drive.ErrNotFile,
		"drive.ErrNoStore":        drive.ErrNoStore,
		"drive.ErrSamePlace":      drive.ErrSamePlace,
		"drive.ErrUnusable":       drive.ErrUnusable,
		"erasure.ErrSelfTest":     erasure.ErrSelfTest,
		"erasure.ErrTooFewShards": erasure.ErrTooFewShards,
		"object.ErrPaused":        object.ErrPaused,
		"ondisk.ErrCorrupt":       ondisk.ErrCorrupt,
		"ondisk.ErrNewer":         ondisk.ErrNewer,
		"ondisk.ErrOlder":         ondisk.ErrOlder,
		"journal.ErrGone":         journal.ErrGone,
		"journal.ErrGap":          journal.ErrGap,
		"journal.ErrCut":          journal.ErrCut,
		"ondisk.ErrNotLabel":      ondisk.ErrNotLabel,
		"placement.ErrDriveCount": placement.ErrDriveCount,
		"segment.ErrDone":         segment.ErrDone,
		"segment.ErrFrame":        segment.ErrFrame,
		"segment.ErrNotSynced":    segment.ErrNotSynced,
	} {
		list = append(list, domainError{name, err, &s3err.Error{Code: s3err.InternalError}})
	}
	return list
}

// otherErrors are errors of our own pipeline and of the standard library.
func otherErrors() []domainError {
	return []domainError{
		{"", io.ErrUnexpectedEOF, &s3err.Error{Code: s3err.IncompleteBody}},
		{"", errBodyLost, &s3err.Error{Code: s3err.IncompleteBody}},
		{"", errBodyChunks, s3err.InvalidRequest.Msg("The chunked transfer coding of the body is malformed: each chunk is its size in at most 15 " +
			"hexadecimal digits, CRLF, that many bytes and CRLF; fields that frame the message cannot stand in the trailer.")},
		{"", errBodySlow, &s3err.Error{Code: s3err.RequestTimeout}},
		{"", os.ErrDeadlineExceeded, &s3err.Error{Code: s3err.RequestTimeout}},
		{"", context.DeadlineExceeded, &s3err.Error{Code: s3err.ServiceUnavailable, Text: "The operation took too long."}},
		{"", context.Canceled, &s3err.Error{Code: s3err.ServiceUnavailable, Text: "The server is shutting down."}},
	}
}

// errorMap turns any error into the S3 error that the client gets.
type errorMap struct{ table []domainError }

func newErrorMap() errorMap {
	return errorMap{table: slices.Concat(domainErrors(), otherErrors(), innerErrors())}
}

// find returns the S3 error for err, which must not be nil. An error that a handler has already
// put in S3's words passes as it is; what nobody knows is an InternalError. What lies behind is
// kept as the cause, for the log.
func (m errorMap) find(err error) *s3err.Error {
	var e *s3err.Error
	if errors.As(err, &e) {
		return e
	}
	var c s3err.Code
	if errors.As(err, &c) {
		return &s3err.Error{Code: c}
	}
	for i := range m.table {
		if errors.Is(err, m.table[i].err) {
			return m.table[i].s3.Because(err)
		}
	}
	return s3err.InternalError.Because(err)
}
