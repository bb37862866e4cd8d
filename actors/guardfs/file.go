package guardfs

import (
	"errors"
	"io"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// file guards one open file. Prefetch, Stat and Fd are inner's.
type file struct {
	vfs.File
	g       guard
	name    string
	written bool // opened for writing: its Close may lose data
}

var _ vfs.File = (*file)(nil)

// Read implements vfs.File.
func (f *file) Read(p []byte) (int, error) {
	i := f.g.h.watch.enter()
	n, err := f.File.Read(p)
	f.g.h.watch.leave(i)
	f.counted(err)
	return n, err
}

// ReadAt implements vfs.File.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	i := f.g.h.watch.enter()
	n, err := f.File.ReadAt(p, off)
	f.g.h.watch.leave(i)
	f.counted(err)
	return n, err
}

func (f *file) counted(err error) {
	if err != nil && !errors.Is(err, io.EOF) {
		f.g.h.readErrors.Add(1)
	}
}

// Write implements vfs.File.
func (f *file) Write(p []byte) (n int, err error) {
	err = f.change("write", f.g.grow, func() error { n, err = f.File.Write(p); return err })
	return n, err
}

// WriteAt implements vfs.File.
func (f *file) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.change("write", f.g.grow, func() error { n, err = f.File.WriteAt(p, off); return err })
	return n, err
}

// Preallocate implements vfs.File.
func (f *file) Preallocate(offset, length int64) error {
	return f.change("preallocate", preallocate, func() error {
		for {
			// Linux breaks fallocate off for any signal, and Go's scheduler sends them.
			if err := f.File.Preallocate(offset, length); !errors.Is(err, syscall.EINTR) {
				return err
			}
		}
	})
}

// Sync implements vfs.File. No error of a sync is harmless, no space included: Linux drops the
// pages it could not write, and the next sync succeeds.
func (f *file) Sync() error { return f.change("sync", nil, f.File.Sync) }

// SyncData implements vfs.File.
func (f *file) SyncData() error { return f.change("sync", nil, f.File.SyncData) }

// SyncTo implements vfs.File. It promises nothing, but an error it reports is one that the real
// sync will not report again.
func (f *file) SyncTo(length int64) (full bool, err error) {
	err = f.change("sync", nil, func() error { full, err = f.File.SyncTo(length); return err })
	return full, err
}

// Close implements vfs.File. A file that was only read can always be closed.
func (f *file) Close() error {
	if !f.written {
		return f.File.Close()
	}
	if !f.g.park && f.g.h.Err() != nil {
		return f.File.Close() // nothing is gained by holding our own descriptors after a failure
	}
	return f.change("close", nil, f.File.Close)
}

func (f *file) change(op string, harmless func(error) bool, call func() error) error {
	return f.g.change(op, f.name, harmless, call)
}
