package ondisk

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// TestWriteFileAtomicCrash: whatever of the unsynced work a crash keeps, after WriteFileAtomic
// returned the new content is there, and before that the old or the new, whole.
func TestWriteFileAtomicCrash(t *testing.T) {
	boom := errors.New("power cut")
	for seed := range uint64(20) {
		for stop := 0; ; stop++ { // the call at which the power goes
			mem := vfs.NewCrashableMem()
			write := func(fs vfs.FS, s string) error { return WriteFileAtomic(fs, "FORMAT", []byte(s), 0o600) }
			if err := write(mem, "old"); err != nil {
				t.Fatal(err)
			}
			calls := 0
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(errorfs.Op) error {
				if calls++; calls > stop {
					return boom
				}
				return nil
			}))
			err := write(fs, "a longer new")
			after := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(seed, uint64(stop)))})
			b, rerr := ReadFile(after, "FORMAT", 100)
			if got := string(b); rerr != nil || got != "a longer new" && (err == nil || got != "old") {
				t.Fatalf("seed %d, power cut at call %d (%v): read %q, %v", seed, stop, err, got, rerr)
			}
			if err == nil {
				break
			}
			if !errors.Is(err, boom) {
				t.Fatal(err)
			}
		}
	}
}

func TestWriteFileAtomicOS(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	for _, content := range []string{"one", "two, longer", "3"} {
		if err := WriteFileAtomic(vfs.Default, path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := ReadFile(vfs.Default, path, 100)
		if err != nil || string(b) != content {
			t.Fatalf("read %q, %v", b, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	if list, err := vfs.Default.List(filepath.Dir(path)); err != nil || len(list) != 1 {
		t.Fatalf("left behind: %v, %v", list, err)
	}
	if _, err := ReadFile(vfs.Default, path, 0); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a file longer than the limit: %v", err)
	}
	if err := WriteFileAtomic(vfs.Default, filepath.Join(path, "x"), nil, 0o600); err == nil {
		t.Error("wrote below a file")
	}
}
