package drive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// dirLock keeps other processes, and other actors of this one, from a drive's directory. On the
// operating system it is a flock, which belongs to the open file: a second open in the same process
// is refused too, and the kernel lifts it when the process dies. The index's own lock is switched
// off (guardfs.Parking), because that one cannot be given up for a failed index.
type dirLock struct {
	once  sync.Once
	inner io.Closer
	err   error
}

// lockDir takes the lock of a directory that exists.
func lockDir(fsys vfs.FS, dir string) (*dirLock, error) {
	if vfs.Root(fsys) != vfs.Default {
		inner, err := fsys.Lock(fsys.PathJoin(dir, lockFile))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInUse, err)
		}
		return &dirLock{inner: inner}, nil
	}
	f, err := openLock(dir, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return &dirLock{inner: f}, nil
}

// Close gives the lock up. It is idempotent.
func (l *dirLock) Close() error {
	l.once.Do(func() { l.err = l.inner.Close() })
	return l.err
}

// openLock opens the file of a lock, and waits for nobody when that is no file.
func openLock(dir string, flags int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), flags|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = mustBeFile(info, lockFile)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// isLocked says whether somebody holds the lock of a drive, without creating anything. ErrNotFile: the
// lock is none.
func isLocked(dir string) (bool, error) {
	f, err := openLock(dir, os.O_RDONLY)
	if errors.Is(err, ErrNotFile) {
		return false, err
	}
	if err != nil {
		return false, nil // nobody has opened the drive yet, or whoever opens it will say what is wrong
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	return errors.Is(err, unix.EWOULDBLOCK), nil // closing the file gives a lock that was free back
}
