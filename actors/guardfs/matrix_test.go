package guardfs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast/actors/guardfs"
)

// fault picks the call that fails: the after-th call of the wanted kinds on the wanted files, once
// or from then on for every change of the drive.
type fault struct {
	file   string // suffix or prefix of the base name; "" = directories
	kinds  []errorfs.OpKind
	after  int64
	sticky bool

	armed atomic.Bool
	seen  atomic.Int64
	hit   atomic.Bool
}

var errFault = errors.New("injected EIO")

func (f *fault) String() string { return "fault" }

func (f *fault) MaybeError(op errorfs.Op) error {
	if !f.armed.Load() || op.Kind.ReadOrWrite() != errorfs.OpIsWrite && op.Kind != errorfs.OpOpenDir {
		return nil
	}
	if f.hit.Load() {
		if f.sticky {
			return errFault
		}
		return nil
	}
	if !f.wants(op) || f.seen.Add(1) != f.after {
		return nil
	}
	f.hit.Store(true)
	return errFault
}

func (f *fault) wants(op errorfs.Op) bool {
	base := path.Base(op.Path)
	isDir := base == "idx"
	if f.file == "" != isDir || !isDir && !strings.HasSuffix(base, f.file) && !strings.HasPrefix(base, f.file) {
		return false
	}
	for _, k := range f.kinds {
		if op.Kind == k {
			return true
		}
	}
	return false
}

// faultFS is errorfs with the files that ReuseForWrite returns wrapped too: recycled logs are the
// ones that matter most.
type faultFS struct {
	*errorfs.FS
	inj errorfs.Injector
}

func (f faultFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	inner, err := f.FS.ReuseForWrite(oldname, newname, c)
	if err != nil {
		return nil, err
	}
	return errorfs.WrapFile(inner, errorfs.InjectorFunc(func(op errorfs.Op) error {
		op.Path = newname
		return f.inj.MaybeError(op)
	})), nil
}

var (
	writes  = []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileWriteAt}
	syncs   = []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo}
	creates = []errorfs.OpKind{errorfs.OpCreate}
	renames = []errorfs.OpKind{errorfs.OpRename, errorfs.OpReuseForWrite}
)

// TestFaultMatrix is the experiment that the guard was chosen by: whatever call fails, the process
// lives, the drive is marked failed, and every acknowledged key is there after a crash.
func TestFaultMatrix(t *testing.T) {
	places := []struct {
		name, file string
		kinds      []errorfs.OpKind
		window     int64 // faults hit one of the first so many calls
	}{
		{"wal write", ".log", writes, 400},
		{"wal sync", ".log", syncs, 400},
		{"wal create", ".log", creates, 1},
		{"wal recycle", ".log", renames, 3},
		{"sstable create", ".sst", creates, 4},
		{"sstable write", ".sst", writes, 6},
		{"sstable sync", ".sst", syncs, 4},
		{"manifest write", "MANIFEST", writes, 4},
		{"manifest sync", "MANIFEST", syncs, 4},
		{"manifest create", "MANIFEST", creates, 1},
		{"directory sync", "", syncs, 6},
	}
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(uint64(seed), 1))
	runs := 2
	if testing.Short() {
		runs = 1
	}
	for _, p := range places {
		for _, sticky := range []bool{false, true} {
			for run := range runs {
				f := &fault{file: p.file, kinds: p.kinds, after: 1 + rng.Int64N(p.window), sticky: sticky}
				unsynced := []int{0, 50}[run%2]
				t.Run(fmt.Sprintf("%s/sticky=%v/after=%d", p.name, sticky, f.after), func(t *testing.T) {
					t.Parallel()
					runFault(t, f, unsynced, rand.New(rand.NewPCG(uint64(seed), uint64(f.after))))
				})
			}
		}
	}
}

func options(fs vfs.FS, h *guardfs.Health) *pebble.Options {
	return &pebble.Options{
		FS:                          fs,
		MemTableSize:                64 << 10,
		L0CompactionThreshold:       2,
		MemTableStopWritesThreshold: 8,
		MaxManifestFileSize:         512, // rolls often, so that creating one is tested too
		FormatMajorVersion:          pebble.FormatWALSyncChunks,
		Logger:                      guardfs.Logger{Health: h, Log: slog.New(slog.NewTextHandler(io.Discard, nil))},
		EventListener:               guardfs.Listener(h, nil),
	}
}

func runFault(t *testing.T, f *fault, unsynced int, rng *rand.Rand) {
	mem := vfs.NewCrashableMem()
	h := guardfs.NewHealth()
	mkdir(t, mem, "drive/idx")
	db, err := pebble.Open("drive/idx", options(guardfs.Parking(faultFS{errorfs.Wrap(mem, f), f}, h), h))
	if err != nil {
		t.Fatal(err)
	}
	f.armed.Store(true)

	var mu sync.Mutex
	acked := map[string]bool{}
	ackedAll := func() map[string]bool {
		mu.Lock()
		defer mu.Unlock()
		return acked
	}
	value := make([]byte, 600)
	const writers = 4
	for w := range writers {
		go func() { // parks for good when it meets the fault
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d-%06d", (i*7919)%1000, i*writers+w)
				b := db.NewBatch()
				_ = b.Set([]byte(key), value, nil)
				err := db.Apply(b, pebble.Sync)
				mu.Lock()
				// An answer that comes after the failure is not given to anybody by a drive actor.
				if err == nil && h.Err() == nil {
					acked[key] = true
				}
				mu.Unlock()
				if err != nil {
					h.Fail(err)
					return
				}
			}
		}()
	}
	select {
	case <-h.Failed():
	case <-time.After(30 * time.Second):
		t.Fatalf("drive was not marked failed; fault hit: %v, calls seen: %d", f.hit.Load(), f.seen.Load())
	}
	if !errors.Is(h.Err(), guardfs.ErrFailed) || !errors.Is(h.Err(), errFault) {
		t.Errorf("health: %v, want ErrFailed wrapping the fault", h.Err())
	}
	if err := h.Quiesce(context.Background()); err != nil {
		t.Error(err)
	}
	cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rng}
	checkAcked(t, mem.CrashClone(cfg), ackedAll())
	// The same without a crash: a new DB beside the parked one, fenced off from it.
	checkAcked(t, mem, ackedAll())
}

func checkAcked(t *testing.T, fs vfs.FS, acked map[string]bool) {
	t.Helper()
	h := guardfs.NewHealth()
	db, err := pebble.Open("drive/idx", options(guardfs.Parking(fs, h), h))
	if err != nil {
		t.Fatalf("reopen: %v", err)
	}
	defer db.Close()
	lost := 0
	for k := range acked {
		_, c, err := db.Get([]byte(k))
		if err != nil {
			lost++
			continue
		}
		c.Close()
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged keys lost", lost, len(acked))
	}
	if h.Err() != nil {
		t.Errorf("reopened drive: %v", h.Err())
	}
}

// mkdir makes a directory that survives a crash.
func mkdir(t *testing.T, fs vfs.FS, dir string) {
	t.Helper()
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for d := dir; ; d = path.Dir(d) {
		f, err := fs.OpenDir(map[bool]string{true: "/", false: d}[d == "."])
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if d == "." {
			return
		}
	}
}
