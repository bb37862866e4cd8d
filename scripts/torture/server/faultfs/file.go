package faultfs

import "github.com/cockroachdb/pebble/v2/vfs"

// file is one open file of a drive. Prefetch promises nothing and is inner's.
type file struct {
	vfs.File
	d     *drive
	name  string
	plain bool
}

var _ vfs.File = (*file)(nil)

// Fd implements vfs.File.
func (f *file) Fd() uintptr {
	if f.plain {
		return vfs.InvalidFd
	}
	return f.File.Fd()
}

// Read implements vfs.File.
func (f *file) Read(p []byte) (int, error) {
	if err := f.d.gate(reads, "read", f.name); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

// ReadAt implements vfs.File.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.d.gate(reads, "read", f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

// Write implements vfs.File.
func (f *file) Write(p []byte) (int, error) {
	if err := f.d.gate(grows, "write", f.name); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

// WriteAt implements vfs.File.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if err := f.d.gate(grows, "write", f.name); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

// Preallocate implements vfs.File.
func (f *file) Preallocate(offset, length int64) error {
	if err := f.d.gate(grows, "fallocate", f.name); err != nil {
		return err
	}
	return f.File.Preallocate(offset, length)
}

// Stat implements vfs.File.
func (f *file) Stat() (vfs.FileInfo, error) {
	if err := f.d.gate(looks, "stat", f.name); err != nil {
		return nil, err
	}
	return f.File.Stat()
}

// Sync implements vfs.File.
func (f *file) Sync() error {
	if err := f.d.gate(syncs, "sync", f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

// SyncData implements vfs.File.
func (f *file) SyncData() error {
	if err := f.d.gate(syncs, "sync", f.name); err != nil {
		return err
	}
	return f.File.SyncData()
}

// SyncTo implements vfs.File.
func (f *file) SyncTo(length int64) (bool, error) {
	if err := f.d.gate(syncs, "sync", f.name); err != nil {
		return false, err
	}
	return f.File.SyncTo(length)
}

// Close implements vfs.File.
func (f *file) Close() error {
	if err := f.d.gate(looks, "close", f.name); err != nil {
		return err
	}
	return f.File.Close()
}
