package node

import (
	"io"
	"log/slog"

	"holdfast/daemon/config"
)

// newLogger writes text for people or JSON lines for machines.
func newLogger(w io.Writer, cfg config.Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.JSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
