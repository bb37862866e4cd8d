package drivetest

import (
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Hang is an errorfs.Injector that lets every call which reads or changes data wait while it is set,
// as a device does that answers nothing any more. The zero value is off.
type Hang struct {
	mu      sync.Mutex
	gate    chan struct{} // guarded by mu: closed when calls may go on; nil while off
	pass    bool          // guarded by mu
	waiting int           // guarded by mu
}

// Inject is errorfs.Wrap that reaches the files which are used again, too: logs of an index that has had
// others before. errorfs hands those out as they are.
func Inject(fsys vfs.FS, inj errorfs.Injector) vfs.FS { return reusing{errorfs.Wrap(fsys, inj)} }

// reusing hands files that are used again through the file system that it embeds.
type reusing struct{ vfs.FS }

// ReuseForWrite implements vfs.FS.
func (r reusing) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := r.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return r.OpenReadWrite(newname, category)
}

// Unwrap implements vfs.FS.
func (r reusing) Unwrap() vfs.FS { return r.FS }

// Set switches it; switching it off lets the waiting calls go on.
func (h *Hang) Set(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gate != nil {
		close(h.gate)
		h.gate = nil
	}
	h.pass, h.waiting = false, 0
	if on {
		h.gate = make(chan struct{})
	}
}

// Pass lets new calls through while those that wait go on waiting.
func (h *Hang) Pass(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pass = on
}

// Waiting is the number of calls that hang.
func (h *Hang) Waiting() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.waiting
}

// String implements errorfs.Injector.
func (*Hang) String() string { return "hang" }

// MaybeError implements errorfs.Injector: it returns late, and never an error.
func (h *Hang) MaybeError(op errorfs.Op) error {
	if op.Kind == errorfs.OpLock || op.Kind == errorfs.OpGetDiskUsage {
		return nil
	}
	h.mu.Lock()
	gate := h.gate
	if gate != nil && !h.pass {
		h.waiting++
	} else {
		gate = nil
	}
	h.mu.Unlock()
	if gate != nil {
		<-gate
	}
	return nil
}
