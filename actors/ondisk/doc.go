// Package ondisk holds every layout that Holdfast persists, and nothing else: the drive label
// FORMAT, the rows of the index, the frames of segments, and the one helper that writes a small
// file atomically. It does no I/O but that helper's. Decoders take bytes from a disk that may lie:
// each returns ErrCorrupt (wrong bytes), ErrNewer (written by a newer release) or a value, never
// panics, and never aliases its input unless it says so.
package ondisk
