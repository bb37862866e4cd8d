package guardfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Parking returns inner as Pebble may see it: a call that would change something parks if the drive
// has failed, and fails the drive and parks if it meets an error. Lock is a no-op: the owner of the
// drive holds its own lock, which outlives a DB that can no longer be closed.
//
// Whatever injects faults, watches for slow calls or drops a ballast file (vfs.OnDiskFull) belongs
// below it, in inner.
func Parking(inner vfs.FS, h *Health) vfs.FS {
	return &guarded{FS: inner, g: guard{h: h, park: true}}
}

// Checked returns inner for files of our own: a change of a drive that has failed returns ErrFailed,
// and an error fails the drive and is returned. Two kinds of refusal leave the drive in service:
// no space (IsNoSpace) from any call but a sync, and removing what is not there.
//
// Unlike what vfs.File promises, calls on one file may be concurrent if inner allows it; the
// default file system does, vfs.WithDiskHealthChecks does not.
func Checked(inner vfs.FS, h *Health) vfs.FS {
	return &guarded{FS: inner, g: guard{h: h}}
}

// guard is the rule that both file systems share.
type guard struct {
	h    *Health
	park bool
}

// Change makes a call of our own on a file below a checked file system, one that vfs.File lacks,
// under the same rule: not on a failed drive, and an error that is not harmless fails it.
func (h *Health) Change(op, name string, harmless func(error) bool, call func() error) error {
	return guard{h: h}.change(op, name, harmless, call)
}

// change makes one call that may change the drive, unless it has failed. harmless names an outcome
// that is no fault of the drive; nil means there is none.
func (g guard) change(op, name string, harmless func(error) bool, call func() error) error {
	g.h.changing.RLock()
	if err := g.h.Err(); err != nil {
		g.h.changing.RUnlock()
		if g.park {
			park()
		}
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	i := g.h.watch.enter()
	err := call()
	g.h.watch.leave(i)
	if settles(op) {
		g.h.watch.done.Add(1)
	}
	if err != nil && (harmless == nil || !harmless(err)) {
		err = fmt.Errorf("%s %s: %w", op, name, err)
		g.h.Fail(err)
		g.h.changing.RUnlock()
		if g.park {
			park()
		}
		return err
	}
	g.h.changing.RUnlock()
	return err
}

// grow is the judgement on errors of calls that may need space. Inside Pebble there is no such
// thing as a clean refusal: the reserve exists so that it never runs out.
func (g guard) grow(err error) bool { return !g.park && IsNoSpace(err) }

// preallocate is the judgement on Preallocate, which is only ever a hint: Pebble ignores its
// errors, and our own files ask whether it was refused.
func preallocate(err error) bool { return IsNoSpace(err) || IsUnsupported(err) }

func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// guarded wraps a file system. Methods that change nothing (List, Stat, PathBase..) are inner's.
type guarded struct {
	vfs.FS
	g guard
}

var _ vfs.FS = (*guarded)(nil)

// Unwrap implements vfs.FS.
func (f *guarded) Unwrap() vfs.FS { return f.FS }

// Create implements vfs.FS.
func (f *guarded) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.settleNames(name); err != nil {
		return nil, err
	}
	return f.open("create", name, func() (vfs.File, error) { return f.FS.Create(name, category) })
}

// settleNames syncs the directory of one of Pebble's marker files before that is created or removed.
// Pebble creates a MANIFEST, then the marker that names it, then removes the old marker, and syncs
// the directory once. On a file system that may keep these names in another order a crash leaves a
// marker without its MANIFEST, or no marker at all, which is an empty index.
func (f *guarded) settleNames(name string) error {
	if !f.g.park || !strings.HasPrefix(f.PathBase(name), markerPrefix) {
		return nil
	}
	dir, err := f.OpenDir(f.PathDir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// markerPrefix begins the names of Pebble's marker files (vfs/atomicfs).
const markerPrefix = "marker."

// OpenReadWrite implements vfs.FS.
func (f *guarded) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.open("open", name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, category, opts...) })
}

// ReuseForWrite implements vfs.FS.
func (f *guarded) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open("reuse", newname, func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, category) })
}

// OpenDir implements vfs.FS. A directory is opened to be synced, so an error is one of the write path.
func (f *guarded) OpenDir(name string) (vfs.File, error) {
	return f.open("open directory", name, func() (vfs.File, error) { return f.FS.OpenDir(name) })
}

func (f *guarded) open(op, name string, call func() (vfs.File, error)) (vfs.File, error) {
	var inner vfs.File
	err := f.g.change(op, name, f.g.grow, func() (err error) { inner, err = call(); return err })
	if err != nil {
		return nil, err
	}
	return &file{File: inner, g: f.g, name: name, written: true}, nil
}

// Open implements vfs.FS. It opens for reading: an error is the caller's, a missing file is normal. What
// took the place of a file while the drive was in use is looked at first: opening a FIFO would wait for
// somebody at its other end. Files stay open, so this is rare.
func (f *guarded) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	i := f.g.h.watch.enter()
	info, err := f.FS.Stat(name)
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		err = fmt.Errorf("%w: %s is not a regular file", fs.ErrInvalid, name)
	}
	var inner vfs.File
	if err == nil {
		inner, err = f.FS.Open(name, opts...)
	}
	f.g.h.watch.leave(i)
	if err != nil {
		if !absent(err) {
			f.g.h.readErrors.Add(1)
		}
		return nil, err
	}
	return &file{File: inner, g: f.g, name: name}, nil
}

// Link implements vfs.FS.
func (f *guarded) Link(oldname, newname string) error {
	return f.g.change("link", newname, f.g.grow, func() error { return f.FS.Link(oldname, newname) })
}

// Rename implements vfs.FS.
func (f *guarded) Rename(oldname, newname string) error {
	return f.g.change("rename", newname, f.g.grow, func() error { return f.FS.Rename(oldname, newname) })
}

// Remove implements vfs.FS.
func (f *guarded) Remove(name string) error {
	if err := f.settleNames(name); err != nil {
		return err
	}
	return f.g.change("remove", name, absent, func() error { return f.FS.Remove(name) })
}

// RemoveAll implements vfs.FS.
func (f *guarded) RemoveAll(name string) error {
	return f.g.change("remove", name, absent, func() error { return f.FS.RemoveAll(name) })
}

// MkdirAll implements vfs.FS.
func (f *guarded) MkdirAll(dir string, perm os.FileMode) error {
	return f.g.change("make directory", dir, f.g.grow, func() error { return f.FS.MkdirAll(dir, perm) })
}

// Lock implements vfs.FS. Pebble's parking file system takes no lock (see Parking); a checked one does.
func (f *guarded) Lock(name string) (io.Closer, error) {
	if f.g.park {
		return noLock{}, nil
	}
	return f.FS.Lock(name)
}

type noLock struct{}

func (noLock) Close() error { return nil }
