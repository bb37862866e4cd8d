package guardfs

import (
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
)

// Logger is the pebble.Logger of a guarded DB. Pebble calls Fatalf where it cannot go on and takes
// a return from it for success, so Fatalf fails the drive and parks.
type Logger struct {
	Health *Health
	Log    *slog.Logger
}

var _ pebble.Logger = Logger{}

// Infof drops Pebble's running commentary unless debug logging is on.
func (l Logger) Infof(format string, args ...any) {
	l.Log.Debug("pebble", "text", lazy{format, args})
}

// Errorf logs what Pebble could not do but can live with.
func (l Logger) Errorf(format string, args ...any) {
	l.Log.Warn("pebble error", "err", lazy{format, args})
}

// Fatalf fails the drive and never returns.
func (l Logger) Fatalf(format string, args ...any) {
	l.Health.Park(fmt.Errorf("pebble: "+format, args...))
}

// lazy formats a message only if a handler takes it.
type lazy struct {
	format string
	args   []any
}

// LogValue implements slog.LogValuer.
func (l lazy) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf(l.format, l.args...)) }

// Listener is the pebble.EventListener of a guarded DB: errors of background work and damage found
// in its files fail the drive. slow, if not nil, is told of calls that take too long; it must
// return at once. Slow calls are only noticed where a vfs.WithDiskHealthChecks lies *below* the
// guard: above it, a parked call would be reported as slow for ever.
func Listener(h *Health, slow func(pebble.DiskSlowInfo)) *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			h.Fail(fmt.Errorf("pebble background work: %w", err))
		},
		// Without this Pebble would call Fatalf from a reader's goroutine.
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			h.Fail(fmt.Errorf("pebble file %s is corrupt: %w", info.Path, info.Details))
		},
		DiskSlow: slow,
	}
}
