package drive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/await"
	"holdfast/actors/drive"
	"holdfast/actors/journal"
	"holdfast/actors/ondisk"
)

// smallJournal is a drive whose journal has small files.
func smallJournal(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, vfs.NewMem(), "/d")
	r.o.Journal = 64 << 10
	r.reopen()
	return r
}

// putAll commits objects of 2,000 bytes with stable marks, from several goroutines so that batches have
// several of them.
func (r *rig) putAll(from, to int) {
	r.t.Helper()
	var wg sync.WaitGroup
	var all []*drive.Commit
	for i := from; i < to; i++ {
		all = append(all, r.version(fmt.Sprintf("o%d", i), string(pattern(2000, byte(i)))))
	}
	failed := make(chan error, len(all))
	for part := range 4 {
		wg.Go(func() {
			for i := part; i < len(all); i += 4 {
				if _, err := r.a.Commit(context.Background(), all[i]); err != nil {
					failed <- err
				}
			}
		})
	}
	wg.Wait()
	if len(failed) > 0 {
		r.t.Fatal(<-failed)
	}
	r.mark(all...)
}

func (r *rig) wantAll(from, to, step int) {
	r.t.Helper()
	for i := from; i < to; i += step {
		if rep := r.report(fmt.Sprintf("o%d", i)); len(rep.Versions) == 0 || string(rep.Inline) != string(pattern(2000, byte(i))) {
			r.t.Fatalf("o%d: %d versions, shard of %d bytes", i, len(rep.Versions), len(rep.Inline))
		}
	}
	if err := r.a.CheckJournal(); err != nil {
		r.t.Fatal(err)
	}
}

// TestSparseFilesOfTheJournalAreEmptied: what is left of many objects moves together, and the rest of the
// space is given up, while it is read, overwritten and deleted.
func TestSparseFilesOfTheJournalAreEmptied(t *testing.T) {
	r := smallJournal(t)
	const n, step = 600, 20
	r.putAll(0, n)
	await.True(t, "the journal goes on to other files", func() bool { // one grows while the next is made
		r.commit(r.tombstone("tick"))
		return r.a.JournalStats().Files > 2
	})
	before := r.a.JournalStats()
	if before.Payloads != n {
		t.Fatalf("%+v", before)
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for i := 0; ; i = (i + step) % n {
				select {
				case <-stop:
					return
				default:
				}
				rep, err := r.a.Report(context.Background(), &drive.ReportRequest{Set: testSet, Epoch: 1, Key: key(fmt.Sprintf("o%d", i)), WithShard: true})
				if err != nil || string(rep.Inline) != string(pattern(2000, byte(i))) {
					t.Errorf("o%d while files are emptied: %d bytes, %v", i, len(rep.Inline), err)
					return
				}
			}
		})
	}
	for i := range n {
		switch {
		case i%step == 0:
		case i%step == 1: // overwritten, and gone
			r.putAll(i, i+1)
			fallthrough
		default:
			d := r.tombstone(fmt.Sprintf("o%d", i))
			r.commit(d)
			r.mark(d)
		}
	}
	await.True(t, "sparse files are emptied and given up", func() bool {
		r.commit(r.tombstone("tick"))       // else the last file is never full
		if err := r.a.Flush(); err != nil { // else what this writes is log, until there is a memtable of it
			t.Fatal(err)
		}
		r.a.Empty()
		s := r.a.JournalStats()
		return s.Payloads == n/step && s.Bytes < before.Bytes/3
	})
	close(stop)
	readers.Wait()
	r.wantAll(0, n, step)
	r.reopen()
	r.wantAll(0, n, step)
	for i := 0; i < n; i += step {
		d := r.tombstone(fmt.Sprintf("o%d", i))
		r.commit(d)
		r.mark(d)
	}
	if s := r.a.JournalStats(); s.Live != 0 || s.Payloads != 0 {
		t.Errorf("with nothing left: %+v", s)
	}
}

// TestMovedPayloadOfAPendingVersion: a version that waits for its mark, and the older one that the mark
// will reclaim, may both be moved meanwhile.
func TestMovedPayloadOfAPendingVersion(t *testing.T) {
	r := smallJournal(t)
	old := r.version("k", "old")
	r.commit(old)
	r.mark(old)
	r.putAll(0, 100)
	c := r.version("k", "new")
	r.commit(c)
	doomed := r.version("doomed", "x")
	r.commit(doomed)
	r.putAll(100, 200)
	for i := range 200 {
		d := r.tombstone(fmt.Sprintf("o%d", i))
		r.commit(d)
		r.mark(d)
	}
	r.putAll(200, 240)
	at := func(name string, i int) ondisk.Location { return r.report(name).Versions[i].Version.At }
	places := []ondisk.Location{at("k", 0), at("k", 1), at("doomed", 0)}
	await.True(t, "all three are moved", func() bool {
		r.commit(r.tombstone("tick")) // else the last file is never full
		if err := r.a.Flush(); err != nil {
			t.Fatal(err)
		}
		r.a.Empty()
		return at("k", 0) != places[0] && at("k", 1) != places[1] && at("doomed", 0) != places[2]
	})
	if rep := r.report("k"); len(rep.Versions) != 2 || string(rep.Inline) != "new" {
		t.Fatalf("%+v", rep)
	}
	r.mark(c)
	if err := r.a.Drop(context.Background(), doomed.Key, doomed.Set, doomed.Ref); err != nil {
		t.Fatal(err)
	}
	if rep := r.report("k"); len(rep.Versions) != 1 || string(rep.Inline) != "new" {
		t.Fatalf("%+v", rep)
	}
	r.wantAll(200, 240, 1)
	if s := r.a.JournalStats(); s.Payloads != 41 {
		t.Errorf("%+v", s)
	}
}

// TestVersionsMayShareAPayload: a new version that refers to the data of an older one keeps it.
func TestVersionsMayShareAPayload(t *testing.T) {
	r := smallJournal(t)
	first := r.version("k", "payload")
	r.commit(first)
	r.mark(first)
	v, err := ondisk.DecodeVersion(first.Ref, first.Rev, ondisk.AppendVersionValue(nil, ondisk.Own{}, first.Row))
	if err != nil {
		t.Fatal(err)
	}
	v.ContentType = "text/plain"
	for range 3 { // each with other metadata
		c := r.commitOf("k", &v, r.stamp(), first.OID, nil)
		r.commit(c)
		r.mark(c)
		if rep := r.report("k"); len(rep.Versions) != 1 || string(rep.Inline) != "payload" {
			t.Fatalf("%+v", rep)
		}
		if err := r.a.CheckJournal(); err != nil {
			t.Fatal(err)
		}
	}
	d := r.tombstone("k")
	r.commit(d)
	r.mark(d)
	if s := r.a.JournalStats(); s.Payloads != 0 {
		t.Errorf("%+v", s)
	}
}

// TestDriveFullOfSmallObjects: it refuses, deletes, and takes new ones.
func TestDriveFullOfSmallObjects(t *testing.T) {
	const capacity = 256 << 20
	r := smallRig(t, capacity, 160<<20)
	for round := range 2 {
		n := 0
		for err := error(nil); err == nil; n++ {
			c := r.version(fmt.Sprintf("o%d", n), string(pattern(16<<10, byte(n))))
			if _, err = r.a.Commit(context.Background(), c); err == nil {
				err = r.a.Mark([]drive.Mark{{Key: c.Key, Set: c.Set, Ref: c.Ref}})
			}
			if err != nil && !errors.Is(err, drive.ErrFull) {
				t.Fatal(err)
			}
		}
		if n < 2000 {
			t.Fatalf("round %d: full with %d objects", round, n)
		}
		if free := capacity - allocated(r.o.Path); free < 0 {
			t.Fatalf("round %d: %d bytes more than there are", round, -free)
		}
		r.reopen()
		if rep := r.report("o7"); string(rep.Inline) != string(pattern(16<<10, 7)) {
			t.Fatalf("round %d: o7 has %d bytes", round, len(rep.Inline))
		}
		for len(r.scan(drive.ScanRequest{})) > 0 {
			r.deleteSome(t)
		}
		await.True(t, fmt.Sprintf("round %d: the drive is empty", round), func() bool {
			_, err := r.a.Commit(context.Background(), r.version("again", "x"))
			return err == nil && r.a.JournalStats().Bytes < capacity/8
		})
		d := r.tombstone("again")
		r.commit(d)
		r.mark(d)
	}
}

// deleteSome deletes the first thousand objects.
func (r *rig) deleteSome(t *testing.T) {
	t.Helper()
	var gone []*drive.Commit
	for _, name := range r.scan(drive.ScanRequest{}) {
		d := r.tombstone(name)
		r.commit(d)
		gone = append(gone, d)
	}
	r.mark(gone...)
	for _, d := range gone {
		if err := r.a.Collect(context.Background(), []drive.Tomb{{Key: d.Key, Set: d.Set, Ref: d.Ref}}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestInspectShowsTheJournal: rows that only the journal has, where payloads lie, and damage.
func TestInspectShowsTheJournal(t *testing.T) {
	dir := t.TempDir() + "/d"
	r := newRig(t, vfs.Default, dir)
	payload := pattern(1500, 5)
	good, bad := r.version("good", string(pattern(1500, 1))), r.version("bad", string(payload))
	r.commit(good)
	r.commit(bad)
	r.commit(r.version("last", "x"))
	own, _ := r.a.Watermarks()
	r.stop(true)
	ctx := context.Background()
	in, err := drive.Inspect(ctx, dir, drive.InspectQuery{Key: "good"})
	if err != nil || in.Damaged != 0 || len(in.Versions) != 1 || in.Marks.Batch != own || in.JournalEnd.File != 1 || in.JournalEnd.Sealed {
		t.Fatalf("%+v, %v", in, err)
	}
	s := in.Versions[0].Shards[0]
	if !s.Inline || s.Size != 1500 || s.Damage != "" || s.At.Length != 1500+ondisk.PayloadHeaderSize {
		t.Fatalf("%+v", s)
	}
	if len(in.Journal) != 1 || !in.Journal[0].Log || in.Journal[0].Row.Payloads != 3 {
		t.Fatalf("%+v", in.Journal)
	}
	names, err := filepath.Glob(dir + "/journal/*.log")
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	data[bytes.Index(data, payload)+100] ^= 4
	if err := os.WriteFile(names[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	in, err = drive.Inspect(ctx, dir, drive.InspectQuery{Key: "bad"})
	if err != nil || in.Versions[0].Shards[0].Damage == "" {
		t.Fatalf("%+v, %v", in, err)
	}
	in, err = drive.Inspect(ctx, dir, drive.InspectQuery{Verify: true})
	if err != nil || in.Damaged != 1 || !strings.Contains(in.Damage[0], "checksum") {
		t.Fatalf("%+v, %v", in, err)
	}
	if err := os.Remove(names[0]); err != nil {
		t.Fatal(err)
	}
	in, err = drive.Inspect(ctx, dir, drive.InspectQuery{Verify: true})
	if err != nil || in.Marks.Batch != 0 || in.Damaged != 1 || !strings.Contains(in.Damage[0], filepath.Base(names[0])) {
		t.Fatalf("without its log: %+v, %v", in, err)
	}
}

// TestALostEndOfTheJournalIsNoticed: a drive that was killed is refused without the newest file of its
// journal, without all of them, and without what says which they are.
func TestALostEndOfTheJournalIsNoticed(t *testing.T) {
	for name, tc := range map[string]struct{ lost, said string }{
		"newest":     {"journal/00000002.log", "00000002.log"},
		"all files":  {"journal/*.log", "00000002.log"},
		"its end":    {"journal.end", "journal.end"},
		"one before": {"journal/00000001.log", "00000001.log"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir() + "/d"
			r := newRig(t, vfs.Default, dir)
			for i := range 5 {
				r.commit(r.version(fmt.Sprintf("first%d", i), "x"))
			}
			r.stop(true)
			r.open()
			r.commit(r.version("k", "acknowledged"))
			r.stop(true)
			files, err := filepath.Glob(filepath.Join(dir, tc.lost))
			if err != nil || len(files) == 0 {
				t.Fatal(files, err)
			}
			for _, file := range files {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
			a, err := drive.Open(context.Background(), r.o)
			if err == nil {
				a.Close()
			}
			if !errors.Is(err, journal.ErrGap) || !strings.Contains(err.Error(), tc.said) {
				t.Errorf("opened: %v; want %v that names %s", err, journal.ErrGap, tc.said)
			}
		})
	}
}

// TestAClosedDriveCanDoWithoutItsLog: what a stop flushed needs no file of the journal but for the small
// shards that lie in it.
func TestAClosedDriveCanDoWithoutItsLog(t *testing.T) {
	dir := t.TempDir() + "/d"
	r := newRig(t, vfs.Default, dir)
	c := r.staged("staged", pattern(40<<10, 3), 256<<10)
	r.commit(c)
	r.commit(r.version("small", "x"))
	own, _ := r.a.Watermarks()
	r.stop(false)
	in, err := drive.Inspect(context.Background(), dir, drive.InspectQuery{})
	if err != nil || len(in.Journal) != 1 || in.Journal[0].Log || in.JournalEnd != (ondisk.JournalEnd{Drive: testLabel().Drive, File: 1, Batch: own, Sealed: true}) {
		t.Fatalf("%+v, %v", in, err)
	}
	if err := os.Remove(dir + "/journal/00000001.log"); err != nil {
		t.Fatal(err)
	}
	r.open()
	if rep := r.report("staged"); rep.Shard == nil {
		t.Errorf("%+v", rep)
	} else {
		rep.Shard.Close()
	}
	if _, err := r.a.OpenShard(context.Background(), key("small"), r.report("small").Versions[0].Version.Refs[0].OID); !errors.Is(err, drive.ErrDamaged) {
		t.Errorf("a small shard whose file is gone: %v", err)
	}
}
