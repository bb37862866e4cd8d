package drive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"holdfast/actors/ondisk"
)

// Probe says what lies at a path, as far as a node must know before it opens any drive. It writes
// nothing, and it takes no lock that it keeps. Found.Err names the path.
func Probe(path string) Found {
	found := probe(path)
	found.Real = realPath(path)
	if found.Err != nil {
		found.Err = fmt.Errorf("drive %s: %w", path, found.Err)
	}
	return found
}

func probe(path string) Found {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return probeMissing(path)
	case errors.Is(err, syscall.ENOTDIR):
		return Found{Kind: FoundFile, Err: fmt.Errorf("%w: a part of the path is a file", ErrNotDirectory)}
	case err != nil:
		return Found{Kind: FoundUnusable, Err: unusable(err)}
	case !info.IsDir():
		return Found{Kind: FoundFile, Err: ErrNotDirectory}
	}
	found := Found{Place: PlaceOf(info)}
	if err := mayUse(path); err != nil {
		found.Kind, found.Err = FoundUnusable, unusable(err)
		return found
	}
	label, err := readLabel(vfs.Default, path)
	switch {
	case err == nil:
		found.Kind, found.Label = FoundStore, label
		if no := label.ReadOnly(); no != "" {
			found.Kind, found.Err = FoundNewer, fmt.Errorf("%w: it may only be read: %s", ondisk.ErrNewer, no)
			return found
		}
	case errors.Is(err, fs.ErrNotExist):
		found.Kind, found.Err = probeUnlabelled(path)
	case errors.Is(err, ondisk.ErrNewer), errors.Is(err, ondisk.ErrOlder):
		found.Kind, found.Err = FoundNewer, fmt.Errorf("%s: %w", FormatFile, err)
	case errors.Is(err, ondisk.ErrNotLabel):
		found.Kind, found.Err = FoundForeign, fmt.Errorf("%w: its %s is another program's", ErrForeign, FormatFile)
	case errors.Is(err, ondisk.ErrCorrupt):
		found.Kind, found.Err = FoundDamaged, fmt.Errorf("%s: %w", FormatFile, err)
	case errors.Is(err, ErrNotFile):
		found.Kind, found.Err = FoundDamaged, err
	default:
		found.Kind, found.Err = FoundUnusable, unusable(err)
	}
	if found.Kind != FoundStore {
		return found
	}
	if locked, err := isLocked(path); err != nil {
		found.Kind, found.Err = FoundDamaged, err
	} else if locked {
		found.Kind, found.Err = FoundInUse, ErrInUse
	}
	return found
}

// probeMissing judges a path at which nothing is: it is fresh if it could be created.
func probeMissing(path string) Found {
	parent := filepath.Dir(filepath.Clean(path))
	for {
		info, err := os.Stat(parent)
		if err == nil {
			if !info.IsDir() {
				return Found{Kind: FoundFile, Err: fmt.Errorf("%w: %s is a file", ErrNotDirectory, parent)}
			}
			if err := mayUse(parent); err != nil {
				return Found{Kind: FoundUnusable, Err: unusable(err)}
			}
			return Found{Kind: FoundFresh}
		}
		if !errors.Is(err, fs.ErrNotExist) || parent == filepath.Dir(parent) {
			return Found{Kind: FoundUnusable, Err: unusable(err)}
		}
		parent = filepath.Dir(parent)
	}
}

// probeUnlabelled judges a directory without FORMAT. What a birth that died may have left counts as
// nothing: Format begins it again.
func probeUnlabelled(path string) (FoundKind, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return FoundUnusable, unusable(err)
	}
	for _, e := range entries {
		if !ours(e.Name()) {
			return FoundForeign, fmt.Errorf("%w: it holds %q", ErrForeign, e.Name())
		}
		if e.Name() == indexDir || e.Name() == segmentDir {
			sub, err := os.ReadDir(filepath.Join(path, e.Name()))
			if err != nil {
				return FoundUnusable, unusable(err)
			}
			if len(sub) > 0 {
				return FoundDamaged, fmt.Errorf("%w: %s is missing but %s/ is not empty", ondisk.ErrCorrupt, FormatFile, e.Name())
			}
		}
	}
	return FoundFresh, nil
}

// mayUse asks the system, without touching anything, whether files may be created and read there.
func mayUse(dir string) error {
	if err := unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
		return &fs.PathError{Op: "access", Path: dir, Err: err}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return &fs.PathError{Op: "access", Path: dir, Err: unix.EROFS}
	}
	return nil
}

func unusable(err error) error { return fmt.Errorf("%w: %w", ErrUnusable, err) }

// PlaceOf is the device and inode of a directory: equal for two paths that lead to one drive.
func PlaceOf(info os.FileInfo) [2]uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return [2]uint64{uint64(st.Dev), st.Ino}
	}
	return [2]uint64{}
}

// realPath resolves the symbolic links of a path as far as it exists.
func realPath(path string) string {
	path = filepath.Clean(path)
	real, err := filepath.EvalSymlinks(path)
	if dir := filepath.Dir(path); err != nil && dir != path {
		return filepath.Join(realPath(dir), filepath.Base(path))
	} else if err != nil {
		return path
	}
	return real
}

// Conflict looks for places that cannot be served together: two paths to one directory, one drive
// inside of another, and two drives with one identity, of which one is a copy of the other. The error
// names both paths.
func Conflict(paths []string, found []Found) error {
	places := make(map[[2]uint64]string)
	ids := make(map[[16]byte]string)
	for i, f := range found {
		if f.Place != [2]uint64{} {
			if other, ok := places[f.Place]; ok {
				return fmt.Errorf("drives %s and %s: %w", other, paths[i], ErrSamePlace)
			}
			places[f.Place] = paths[i]
		}
		if f.Label.Drive.IsZero() {
			continue
		}
		if other, ok := ids[f.Label.Drive]; ok {
			return fmt.Errorf("drives %s and %s: %w: both are %s", other, paths[i], ErrClone, f.Label.Drive)
		}
		ids[f.Label.Drive] = paths[i]
	}
	return nested(paths, found)
}

// nested refuses a drive inside of another: what takes away the outer one, a mount point that is gone
// for example, takes both, and neither could be counted or emptied by itself.
func nested(paths []string, found []Found) error {
	real := make([]string, len(paths))
	for i, f := range found {
		if real[i] = f.Real; f.Real == "" {
			real[i] = filepath.Clean(paths[i])
		}
	}
	for i, inner := range real {
		for j, outer := range real {
			switch {
			case i == j:
			case inner == outer:
				return fmt.Errorf("drives %s and %s: %w", paths[j], paths[i], ErrSamePlace)
			case strings.HasPrefix(inner, strings.TrimSuffix(outer, "/")+"/"):
				err := fmt.Errorf("drives %s and %s: %w", paths[j], paths[i], ErrNested)
				if inner != paths[i] || outer != paths[j] {
					err = fmt.Errorf("%w: they are really %s and %s", err, outer, inner)
				}
				return err
			}
		}
	}
	return nil
}
