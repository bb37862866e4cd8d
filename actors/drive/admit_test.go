package drive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"holdfast/actors/drive"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

// tree lists everything below a directory with sizes, to show that nothing was written.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // unreadable on purpose
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b.WriteString(p + " " + info.Mode().String() + " " + info.ModTime().String() + "\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestProbeTellsWhatLiesThereAndWritesNothing(t *testing.T) {
	base := t.TempDir()
	at := func(name string) string { return filepath.Join(base, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(at("empty"), 0o755))
	must(os.Mkdir(at("lostfound"), 0o755))
	must(os.Mkdir(at("lostfound/lost+found"), 0o755))
	must(os.Mkdir(at("foreign"), 0o755))
	must(os.WriteFile(at("foreign/notes.txt"), []byte("mine"), 0o644))
	must(os.Mkdir(at("otherformat"), 0o755))
	must(os.WriteFile(at("otherformat/FORMAT"), []byte("a disk of another program"), 0o644))
	must(os.WriteFile(at("file"), []byte("x"), 0o644))
	must(drive.Format(at("store"), testLabel()))
	for _, name := range []string{"damaged", "newer", "older", "truncated", "nolabel"} {
		must(drive.Format(at(name), testLabel()))
	}
	data, err := os.ReadFile(at("damaged/FORMAT"))
	must(err)
	flipped := append([]byte(nil), data...)
	flipped[len(flipped)/2] ^= 1
	must(os.WriteFile(at("damaged/FORMAT"), flipped, 0o600))
	must(os.WriteFile(at("truncated/FORMAT"), data[:len(data)/2], 0o600))
	newer := testLabel()
	newer.Incompat = []string{"feature-of-the-future"}
	must(os.Remove(at("newer/FORMAT")))
	data, err = ondisk.EncodeLabel(&newer)
	must(err)
	must(os.WriteFile(at("newer/FORMAT"), data, 0o600))
	// What the label of a layout of before the first release looked like.
	older := bytes.Replace(data, []byte(`"version": 2`), []byte(`"version": 1`), 1)
	older = older[:bytes.LastIndex(older, []byte("crc32c "))]
	older = fmt.Appendf(older, "crc32c %08x\n", crc32.Checksum(older, crc32.MakeTable(crc32.Castagnoli)))
	must(os.WriteFile(at("older/FORMAT"), older, 0o600))
	must(os.WriteFile(at("nolabel/idx/CURRENT"), nil, 0o600))
	must(os.Remove(at("nolabel/FORMAT")))
	for name, file := range map[string]string{"fifo": "FORMAT", "fifolock": "LOCK"} {
		must(drive.Format(at(name), testLabel()))
		must(os.Remove(at(name + "/" + file)))
		must(unix.Mkfifo(at(name+"/"+file), 0o600))
	}
	must(drive.Format(at("link"), testLabel()))
	must(os.Remove(at("link/FORMAT")))
	must(os.Symlink(at("fifo/FORMAT"), at("link/FORMAT")))
	must(os.MkdirAll(at("dir/FORMAT"), 0o700))
	cases := []struct {
		path string
		kind drive.FoundKind
		err  error
	}{
		{"missing", drive.FoundFresh, nil},
		{"missing/deeper", drive.FoundFresh, nil},
		{"empty", drive.FoundFresh, nil},
		{"lostfound", drive.FoundFresh, nil},
		{"foreign", drive.FoundForeign, drive.ErrForeign},
		{"otherformat", drive.FoundForeign, drive.ErrForeign},
		{"file", drive.FoundFile, drive.ErrNotDirectory},
		{"file/below", drive.FoundFile, drive.ErrNotDirectory},
		{"store", drive.FoundStore, nil},
		{"damaged", drive.FoundDamaged, ondisk.ErrCorrupt},
		{"truncated", drive.FoundDamaged, ondisk.ErrCorrupt},
		{"newer", drive.FoundNewer, ondisk.ErrNewer},
		{"older", drive.FoundNewer, ondisk.ErrOlder},
		{"nolabel", drive.FoundDamaged, ondisk.ErrCorrupt},
		{"fifo", drive.FoundDamaged, drive.ErrNotFile},
		{"fifolock", drive.FoundDamaged, drive.ErrNotFile},
		{"link", drive.FoundDamaged, drive.ErrNotFile},
		{"dir", drive.FoundDamaged, drive.ErrNotFile},
	}
	before := tree(t, base)
	for _, c := range cases {
		f := drive.Probe(at(c.path))
		if f.Kind != c.kind || !errors.Is(f.Err, c.err) || (f.Err == nil) != (c.err == nil) {
			t.Errorf("%s: kind %d, %v; want kind %d, %v", c.path, f.Kind, f.Err, c.kind, c.err)
		}
		if f.Err != nil && !strings.Contains(f.Err.Error(), at(c.path)) {
			t.Errorf("%s: error does not name the path: %v", c.path, f.Err)
		}
	}
	if after := tree(t, base); after != before {
		t.Errorf("probing changed the disk:\n%s\nwas\n%s", after, before)
	}
}

func TestConflictNamesBothPaths(t *testing.T) {
	base := t.TempDir()
	for _, name := range []string{"a", "clone"} {
		if err := drive.Format(filepath.Join(base, name), testLabel()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(base, "a"), filepath.Join(base, "link")); err != nil {
		t.Fatal(err)
	}
	for other, want := range map[string]error{
		"link": drive.ErrSamePlace, "clone": drive.ErrClone, "missing": nil, "ab": nil,
		"a/missing": drive.ErrNested, "a/idx": drive.ErrNested, "link/below/deep": drive.ErrNested, ".": drive.ErrNested,
	} {
		paths := []string{filepath.Join(base, "a"), filepath.Join(base, other)}
		found := []drive.Found{drive.Probe(paths[0]), drive.Probe(paths[1])}
		err := drive.Conflict(paths, found)
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s: %v, want %v", other, err, want)
		}
		if err != nil && (!strings.Contains(err.Error(), paths[0]) || !strings.Contains(err.Error(), paths[1])) {
			t.Errorf("%s: %v does not name both paths", other, err)
		}
	}
}

func TestFormatRefusesAStoreAndForeignFiles(t *testing.T) {
	dir := t.TempDir() + "/d"
	birth := testLabel()
	birth.Provisional = true
	for range 2 { // a birth that died is begun again
		if err := drive.Format(dir, birth); err != nil {
			t.Fatal(err)
		}
	}
	if err := drive.Relabel(dir, testLabel()); err != nil {
		t.Fatal(err)
	}
	if err := drive.Format(dir, testLabel()); !errors.Is(err, drive.ErrFormatted) {
		t.Fatalf("format of a store: %v", err)
	}
	other := testLabel()
	other.Drive = cluster.DriveID{9}
	if err := drive.Relabel(dir, other); !errors.Is(err, drive.ErrIdentity) {
		t.Fatalf("relabel with another identity: %v", err)
	}
	if _, err := drive.Open(context.Background(), drive.Options{Path: dir, Label: other}); !errors.Is(err, drive.ErrIdentity) {
		t.Fatalf("open of another drive: %v", err)
	}
	foreign := t.TempDir()
	if err := os.WriteFile(foreign+"/x", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := drive.Format(foreign, testLabel()); !errors.Is(err, drive.ErrForeign) {
		t.Fatalf("format of a foreign directory: %v", err)
	}
}

// TestAFormattedDriveSurvivesAPowerCut, its place in directories that were made for it included.
func TestAFormattedDriveSurvivesAPowerCut(t *testing.T) {
	mem := vfs.NewCrashableMem()
	if err := drive.FormatOn(mem, "/srv/holdfast/d", testLabel()); err != nil {
		t.Fatal(err)
	}
	clone := mem.CrashClone(vfs.CrashCloneCfg{})
	a, err := drive.Open(context.Background(), drive.Options{Path: "/srv/holdfast/d", FS: clone, Label: testLabel()})
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
}

// TestFormatSurvivesACrashAtEveryCall: what is left is either no drive yet, and may be formatted, or
// a whole one.
func TestFormatSurvivesACrashAtEveryCall(t *testing.T) {
	for n := 1; ; n++ {
		mem := vfs.NewCrashableMem()
		clones := crashesOf(mem, n, func(fs vfs.FS) error { return drive.FormatOn(fs, "/d", testLabel()) })
		if clones == nil {
			if n < 10 {
				t.Fatalf("only %d calls", n)
			}
			return
		}
		for i, clone := range clones {
			a, err := drive.Open(context.Background(), drive.Options{Path: "/d", FS: clone})
			if err == nil {
				a.Close()
				continue
			}
			if err := drive.FormatOn(clone, "/d", testLabel()); err != nil && !errors.Is(err, drive.ErrFormatted) {
				t.Fatalf("crash before call %d, clone %d: format again: %v", n, i, err)
			}
			if a, err = drive.Open(context.Background(), drive.Options{Path: "/d", FS: clone}); err != nil {
				t.Fatalf("crash before call %d, clone %d: %v", n, i, err)
			}
			a.Close()
		}
	}
}
