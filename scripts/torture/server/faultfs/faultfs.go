// Package faultfs is a file system whose drives can be told to misbehave: errors of reads, writes or
// syncs, no space, calls that hang until they are let go, calls that take long. It lies below everything
// that a drive does through vfs, the index and the segments alike.
//
// A vfs.File may hand out its descriptor, and data written through that does not pass here. With New's
// plain the descriptors are hidden, and the drive uses ordinary writes.
//
// All of it is safe for concurrent use. It starts no goroutines; calls that hang are their callers'.
package faultfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrUnknown is returned for a drive or a mode that is not known.
var ErrUnknown = errors.New("unknown drive or mode")

// slowness is what one call of a slow drive takes longer.
const slowness = 20 * time.Millisecond

// mode is what a drive does now.
type mode struct {
	readErrors, writeErrors, syncErrors, noSpace, slow bool
	hang                                               chan struct{} // calls wait until it is closed; nil: they do not
}

// drive is one drive's switch.
type drive struct {
	path string
	mu   sync.Mutex // serialises changes
	mode atomic.Pointer[mode]
}

// FS is a file system with faults. It wraps the operating system's.
type FS struct {
	vfs.FS
	plain  bool
	drives []*drive
}

var _ vfs.FS = (*FS)(nil)

// New returns a file system with one switch for each of the paths; plain hides descriptors.
func New(paths []string, plain bool) *FS {
	f := &FS{FS: vfs.Default, plain: plain}
	for _, p := range paths {
		d := &drive{path: filepath.Clean(p)}
		d.mode.Store(&mode{})
		f.drives = append(f.drives, d)
	}
	return f
}

// Set makes the drive at path behave as the words say, and lets go what hung.
func (f *FS) Set(path string, words []string) error {
	var m mode
	for _, w := range words {
		switch w {
		case "good":
		case "read-errors":
			m.readErrors = true
		case "write-errors":
			m.writeErrors = true
		case "sync-errors":
			m.syncErrors = true
		case "no-space":
			m.noSpace = true
		case "slow":
			m.slow = true
		case "hang":
			m.hang = make(chan struct{})
		default:
			return fmt.Errorf("%w: mode %q", ErrUnknown, w)
		}
	}
	for _, d := range f.drives {
		if d.path == filepath.Clean(path) {
			d.mu.Lock()
			defer d.mu.Unlock()
			if old := d.mode.Swap(&m); old.hang != nil {
				close(old.hang)
			}
			return nil
		}
	}
	return fmt.Errorf("%w: drive %q", ErrUnknown, path)
}

// of finds the drive that a name lies on; nil if it lies on none.
func (f *FS) of(name string) *drive {
	for _, d := range f.drives {
		if rest, ok := strings.CutPrefix(name, d.path); ok && (rest == "" || rest[0] == filepath.Separator) {
			return d
		}
	}
	return nil
}

// deed is what a call does to its drive.
type deed uint8

const (
	reads deed = iota
	changes
	grows // changes that may need space
	syncs
	looks // at metadata: it hangs and is slow, and never fails
)

// gate stands before every call: it waits, or returns the error that the drive answers with.
func (d *drive) gate(what deed, op, name string) error {
	if d == nil {
		return nil
	}
	m := d.mode.Load()
	for m.hang != nil {
		<-m.hang
		m = d.mode.Load()
	}
	if m.slow {
		time.Sleep(slowness)
	}
	switch {
	case m.readErrors && what == reads,
		m.writeErrors && (what == changes || what == grows),
		m.syncErrors && what == syncs:
		return &fs.PathError{Op: op, Path: name, Err: syscall.EIO}
	case m.noSpace && what == grows:
		return &fs.PathError{Op: op, Path: name, Err: syscall.ENOSPC}
	}
	return nil
}

func (f *FS) gate(what deed, op, name string) error { return f.of(name).gate(what, op, name) }

// Unwrap implements vfs.FS.
func (f *FS) Unwrap() vfs.FS { return f.FS }

// open opens a file behind the gate.
func (f *FS) open(what deed, op, name string, call func() (vfs.File, error)) (vfs.File, error) {
	d := f.of(name)
	if err := d.gate(what, op, name); err != nil {
		return nil, err
	}
	inner, err := call()
	if err != nil {
		return nil, err
	}
	return &file{File: inner, d: d, name: name, plain: f.plain}, nil
}

// Create implements vfs.FS.
func (f *FS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(grows, "create", name, func() (vfs.File, error) { return f.FS.Create(name, category) })
}

// Open implements vfs.FS.
func (f *FS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.open(reads, "open", name, func() (vfs.File, error) { return f.FS.Open(name, opts...) })
}

// OpenReadWrite implements vfs.FS.
func (f *FS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.open(grows, "open", name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, category, opts...) })
}

// OpenDir implements vfs.FS.
func (f *FS) OpenDir(name string) (vfs.File, error) {
	return f.open(looks, "open", name, func() (vfs.File, error) { return f.FS.OpenDir(name) })
}

// ReuseForWrite implements vfs.FS.
func (f *FS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(changes, "reuse", newname, func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, category) })
}

// Link implements vfs.FS.
func (f *FS) Link(oldname, newname string) error {
	if err := f.gate(grows, "link", newname); err != nil {
		return err
	}
	return f.FS.Link(oldname, newname)
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	if err := f.gate(changes, "remove", name); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

// RemoveAll implements vfs.FS.
func (f *FS) RemoveAll(name string) error {
	if err := f.gate(changes, "remove", name); err != nil {
		return err
	}
	return f.FS.RemoveAll(name)
}

// Rename implements vfs.FS.
func (f *FS) Rename(oldname, newname string) error {
	if err := f.gate(changes, "rename", newname); err != nil {
		return err
	}
	return f.FS.Rename(oldname, newname)
}

// MkdirAll implements vfs.FS.
func (f *FS) MkdirAll(dir string, perm os.FileMode) error {
	if err := f.gate(grows, "mkdir", dir); err != nil {
		return err
	}
	return f.FS.MkdirAll(dir, perm)
}

// Lock implements vfs.FS.
func (f *FS) Lock(name string) (io.Closer, error) {
	if err := f.gate(looks, "lock", name); err != nil {
		return nil, err
	}
	return f.FS.Lock(name)
}

// List implements vfs.FS.
func (f *FS) List(dir string) ([]string, error) {
	if err := f.gate(reads, "list", dir); err != nil {
		return nil, err
	}
	return f.FS.List(dir)
}

// Stat implements vfs.FS.
func (f *FS) Stat(name string) (vfs.FileInfo, error) {
	if err := f.gate(reads, "stat", name); err != nil {
		return nil, err
	}
	return f.FS.Stat(name)
}

// GetDiskUsage implements vfs.FS.
func (f *FS) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	d := f.of(path)
	if err := d.gate(looks, "statfs", path); err != nil {
		return vfs.DiskUsage{}, err
	}
	u, err := f.FS.GetDiskUsage(path)
	if err == nil && d != nil && d.mode.Load().noSpace {
		u.UsedBytes, u.AvailBytes = u.TotalBytes, 0
	}
	return u, err
}
