package drive_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"holdfast/actors/drive"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
)

func TestInspectTellsWhatIsThereAndWritesNothing(t *testing.T) {
	dir := t.TempDir() + "/d"
	r := newRig(t, vfs.Default, dir)
	want := pattern(400<<10, 3)
	big := r.staged("big", want, 256<<10)
	r.commit(big)
	r.mark(big)
	r.commit(r.version("small", "inline payload"))
	r.putParts("parts", 3, 5000)
	prepare := promiseOf(quorum.ReqPrepare)
	prepare.Key = key("small")
	prepare.Ballot.TS = r.stamp()
	var reply drive.Reply
	if err := r.a.Do(context.Background(), prepare, &reply); err != nil || !reply.OK {
		t.Fatalf("%+v, %v", reply, err)
	}
	r.putParts("no bytes", 1, 0)
	if err := r.a.StoreControl(context.Background(), ondisk.ControlMeta{Index: 7}, map[string][]byte{"x": nil}, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.a.Close(); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	ctx := context.Background()
	in, err := drive.Inspect(ctx, dir, drive.InspectQuery{Key: "big", Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	if in.Label.Drive != testLabel().Drive || in.Rows[ondisk.RowVersion].Rows != 4 || in.Control == nil || in.Control.Index != 7 ||
		in.Damaged != 0 || in.InUse || in.Marks.Batch == 0 {
		t.Fatalf("%+v", in)
	}
	if len(in.Versions) != 1 || !in.Versions[0].Stable || len(in.Versions[0].Shards) != 1 {
		t.Fatalf("%+v", in.Versions)
	}
	if s := in.Versions[0].Shards[0]; s.Size != int64(len(want)) || len(s.Extents) == 0 || s.Damage != "" {
		t.Fatalf("%+v", s)
	}
	in, err = drive.Inspect(ctx, dir, drive.InspectQuery{Key: "parts", Bucket: testBucket})
	if err != nil || len(in.Versions) != 1 || len(in.Versions[0].Parts) != 3 || len(in.Versions[0].Shards) != 3 || in.Damaged != 0 {
		t.Fatalf("%+v, %v", in, err)
	}
	in, err = drive.Inspect(ctx, dir, drive.InspectQuery{Key: "no bytes"})
	if err != nil || len(in.Versions) != 1 || len(in.Versions[0].Parts) != 1 || len(in.Versions[0].Shards) != 0 || in.Damaged != 0 {
		t.Fatalf("an object of one part without bytes: %+v, %v", in, err)
	}
	in, err = drive.Inspect(ctx, dir, drive.InspectQuery{Key: "small"})
	if err != nil || in.Versions[0].Stable || in.Versions[0].Shards[0].Size != int64(len("inline payload")) {
		t.Fatalf("%+v, %v", in, err)
	}
	if own := in.Versions[0].Own; !own.Data || own.Epoch != 1 || len(own.Seats) != 1 || len(in.States) != 1 || in.States[0].State.Promise != prepare.Ballot {
		t.Fatalf("%+v, %+v", own, in.States)
	}
	if after := tree(t, dir); after != before {
		t.Fatalf("inspection changed the drive:\n%s\nwas\n%s", after, before)
	}
	r.open()
	(&damager{Actor: r.a.Actor, t: t}).DamageShard(big.OID, 300<<10)
	if err := r.a.Close(); err != nil {
		t.Fatal(err)
	}
	in, err = drive.Inspect(ctx, dir, drive.InspectQuery{Key: "big"})
	if err != nil || in.Damaged != 1 || in.Versions[0].Shards[0].Damage == "" || !strings.Contains(in.Damage[0], "checksum") {
		t.Fatalf("%+v, %v", in, err)
	}
	if _, err := drive.Inspect(ctx, t.TempDir(), drive.InspectQuery{}); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("inspection of an empty directory: %v", err)
	}
}

// TestInspectPassesOverWhatNobodyRefersTo: a stop in the middle of an upload leaves torn frames.
func TestInspectPassesOverWhatNobodyRefersTo(t *testing.T) {
	dir := t.TempDir() + "/d"
	r := newRig(t, vfs.Default, dir)
	torn := bytes.Repeat([]byte("torn away"), 5000)
	r.staged("never", torn, 256<<10)
	kept := r.staged("kept", pattern(40<<10, 3), 256<<10)
	r.commit(kept)
	if err := r.a.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(dir + "/seg/*.seg")
	if err != nil {
		t.Fatal(err)
	}
	flipped := 0
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(b, torn[:900]); i >= 0 {
			b[i] ^= 1
			flipped++
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if flipped != 1 {
		t.Fatalf("%d segments hold the abandoned frame", flipped)
	}
	in, err := drive.Inspect(context.Background(), dir, drive.InspectQuery{Key: "kept", Verify: true})
	if err != nil || in.Damaged != 0 || in.Versions[0].Shards[0].Damage != "" {
		t.Fatalf("%+v, %v", in, err)
	}
}

// TestWhatIsNoFileOfOursIsNamedAndNotRead: a FIFO in place of a file makes who opens it wait for ever,
// and a manifest of 10 TiB without content takes hours to read.
func TestWhatIsNoFileOfOursIsNamedAndNotRead(t *testing.T) {
	fifo := func(name string) error {
		return errors.Join(os.Remove(name), unix.Mkfifo(name, 0o600))
	}
	huge := func(name string) error { return os.Truncate(name, 10<<40) }
	for name, tc := range map[string]struct {
		spoil  func(name string) error
		file   string
		err    error // of Inspect and Open; nil: damage of a drive that can be opened
		opened error
	}{
		"format":        {fifo, "FORMAT", drive.ErrNotFile, drive.ErrNotFile},
		"lock":          {fifo, "LOCK", nil, drive.ErrNotFile},
		"manifest":      {fifo, "idx/MANIFEST-*", drive.ErrNotFile, drive.ErrNotFile},
		"huge manifest": {huge, "idx/MANIFEST-*", ondisk.ErrCorrupt, ondisk.ErrCorrupt},
		"segment":       {fifo, "seg/*.seg", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir() + "/d"
			r := newRig(t, vfs.Default, dir)
			r.commit(r.staged("kept", pattern(40<<10, 3), 256<<10))
			if err := r.a.Close(); err != nil {
				t.Fatal(err)
			}
			files, err := filepath.Glob(filepath.Join(dir, tc.file))
			if err != nil || len(files) == 0 {
				t.Fatalf("%s: %v, %v", tc.file, files, err)
			}
			for _, file := range files {
				if err := tc.spoil(file); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			in, err := drive.Inspect(ctx, dir, drive.InspectQuery{Verify: true})
			said := strings.Join(in.Damage, "\n")
			if err != nil {
				said = err.Error()
			}
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) || !strings.Contains(said, filepath.Base(files[0])) {
				t.Errorf("inspect: %v, damage %q; want %v that names %s", err, in.Damage, tc.err, files[0])
			}
			a, err := drive.Open(ctx, drive.Options{Path: dir})
			if err == nil {
				a.Close()
			}
			if !errors.Is(err, tc.opened) || (err == nil) != (tc.opened == nil) {
				t.Errorf("open: %v, want %v", err, tc.opened)
			}
		})
	}
}

// TestAFIFOInTheDrivesWayDoesNotStopReaders: one that took the place of a segment or of a file of the journal
// while the drive is in use is an error of what lies there.
func TestAFIFOInTheDrivesWayDoesNotStopReaders(t *testing.T) {
	dir := t.TempDir() + "/d"
	r := newRig(t, vfs.Default, dir)
	r.commit(r.staged("large", pattern(40<<10, 3), 256<<10))
	r.commit(r.version("small", "x"))
	r.reopen()
	for _, pattern := range []string{"seg/*.seg", "journal/00000001.log"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, file := range files {
			if err := errors.Join(os.Remove(file), unix.Mkfifo(file, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := make(chan error, 2)
	for _, name := range []string{"large", "small"} {
		go func() {
			_, err := newestOf(context.Background(), r.a.Actor, name)
			read <- err
		}()
	}
	for range 2 {
		select {
		case err := <-read:
			if err == nil {
				t.Error("a FIFO was read")
			}
		case <-time.After(20 * time.Second):
			t.Fatal("a read waits for the other end of a FIFO")
		}
	}
	r.commit(r.version("more", "y"))
}
