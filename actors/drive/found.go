package drive

import "holdfast/actors/ondisk"

// FoundKind says what Probe found at a path.
type FoundKind uint8

const (
	FoundFresh    FoundKind = iota + 1 // missing, or an empty directory that could be written
	FoundStore                         // a readable FORMAT of a release we can serve
	FoundForeign                       // a directory that holds something else
	FoundFile                          // not a directory
	FoundUnusable                      // cannot be read or written (permission, read-only, I/O error)
	FoundDamaged                       // a FORMAT that fails its checksum
	FoundNewer                         // a FORMAT of a newer release, or of before the first one
	FoundInUse                         // another process holds the drive
)

// Found is the outcome of Probe, which writes nothing.
type Found struct {
	Kind  FoundKind
	Err   error        // why the place cannot be used, naming the path; nil for FoundFresh and FoundStore
	Label ondisk.Label // FoundStore only
	Place [2]uint64    // device and inode of the directory; zero if it is missing
	Real  string       // the path without symbolic links, also of a directory that is missing; "" if unknown
}
