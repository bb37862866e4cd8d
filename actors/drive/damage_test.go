package drive_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/ondisk"
)

// exhaustive breaks every bit of the small files, and a bit of every byte of the others, instead of some:
// minutes instead of seconds.
var exhaustive = flag.Bool("exhaustive", false, "break every bit or byte of every small file, not only some")

// smallStore writes a little of everything, part of it flushed to tables, and returns what a drive
// that lost nothing shows. A drive that was killed has the rest in its journal alone.
func smallStore(t *testing.T, fs vfs.FS, killed bool) (*model, uint64) {
	t.Helper()
	if err := drive.FormatOn(fs, "/d", crashLabel()); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, o: drive.Options{Path: "/d", FS: fs, Label: crashLabel(), MemTable: 1 << 20}}
	r.open()
	m := &model{keys: map[string]string{}, uploads: map[string]int{}}
	put := func(name, payload string, staged bool) {
		c := r.version(name, payload)
		if staged {
			c = r.staged(name, []byte(payload), 256<<10)
		}
		r.commit(c)
		r.mark(c)
		m.keys[name] = payload
	}
	put("a", "in a table", false)
	put("b", string(pattern(3000, 1)), true)
	if err := r.a.Flush(); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	put("c", "in the log", false)
	put("a", "overwritten", false)
	put("d", string(pattern(70<<10, 2)), true)
	d := r.tombstone("gone")
	r.commit(d)
	own, _ := r.a.Watermarks()
	r.stop(killed)
	return m, own
}

// stop closes the drive, or leaves it as a process leaves it that was killed.
func (r *rig) stop(killed bool) {
	r.t.Helper()
	if killed {
		r.a.Abandon(errors.New("killed"))
		if err := r.a.Quiesce(context.Background()); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := r.a.Close(); err != nil {
		r.t.Fatal(err)
	}
}

// TestEveryBitFlipAndTruncationIsFoundOut breaks one bit, cuts one file short, or removes it, and opens the
// drive, of one that was closed and of one that was killed. It may refuse, and it may answer with errors; it
// never forgets, it never shows wrong bytes, and the process lives.
func TestEveryBitFlipAndTruncationIsFoundOut(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed %t", killed), func(t *testing.T) { breakEverything(t, killed) })
	}
}

func breakEverything(t *testing.T, killed bool) {
	mem := vfs.NewMem()
	want, batch := smallStore(t, mem, killed)
	var files []string
	for _, dir := range []string{"/d", "/d/idx", "/d/seg", "/d/journal"} {
		names, err := mem.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if info, err := mem.Stat(path.Join(dir, name)); err == nil && !info.IsDir() && info.Size() > 0 {
				files = append(files, path.Join(dir, name))
			}
		}
	}
	samples := 24
	if testing.Short() {
		samples = 5
	}
	outcomes := map[string]int{}
	for i, name := range files {
		if *exhaustive {
			t.Logf("%d of %d: %s", i+1, len(files), name)
		}
		data := readAll(t, mem, name)
		used := len(strings.TrimRight(string(data), "\x00"))
		stride := max(1, used/samples)
		every := *exhaustive && used <= 8<<10
		if *exhaustive && used <= 64<<10 { // of longer files one bit per byte
			stride = 1
		}
		for at := 0; at < used; at += stride {
			bits := []int{(at * 5) % 8}
			if every {
				bits = []int{0, 1, 2, 3, 4, 5, 6, 7}
			}
			for _, bit := range bits {
				broken := append([]byte(nil), data...)
				broken[at] ^= 1 << bit
				outcome := openBroken(t, mem, name, broken, want, batch, fmt.Sprintf("bit %d of byte %d of %s", bit, at, name))
				outcomes[kindOf(name)+" flipped: "+outcome]++
			}
			outcome := openBroken(t, mem, name, data[:at], want, batch, fmt.Sprintf("%s cut to %d bytes", name, at))
			outcomes[kindOf(name)+" cut: "+outcome]++
		}
		outcomes[kindOf(name)+" removed: "+openBroken(t, mem, name, nil, want, batch, name+" removed")]++
	}
	for o, n := range outcomes {
		t.Logf("%4d x %s", n, o)
	}
}

func kindOf(name string) string {
	base := path.Base(name)
	if ext := path.Ext(base); ext != "" {
		return ext
	}
	base, _, _ = strings.Cut(base, "-")
	return base
}

func readAll(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	data, err := ondisk.ReadFile(fs, name, math.MaxInt32)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// openBroken opens a copy of the store with one file replaced, or removed if data is nil, and judges what it
// shows.
func openBroken(t *testing.T, mem *vfs.MemFS, name string, data []byte, want *model, batch uint64, what string) string {
	t.Helper()
	fs := vfs.NewMem()
	if ok, err := vfs.Clone(mem, fs, "/d", "/d"); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if data == nil {
		if err := fs.Remove(name); err != nil {
			t.Fatal(err)
		}
	} else {
		f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
		if err == nil {
			_, err = f.Write(append([]byte(nil), data...))
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	a, err := drive.Open(ctx, drive.Options{Path: "/d", FS: fs, Label: crashLabel(), MemTable: 1 << 20})
	if errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%s: open hung", what)
	}
	if err != nil {
		return "refused"
	}
	defer a.Close()
	own, _ := a.Watermarks()
	outcome := "harmless"
	for key, payload := range want.keys {
		got, err := newestOf(ctx, a, key)
		switch {
		case err != nil:
			outcome = "error"
		case got == payload:
		default:
			t.Errorf("%s: key %s shows %d bytes %.20q, at batch %d of %d", what, key, len(got), got, own, batch)
			return "WRONG"
		}
	}
	return outcome
}

// newestOf is the payload of the newest version of a key.
func newestOf(ctx context.Context, a *drive.Actor, name string) (string, error) {
	rep, err := callable(a).Report(ctx, &drivetest.ReportRequest{Set: testSet, Epoch: 1, Key: key(name), WithShard: true})
	if err != nil {
		return "", err
	}
	if len(rep.Versions) == 0 || rep.Versions[0].Version.Kind != ondisk.KindObject {
		return "", nil
	}
	if rep.Versions[0].Version.Refs[0].Inline {
		if rep.Inline == nil {
			return "", drive.ErrDamaged
		}
		return string(rep.Inline), nil
	}
	if rep.Shard == nil {
		return "", drive.ErrDamaged
	}
	defer rep.Shard.Close()
	return readShard(ctx, rep.Shard)
}
