package s3api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"holdfast/s3api/s3err"
)

// faultBurst and faultRefill bound the lines about failed requests: a quorum that is lost fails
// thousands a second, and the metrics count them anyway.
const (
	faultBurst  = 20
	faultRefill = 200 * time.Millisecond
)

// throttle lets a burst of lines through, and then one per refill.
type throttle struct {
	mu      sync.Mutex
	tokens  int       // guarded by mu
	last    time.Time // guarded by mu: when tokens was brought up to date
	dropped int       // guarded by mu: lines since the last one that passed
}

// admit says whether a line may be written, and how many were left out before it.
func (t *throttle) admit(now time.Time) (dropped int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := int(now.Sub(t.last) / faultRefill); n > 0 {
		t.tokens, t.last = min(t.tokens+n, faultBurst), now
	}
	if t.tokens == 0 {
		t.dropped++
		return 0, false
	}
	t.tokens--
	dropped, t.dropped = t.dropped, 0
	return dropped, true
}

// logCall writes the line of one finished request. Neither queries nor headers are ever logged;
// keys only at debug level.
func (s *Server) logCall(c *call, took time.Duration) {
	if c.err != nil && c.err.Status() >= 500 && c.err.Cause != nil && c.err.Code != s3err.SlowDown {
		if left, ok := s.faults.admit(time.Now()); ok {
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
