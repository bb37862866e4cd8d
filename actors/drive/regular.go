package drive

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/ondisk"
)

// maxLogFile is more than any manifest of an index or file of a journal has: both are read from end to end, and a
// sparse file is as long as it likes.
const maxLogFile = 1 << 30

// mustBeFile refuses what is no file of bytes. Opening a FIFO waits for somebody at its other end, and
// a device may do anything.
func mustBeFile(info fs.FileInfo, name string) error {
	if mode := info.Mode(); !mode.IsRegular() {
		return fmt.Errorf("%w: %s is %s", ErrNotFile, name, kindOfFile(mode))
	}
	return nil
}

func kindOfFile(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "neither file nor directory"
}

// checkIndexFiles looks at what lies in the directories of the index and of its journal before they are
// opened, which would wait for what is no file, and read for hours what is far too long.
func checkIndexFiles(fsys vfs.FS, dir string) error {
	info, err := fsys.Stat(path.Join(dir, journalEnd))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = nil // the journal says so
	case err == nil:
		err = mustBeFile(info, journalEnd)
	}
	return errors.Join(err, checkFiles(fsys, dir, indexDir), checkFiles(fsys, dir, journalDir))
}

func checkFiles(fsys vfs.FS, dir, sub string) error {
	names, err := fsys.List(path.Join(dir, sub))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		info, err := fsys.Stat(path.Join(dir, sub, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // whoever has the drive open removed it
		}
		file := path.Join(sub, name)
		if err == nil {
			err = mustBeFile(info, file)
		}
		if err == nil && info.Size() > maxLogFile && !strings.HasSuffix(name, ".sst") {
			err = fmt.Errorf("%w: %s has %d bytes, more than any that Holdfast wrote", ondisk.ErrCorrupt, file, info.Size())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
