package guardfs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast/actors/guardfs"
)

// failing injects err into calls of one kind.
func failing(kind errorfs.OpKind, err error) errorfs.Injector {
	return errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == kind {
			return err
		}
		return nil
	})
}

func TestCheckedTellsRefusalFromFailure(t *testing.T) {
	write := func(f vfs.File) error { _, err := f.WriteAt([]byte("x"), 0); return err }
	for _, c := range []struct {
		name  string
		kind  errorfs.OpKind
		err   error
		call  func(vfs.File) error
		fails bool
	}{
		{"no space on write", errorfs.OpFileWriteAt, syscall.ENOSPC, write, false},
		{"quota on write", errorfs.OpFileWriteAt, syscall.EDQUOT, write, false},
		{"io error on write", errorfs.OpFileWriteAt, syscall.EIO, write, true},
		{"read-only remount", errorfs.OpFileWriteAt, syscall.EROFS, write, true},
		{"no space on preallocate", errorfs.OpFilePreallocate, syscall.ENOSPC, preallocate, false},
		{"preallocate not supported", errorfs.OpFilePreallocate, syscall.EOPNOTSUPP, preallocate, false},
		{"io error on preallocate", errorfs.OpFilePreallocate, syscall.EIO, preallocate, true},
		{"no space on sync", errorfs.OpFileSyncData, syscall.ENOSPC, vfs.File.SyncData, true},
		{"io error on full sync", errorfs.OpFileSync, syscall.EIO, vfs.File.Sync, true},
		{"io error on early writeback", errorfs.OpFileSyncTo, syscall.EIO, syncTo, true},
		{"read error", errorfs.OpFileReadAt, syscall.EIO, readAt, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := guardfs.NewHealth()
			checked := guardfs.Checked(errorfs.Wrap(vfs.NewMem(), failing(c.kind, &os.PathError{Op: "op", Err: c.err})), h)
			f, err := checked.OpenReadWrite("f", vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.call(f); !errors.Is(err, c.err) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			if failed := h.Err() != nil; failed != c.fails {
				t.Errorf("drive failed: %v, want %v", failed, c.fails)
			}
			_, err = f.WriteAt([]byte("y"), 1)
			if c.fails != errors.Is(err, guardfs.ErrFailed) {
				t.Errorf("next write: %v", err)
			}
			if _, err := checked.Create("g", vfs.WriteCategoryUnspecified); c.fails != errors.Is(err, guardfs.ErrFailed) {
				t.Errorf("next create: %v", err)
			}
			if err := f.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

func preallocate(f vfs.File) error { return f.Preallocate(0, 10) }
func syncTo(f vfs.File) error      { _, err := f.SyncTo(10); return err }
func readAt(f vfs.File) error      { _, err := f.ReadAt(make([]byte, 1), 0); return err }

func TestMissingFilesAreNormal(t *testing.T) {
	h := guardfs.NewHealth()
	for _, guard := range []vfs.FS{guardfs.Checked(vfs.NewMem(), h), guardfs.Parking(vfs.NewMem(), h)} {
		if _, err := guard.Open("f"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open: %v", err)
		}
		if err := guard.Remove("f"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("remove: %v", err)
		}
	}
	if h.Err() != nil || h.ReadErrors() != 0 {
		t.Errorf("health %v, %d read errors", h.Err(), h.ReadErrors())
	}
}

// TestFIFOsAreNotOpened: that would wait for a writer.
func TestFIFOsAreNotOpened(t *testing.T) {
	name := t.TempDir() + "/f"
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	h := guardfs.NewHealth()
	for _, guard := range []vfs.FS{guardfs.Checked(vfs.Default, h), guardfs.Parking(vfs.Default, h)} {
		if _, err := guard.Open(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("open: %v", err)
		}
	}
	if h.Err() != nil || h.ReadErrors() != 2 {
		t.Errorf("health %v, %d read errors", h.Err(), h.ReadErrors())
	}
}

func TestOnlyTheFirstFailureCounts(t *testing.T) {
	h := guardfs.NewHealth()
	if err := h.Quiesce(context.Background()); err == nil {
		t.Error("a working drive was quiesced")
	}
	h.Fail(io.ErrUnexpectedEOF)
	h.Fail(io.ErrClosedPipe)
	<-h.Failed()
	if err := h.Err(); !errors.Is(err, guardfs.ErrFailed) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("health: %v", err)
	}
}

func TestParkingFenceAndLock(t *testing.T) {
	h := guardfs.NewHealth()
	mem := vfs.NewMem()
	p := guardfs.Parking(mem, h)
	for range 2 { // a second DB in the same process must not meet the first one's lock
		if _, err := p.Lock("LOCK"); err != nil {
			t.Fatal(err)
		}
	}
	f, err := p.Create("f", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	h.Fail(io.ErrUnexpectedEOF)
	returned := make(chan string)
	go func() { _, _ = f.Write([]byte("late")); returned <- "write" }()
	go func() { _, _ = p.Create("g", vfs.WriteCategoryUnspecified); returned <- "create" }()
	go func() { guardfs.Logger{Health: h, Log: slog.Default()}.Fatalf("late"); returned <- "fatalf" }()
	if err := h.Quiesce(context.Background()); err != nil {
		t.Fatal(err)
	}
	if names, err := p.List(""); err != nil || len(names) != 1 {
		t.Errorf("files after the failure: %v, %v", names, err)
	}
	select {
	case who := <-returned:
		t.Errorf("%s returned on a failed drive", who)
	default:
	}
}

func TestQuiesceWaitsForCallsUnderWay(t *testing.T) {
	h := guardfs.NewHealth()
	begun, finish := make(chan struct{}), make(chan struct{})
	inner := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(errorfs.Op) error {
		close(begun)
		<-finish
		return nil
	}))
	go func() { _, _ = guardfs.Parking(inner, h).Create("f", vfs.WriteCategoryUnspecified) }()
	<-begun
	h.Fail(io.ErrUnexpectedEOF)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := h.Quiesce(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("quiesce with a call under way: %v", err)
	}
	close(finish)
	if err := h.Quiesce(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestListenerFailsTheDrive(t *testing.T) {
	for name, tell := range map[string]func(*pebble.EventListener){
		"background error": func(l *pebble.EventListener) { l.BackgroundError(errFault) },
		"corruption": func(l *pebble.EventListener) {
			l.DataCorruption(pebble.DataCorruptionInfo{Path: "000001.sst", Details: fmt.Errorf("block: %w", errFault)})
		},
	} {
		h := guardfs.NewHealth()
		tell(guardfs.Listener(h, nil))
		if !errors.Is(h.Err(), errFault) {
			t.Errorf("%s: health %v", name, h.Err())
		}
	}
}
