package guardfs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Health says once and for all whether a drive may still be changed. The zero value is not usable;
// build it with NewHealth.
type Health struct {
	once   sync.Once
	failed chan struct{}
	err    error // set before failed is closed, never after

	// changing is held shared by every call that may change the drive, from before it asks whether
	// the drive has failed until the inner call is back; it is released before the caller parks.
	changing sync.RWMutex

	readErrors atomic.Uint64
	watch      watch
}

// NewHealth returns the health of a drive that works.
func NewHealth() *Health {
	return &Health{failed: make(chan struct{})}
}

// Fail marks the drive failed because of err. Only the first call counts: nothing makes a failed
// drive work again but opening it anew, with another Health.
func (h *Health) Fail(err error) {
	h.once.Do(func() {
		h.err = err
		close(h.failed)
	})
}

// Failed is closed when the drive fails.
func (h *Health) Failed() <-chan struct{} { return h.failed }

// Err is nil while the drive works; afterwards it is ErrFailed wrapping the reason.
func (h *Health) Err() error {
	select {
	case <-h.failed:
		return fmt.Errorf("%w: %w", ErrFailed, h.err)
	default:
		return nil
	}
}

// Park marks the drive failed and never returns. What the goroutine holds, it holds for ever.
func (h *Health) Park(err error) {
	h.Fail(err)
	park()
}

// ReadErrors is the number of reads that failed. They do not fail the drive by themselves.
func (h *Health) ReadErrors() uint64 { return h.readErrors.Load() }

// Quiesce returns when no call that may change the drive is under way any more. After a failure
// nothing new can begin, so a new DB may then take over the directory. A call that hangs in the
// kernel keeps it waiting until ctx ends.
func (h *Health) Quiesce(ctx context.Context) error {
	if h.Err() == nil {
		return errors.New("quiesce: the drive has not failed")
	}
	done := make(chan struct{})
	go func() {
		h.changing.Lock()
		h.changing.Unlock() //lint:ignore SA2001 waiting is the point
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("quiesce: %w", ctx.Err())
	}
}

// park is a function of its own so that a stack dump, and a leak check in tests, names it.
func park() { select {} }
