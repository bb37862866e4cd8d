package drive_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/await"
	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

// The one bucket and set of these tests.
const (
	testBucket = cluster.BucketID(7)
	testSet    = cluster.SetID(3)
)

func testLabel() ondisk.Label {
	return ondisk.Label{
		Cluster: cluster.ID{1}, Drive: cluster.DriveID{2}, Created: time.Unix(1700000000, 0),
		Capacity: 1 << 40, SegmentSize: 16 << 20, Inline: 2048, SetSize: 4,
	}
}

// actor is a drive with short calls.
type actor struct {
	*drive.Actor
	drivetest.Calls
}

func callable(a *drive.Actor) actor { return actor{a, drivetest.Calls{D: a}} }

// rig is a drive of a test that can be closed and opened again.
type rig struct {
	t    testing.TB
	o    drive.Options
	a    actor
	last object.Stamp
}

func newRig(t testing.TB, fs vfs.FS, dir string) *rig {
	t.Helper()
	if err := drive.FormatOn(fs, dir, testLabel()); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, o: drive.Options{Path: dir, FS: fs, Label: testLabel(), MemTable: 1 << 20}}
	r.open()
	t.Cleanup(func() { r.a.Close() })
	return r
}

func (r *rig) open() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	a, err := drive.Open(ctx, r.o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.a = callable(a)
	if err := adopt(ctx, a); err != nil {
		r.t.Fatal(err)
	}
}

// adopt tells a drive of the sets that tests use.
func adopt(ctx context.Context, d drive.Drive) error {
	sets := make([]cluster.Set, testSet+2)
	for i := range sets {
		sets[i] = cluster.Set{Epoch: 1, Members: []cluster.DriveID{{250}, d.ID(), {251}, {252}}}
	}
	if err := drive.Adopt(ctx, d, d.ID(), sets); err != nil {
		return err
	}
	return drive.Fence(ctx, d, testBucket, 1, false, false)
}

func (r *rig) reopen() {
	r.t.Helper()
	if err := r.a.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

func (r *rig) stamp() object.Stamp {
	r.last = max(r.last+1, object.StampAt(time.Now()))
	return r.last
}

func key(name string) object.Key { return object.Key{Bucket: testBucket, Name: name} }

// version makes the commit of an inline object.
func (r *rig) version(name, payload string) *drivetest.Commit {
	ts := r.stamp()
	oid := object.NewOID(ts)
	v := &ondisk.Version{
		Kind: ondisk.KindObject, N: 4, K: 2, Unit: uint32(len(payload)), Frame: uint32(len(payload)),
		Size: int64(2 * len(payload)), Stored: int64(2 * len(payload)), ModTime: time.Now().UnixNano(),
		ETag: "d41d8cd98f00b204e9800998ecf8427e",
		Refs: []ondisk.Ref{{Set: testSet, OID: oid, Length: int64(2 * len(payload)), Inline: true}},
	}
	return r.commitOf(name, v, ts, oid, []byte(payload))
}

func (r *rig) tombstone(name string) *drivetest.Commit {
	v := &ondisk.Version{Kind: ondisk.KindTombstone, N: 4, K: 2, ModTime: time.Now().UnixNano()}
	return r.commitOf(name, v, r.stamp(), object.OID{}, nil)
}

func (r *rig) commitOf(name string, v *ondisk.Version, ts object.Stamp, oid object.OID, inline []byte) *drivetest.Commit {
	r.t.Helper()
	row, err := ondisk.AppendVersion(nil, v)
	if err != nil {
		r.t.Fatal(err)
	}
	return &drivetest.Commit{
		Set: testSet, Epoch: 1, BucketRev: 1, Key: key(name),
		Ref: object.VersionRef{TS: ts, Write: object.NewWriteID()}, Rev: ts, Slot: 1,
		Row: row, Kind: v.Kind, Size: v.Size, OID: oid, Inline: inline,
	}
}

func (r *rig) commit(c *drivetest.Commit) drivetest.CommitReply {
	r.t.Helper()
	reply, err := r.a.Commit(context.Background(), c)
	if err != nil {
		r.t.Fatalf("commit %s: %v", c.Key.Name, err)
	}
	return reply
}

// mark makes versions stable and waits until that is durable.
func (r *rig) mark(cs ...*drivetest.Commit) {
	r.t.Helper()
	var marks []drive.Mark
	for _, c := range cs {
		marks = append(marks, drive.Mark{Key: c.Key, Set: c.Set, Ref: c.Ref})
	}
	if err := r.a.Mark(marks); err != nil {
		r.t.Fatal(err)
	}
	if err := r.a.Collect(context.Background(), nil); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) report(name string) drivetest.Report {
	r.t.Helper()
	rep, err := r.a.Report(context.Background(), &drivetest.ReportRequest{Set: testSet, Epoch: 1, Key: key(name), WithShard: true})
	if err != nil {
		r.t.Fatalf("report %s: %v", name, err)
	}
	return rep
}

func allSets() []uint64 { return []uint64{^uint64(0)} }

func (r *rig) scan(req drive.ScanRequest) []string {
	r.t.Helper()
	req.Bucket = testBucket
	if req.Full == nil {
		req.Full = allSets()
	}
	if req.Limit == 0 {
		req.Limit = 1000
	}
	req.Sets = func(string) cluster.SetID { return testSet }
	reply, err := r.a.Scan(context.Background(), &req)
	if err != nil {
		r.t.Fatalf("scan: %v", err)
	}
	var names []string
	for _, e := range reply.Entries {
		names = append(names, e.Name)
	}
	return names
}

// older makes a commit with a stamp below that of c.
func (r *rig) older(name string, c *drivetest.Commit) *drivetest.Commit {
	o := r.version(name, "old")
	o.Ref.TS, o.Rev = c.Ref.TS-1, c.Ref.TS-1
	return o
}

// stage stages payload as one shard of frames of frame bytes.
func (r *rig) stage(oid object.OID, payload []byte, frame int) drive.ShardWriter {
	r.t.Helper()
	ctx := context.Background()
	w, err := r.a.Stage(ctx, drive.StageRequest{OID: oid, Write: object.NewWriteID(), Frame: frame, Size: int64(len(payload))})
	if err != nil {
		r.t.Fatal(err)
	}
	for len(payload) > 0 {
		n := min(frame, len(payload))
		buf := append(make([]byte, ondisk.FrameHeaderRoom), payload[:n]...)
		if err := w.WriteFrame(ctx, buf); err != nil {
			r.t.Fatal(err)
		}
		payload = payload[n:]
	}
	if err := w.Sync(ctx); err != nil {
		r.t.Fatal(err)
	}
	return w
}

// staged stages and makes the commit of an object whose shard lies in segments.
func (r *rig) staged(name string, payload []byte, frame int) *drivetest.Commit {
	ts := r.stamp()
	oid := object.NewOID(ts)
	r.stage(oid, payload, frame)
	v := &ondisk.Version{
		Kind: ondisk.KindObject, N: 4, K: 2, Unit: 256 << 10, Frame: uint32(frame),
		Size: int64(2 * len(payload)), Stored: int64(2 * len(payload)), ETag: "d41d8cd98f00b204e9800998ecf8427e",
		Refs: []ondisk.Ref{{Set: testSet, OID: oid, Length: int64(2 * len(payload))}},
	}
	c := r.commitOf(name, v, ts, oid, nil)
	c.Staged = true
	return c
}

func pattern(n int, seed byte) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7+i>>8) + seed
	}
	return p
}

// read returns the whole shard by frames and compares it with ReadAt.
func (r *rig) read(s drive.ShardReader) []byte {
	r.t.Helper()
	ctx := context.Background()
	var out []byte
	for i := 0; int64(len(out)) < s.Size(); i++ {
		got, err := s.ReadFrames(ctx, i, [][]byte{make([]byte, ondisk.FrameHeaderRoom+s.Frame())})
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, got[0]...)
	}
	at := make([]byte, len(out)/2)
	if err := s.ReadAt(ctx, at, int64(len(out)/3)); err != nil {
		r.t.Fatal(err)
	}
	if string(at) != string(out[len(out)/3:len(out)/3+len(at)]) {
		r.t.Fatal("ReadAt and ReadFrames differ")
	}
	return out
}

// waitSpace waits until rows refer to want bytes of segments.
func (r *rig) waitSpace(want int64) {
	r.t.Helper()
	await.True(r.t, fmt.Sprintf("%d bytes are live", want), func() bool { return r.a.SegmentStats().Live == want })
}

func (r *rig) waitGone(oid object.OID) {
	r.t.Helper()
	await.True(r.t, fmt.Sprintf("shard %s is gone", oid), func() bool {
		s, err := r.a.OpenShard(context.Background(), key(""), oid)
		if err == nil {
			s.Close()
		}
		return errors.Is(err, drive.ErrNoShard)
	})
}

func sameError(a, b error) bool {
	for _, e := range []error{drive.ErrStale, drive.ErrHeld, drive.ErrNoShard, drive.ErrNoUpload, drive.ErrDamaged} {
		if errors.Is(a, e) != errors.Is(b, e) {
			return false
		}
	}
	return (a == nil) == (b == nil)
}
