package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"
)

// replaceFile puts another file under the descriptor through which bbolt writes.
func replaceFile(t *testing.T, l *Log, path string, flag int) {
	t.Helper()
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Dup3(int(f.Fd()), int(l.store.file.Fd()), unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
}

// inBubble runs a test of waiting on a log that was made outside: channels of a bubble must not leave it.
func inBubble(t *testing.T, l *Log, f func(t *testing.T)) {
	t.Helper()
	released, failed := l.released, l.failedCh
	defer func() { l.released, l.failedCh, l.free = released, failed, false }()
	synctest.Test(t, func(t *testing.T) {
		l.released, l.failedCh = make(chan struct{}), make(chan struct{})
		f(t)
	})
}

// TestFailedWriteIsFinal: raft's term cannot be saved, and raft is made to wait instead of ending the process.
func TestFailedWriteIsFinal(t *testing.T) {
	l := create(t)
	inBubble(t, l, func(t *testing.T) {
		replaceFile(t, l, os.DevNull, os.O_RDONLY) // every write fails from now on
		err := l.StoreLogs(entries(1, 1))
		if !errors.Is(err, ErrFailed) {
			t.Fatalf("store: %v", err)
		}
		select {
		case <-l.Failed():
		default:
			t.Fatal("nobody was told")
		}
		returned := false
		go func() {
			l.SetUint64([]byte("CurrentTerm"), 3)
			returned = true
		}()
		synctest.Wait()
		if returned {
			t.Fatal("raft was told that its term is saved")
		}
		l.Release()
		synctest.Wait()
		if !returned {
			t.Fatal("raft still waits after the release")
		}
		if n, _ := l.LastIndex(); n != 0 {
			t.Fatalf("an entry that was not stored is there: %d", n)
		}
	})
}

// TestMissingPages: the drive does not give back pages of the file, which is a fault of bbolt's mapping.
// The log fails, the process goes on, and the file can be opened again by whoever wants to look.
func TestMissingPages(t *testing.T) {
	for _, pages := range []int64{0, 1, 2, 3, 4, 5} {
		for name, write := range map[string]func(l *Log) error{
			"store":  func(l *Log) error { return l.StoreLogs(entries(61, 61)) },
			"set":    func(l *Log) error { return l.Set([]byte("LastVoteCand"), []byte("you")) },
			"delete": func(l *Log) error { return l.DeleteRange(1, 40) },
		} {
			t.Run(fmt.Sprintf("%s with %d pages", name, pages), func(t *testing.T) {
				l := create(t)
				for i := uint64(1); i <= 60; i++ {
					if err := l.StoreLogs([]*raft.Log{{Index: i, Term: 1, Data: make([]byte, 200)}}); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.Truncate(l.path, pages*pageSize); err != nil {
					t.Fatal(err)
				}
				err := write(l)
				if err == nil { // it needed none of them
					err = write(l)
				}
				if err != nil && !errors.Is(err, ErrFailed) {
					t.Fatalf("write: %v", err)
				}
				if pages < 2 && !errors.Is(err, errPanic) {
					t.Fatalf("write without metas: %v", err)
				}
				if last, _ := l.LastIndex(); last < 60 {
					t.Fatalf("entry %d is the last one", last)
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				if _, err := Open(l.path); !errors.Is(err, ErrDamaged) {
					t.Fatalf("open again: %v", err)
				}
			})
		}
	}
}

// TestFailedWriteOnDamagedPages: bbolt takes a failed write back by reading, on the drive that fails.
// Any page may have become something else by then.
func TestFailedWriteOnDamagedPages(t *testing.T) {
	for page := int64(0); page < 25; page++ {
		l := create(t)
		for i := uint64(1); i <= 60; i++ {
			if err := l.StoreLogs([]*raft.Log{{Index: i, Term: 1, Data: make([]byte, 200)}}); err != nil {
				t.Fatal(err)
			}
		}
		f, err := os.OpenFile(l.path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, pageSize), page*pageSize); err != nil {
			t.Fatal(err)
		}
		f.Close()
		replaceFile(t, l, os.DevNull, os.O_RDONLY)
		if err := l.StoreLogs(entries(61, 61)); !errors.Is(err, ErrFailed) {
			t.Fatalf("page %d: %v", page, err)
		}
		if last, _ := l.LastIndex(); last != 60 {
			t.Fatalf("page %d: entry %d is the last one", page, last)
		}
	}
}

// TestFullDriveIsWaitedFor: a write that found no space leaves nothing behind, and a term waits for room.
func TestFullDriveIsWaitedFor(t *testing.T) {
	l := create(t)
	for i := uint64(1); i <= 5; i++ { // so that there are free pages, and the file need not grow
		if err := l.StoreLogs(entries(i, i)); err != nil {
			t.Fatal(err)
		}
	}
	full := func() { replaceFile(t, l, "/dev/full", os.O_RDWR) }
	full()
	if err := l.StoreLogs(entries(6, 6)); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrFailed) {
		t.Fatalf("store on a full drive: %v", err)
	}
	if last, _ := l.LastIndex(); last != 5 {
		t.Fatalf("entry %d is the last one", last)
	}
	if err := l.StoreLogs(entries(6, 6)); err != nil { // there is room again
		t.Fatal(err)
	}
	full()
	if err := l.DeleteRange(1, 3); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("delete on a full drive: %v", err)
	}
	if first, _ := l.FirstIndex(); first != 1 {
		t.Fatalf("entry %d is the first one", first)
	}
	if err := l.SetUint64([]byte("CurrentTerm"), 6); err != nil {
		t.Fatal(err)
	}
	full()
	inBubble(t, l, func(t *testing.T) {
		var saved atomic.Bool
		go func() {
			l.SetUint64([]byte("CurrentTerm"), 7)
			saved.Store(true)
		}()
		synctest.Wait()
		if saved.Load() {
			t.Fatal("raft was told that its term is saved")
		}
		time.Sleep(2 * retryFull) // of the bubble's own clock: it takes no time
		if !saved.Load() {
			t.Fatal("raft still waits though there is room")
		}
	})
	again := reopen(t, l)
	all, _ := holds(t, again)
	if term, err := again.GetUint64([]byte("CurrentTerm")); len(all) != 6 || term != 7 || err != nil {
		t.Fatalf("%d entries, term %d, %v", len(all), term, err)
	}
}

// TestChangedWhileFull: a file that somebody touched while the drive was full is not written to.
func TestChangedWhileFull(t *testing.T) {
	l := create(t)
	if err := l.StoreLogs(entries(1, 5)); err != nil {
		t.Fatal(err)
	}
	other := create(t)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	replaceFile(t, l, "/dev/full", os.O_RDWR)
	if err := l.Set([]byte("CurrentTerm"), nil); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := os.Rename(other.path, l.path); err != nil {
		t.Fatal(err)
	}
	if err := l.StoreLogs(entries(6, 6)); !errors.Is(err, ErrFailed) || !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
}

func TestTwoAtOnce(t *testing.T) {
	l := create(t)
	if _, err := Open(l.path); !errors.Is(err, ErrInUse) {
		t.Fatalf("second open: %v", err)
	}
	if _, err := Create(l.path, nil); !errors.Is(err, ErrInUse) {
		t.Fatalf("creation in its place: %v", err)
	}
	if err := l.StoreLogs(entries(1, 1)); err != nil {
		t.Fatal(err)
	}
	reopen(t, l)
}

// TestCrash cuts the power in every transaction. bbolt writes the pages and syncs them, then a meta and
// syncs that: before the first sync any sector may be there or not, before the second one the meta. A
// log opens as it was before the transaction or after it, whatever became of the pages.
func TestCrash(t *testing.T) {
	const sector = 512
	rnd := newRand(t)
	l := create(t)
	image := func() []byte {
		b, err := os.ReadFile(l.path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	path := filepath.Join(t.TempDir(), "crashed")
	opens := func(what string, b []byte, want content) {
		t.Helper()
		c, err := parse(b)
		if err != nil || !c.same(want) {
			t.Fatalf("%s: %+v, %v", what, c, err)
		}
		if rnd.IntN(20) != 0 {
			return
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		crashed, err := Open(path)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		next, _ := crashed.LastIndex()
		if err := errors.Join(crashed.StoreLogs(entries(next+1, next+1)), crashed.Close()); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		wantFile(t, crashed)
	}
	next := uint64(1)
	for i := range 60 {
		before, old := image(), content{slices.Clone(l.content.entries), maps.Clone(l.content.pairs)}
		var err error
		switch {
		case i%10 == 9:
			err = l.DeleteRange(next-8, next-1)
			next -= 8
		case i%10 == 6:
			first, _ := l.FirstIndex()
			err = l.DeleteRange(first, first+5)
		case i%5 == 3:
			err = l.SetUint64([]byte("CurrentTerm"), uint64(i))
		case i%20 == 14:
			l = reopen(t, l)
		default:
			var all []*raft.Log
			for _, e := range entries(next, next+4) {
				e.Data = bytes.Repeat(e.Data, 1+rnd.IntN(100))
				all = append(all, e)
				next++
			}
			err = l.StoreLogs(all)
		}
		if err != nil {
			t.Fatal(err)
		}
		after := image()
		if len(after) < len(before) {
			t.Fatal("the file shrank")
		}
		grown := append(slices.Clone(before), make([]byte, len(after)-len(before))...)
		opens("only grown", grown, old)
		for range 40 { // in the first sync
			b := slices.Clone(grown)
			share := rnd.Float64()
			for at := 2 * pageSize; at < len(b); at += sector {
				if rnd.Float64() < share {
					copy(b[at:at+sector], after[at:])
				}
			}
			opens(fmt.Sprintf("transaction %d, in the first sync", i), b, old)
		}
		b := slices.Clone(after)
		copy(b, before[:2*pageSize])
		opens(fmt.Sprintf("transaction %d, before the meta", i), b, old)
		opens(fmt.Sprintf("transaction %d, done", i), after, l.content)
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	l := create(t)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				first, _ := l.FirstIndex()
				last, _ := l.LastIndex()
				var e raft.Log
				if err := l.GetLog((first+last)/2, &e); err != nil && !errors.Is(err, raft.ErrLogNotFound) {
					t.Error(err)
				}
				if _, err := l.GetUint64([]byte("CurrentTerm")); err != nil {
					t.Error(err)
				}
				l.Err()
			}
		})
	}
	var writers sync.WaitGroup
	writers.Go(func() {
		for i := uint64(1); i <= 200; i++ {
			if err := l.StoreLogs(entries(i, i)); err != nil {
				t.Error(err)
			}
		}
	})
	writers.Go(func() {
		for i := uint64(1); i <= 100; i++ {
			if err := l.SetUint64([]byte("CurrentTerm"), i); err != nil {
				t.Error(err)
			}
		}
	})
	writers.Go(func() {
		for range 20 {
			first, _ := l.FirstIndex()
			if err := l.DeleteRange(first, first+2); err != nil {
				t.Error(err)
			}
		}
	})
	writers.Wait()
	close(stop)
	wg.Wait()
	reopen(t, l)
	wantFile(t, l)
}
