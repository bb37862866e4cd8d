package segment

import "errors"

var (
	// ErrNoSpace is returned when a writer finds no room, or only what is kept in reserve. Nothing
	// is wrong with the drive.
	ErrNoSpace = errors.New("no space for data")
	// ErrNotSynced is returned when a shard is committed that Sync has not made durable.
	ErrNotSynced = errors.New("shard is not synced")
	// ErrDone is returned when a writer is used after Commit or Abort.
	ErrDone = errors.New("shard writer is done")
	// ErrFrame is returned when a frame is empty, too long, or follows a short one.
	ErrFrame = errors.New("frame does not fit its shard")
	// ErrClosed is returned when the store was closed.
	ErrClosed = errors.New("segment store is closed")
)
