package ondisk

import "errors"

var (
	// ErrCorrupt marks bytes that fail their checksum or their own rules.
	ErrCorrupt = errors.New("corrupt on-disk data")
	// ErrNewer is returned when data was written by a newer release.
	ErrNewer = errors.New("on-disk data was written by a newer release")
	// ErrOlder is returned for a drive layout of before the first release, which none reads any more.
	ErrOlder = errors.New("drive was formatted by a release too old to be read")
	// ErrNotLabel is returned when a FORMAT file is not a Holdfast drive's.
	ErrNotLabel = errors.New("not a Holdfast drive label")
)
