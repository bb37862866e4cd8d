package drivetest

import (
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// FilledByOthers is an errorfs.Injector that refuses every write for want of space while it is set,
// as a file system does that another process has filled to the last byte.
type FilledByOthers struct{ atomic.Bool }

// String implements errorfs.Injector.
func (*FilledByOthers) String() string { return "filled by others" }

// MaybeError implements errorfs.Injector. Locks and removals need no space.
func (f *FilledByOthers) MaybeError(op errorfs.Op) error {
	if f.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpLock && op.Kind != errorfs.OpRemove {
		return syscall.ENOSPC
	}
	return nil
}
