package drive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/journal"
	"holdfast/actors/ondisk"
)

// What lies in a drive's directory. No name chosen by a user ever becomes a path.
//
//	FORMAT       the label (ondisk.Label)
//	LOCK         held while the drive is open
//	ballast      space that is given up when everything else is full
//	idx/         the index, one Pebble database
//	journal/     the log of the index, and the home of small shards
//	journal.end  where that log ends
//	seg/         the segments
const (
	FormatFile  = ondisk.LabelFile
	lockFile    = "LOCK"
	ballastFile = "ballast"
	indexDir    = "idx"
	segmentDir  = "seg"
	journalDir  = "journal"
	journalEnd  = "journal.end"
)

// Format makes an empty drive of the directory, which it creates if it is missing, and writes its
// label last: a place without a readable FORMAT is no drive. The directory must be fresh or bear
// the label of a birth that did not finish (Label.Provisional); anything else is refused.
func Format(dir string, label ondisk.Label) error { return FormatOn(vfs.Default, dir, label) }

// FormatOn is Format on any file system.
func FormatOn(fsys vfs.FS, dir string, label ondisk.Label) error {
	if err := format(fsys, dir, label); err != nil {
		return fmt.Errorf("format drive %s: %w", dir, err)
	}
	return nil
}

func format(fsys vfs.FS, dir string, label ondisk.Label) error {
	if err := makeDir(fsys, dir); err != nil {
		return err
	}
	lock, err := lockDir(fsys, dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := mayFormat(fsys, dir); err != nil {
		return err
	}
	for _, sub := range []string{indexDir, segmentDir, journalDir} {
		if err := fsys.RemoveAll(path.Join(dir, sub)); err != nil {
			return err
		}
		if err := fsys.MkdirAll(path.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	// Where there is a label there is a journal: without one a drive is not opened. Its end is written last.
	if err := journal.Create(fsys, path.Join(dir, journalEnd), label.Drive); err != nil {
		return err
	}
	if err := writeLabel(fsys, dir, label); err != nil {
		return err
	}
	// The directory's own entry: whoever made it may not have synced it.
	return syncDir(fsys, path.Dir(path.Clean(dir)))
}

// makeDir creates a directory and what is missing above it, durably.
func makeDir(fsys vfs.FS, dir string) error {
	var made []string
	for p := path.Clean(dir); p != path.Dir(p); p = path.Dir(p) {
		if _, err := fsys.Stat(p); err == nil {
			break
		}
		made = append(made, p)
	}
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, p := range made {
		if err := syncDir(fsys, path.Dir(p)); err != nil {
			return err
		}
	}
	return nil
}

// mayFormat refuses a directory that is, or may be, somebody's.
func mayFormat(fsys vfs.FS, dir string) error {
	old, err := readLabel(fsys, dir)
	switch {
	case err == nil && !old.Provisional:
		return fmt.Errorf("%w: drive %s of cluster %s", ErrFormatted, old.Drive, old.Cluster)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	names, err := fsys.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !ours(name) {
			return fmt.Errorf("%w: it holds %q", ErrForeign, name)
		}
	}
	return nil
}

// ours says whether a name may lie in a directory that a birth left unfinished.
func ours(name string) bool {
	switch name {
	case lockFile, indexDir, segmentDir, journalDir, journalEnd, journalEnd + ".tmp", ballastFile, FormatFile + ".tmp", "lost+found":
		return true
	}
	return false
}

// Relabel replaces the label of a drive that is not open, keeping what is on it: the birth of a
// store ends by it. The drive's identity must stay.
func Relabel(dir string, label ondisk.Label) error { return RelabelOn(vfs.Default, dir, label) }

// RelabelOn is Relabel on any file system.
func RelabelOn(fsys vfs.FS, dir string, label ondisk.Label) error {
	lock, err := lockDir(fsys, dir)
	if err != nil {
		return fmt.Errorf("relabel drive %s: %w", dir, err)
	}
	defer lock.Close()
	old, err := readLabel(fsys, dir)
	if err == nil && old.Drive != label.Drive {
		err = fmt.Errorf("%w: it is drive %s, not %s", ErrIdentity, old.Drive, label.Drive)
	}
	if err == nil {
		err = writeLabel(fsys, dir, label)
	}
	if err != nil {
		return fmt.Errorf("relabel drive %s: %w", dir, err)
	}
	return nil
}

func writeLabel(fsys vfs.FS, dir string, label ondisk.Label) error {
	if label.Pebble == 0 {
		label.Pebble = uint64(indexFormat)
	}
	data, err := ondisk.EncodeLabel(&label)
	if err != nil {
		return err
	}
	return ondisk.WriteFileAtomic(fsys, path.Join(dir, FormatFile), data, 0o600)
}

// maxLabel bounds what is read of a FORMAT file.
const maxLabel = 64 << 10

// readLabel reads FORMAT. fs.ErrNotExist: there is none; ErrNotFile: it is something else than a file.
func readLabel(fsys vfs.FS, dir string) (ondisk.Label, error) {
	name := path.Join(dir, FormatFile)
	info, err := fsys.Stat(name)
	if err == nil {
		err = mustBeFile(info, FormatFile)
	}
	if err != nil {
		return ondisk.Label{}, err
	}
	f, err := fsys.Open(name)
	if err != nil {
		return ondisk.Label{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxLabel+1))
	if err != nil {
		return ondisk.Label{}, err
	}
	return ondisk.DecodeLabel(data)
}

// sameDrive refuses a drive that is not the one wanted.
func sameDrive(want, have ondisk.Label) error {
	if !want.Drive.IsZero() && want.Drive != have.Drive {
		return fmt.Errorf("%w: it is drive %s, not %s", ErrIdentity, have.Drive, want.Drive)
	}
	if want.Drive.IsZero() || want.Cluster == have.Cluster {
		return nil
	}
	return fmt.Errorf("%w: it belongs to cluster %s, not to %s", ErrIdentity, have.Cluster, want.Cluster)
}

func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// IsMountPoint says whether a directory is the root of a file system of its own.
func IsMountPoint(dir string) bool {
	in, err := os.Stat(dir)
	if err != nil {
		return false
	}
	up, err := os.Stat(path.Join(dir, ".."))
	return err == nil && PlaceOf(in)[0] != PlaceOf(up)[0]
}
