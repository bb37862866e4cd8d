package guardfs

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ReadNow fills p from the page cache, without waiting for the medium. It reports whether it could:
// false says nothing about the file, which is to be read the usual way then. The system may start to
// read ahead meanwhile, and wait where it hands that to a device that hangs: a caller needs somebody
// who watches it.
func ReadNow(f vfs.File, p []byte, off int64) bool {
	if g, ok := f.(*file); ok {
		i := g.g.h.watch.enter()
		defer g.g.h.watch.leave(i)
	}
	fd := f.Fd()
	if fd == vfs.InvalidFd {
		return false
	}
	one := [1][]byte{p}
	for len(one[0]) > 0 {
		n, err := unix.Preadv2(int(fd), one[:], off, unix.RWF_NOWAIT)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || n <= 0:
			return false
		}
		one[0], off = one[0][n:], off+int64(n)
	}
	return true
}
