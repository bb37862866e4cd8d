package drive

import "errors"

var (
	// ErrOffline is returned by every call on a drive that is absent.
	ErrOffline = errors.New("drive is offline")
	// ErrFailed is returned when the drive has failed; the outcome of a change is unknown.
	ErrFailed = errors.New("drive has failed")
	// ErrFull is returned when a drive is at its reserve and the operation needs space.
	ErrFull = errors.New("drive is full")
	// ErrBusy is returned when the mailbox is full. Nothing was done.
	ErrBusy = errors.New("drive is busy")
	// ErrStale is returned when a request carries an older set epoch or bucket revision than the drive knows.
	ErrStale = errors.New("request is from an older epoch")
	// ErrNotInSync is returned when the drive cannot vouch for its answer.
	ErrNotInSync = errors.New("drive is not in sync")
	// ErrNoShard is returned when the drive holds no shard under an oid.
	ErrNoShard = errors.New("no such shard")
	// ErrDamaged is returned when stored bytes fail their checksum.
	ErrDamaged = errors.New("damaged data")
	// ErrHeld is returned when a drive is told to drop a version that it holds stable or that it
	// accepted and has since reclaimed as superseded: no proof of its death can be right.
	ErrHeld = errors.New("version is held")
	// ErrNoUpload is returned when the drive holds no such upload.
	ErrNoUpload = errors.New("no such upload on this drive")
	// ErrUnsettled is returned when an upload is completed by a version that may yet be dropped.
	ErrUnsettled = errors.New("the outcome is not settled")
	// ErrNoControl is returned when the drive has no copy of the control state.
	ErrNoControl = errors.New("no control state on this drive")
)

// Errors about a place that shall be, or be opened as, a drive.
var (
	// ErrNotDirectory is returned when a file lies where a drive's directory is wanted.
	ErrNotDirectory = errors.New("not a directory")
	// ErrNotFile is returned when a FIFO, a device or a directory lies where one of a drive's files is
	// expected.
	ErrNotFile = errors.New("not a regular file")
	// ErrForeign is returned when a directory holds files that are not Holdfast's.
	ErrForeign = errors.New("directory holds something else")
	// ErrNoStore is returned when a directory that shall be looked at has no FORMAT.
	ErrNoStore = errors.New("no Holdfast drive here")
	// ErrUnusable is returned when a directory cannot be read and written.
	ErrUnusable = errors.New("directory cannot be used")
	// ErrInUse is returned when a drive is open already, here or in another process.
	ErrInUse = errors.New("drive is in use")
	// ErrFormatted is returned when a directory to be formatted is a drive of a store already.
	ErrFormatted = errors.New("directory is a drive already")
	// ErrIdentity is returned when a drive is not the one that is wanted.
	ErrIdentity = errors.New("another drive lies there")
	// ErrSamePlace is returned when two paths lead to one directory.
	ErrSamePlace = errors.New("both paths lead to the same directory")
	// ErrNested is returned when one drive's directory lies inside of another's.
	ErrNested = errors.New("one drive lies inside of the other")
	// ErrClone is returned when two drives bear one identity: one is a copy of the other.
	ErrClone = errors.New("two drives with one identity")
)
