package drivetest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/actors/slab"
	"holdfast/raftfsm/cluster"
)

// Damager is met by drives (or wrappers in their tests) that can break stored bytes: Run then
// checks that damage is found.
type Damager interface {
	// DamageShard flips a bit of the shard's data at offset off on the medium.
	DamageShard(oid object.OID, off int64)
}

// Run checks everything that drive.Drive promises. open returns a new, empty drive that the test's
// cleanup closes.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	for _, c := range []struct {
		name string
		fn   func(*suite)
	}{
		{"a newer stamp is accepted, an older refused", acceptRule},
		{"a commit may be repeated", repeatedCommit},
		{"a report runs from the newest to the newest stable version", reportRange},
		{"a mark reclaims what is older", markReclaims},
		{"a mark of a versioned bucket keeps what is older", markVersioned},
		{"a dead version is dropped and stays dead", dropUnfinished},
		{"what is held stable or superseded is not dropped", dropHeld},
		{"a tombstone is collected behind its set's floor", collectTombstone},
		{"tombstones that do not qualify are passed over", collectPassesOver},
		{"staged data is committed and read back", stagedData},
		{"data that was not staged is not committed", unstagedData},
		{"aborted data is gone", abortedData},
		{"inline data comes with the report", inlineData},
		{"a pinned shard outlives its version", pinnedShard},
		{"unknown things are reported as such", unknownThings},
		{"damage is found and leaves the row", damage},
		{"pending lists what is unfinished, oldest first", pending},
		{"scan order, limit, start and prefix", scanOrder},
		{"scan sends rows of the sets that are asked for", scanSets},
		{"scan rolls up common prefixes", scanDelimiter},
		{"scan leaves out stable tombstones", scanTombstones},
		{"scan names what can be forgotten", scanRemembered},
		{"scan of versions", scanVersions},
		{"uploads are kept, listed and dropped", uploads},
		{"parts are kept newest first", parts},
		{"a completed upload hands over its parts", completedUpload},
		{"a fence refuses older revisions", fences},
		{"an older set epoch is refused", epochs},
		{"a bucket is empty when nothing of it is left", bucketEmpty},
		{"a promise binds and is told", promises},
		{"what is held is killed with proof only", kills},
		{"revisions and removals of a version", revisions},
		{"what slots miss is listed until they have it", hints},
		{"a heal copies unless the key has changed", heals},
		{"a mark in one batch with a request hides nothing from it", markBeside},
		{"a shard may be staged again", stagedAgain},
		{"an attempt under a newer stamp has the data of the one before", stampedAnew},
		{"a heal brings the parts that are missing", healedParts},
		{"a part outlives a completion that failed", completedTwice},
		{"requests under another configuration are refused", refusals},
		{"a pin is let go of by its name", namedPins},
		{"many requests at once are each answered", manyAtOnce},
		{"control rows are kept", control},
		{"commits of many keys at once are all there", concurrent},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := open(t)
			s := &suite{T: t, d: caller{d, Calls{d}}, now: object.StampAt(time.Now()), rng: rand.New(rand.NewPCG(5, 6))}
			var stop context.CancelFunc
			s.ctx, stop = context.WithTimeout(t.Context(), time.Minute)
			defer stop()
			s.setUp()
			c.fn(s)
		})
	}
}

const (
	suiteBucket = cluster.BucketID(41)
	suiteSet    = cluster.SetID(3)
	suiteFrame  = 256 << 10
)

// suite is one case on its own drive.
type suite struct {
	*testing.T
	d   caller
	ctx context.Context
	now object.Stamp
	rng *rand.Rand

	uploads int // opened so far
}

// caller is a drive with short calls.
type caller struct {
	Subject
	Calls
}

// setUp tells the drive of the sets and the bucket of the suite.
func (s *suite) setUp() {
	sets := make([]cluster.Set, 128)
	for i := range sets {
		sets[i] = cluster.Set{Epoch: 1, Members: []cluster.DriveID{{250}, s.d.ID(), {251}, {252}}}
	}
	if err := drive.Adopt(s.ctx, s.d, s.d.ID(), sets); err != nil {
		s.Fatal(err)
	}
	if err := drive.Fence(s.ctx, s.d, suiteBucket, 1, false, false); err != nil {
		s.Fatal(err)
	}
}

// adopt tells the drive of a set's epoch; it has slot 1.
func (s *suite) adopt(id cluster.SetID, epoch uint64) {
	s.Helper()
	req := &drive.Request{Request: quorum.Request{Kind: quorum.ReqAdopt, Member: 1}}
	req.Set, req.Config = id, quorum.SetConfig{ID: id, Epoch: epoch, Shape: quorum.ShapeOf(4)}
	var reply drive.Reply
	if err := s.d.Do(s.ctx, req, &reply); err != nil || !reply.OK {
		s.Fatalf("adopt epoch %d of set %d: %+v, %v", epoch, id, reply.OK, err)
	}
}

// stamp returns the i-th stamp of this case; they rise.
func (s *suite) stamp(i int) object.Stamp { return s.now + object.Stamp(i) }

func (s *suite) key(name string) object.Key { return object.Key{Bucket: suiteBucket, Name: name} }

// version is one version in the making.
type version struct {
	key    string
	ts     object.Stamp
	kind   ondisk.VersionKind
	inline []byte
	staged object.OID
	size   int64
	write  object.WriteID
	set    cluster.SetID
}

func (s *suite) commitOf(v version) *Commit {
	s.Helper()
	if v.write == (object.WriteID{}) {
		v.write = object.NewWriteID()
	}
	if v.kind == 0 {
		v.kind = ondisk.KindObject
	}
	if v.set == 0 {
		v.set = suiteSet
	}
	row := ondisk.Version{
		Kind: v.kind, N: 4, K: 2, Size: v.size, Stored: v.size, ModTime: int64(v.ts),
		Unit: 1 << 10, Frame: suiteFrame, ContentType: "text/plain",
	}
	req := &Commit{
		Set: v.set, Epoch: 1, BucketRev: 1, Key: s.key(v.key), Ref: object.VersionRef{TS: v.ts, Write: v.write},
		Rev: v.ts, Slot: 1, Kind: v.kind, Size: v.size,
	}
	switch {
	case v.inline != nil:
		req.OID, req.Inline = object.NewOID(v.ts), v.inline
		row.Refs = []ondisk.Ref{{Set: v.set, OID: req.OID, Length: v.size, Inline: true}}
	case !v.staged.IsZero():
		req.OID, req.Staged = v.staged, true
		row.Refs = []ondisk.Ref{{Set: v.set, OID: req.OID, Length: v.size}}
	}
	var err error
	if req.Row, err = ondisk.AppendVersion(nil, &row); err != nil {
		s.Fatal(err)
	}
	return req
}

// commit offers a version and wants it accepted.
func (s *suite) commit(v version) *Commit {
	s.Helper()
	req := s.commitOf(v)
	s.offer(req, true)
	return req
}

func (s *suite) offer(req *Commit, want bool) CommitReply {
	s.Helper()
	reply, err := s.d.Commit(s.ctx, req)
	if err != nil {
		s.Fatalf("commit of %q: %v", req.Key.Name, err)
	}
	if reply.Accepted != want {
		s.Fatalf("commit of %q at %d: accepted %v, want %v", req.Key.Name, req.Ref.TS, reply.Accepted, want)
	}
	return reply
}

// mark makes versions stable, durably.
func (s *suite) mark(reqs ...*Commit) {
	s.Helper()
	var marks []drive.Mark
	for _, r := range reqs {
		marks = append(marks, drive.Mark{Key: r.Key, Set: r.Set, Ref: r.Ref, Rev: r.Rev})
	}
	if err := s.d.Mark(marks); err != nil {
		s.Fatal(err)
	}
	s.barrier()
}

func (s *suite) barrier() {
	s.Helper()
	if err := s.d.Collect(s.ctx, nil); err != nil {
		s.Fatalf("barrier: %v", err)
	}
}

func (s *suite) report(key string, withShard bool) Report {
	s.Helper()
	rep, err := s.d.Report(s.ctx, &ReportRequest{Set: suiteSet, Epoch: 1, Key: s.key(key), WithShard: withShard})
	if err != nil {
		s.Fatalf("report of %q: %v", key, err)
	}
	return rep
}

// wantVersions compares a report with commits, newest first; stable is the index of the one that
// is stable, -1 if none is.
func (s *suite) wantVersions(key string, stable int, want ...*Commit) {
	s.Helper()
	rep := s.report(key, false)
	if len(rep.Versions) != len(want) {
		s.Fatalf("report of %q has %d versions, want %d", key, len(rep.Versions), len(want))
	}
	for i, w := range want {
		v := rep.Versions[i]
		if v.Version.TS != w.Ref.TS || v.Version.Write != w.Ref.Write || v.Version.Rev != w.Rev ||
			v.Version.Kind != w.Kind || v.Version.Size != w.Size || v.Version.Slot != w.Slot {
			s.Fatalf("report of %q: version %d is %+v, want %+v", key, i, v.Version, w)
		}
		if !bytes.Equal(v.Row, w.Row) {
			s.Fatalf("report of %q: row %d is not the one committed", key, i)
		}
		if v.Stable != (i == stable) {
			s.Fatalf("report of %q: version %d stable %v", key, i, v.Stable)
		}
	}
}

func (s *suite) wantErr(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("%s: %v, want %v", what, err, want)
	}
}

func (s *suite) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(s.rng.Uint32())
	}
	return b
}

// stage writes a shard in frames and leaves the writer open.
func (s *suite) stage(oid object.OID, data []byte) drive.ShardWriter {
	s.Helper()
	w, err := s.d.Stage(s.ctx, drive.StageRequest{OID: oid, Write: object.NewWriteID(), Frame: suiteFrame, Size: int64(len(data))})
	if err != nil {
		s.Fatal(err)
	}
	for len(data) > 0 {
		n := min(len(data), suiteFrame)
		frame := make([]byte, slab.HeaderRoom+n)
		copy(frame[slab.HeaderRoom:], data[:n])
		if err := w.WriteFrame(s.ctx, frame); err != nil {
			s.Fatal(err)
		}
		data = data[n:]
	}
	return w
}

// staged stages and syncs a shard; its writer ends with the case.
func (s *suite) staged(data []byte) object.OID {
	s.Helper()
	oid := object.NewOID(s.now)
	w := s.stage(oid, data)
	if err := w.Sync(s.ctx); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(w.Abort)
	return oid
}

// wantShard reads a shard whole and in parts and closes it.
func (s *suite) wantShard(sh drive.ShardReader, data []byte) {
	s.Helper()
	defer sh.Close()
	if sh.Size() != int64(len(data)) {
		s.Fatalf("shard of %d bytes, want %d", sh.Size(), len(data))
	}
	frame := sh.Frame()
	var got []byte
	for first := 0; first*frame < len(data); first += 2 {
		n := min(2, (len(data)-first*frame+frame-1)/frame)
		dst := make([][]byte, n)
		for i := range dst {
			dst[i] = make([]byte, slab.HeaderRoom+min(frame, len(data)-(first+i)*frame))
		}
		frames, err := sh.ReadFrames(s.ctx, first, dst)
		if err != nil {
			s.Fatal(err)
		}
		for _, f := range frames {
			got = append(got, f...)
		}
	}
	if !bytes.Equal(got, data) {
		s.Fatal("frames differ from what was written")
	}
	for range 20 {
		from := s.rng.IntN(len(data))
		p := make([]byte, 1+s.rng.IntN(len(data)-from))
		if err := sh.ReadAt(s.ctx, p, int64(from)); err != nil || !bytes.Equal(p, data[from:from+len(p)]) {
			s.Fatalf("%d bytes at %d differ from what was written: %v", len(p), from, err)
		}
	}
}
