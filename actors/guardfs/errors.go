package guardfs

import (
	"errors"
	"syscall"
)

// ErrFailed is returned by a checked file system for every change asked of a drive that has failed.
// It wraps the error that failed the drive.
var ErrFailed = errors.New("drive has failed")

// IsNoSpace reports whether err says that the file system, or the quota, has no room: the change
// was refused and nothing else is wrong with the drive.
func IsNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// IsUnsupported reports whether err says that the file system lacks the call altogether.
func IsUnsupported(err error) bool {
	return errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS)
}
