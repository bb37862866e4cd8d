package drive_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

func TestCommitReportReopen(t *testing.T) {
	r := newRig(t, vfs.Default, t.TempDir()+"/d")
	a := r.version("a", "first")
	if reply := r.commit(a); !reply.Accepted || reply.Batch == 0 {
		t.Fatalf("reply %+v", reply)
	}
	if reply := r.commit(a); !reply.Accepted {
		t.Fatalf("the same commit again: %+v", reply)
	}
	b := r.version("a", "second")
	r.commit(b)
	if reply := r.commit(r.older("a", a)); reply.Accepted || reply.Highest < b.Ref.TS {
		t.Fatalf("an older stamp: %+v", reply)
	}
	for range 2 {
		rep := r.report("a")
		if len(rep.Versions) != 2 || rep.Versions[0].Stable || string(rep.Inline) != "second" || rep.Slot != 1 {
			t.Fatalf("report %+v", rep)
		}
		if v := rep.Versions[1].Version; v.TS != a.Ref.TS || v.Write != a.Ref.Write {
			t.Fatalf("second version %+v", v)
		}
		r.reopen()
	}
	r.mark(b)
	for range 2 {
		rep := r.report("a")
		if len(rep.Versions) != 1 || !rep.Versions[0].Stable || string(rep.Inline) != "second" {
			t.Fatalf("report after the mark %+v", rep)
		}
		r.reopen()
	}
	u, err := r.a.Usage(context.Background(), testBucket)
	if err != nil || u.Objects != 1 || u.Versions != 1 || u.Bytes != b.Size {
		t.Fatalf("usage %+v, %v", u, err)
	}
	if rep := r.report("b"); len(rep.Versions) != 0 {
		t.Fatalf("report of an absent key %+v", rep)
	}
}

func TestDeleteAndCollect(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	var tombs []drivetest.Tomb
	var dead []*drivetest.Commit
	for i := range 20 {
		name := fmt.Sprintf("k%02d", i)
		c := r.version(name, "x")
		r.commit(c)
		r.mark(c)
		if i%10 == 5 {
			continue // stays
		}
		d := r.tombstone(name)
		r.commit(d)
		dead = append(dead, d)
		tombs = append(tombs, drivetest.Tomb{Key: d.Key, Set: d.Set, Ref: d.Ref})
	}
	r.mark(dead...)
	if got := r.scan(drive.ScanRequest{}); fmt.Sprint(got) != "[k05 k15]" {
		t.Fatalf("scan %v", got)
	}
	if got := r.scan(drive.ScanRequest{Tombstones: true}); len(got) != 20 {
		t.Fatalf("scan with tombstones: %v", got)
	}
	if err := r.a.Collect(context.Background(), tombs); err != nil {
		t.Fatal(err)
	}
	if got := r.scan(drive.ScanRequest{Tombstones: true}); fmt.Sprint(got) != "[k05 k15]" {
		t.Fatalf("scan after collect %v", got)
	}
	late := r.version("k00", "ghost")
	late.Ref.TS, late.Rev = dead[0].Ref.TS-1, dead[0].Ref.TS-1
	if reply := r.commit(late); reply.Accepted {
		t.Fatal("a version below the GC floor was accepted for an unknown key")
	}
	fresh := r.version("k00", "new")
	if reply := r.commit(fresh); !reply.Accepted {
		t.Fatalf("a new version after collect: %+v", reply)
	}
	if u, _ := r.a.Usage(context.Background(), testBucket); u.Objects != 2 {
		t.Fatalf("usage %+v", u)
	}
}

func TestScanDelimiterAndLimit(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	for _, name := range []string{"a", "a/1", "a/2", "a0", "b//x", "b//y", "c\x00d", "c\x00e", "z"} {
		r.commit(r.version(name, "p"))
	}
	if got := fmt.Sprintf("%q", r.scan(drive.ScanRequest{Delimiter: "/"})); got != `["a" "a/" "a0" "b/" "c\x00d" "c\x00e" "z"]` {
		t.Fatal(got)
	}
	if got := fmt.Sprintf("%q", r.scan(drive.ScanRequest{Prefix: "b/", Delimiter: "/"})); got != `["b//"]` {
		t.Fatal(got)
	}
	if got := fmt.Sprintf("%q", r.scan(drive.ScanRequest{Start: "a/2", Limit: 2})); got != `["a/2" "a0"]` {
		t.Fatal(got)
	}
}

func TestFenceRefusesOlderRevisions(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	ctx := context.Background()
	if err := r.a.Fence(ctx, testBucket, 5, false, false); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.a.Commit(ctx, r.version("a", "p")); !errors.Is(err, drive.ErrStale) {
			t.Fatalf("commit under revision 1: %v", err)
		}
		r.reopen()
	}
	c := r.version("a", "p")
	c.BucketRev = 5
	r.commit(c)
	if err := r.a.Fence(ctx, testBucket, 6, true, false); err != nil {
		t.Fatal(err)
	}
	c = r.version("a", "q")
	c.BucketRev = 6
	if _, err := r.a.Commit(ctx, c); !errors.Is(err, drive.ErrStale) {
		t.Fatalf("commit into a sealed bucket: %v", err)
	}
}

func TestOpenTwiceIsRefused(t *testing.T) {
	dir := t.TempDir() + "/d"
	r := newRig(t, vfs.Default, dir)
	if f := drive.Probe(dir); f.Kind != drive.FoundInUse {
		t.Fatalf("probe of an open drive: %+v", f)
	}
	if _, err := drive.Open(context.Background(), r.o); !errors.Is(err, drive.ErrInUse) {
		t.Fatalf("second open: %v", err)
	}
	if err := r.a.Close(); err != nil {
		t.Fatal(err)
	}
	if f := drive.Probe(dir); f.Kind != drive.FoundStore || f.Label.Drive != testLabel().Drive {
		t.Fatalf("probe of a closed drive: %+v", f)
	}
	r.open()
}

func TestStagedShardsAndTheirSpace(t *testing.T) {
	r := newRig(t, vfs.Default, t.TempDir()+"/d")
	for i, size := range []int{5000, 300 << 10, 3<<20 + 17} {
		name := fmt.Sprintf("o%d", i)
		want := pattern(size, byte(i))
		c := r.staged(name, want, 256<<10)
		r.commit(c)
		for range 2 {
			rep := r.report(name)
			if rep.Shard == nil {
				t.Fatalf("no shard in %+v", rep)
			}
			if got := r.read(rep.Shard); string(got) != string(want) {
				t.Fatalf("size %d: wrong bytes", size)
			}
			rep.Shard.Close()
			r.reopen()
		}
		r.mark(c)
		d := r.tombstone(name)
		r.commit(d)
		r.mark(d)
		r.waitSpace(0)
		r.waitGone(c.OID)
	}
}

func TestReaderKeepsItsBytesWhileTheyAreReclaimed(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	want := pattern(1<<20, 1)
	c := r.staged("o", want, 256<<10)
	r.commit(c)
	r.mark(c)
	s := r.report("o").Shard
	defer s.Close()
	next := r.version("o", "small")
	r.commit(next)
	r.mark(next)
	r.waitSpace(0)
	for i := range 20 {
		r.commit(r.staged(fmt.Sprintf("other%d", i), pattern(1<<20, 9), 256<<10))
	}
	if got := r.read(s); string(got) != string(want) {
		t.Fatal("a pinned shard changed")
	}
}

func TestAbandonedStagingIsGivenBack(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	oid := object.NewOID(r.stamp())
	w := r.stage(oid, pattern(1<<20, 1), 256<<10)
	w.Abort()
	w.Abort()
	c := r.version("o", "x")
	c.OID, c.Inline, c.Staged = oid, nil, true
	if _, err := r.a.Commit(context.Background(), c); !errors.Is(err, drive.ErrNoShard) {
		t.Fatalf("commit of an aborted shard: %v", err)
	}
	if rep := r.report("o"); len(rep.Versions) != 0 {
		t.Fatalf("a refused commit left %+v", rep)
	}
}

func TestUploadLife(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	ctx := context.Background()
	at := drive.Target{Set: testSet, Epoch: 1, BucketRev: 1, Key: key("big")}
	up := &ondisk.Upload{ID: object.NewWriteID(), TS: r.stamp(), Started: 1, Meta: ondisk.Version{Kind: ondisk.KindObject}}
	if err := r.a.PutPart(ctx, at, up.ID, &ondisk.UploadPart{}, nil); !errors.Is(err, drive.ErrNoUpload) {
		t.Fatalf("part without upload: %v", err)
	}
	if err := r.a.PutUpload(ctx, at, up); err != nil {
		t.Fatal(err)
	}
	var parts []ondisk.Part
	for i := range 4 {
		ts := r.stamp()
		p := ondisk.UploadPart{Part: ondisk.Part{
			Number: uint16(i + 1), Size: 1 << 20, Stored: 1 << 20, ETag: "0123456789abcdef0123456789abcdef", Write: object.NewWriteID(),
			Ref: ondisk.Ref{Set: testSet, OID: object.NewOID(ts), Length: 1 << 20},
		}, TS: ts, Slot: 2, N: 4, K: 2, Unit: 256 << 10, Frame: 256 << 10}
		r.stage(p.Ref.OID, pattern(512<<10, byte(i)), 256<<10)
		for range 2 { // the second is a repetition
			if err := r.a.PutPart(ctx, at, up.ID, &p, nil); err != nil {
				t.Fatal(err)
			}
		}
		parts = append(parts, p.Part)
	}
	r.reopen()
	got, rows, err := r.a.GetUpload(ctx, at.Key, up.ID)
	if err != nil || got.ID != up.ID || len(rows) != 4 || rows[3].Number != 4 {
		t.Fatalf("upload %+v %d rows, %v", got, len(rows), err)
	}
	if list, err := r.a.ListUploads(ctx, testBucket, "b", "", object.WriteID{}, 10); err != nil || len(list) != 1 || list[0].Name != "big" {
		t.Fatalf("list %+v, %v", list, err)
	}
	oid := object.NewOID(r.stamp())
	v := &ondisk.Version{Kind: ondisk.KindObject, N: 4, K: 2, Unit: 256 << 10, Frame: 256 << 10, Size: 3 << 20, Stored: 3 << 20, Parts: 3,
		ETag: "0123456789abcdef0123456789abcdef-3", Refs: []ondisk.Ref{{Set: testSet, OID: oid, Length: 3 << 20}}}
	c := r.commitOf("big", v, r.stamp(), oid, nil)
	c.Parts, c.Upload = parts[:3], up.ID
	r.commit(c)
	r.mark(c)
	if _, _, err := r.a.GetUpload(ctx, at.Key, up.ID); !errors.Is(err, drive.ErrNoUpload) {
		t.Fatalf("upload after completion: %v", err)
	}
	table, err := r.a.Parts(ctx, oid)
	if err != nil || len(table) != 3 {
		t.Fatalf("parts %+v, %v", table, err)
	}
	r.waitGone(parts[3].Ref.OID)
	if u, err := r.a.Usage(ctx, testBucket); err != nil || u.Uploads != 0 || u.PartBytes != 0 || u.Bytes != 3<<20 {
		t.Fatalf("usage %+v, %v", u, err)
	}
	d := r.tombstone("big")
	r.commit(d)
	r.mark(d)
	r.waitSpace(0)
	if _, err := r.a.Parts(ctx, oid); !errors.Is(err, drive.ErrNoShard) {
		t.Fatalf("part table after deletion: %v", err)
	}
}

func TestRemovedBucketIsPurged(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	ctx := context.Background()
	for i := range 150 {
		c := r.version(fmt.Sprintf("k%d", i), "x")
		r.commit(c)
		if i%2 == 0 {
			r.mark(c)
		}
	}
	r.commit(r.staged("big", pattern(2<<20, 1), 256<<10))
	if err := r.a.Fence(ctx, testBucket, 9, false, true); err != nil {
		t.Fatal(err)
	}
	r.waitSpace(0)
	for range 2 {
		if empty, err := r.a.BucketEmpty(ctx, testBucket); err != nil || !empty {
			t.Fatalf("bucket is empty: %t, %v", empty, err)
		}
		if p, err := r.a.Pending(ctx, 0, 10); err != nil || len(p) != 0 {
			t.Fatalf("pending %v, %v", p, err)
		}
		r.reopen()
	}
}

func TestControlCopy(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	ctx := context.Background()
	if _, _, err := r.a.LoadControl(ctx); !errors.Is(err, drive.ErrNoControl) {
		t.Fatalf("load of nothing: %v", err)
	}
	meta := ondisk.ControlMeta{Cluster: cluster.ID{1}, Index: 5, Term: 2, Rows: 2}
	if err := r.a.StoreControl(ctx, meta, map[string][]byte{"a": []byte("1"), "b": []byte("2")}, nil); err != nil {
		t.Fatal(err)
	}
	meta.Index = 6
	if err := r.a.StoreControl(ctx, meta, map[string][]byte{"a": []byte("3")}, []string{"b"}); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	got, rows, err := r.a.LoadControl(ctx)
	if err != nil || got.Index != 6 || len(rows) != 1 || string(rows["a"]) != "3" {
		t.Fatalf("%+v %q %v", got, rows, err)
	}
}
