package journal_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/await"
	"holdfast/actors/guardfs"
	"holdfast/actors/journal"
	"holdfast/actors/ondisk"
)

func TestWhatWasAppendedIsReplayed(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 64<<10)
	for i := range 200 {
		r.write([]int{0, 1, 100, 2048, 9000}[i%5], i%3 != 0)
	}
	r.check()
	r.reopen()
	if r.batch != 200 {
		t.Fatalf("replayed up to batch %d", r.batch)
	}
	r.check()
	r.flushed = 120
	for range 50 {
		r.write(3000, true)
	}
	r.reopen()
	if r.batch != 250 {
		t.Fatalf("replayed up to batch %d", r.batch)
	}
	r.check()
}

// TestFilesGrowToTheirSize: small at first, so that opening takes no time.
func TestFilesGrowToTheirSize(t *testing.T) {
	r := newRig(t, below{vfs.Default, t.TempDir()}, 4<<20)
	for n := 0; n < 3; n = full(r) {
		r.write(60<<10, true)
	}
	for _, f := range r.j.Files() {
		if f.Size > 5<<20 {
			t.Errorf("file %d has %d bytes", f.Number, f.Size)
		}
	}
	r.check()
	r.reopen()
	r.check()
}

// full counts the files of full size.
func full(r *rig) (n int) {
	for _, f := range r.j.Files() {
		if f.Size >= r.size {
			n++
		}
	}
	return n
}

// below is a file system whose root is a directory.
type below struct {
	vfs.FS
	root string
}

func (b below) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return b.FS.Create(b.root+name, c)
}
func (b below) MkdirAll(name string, perm os.FileMode) error {
	return b.FS.MkdirAll(b.root+name, perm)
}
func (b below) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return b.FS.Open(b.root+name, opts...)
}
func (b below) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return b.FS.OpenReadWrite(b.root+name, c, opts...)
}
func (b below) OpenDir(name string) (vfs.File, error)  { return b.FS.OpenDir(b.root + name) }
func (b below) List(name string) ([]string, error)     { return b.FS.List(b.root + name) }
func (b below) Stat(name string) (vfs.FileInfo, error) { return b.FS.Stat(b.root + name) }
func (b below) Remove(name string) error               { return b.FS.Remove(b.root + name) }
func (b below) Rename(from, to string) error           { return b.FS.Rename(b.root+from, b.root+to) }

// TestAFileIsGivenUpOnlyWhenNobodyNeedsIt: not as log, not for a payload, not for a reader, and not before
// its emptying is durable.
func TestAFileIsGivenUpOnlyWhenNobodyNeedsIt(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 64<<10)
	r.fill(3)
	first := r.put[1].at.File
	mine := func() (n int) {
		for _, p := range r.put {
			if p.at.File == first {
				n++
			}
		}
		return n
	}
	there := func() bool {
		r.sweep(true)
		for _, f := range r.j.Files() {
			if f.Number == first {
				return true
			}
		}
		return false
	}
	if !there() {
		t.Fatal("given up while all of it is live")
	}
	kept := r.put[1]
	r.write(0, false) // the batch that will say so is not synced
	for batch := uint64(1); mine() > 0; batch++ {
		if r.put[batch].at.File == first {
			r.drop(batch)
		}
	}
	if !there() {
		t.Fatal("given up although the index has flushed nothing")
	}
	r.j.Flushed(r.batch - 1)
	if !there() {
		t.Fatal("given up before that was durable")
	}
	if err := r.j.Sync(); err != nil {
		t.Fatal(err)
	}
	if there() {
		t.Fatal("not given up")
	}
	if _, err := r.j.Read(kept.at, kept.oid); !errors.Is(err, journal.ErrGone) {
		t.Fatalf("a payload in a file that was given up: %v", err)
	}
	r.check()
}

// TestDeadFilesAreWrittenAgain: in steady use the journal takes no more and no less.
func TestDeadFilesAreWrittenAgain(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 64<<10)
	most := 0
	for i := range uint64(400) {
		r.write(8000, true)
		if i >= 20 {
			r.drop(i - 19)
		}
		r.j.Flushed(r.batch - 1)
		r.sweep(false)
		if i > 100 {
			most = max(most, r.j.Stats().Files)
		}
		if i%50 == 49 {
			r.check()
			r.flushed = r.batch - 3
			r.reopen()
		}
	}
	if most > 8 {
		t.Errorf("%d files for 20 live payloads", most)
	}
}

// TestTheFileBeforeAnEmptyOneStays: whoever opens the journal finds the end by it.
func TestTheFileBeforeAnEmptyOneStays(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 64<<10)
	for files := len(r.j.Files()); len(r.j.Files()) == files; { // the last record turns to the next file
		r.write(8000, true)
	}
	for batch := range r.put {
		r.drop(batch)
	}
	r.flushed = r.batch
	r.j.Flushed(r.flushed)
	r.sweep(true)
	r.reopen()
	if r.batch != r.flushed {
		t.Fatalf("replayed up to batch %d of %d", r.batch, r.flushed)
	}
	r.write(0, true)
	r.sweep(true)
	if n := len(r.j.Files()); n != 1 {
		t.Errorf("%d files with nothing in them", n)
	}
	r.reopen()
}

func TestOthersPayloadsAreRefused(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 64<<10)
	r.write(100, true)
	r.write(100, true)
	one, two := r.put[1], r.put[2]
	for name, at := range map[string]ondisk.Location{
		"another's": two.at,
		"shifted":   {File: one.at.File, Offset: one.at.Offset + 1, Length: one.at.Length},
		"short":     {File: one.at.File, Offset: one.at.Offset, Length: one.at.Length - 1},
		"beyond":    {File: one.at.File, Offset: 1 << 30, Length: one.at.Length},
		"endless":   {File: one.at.File, Offset: one.at.Offset, Length: 1<<32 - 1},
	} {
		if _, err := r.j.Read(at, one.oid); !errors.Is(err, ondisk.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSparseFilesAreFoundAndWalked: what is live in them can be read by who moves it.
func TestSparseFilesAreFoundAndWalked(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 64<<10)
	r.fill(4)
	if no, ok := r.j.Sparse(90, false); ok {
		t.Fatalf("file %d is needed as log", no)
	}
	r.j.Flushed(r.batch)
	if no, ok := r.j.Sparse(40, false); ok {
		t.Fatalf("file %d is full of what is live", no)
	}
	r.j.Tick()
	file := r.put[2].at.File
	for batch, p := range r.put {
		if p.at.File == file && batch != 2 {
			r.drop(batch)
		}
	}
	no, ok := r.j.Sparse(40, false)
	if !ok || no != file { // nothing is fading before the next tick
		t.Fatalf("file %d, %t", no, ok)
	}
	r.j.Tick()
	if no, ok := r.j.Sparse(40, false); ok {
		t.Fatalf("file %d has just lost most of what it had", no)
	}
	if no, ok := r.j.Sparse(40, true); !ok || no != file {
		t.Fatalf("in a hurry: file %d, %t", no, ok)
	}
	r.j.Tick() // nothing was lost since
	if no, ok := r.j.Sparse(40, false); !ok || no != file {
		t.Fatalf("at rest: file %d, %t", no, ok)
	}
	found := 0
	skipped, err := r.j.Walk(no, 0, func(rec *journal.Record) error {
		if string(rec.Rows) != string(rowsOf(rec.Batch)) || rec.Damaged() != nil {
			return fmt.Errorf("batch %d with rows %q, %v", rec.Batch, rec.Rows, rec.Damaged())
		}
		found++
		return nil
	})
	if err != nil || skipped != 0 || found < 2 {
		t.Fatalf("%d records, %d pages passed over, %v", found, skipped, err)
	}
	r.j.Stuck(no)
	if no, ok := r.j.Sparse(40, false); ok {
		t.Fatalf("file %d cannot be emptied", no)
	}
}

// TestBehindIsCalledWhenTheLogIsLong: the index is to flush.
func TestBehindIsCalledWhenTheLogIsLong(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll(testDir, 0o700); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, fs: fs, size: 64 << 10, put: map[uint64]placed{}}
	called := make(chan struct{}, 1000)
	o := r.options(guardfs.NewHealth())
	o.Behind = func() { called <- struct{}{} }
	var err error
	if r.j, err = journal.Open(o); err != nil {
		t.Fatal(err)
	}
	if err := r.j.Begin(); err != nil {
		t.Fatal(err)
	}
	r.stop, r.ran = make(chan struct{}), make(chan error, 1)
	go func() { r.ran <- r.j.Run(r.stop) }()
	defer r.close()
	await.True(t, "the index is told to flush", func() bool {
		r.write(8000, true)
		return len(called) > 0
	})
	if s := r.j.Stats(); s.Log < o.MaxLog {
		t.Errorf("told with %d bytes of log", s.Log)
	}
}
