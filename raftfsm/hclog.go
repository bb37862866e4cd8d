package raftfsm

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// raftLogger hands raft's log to slog, quieter: what raft calls an error an operator may act on;
// the rest (elections, snapshots, compactions) is of interest only when looking for a fault.
func raftLogger(to *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Debug, Output: io.Discard})
	l.RegisterSink(hclogSink{to})
	return l
}

type hclogSink struct{ to *slog.Logger }

// Accept implements hclog.SinkAdapter.
func (s hclogSink) Accept(name string, level hclog.Level, msg string, args ...any) {
	at := slog.LevelDebug
	if level >= hclog.Error {
		at = slog.LevelWarn
	}
	ctx := context.Background()
	if !s.to.Enabled(ctx, at) {
		return
	}
	pairs := []any{"part", name}
	for i := 0; i+1 < len(args); i += 2 {
		key := strings.ReplaceAll(fmt.Sprint(args[i]), "-", "_")
		pairs = append(pairs, key, fmt.Sprint(args[i+1]))
	}
	s.to.Log(ctx, at, msg, pairs...)
}
