package journal_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast/actors/guardfs"
	"holdfast/actors/journal"
	"holdfast/actors/ondisk"
)

// crasher clones the file system before calls that change it, and checks each clone.
type crasher struct {
	t   *testing.T
	mem *vfs.MemFS

	mu      sync.Mutex
	calls   int               // guarded by mu
	checked int               // guarded by mu
	flushed uint64            // guarded by mu
	durable uint64            // guarded by mu: batches up to it were synced
	newest  uint64            // guarded by mu: batch that may be there
	live    map[uint64]placed // guarded by mu: of durable batches
}

func (*crasher) String() string { return "crasher" }

func (c *crasher) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls++; c.t.Failed() {
		return nil
	}
	for i, percent := range []int{[]int{0, 100}[c.calls%2], []int{20, 50, 80}[c.calls%3]} {
		clone := c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(uint64(c.calls), uint64(i)))})
		if err := c.check(clone); err != nil {
			c.t.Errorf("crash before call %d (%v %s), keeping %d %% of what was not synced: %v", c.calls, op.Kind, op.Path, percent, err)
		}
		c.checked++
	}
	return nil
}

// check replays twice, as after a second crash right behind the first, and reads what is live.
func (c *crasher) check(fs *vfs.MemFS) error {
	for range 2 {
		h := guardfs.NewHealth()
		j, err := journal.Open(journal.Options{FS: guardfs.Checked(fs, h), Dir: testDir, End: testEnd, Drive: testDrive, Size: 32 << 10})
		if err != nil {
			return err
		}
		next := c.flushed + 1
		last, err := j.Replay(c.flushed, func(batch uint64, rows []byte) error {
			if batch != next || string(rows) != string(rowsOf(batch)) {
				return fmt.Errorf("batch %d with %q, want batch %d", batch, rows, next)
			}
			next++
			return nil
		})
		if err != nil {
			return err
		}
		if last < c.durable || last > c.newest {
			return fmt.Errorf("replayed up to batch %d, durable was %d, written %d", last, c.durable, c.newest)
		}
		for batch, p := range c.live {
			got, err := j.Read(p.at, p.oid)
			if err != nil || string(got) != string(p.data) {
				return fmt.Errorf("payload of batch %d: %w", batch, err)
			}
		}
		for no, row := range rowsOfLive(c.live) {
			if !j.SetLive(no, row) {
				return fmt.Errorf("file %d is missing", no)
			}
		}
		if err := j.Begin(); err != nil {
			return err
		}
		if err := j.Close(); err != nil {
			return err
		}
		fs = fs.CrashClone(vfs.CrashCloneCfg{})
	}
	return nil
}

// state tells the crasher what must be there from now on.
func (c *crasher) state(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// TestCrashAtEveryCall writes, seals, flushes, gives up and reuses files, and stops the world before each
// call that changes the file system, with what was not synced dropped wholly or partly.
func TestCrashAtEveryCall(t *testing.T) {
	mem := vfs.NewCrashableMem()
	c := &crasher{t: t, mem: mem, live: map[uint64]placed{}}
	if err := mem.MkdirAll(testDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := journal.Create(mem, testEnd, testDrive); err != nil {
		t.Fatal(err)
	}
	root, err := mem.OpenDir("/")
	if err == nil {
		err = root.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, fs: errorfs.Wrap(mem, c), size: 32 << 10, put: map[uint64]placed{}}
	r.open()
	defer r.close()
	rng := rand.New(rand.NewPCG(1, 2))
	steps := 150
	if testing.Short() {
		steps = 40
	}
	for i := range steps {
		sync := rng.IntN(3) > 0
		c.state(func() { c.newest = r.batch + 1 })
		r.write([]int{0, 3000, 9000}[rng.IntN(3)], sync)
		if sync {
			c.state(func() {
				c.durable = r.batch
				c.live = map[uint64]placed{}
				for batch, p := range r.put {
					c.live[batch] = p
				}
			})
		}
		if i%10 == 9 {
			c.passOn(r, rng)
		}
		if i%40 == 39 {
			if i%80 == 79 {
				c.state(func() { c.newest = r.batch })
				if err := r.j.Seal(r.batch); err != nil {
					t.Fatal(err)
				}
			}
			r.reopen()
			c.state(func() { c.durable = r.batch })
		}
	}
	c.state(func() { t.Logf("%d calls, %d crashes", c.calls, c.checked) })
}

// passOn flushes what is durable, drops most of what is live, and sweeps.
func (c *crasher) passOn(r *rig, rng *rand.Rand) {
	c.state(func() {
		c.flushed = c.durable
		r.flushed = c.durable
		for batch := range c.live {
			if rng.IntN(4) > 0 {
				delete(c.live, batch)
				r.drop(batch)
			}
		}
	})
	r.j.Flushed(r.flushed)
	// What says that they are dropped is durable with the next batch.
	c.state(func() { c.newest = r.batch + 1 })
	r.write(0, true)
	c.state(func() { c.durable = r.batch })
	r.sweep(rng.IntN(2) == 0)
}

// damaged is a journal whose end is not flushed, and whose last record was synced.
func damaged(t *testing.T, sealed bool) (*vfs.MemFS, *rig) {
	mem := vfs.NewMem()
	r := newRig(t, mem, 64<<10)
	r.fill(2)
	r.flushed = r.batch - 1
	r.fill(4)
	for range 4 {
		r.write(2000, true)
	}
	if sealed {
		if err := r.j.Seal(r.batch); err != nil {
			t.Fatal(err)
		}
	}
	r.close()
	return mem, r
}

// TestDamage breaks a bit of, or cuts, each file of a journal that was closed, and of one that was not.
// Either all that was durable is replayed, or the journal is refused: it never forgets. No payload is ever
// wrong. What says where the journal ends is damaged, cut and removed as well.
func TestDamage(t *testing.T) {
	for _, sealed := range []bool{true, false} {
		t.Run(fmt.Sprintf("sealed %t", sealed), func(t *testing.T) { testDamage(t, sealed) })
	}
}

func testDamage(t *testing.T, sealed bool) {
	mem, r := damaged(t, sealed)
	names, err := mem.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]int{}
	for i, name := range names {
		names[i] = path.Join(testDir, name)
	}
	for _, name := range append(names, testEnd) {
		data := readAll(t, mem, name)
		used := len(strings.TrimRight(string(data), "\x00"))
		stride := 511
		if testing.Short() {
			stride = 4099
		}
		if name == testEnd {
			stride = 1
		}
		for at := 0; at < used; at += stride {
			broken := append([]byte(nil), data...)
			broken[at] ^= 1 << (at % 8)
			outcomes["flipped: "+openBroken(t, mem, r, name, broken)]++
			outcomes["cut: "+openBroken(t, mem, r, name, data[:at])]++
		}
		outcomes["removed: "+openBroken(t, mem, r, name, nil)]++
		if len(data) > ondisk.JournalPage {
			outcomes["zeros: "+openBroken(t, mem, r, name, make([]byte, len(data)))]++
		}
	}
	for o, n := range outcomes {
		t.Logf("%4d x %s", n, o)
	}
}

func readAll(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	data, err := ondisk.ReadFile(fs, name, math.MaxInt32)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// openBroken opens a copy with one file replaced, or removed if data is nil.
func openBroken(t *testing.T, mem *vfs.MemFS, r *rig, name string, data []byte) string {
	t.Helper()
	fs := vfs.NewMem()
	if ok, err := vfs.Clone(mem, fs, testDir, testDir); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if ok, err := vfs.Clone(mem, fs, testEnd, testEnd); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if data == nil {
		if err := fs.Remove(name); err != nil {
			t.Fatal(err)
		}
	} else {
		writeAll(t, fs, name, data)
	}
	j, err := journal.Open(journal.Options{FS: fs, Dir: testDir, End: testEnd, Drive: testDrive, Size: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	next := r.flushed + 1
	last, err := j.Replay(r.flushed, func(batch uint64, rows []byte) error {
		if batch != next || string(rows) != string(rowsOf(batch)) {
			t.Errorf("%s: batch %d with %q, want batch %d", name, batch, rows, next)
		}
		next++
		return nil
	})
	if err != nil {
		if !isDamage(err) {
			t.Errorf("%s: %v", name, err)
		}
		return "refused"
	}
	j.SetLive(^uint32(0), ondisk.JournalRow{}) // rows may speak of files that are not there
	outcome := "harmless"
	for batch, p := range r.put {
		got, err := j.Read(p.at, p.oid)
		switch {
		case err != nil:
			outcome = "a shard is damaged"
		case string(got) != string(p.data):
			t.Errorf("%s: payload of batch %d is wrong", name, batch)
		}
	}
	if last < r.batch {
		outcome = "it forgot its end"
		t.Errorf("%s: replayed up to batch %d of %d", name, last, r.batch)
	}
	return outcome
}

// TestRotBeforeTheEnd: several wrong bits in the last record of a journal that was closed are found, in
// the file of the end and in the one before it.
func TestRotBeforeTheEnd(t *testing.T) {
	mem, r := damaged(t, true)
	list := r.put[r.batch].at
	name := path.Join(testDir, fmt.Sprintf("%08d.log", list.File))
	data := readAll(t, mem, name)
	start := int(list.Offset) - ondisk.JournalHeaderSize
	clear(data[start : start+512])
	if got := openBroken(t, mem, r, name, data); got != "refused" {
		t.Errorf("without the first sector of its last record: %s", got)
	}
}

// TestRecordsOfOthersAreRefused: a file of another drive, and another file of this one, in the place of one
// that is needed as log, is an error that names it.
func TestRecordsOfOthersAreRefused(t *testing.T) {
	mem, r := damaged(t, false)
	last := fmt.Sprintf("%08d.log", r.put[r.batch].at.File)
	first := fmt.Sprintf("%08d.log", r.put[1].at.File)
	others := readAll(t, mem, path.Join(testDir, last))
	head, err := ondisk.DecodeJournalFile(others[:ondisk.JournalPage])
	if err != nil {
		t.Fatal(err)
	}
	head.Drive[3] ^= 1
	copy(others, ondisk.AppendJournalFile(nil, &head))
	for name, data := range map[string][]byte{"drive": others, "file": readAll(t, mem, path.Join(testDir, first))} {
		fs := vfs.NewMem()
		for _, p := range []string{testDir, testEnd} {
			if ok, err := vfs.Clone(mem, fs, p, p); err != nil || !ok {
				t.Fatal(ok, err)
			}
		}
		writeAll(t, fs, path.Join(testDir, last), data)
		j, err := journal.Open(journal.Options{FS: fs, Dir: testDir, End: testEnd, Drive: testDrive, Size: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		_, err = j.Replay(r.flushed, func(uint64, []byte) error { return nil })
		if no := strings.TrimLeft(last, "0"); !errors.Is(err, ondisk.ErrCorrupt) || !strings.Contains(err.Error(), "journal file "+strings.TrimSuffix(no, ".log")) {
			t.Errorf("of another %s: %v", name, err)
		}
	}
}

func writeAll(t *testing.T, fs vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write(append([]byte(nil), data...))
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestForgedRecordsAreStale: what a client had stored in a file before it was used again may look like a
// record of the drive and the file. It is neither replayed nor taken for damage.
func TestForgedRecordsAreStale(t *testing.T) {
	mem := vfs.NewMem()
	r := newRig(t, mem, 64<<10)
	for range 3 {
		r.write(2000, true)
	}
	r.close()
	at := r.put[3].at
	name := path.Join(testDir, fmt.Sprintf("%08d.log", at.File))
	data := readAll(t, mem, name)
	end := int(at.Offset) - ondisk.JournalHeaderSize + ondisk.JournalPage
	rows := []byte("forged")
	for i := range uint64(3) {
		forged := append(make([]byte, ondisk.JournalHeaderSize), rows...)
		ondisk.PutJournalHeader(forged, &ondisk.JournalHeader{
			Drive: ondisk.DriveTag(testDrive), File: at.File, Batch: 4 + i, Durable: int64(end), Rows: len(rows),
		})
		copy(data[end+int(i)*ondisk.JournalPage:], forged)
	}
	writeAll(t, mem, name, data)
	r.open() // which checks the rows
	if r.batch != 3 {
		t.Errorf("replayed up to batch %d of 3", r.batch)
	}
}

// TestSealOfAFileWithoutRecords: a journal that was closed before anything was written to its last file.
func TestSealOfAFileWithoutRecords(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 64<<10)
	for range 5 {
		r.write(2000, true)
	}
	r.reopen()
	for flushed := range uint64(6) {
		if err := r.j.Seal(r.batch); err != nil {
			t.Fatal(err)
		}
		r.flushed = flushed
		r.reopen()
		if r.batch != 5 {
			t.Fatalf("replayed up to batch %d behind %d", r.batch, flushed)
		}
		r.check()
	}
}
