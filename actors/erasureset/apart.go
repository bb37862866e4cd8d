package erasureset

import (
	"context"
	"fmt"
	"time"

	"holdfast/actors/drive"
)

// apart calls a drive from a goroutine of its own and returns what came of it, or without it when ctx
// ends, the drive goes out of service or Options.CommitLimit has passed: a call that is stuck in the
// kernel knows no deadline, and if it is stuck alone its drive answers otherwise. The call cleans up
// behind itself what nobody takes any more.
func apart[T any](ctx context.Context, s *Store, d drive.Drive, call func() (T, error)) (T, error) {
	type outcome struct {
		val T
		err error
	}
	done := make(chan outcome, 1)
	s.background.Go(func() {
		val, err := call()
		done <- outcome{val, err}
	})
	ctx, cancel := context.WithTimeout(ctx, s.opt.CommitLimit)
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case o := <-done:
			return o.val, o.err
		case <-ctx.Done():
			return *new(T), fmt.Errorf("drive %s is not waited for: %w", d.ID(), ctx.Err())
		case <-look.C:
			if h := d.Health(); h.State != drive.Online && len(done) == 0 {
				return *new(T), fmt.Errorf("drive %s is not waited for: %w", d.ID(), drive.ErrOffline)
			}
		}
	}
}
