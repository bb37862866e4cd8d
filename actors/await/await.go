// Package await is for tests: it waits for what other goroutines bring about and no channel tells,
// such as space that a background job gives back. It is the one place where a test looks again and
// again; where there is something to wait on, wait on that.
package await

import (
	"testing"
	"time"
)

const (
	// limit is long enough for the busiest machine: a test that passes never waits for it.
	limit = 30 * time.Second
	// pause is between two looks.
	pause = time.Millisecond
)

// True returns when cond is true and ends the test, saying what did not come true, after 30 s.
func True(t testing.TB, what string, cond func() bool) {
	t.Helper()
	Within(t, limit, what, cond)
}

// Within is True with a limit of its own, for what has a stated time.
func Within(t testing.TB, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !cond(); time.Sleep(pause) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
