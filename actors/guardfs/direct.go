package guardfs

import (
	"golang.org/x/sys/unix"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// SetDirect makes a descriptor write past the page cache. It reports whether the file has one and its
// file system can.
func SetDirect(f vfs.File) bool { return setFlags(f, unix.O_DIRECT, 0) == nil }

// SetCached takes SetDirect back.
func SetCached(f vfs.File) error { return setFlags(f, 0, unix.O_DIRECT) }

func setFlags(f vfs.File, on, off int) error {
	fd := f.Fd()
	if fd == vfs.InvalidFd {
		return unix.EBADF
	}
	flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
	if err == nil {
		_, err = unix.FcntlInt(fd, unix.F_SETFL, flags&^off|on)
	}
	return err
}
