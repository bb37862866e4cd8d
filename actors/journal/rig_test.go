package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/await"
	"holdfast/actors/guardfs"
	"holdfast/actors/journal"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

const (
	testDir = "/j"
	testEnd = "/j.end"
)

var testDrive = cluster.DriveID{7}

// rig is a journal with an index in memory, which keeps of each batch its rows, and flushes when told.
type rig struct {
	t       testing.TB
	fs      vfs.FS
	size    int64
	j       *journal.Journal
	stop    chan struct{}
	ran     chan error
	batch   uint64
	flushed uint64
	put     map[uint64]placed
}

// placed is a payload of a batch.
type placed struct {
	at   ondisk.Location
	oid  object.OID
	data []byte
}

func newRig(t testing.TB, fs vfs.FS, size int64) *rig {
	t.Helper()
	if err := fs.MkdirAll(testDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := journal.Create(fs, testEnd, testDrive); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, fs: fs, size: size, put: map[uint64]placed{}}
	r.open()
	t.Cleanup(r.close)
	return r
}

func (r *rig) options(h *guardfs.Health) journal.Options {
	return journal.Options{FS: guardfs.Checked(r.fs, h), Dir: testDir, End: testEnd, Drive: testDrive, Size: r.size, MaxLog: 3 * r.size, Change: h.Change}
}

// open replays and checks that everything that was synced comes back.
func (r *rig) open() {
	r.t.Helper()
	h := guardfs.NewHealth()
	j, err := journal.Open(r.options(h))
	if err != nil {
		r.t.Fatal(err)
	}
	next := r.flushed + 1
	last, err := j.Replay(r.flushed, func(batch uint64, rows []byte) error {
		if batch != next || !bytes.Equal(rows, rowsOf(batch)) {
			return fmt.Errorf("batch %d with %q, want batch %d", batch, rows, next)
		}
		next++
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.batch = last
	for no, row := range rowsOfLive(r.put) {
		if !j.SetLive(no, row) {
			r.t.Errorf("file %d is missing", no)
		}
	}
	if err := j.Begin(); err != nil {
		r.t.Fatal(err)
	}
	r.j, r.stop, r.ran = j, make(chan struct{}), make(chan error, 1)
	go func() { r.ran <- j.Run(r.stop) }()
}

// rowsOfLive is what the rows of an index say of payloads.
func rowsOfLive(live map[uint64]placed) map[uint32]ondisk.JournalRow {
	rows := map[uint32]ondisk.JournalRow{}
	for _, p := range live {
		row := rows[p.at.File]
		row.Live += int64(p.at.Length)
		row.Payloads++
		rows[p.at.File] = row
	}
	return rows
}

func (r *rig) close() {
	if r.j == nil {
		return
	}
	close(r.stop)
	<-r.ran
	if err := r.j.Close(); err != nil {
		r.t.Error(err)
	}
	r.j = nil
}

func (r *rig) reopen() {
	r.t.Helper()
	r.close()
	r.open()
}

// fill writes payloads of 8,000 bytes until so many files have some.
func (r *rig) fill(files int) {
	r.t.Helper()
	await.True(r.t, fmt.Sprintf("%d files are in use", files), func() bool {
		r.write(8000, true)
		in := map[uint32]bool{}
		for _, p := range r.put {
			in[p.at.File] = true
		}
		return len(in) >= files
	})
}

func rowsOf(batch uint64) []byte { return fmt.Appendf(nil, "rows of batch %d", batch) }

// write appends a batch with a payload of so many bytes, none if it is 0.
func (r *rig) write(size int, sync bool) {
	r.t.Helper()
	if err := r.tryWrite(size, sync); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) tryWrite(size int, sync bool) error {
	batch := r.batch + 1
	if size > 0 {
		p := placed{data: payloadOf(batch, size)}
		binary.BigEndian.PutUint64(p.oid[:], batch)
		p.at = r.j.Add(ondisk.AppendPayload(nil, ondisk.DriveTag(testDrive), p.oid, p.data))
		r.put[batch] = p
		r.j.Account(p.at.File, batch, int64(p.at.Length), 1)
	}
	if _, err := r.j.Append(batch, rowsOf(batch), sync); err != nil {
		return err
	}
	r.batch = batch
	return nil
}

func payloadOf(batch uint64, size int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%08d", batch), size/8+1)[:size]
}

// drop says that nothing refers to a batch's payload any more; batch is the one that says so.
func (r *rig) drop(batch uint64) {
	p := r.put[batch]
	delete(r.put, batch)
	r.j.Account(p.at.File, r.batch, -int64(p.at.Length), -1)
}

// check reads all payloads.
func (r *rig) check() {
	r.t.Helper()
	for batch, p := range r.put {
		got, err := r.j.Read(p.at, p.oid)
		if err != nil || !bytes.Equal(got, p.data) {
			r.t.Fatalf("payload of batch %d: %d bytes, %v", batch, len(got), err)
		}
	}
}

// sweep gives up all that is dead.
func (r *rig) sweep(all bool) {
	r.t.Helper()
	for {
		_, more, err := r.j.Sweep(all)
		if err != nil {
			r.t.Fatal(err)
		}
		if !more {
			return
		}
	}
}

func isDamage(err error) bool {
	return errors.Is(err, ondisk.ErrCorrupt) || errors.Is(err, journal.ErrGap) || errors.Is(err, journal.ErrCut)
}
