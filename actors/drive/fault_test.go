package drive_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
)

// breaker makes the n-th call that changes the file system fail, and if sticky all after it.
type breaker struct {
	n      int64
	sticky bool
	reads  bool // reads fail instead of changes
	err    error
	calls  atomic.Int64
	hit    atomic.Bool
	where  atomic.Value // of the first failure, for people
}

func (b *breaker) String() string { return "breaker" }

func (b *breaker) MaybeError(op errorfs.Op) error {
	switch {
	case path.Base(op.Path) == "ballast": // which is done without, where it cannot be made
		return nil
	case b.reads && op.Kind != errorfs.OpFileRead && op.Kind != errorfs.OpFileReadAt:
		return nil
	case !b.reads && (op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpLock):
		return nil
	}
	if n := b.calls.Add(1); n == b.n || b.sticky && n > b.n {
		b.hit.Store(true)
		b.where.CompareAndSwap(nil, op.Path)
		return b.err
	}
	return nil
}

// TestWriteErrorsFailTheDriveAlone lets a call fail at many points of the crash script. The process
// lives, callers hear of it in time, and what had been acknowledged survives a power cut that follows.
func TestWriteErrorsFailTheDriveAlone(t *testing.T) {
	step := 23
	if testing.Short() {
		step = 97
	}
	for n := 1; n < 560; n += step {
		b := &breaker{n: int64(n), sticky: n%2 == 0, err: syscall.EIO}
		if n%3 == 0 {
			b.err = syscall.ENOSPC
		}
		t.Run(fmt.Sprintf("call=%d/sticky=%t/%v", n, b.sticky, b.err), func(t *testing.T) { runBroken(t, b) })
	}
}

// TestReadErrorsAreNoAnswer: what cannot be read is unknown. The drive says so or fails; it neither
// shows wrong bytes nor loses what was acknowledged.
func TestReadErrorsAreNoAnswer(t *testing.T) {
	for n := 1; n < 60; n += 7 {
		b := &breaker{n: int64(n), sticky: n%2 == 0, reads: true, err: syscall.EIO}
		t.Run(fmt.Sprintf("call=%d/sticky=%t", n, b.sticky), func(t *testing.T) { runBroken(t, b) })
	}
}

func runBroken(t *testing.T, b *breaker) {
	mem := vfs.NewCrashableMem()
	defer forget(t, mem)
	if err := drive.FormatOn(mem, "/d", crashLabel()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	acked := &model{keys: map[string]string{}, uploads: map[string]int{}}
	coming := acked
	a, err := drive.Open(ctx, drive.Options{Path: "/d", FS: drivetest.Inject(mem, b), Label: crashLabel(), MemTable: 1 << 20})
	if err != nil && !errors.Is(err, drive.ErrFailed) && !errors.Is(err, b.err) {
		t.Fatalf("open: %v", err)
	}
	if err == nil {
		r := &rig{t: t, o: drive.Options{Path: "/d"}, a: callable(a)}
		for _, s := range crashScript() {
			coming = acked.clone()
			s.then(coming)
			if err = doStep(r, s); err != nil {
				break
			}
			acked = coming
		}
		if err != nil && !errors.Is(err, drive.ErrFailed) && !errors.Is(err, drive.ErrFull) && !b.reads {
			t.Fatalf("a step ended with %v", err)
		}
		if b.hit.Load() && errors.Is(b.err, syscall.EIO) && !b.reads {
			waitFailed(t, a, b.where.Load())
		}
		if err := a.Close(); err != nil && a.Health().State == drive.Online {
			t.Fatalf("close: %v", err)
		}
	}
	for i, percent := range []int{0, 50, 100} {
		clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(uint64(b.n), uint64(i)))})
		if err := checkCrash(clone, acked, coming); err != nil {
			t.Fatalf("after the failure and a power cut that keeps %d %%: %v", percent, err)
		}
	}
}

// forget removes what lies on a file system in memory. The index of a drive that failed keeps its file
// system for ever, with 8 MiB a run: hundreds of runs in one process once took the last memory of a
// machine, which then stood still until deadlines had passed.
func forget(t *testing.T, mem *vfs.MemFS) {
	root, err := mem.OpenDir("/")
	if err == nil {
		err = errors.Join(mem.RemoveAll("/d"), root.Sync(), root.Close()) // what was synced is kept for a crash
	}
	if err != nil {
		t.Error(err)
	}
}

// stepFailed carries an error out of a step whose helpers end the test.
type stepFailed struct{ err error }

// doStep runs a step; an error met in a helper of it comes back as the step's.
func doStep(r *rig, s step) (err error) {
	defer func() {
		if f := recover(); f != nil {
			failed, ok := f.(stepFailed)
			if !ok {
				panic(f)
			}
			err = failed.err
		}
	}()
	tb := r.t
	defer func() { r.t = tb }()
	r.t = catching{tb}
	return s.do(r)
}

// catching turns Fatal(err) into a panic that doStep catches.
type catching struct{ testing.TB }

func (c catching) Helper() {}

func (c catching) Fatal(args ...any) {
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			panic(stepFailed{err})
		}
	}
	c.TB.Fatal(args...)
}

func waitFailed(t *testing.T, a *drive.Actor, where any) {
	t.Helper()
	select {
	case <-a.Failed():
	case <-time.After(10 * time.Second):
		t.Fatalf("the drive met an error at %v and did not fail", where)
	}
	if h := a.Health(); h.State != drive.Failed || h.Err == nil {
		t.Fatalf("health %+v", h)
	}
}
