package ondisk

import (
	"fmt"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// diskWrites is the category under which Pebble's metrics count what this package writes.
const diskWrites = vfs.DiskWriteCategory("holdfast-file")

// tempSuffix marks a file that WriteFileAtomic had not finished. One that a crash left behind is
// overwritten by the next call and read by nobody.
const tempSuffix = ".tmp"

// WriteFileAtomic writes a small file so that after a crash at any point path has either its old
// content or all of the new: a temporary file in the same directory is written, synced, renamed, and
// the directory synced. It is durable when it returns nil; after an error either content may be
// there. Two calls for one path must not run at once. perm takes effect, from before the
// first byte, where fs stands on the operating system; vfs knows no permissions of its own.
func WriteFileAtomic(fs vfs.FS, path string, data []byte, perm os.FileMode) error {
	tmp := path + tempSuffix
	if err := writeSynced(fs, tmp, data, perm); err != nil {
		fs.Remove(tmp) // best effort: the error that matters is on its way
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := fs.Rename(tmp, path); err != nil {
		fs.Remove(tmp)
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := syncDir(fs, fs.PathDir(path)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func writeSynced(fs vfs.FS, path string, data []byte, perm os.FileMode) (err error) {
	f, err := fs.Create(path, diskWrites)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	if vfs.Root(fs) == vfs.Default {
		if err := os.Chmod(path, perm); err != nil {
			return err
		}
	}
	// Write may change its argument, by the contract of vfs.File.
	if _, err := f.Write(append([]byte(nil), data...)); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// ReadFile reads a small file whole. A file longer than limit is refused: a label that grew is not
// a label, and a decoder should not be fed gigabytes.
func ReadFile(fs vfs.FS, path string, limit int64) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: %s is longer than %d bytes", ErrCorrupt, path, limit)
	}
	return b, nil
}
