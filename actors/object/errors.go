package object

import "errors"

var (
	// ErrKeyEmpty is returned when an object key has no bytes.
	ErrKeyEmpty = errors.New("object key is empty")
	// ErrKeyTooLong is returned when an object key has more than MaxKeyBytes bytes.
	ErrKeyTooLong = errors.New("object key is longer than 1024 bytes")
	// ErrKeyEncoding is returned when an object key is not valid UTF-8.
	ErrKeyEncoding = errors.New("object key is not valid UTF-8")
	// ErrNotFound is returned when enough in-sync drives agree that the object does not exist.
	ErrNotFound = errors.New("no such object")
	// ErrNoVersion is returned when a named version of a key does not exist.
	ErrNoVersion = errors.New("no such version")
	// ErrVersionID is returned when a text cannot be the id of any version.
	ErrVersionID = errors.New("invalid version id")
	// ErrNoUpload is returned when a multipart upload does not exist, was completed or was aborted.
	ErrNoUpload = errors.New("no such multipart upload")
	// ErrPrecondition is returned when a conditional operation finds its condition false.
	ErrPrecondition = errors.New("precondition failed")
	// ErrNotModified is returned when a conditional read finds that the client's copy is current.
	ErrNotModified = errors.New("not modified")
	// ErrReadQuorum is returned when fewer than n/2 in-sync drives of a set answered: the truth is unknown.
	ErrReadQuorum = errors.New("read quorum lost")
	// ErrWriteQuorum is returned when fewer than n/2+1 drives of a set could take a write. Nothing
	// was acknowledged; the outcome may be unknown.
	ErrWriteQuorum = errors.New("write quorum lost")
	// ErrStorageFull is returned when so many drives are at their reserve that a write cannot reach its quorum.
	ErrStorageFull = errors.New("storage is full")
	// ErrBusy is returned when so many mailboxes are full, or the memory budget is so far used, that
	// the operation was not begun. It means load and nothing else.
	ErrBusy = errors.New("too busy")
	// ErrPaused is returned by a writer that an object's body is sent to and that takes nothing for
	// now: the sender gives its buffers back, passes the error on, and can be called again to go on.
	ErrPaused = errors.New("paused")
	// ErrReplaced is returned when a body is asked for of a version that was overwritten or deleted
	// since it was opened, and is not there any more: open the key again.
	ErrReplaced = errors.New("object was replaced")
	// ErrDamaged is returned when fewer than k shards of an object pass their checksums.
	ErrDamaged = errors.New("object is damaged beyond repair")
	// ErrInvalidPart is returned when a completed part list names a part that is absent or whose ETag differs.
	ErrInvalidPart = errors.New("invalid part")
	// ErrInvalidPartOrder is returned when a completed part list is not ascending.
	ErrInvalidPartOrder = errors.New("part list is not in ascending order")
	// ErrPartTooSmall is returned when a part other than the last is under the minimum size.
	ErrPartTooSmall = errors.New("part is smaller than the minimum")
	// ErrMetadataTooLarge is returned when the version row of an object would exceed 4 KiB.
	ErrMetadataTooLarge = errors.New("object metadata is too large")
)
