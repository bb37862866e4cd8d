package s3api

import (
	"context"
	"log/slog"
	"time"

	"holdfast/s3api/s3err"
)

// logCall writes the line of one finished request. Neither queries nor headers are ever logged;
// keys only at debug level.
func (s *Server) logCall(c *call, took time.Duration) {
	if c.err != nil && c.err.Status() >= 500 && c.err.Cause != nil && c.err.Code != s3err.SlowDown {
		if left, ok := s.faults.Admit(time.Now()); ok {
			s.log.Error("request failed", "request", c.id, "operation", c.route.op, "bucket", c.addr.bucket,
				"code", c.err.Code.String(), "err", c.err.Cause, "left_out", left)
		}
	}
	if !s.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request", c.id), slog.String("operation", c.route.op), slog.String("method", c.req.Method),
		slog.String("bucket", c.addr.bucket), slog.String("key", c.addr.key), slog.Int("status", c.status),
		slog.Duration("took", took), slog.Int64("in", c.received), slog.Int64("out", c.sent),
	}
	if c.err != nil {
		attrs = append(attrs, slog.String("code", c.err.Code.String()))
	}
	s.log.LogAttrs(context.Background(), slog.LevelDebug, "request", attrs...)
}
