package faultfs

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// writeRead is what every mode is tried with: the errors of a write, a sync and a read of one file.
func writeRead(t *testing.T, f vfs.File) (write, sync, read error) {
	t.Helper()
	_, write = f.WriteAt([]byte("x"), 0)
	sync = f.Sync()
	_, read = f.ReadAt(make([]byte, 1), 0)
	return write, sync, read
}

func TestModes(t *testing.T) {
	a, b := filepath.Join(t.TempDir(), "drive"), filepath.Join(t.TempDir(), "drive2")
	fsys := New([]string{a, b}, true)
	open := func(dir string) vfs.File {
		t.Helper()
		if err := fsys.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := fsys.OpenReadWrite(filepath.Join(dir, "file"), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	sick, well := open(a), open(b)
	for mode, want := range map[string][3]error{
		"good":         {},
		"read-errors":  {nil, nil, syscall.EIO},
		"write-errors": {syscall.EIO, nil, nil},
		"sync-errors":  {nil, syscall.EIO, nil},
		"no-space":     {syscall.ENOSPC, nil, nil},
		"slow":         {},
	} {
		// A read finds its byte only if some write came before.
		if err := fsys.Set(a, []string{"good"}); err != nil {
			t.Fatal(err)
		}
		writeRead(t, sick)
		if err := fsys.Set(a, []string{mode}); err != nil {
			t.Fatal(err)
		}
		w, s, r := writeRead(t, sick)
		if !errors.Is(w, want[0]) || !errors.Is(s, want[1]) || !errors.Is(r, want[2]) {
			t.Errorf("%s: write %v, sync %v, read %v; want %v", mode, w, s, r, want)
		}
		if w, s, r = writeRead(t, well); w != nil || s != nil || r != nil {
			t.Errorf("%s reached another drive: %v, %v, %v", mode, w, s, r)
		}
		u, err := fsys.GetDiskUsage(a)
		if err != nil || (u.AvailBytes == 0) != (mode == "no-space") {
			t.Errorf("%s: %+v, %v", mode, u, err)
		}
	}
	if sick.Fd() != vfs.InvalidFd {
		t.Error("a plain file shows its descriptor")
	}
	if err := fsys.Set(a, []string{"odd"}); !errors.Is(err, ErrUnknown) {
		t.Errorf("mode odd: %v", err)
	}
	if err := fsys.Set(a+"x", []string{"good"}); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown drive: %v", err)
	}
}

func TestHangsUntilItIsLetGo(t *testing.T) {
	dir := t.TempDir()
	fsys := New([]string{dir}, false)
	if err := fsys.Set(dir, []string{"hang"}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- fsys.MkdirAll(filepath.Join(dir, "sub"), 0o700) }()
	// From one hang to the next it must not slip through with an answer of its own.
	if err := fsys.Set(dir, []string{"hang"}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("it did not hang: %v", err)
	default:
	}
	if err := fsys.Set(dir, []string{"good"}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
