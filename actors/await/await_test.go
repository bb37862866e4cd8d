package await_test

import (
	"testing"
	"testing/synctest"
	"time"

	"holdfast/actors/await"
)

// fatal is a test that notes how it was ended.
type fatal struct {
	testing.TB
	ended bool
}

func (f *fatal) Helper()               {}
func (f *fatal) Fatalf(string, ...any) { f.ended = true; panic(f) }

func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		await.True(t, "a second passes", func() bool { return time.Since(start) >= time.Second })
		f := &fatal{TB: t}
		defer func() {
			if recover() != any(f) || !f.ended || time.Since(start) < 11*time.Second {
				t.Errorf("ended %t after %v", f.ended, time.Since(start))
			}
		}()
		await.Within(f, 10*time.Second, "nothing", func() bool { return false })
	})
}
