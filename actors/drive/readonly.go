package drive

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errReadOnly is what a read-only file system answers to every change.
var errReadOnly = errors.New("file system is opened for reading only")

// readOnlyFS lets nothing through that would change a file. Lock does nothing, so that a directory
// can be looked at in which nothing may be created.
type readOnlyFS struct{ vfs.FS }

var _ vfs.FS = readOnlyFS{}

func refused(op, name string) error { return fmt.Errorf("%s %s: %w", op, name, errReadOnly) }

func (f readOnlyFS) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, refused("create", name)
}

func (f readOnlyFS) Link(_, name string) error { return refused("link", name) }

func (f readOnlyFS) OpenReadWrite(name string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	return nil, refused("open for writing", name)
}

func (f readOnlyFS) Remove(name string) error { return refused("remove", name) }

func (f readOnlyFS) RemoveAll(name string) error { return refused("remove", name) }

func (f readOnlyFS) Rename(_, name string) error { return refused("rename to", name) }

func (f readOnlyFS) ReuseForWrite(_, name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, refused("reuse for", name)
}

func (f readOnlyFS) MkdirAll(name string, _ os.FileMode) error { return refused("make", name) }

func (f readOnlyFS) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func (f readOnlyFS) Unwrap() vfs.FS { return f.FS }
