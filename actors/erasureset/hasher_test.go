package erasureset

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/actors/await"
	"holdfast/actors/digest"
)

// nice is the nice value of a thread.
func nice(tid int) (int, error) {
	n, err := unix.Getpriority(unix.PRIO_PROCESS, tid)
	return 20 - n, err // as the system call has it
}

// yielding counts the threads of the process that yield to others.
func yielding(t *testing.T) (n int) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		var tid int
		if _, err := fmt.Sscan(filepath.Base(task), &tid); err != nil {
			t.Fatal(err)
		}
		if got, err := nice(tid); err == nil && got == behindNice { // one that has just ended has none
			n++
		}
	}
	return n
}

// TestOnlyTheThreadOfALongBodyYields: what a thread has given up it cannot take again, so it must serve
// nobody else and end with the body.
func TestOnlyTheThreadOfALongBodyYields(t *testing.T) {
	long := 1
	if own, err := nice(os.Getpid()); err != nil {
		t.Fatal(err)
	} else if own >= behindNice {
		long = yielding(t) // all do
	}
	none := yielding(t)
	for range 20 { // now and then on the main thread
		for size, want := range map[int64]int{behindSize - 1: none, behindSize: long} {
			h := &hasher{st: &staging{size: size}}
			h.start()
			await.True(t, fmt.Sprintf("%d yielding threads for %d bytes", want, size), func() bool { return long == none || yielding(t) == want })
			h.wait()
			await.True(t, "the thread to end", func() bool { return long == none || yielding(t) == none })
		}
	}
}

func TestLongBodiesHaveAnEngineOfTheirOwn(t *testing.T) {
	s := &Store{digests: digest.New(), long: digest.New()}
	if s.digestsOf(behindSize-1) != s.digests || s.digestsOf(behindSize) != s.long {
		t.Error("a short body may wait for a thread that yields")
	}
}
