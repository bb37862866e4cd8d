package drivetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast/actors/await"
	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/actors/slab"
	"holdfast/raftfsm/cluster"
)

const slabRoom = slab.HeaderRoom

// scan fills in what a request leaves out: this bucket, many entries, all sets whole.
func (s *suite) scan(req *drive.ScanRequest) drive.ScanReply {
	s.Helper()
	req.Bucket = suiteBucket
	if req.Limit == 0 {
		req.Limit = 4096
	}
	if req.Full == nil && req.Witness == nil {
		req.Full = []uint64{^uint64(0)}
	}
	if req.Sets == nil {
		req.Sets = func(string) cluster.SetID { return suiteSet }
	}
	reply, err := s.d.Scan(s.ctx, req)
	if err != nil {
		s.Fatalf("scan: %v", err)
	}
	return reply
}

func (s *suite) wantEntries(reply drive.ScanReply, want ...string) {
	s.Helper()
	var got []string
	for _, e := range reply.Entries {
		got = append(got, e.Name)
	}
	if !slices.Equal(got, want) {
		s.Fatalf("entries %q, want %q", got, want)
	}
}

func scanOrder(s *suite) {
	names := []string{"a", "a\x00", "a\x00b", "a\x01", "a/", "a/b", "aa", "b", "é", "\U0010FFFF"}
	for i, j := range s.rng.Perm(len(names)) {
		s.commit(version{key: names[j], ts: s.stamp(i)})
	}
	s.wantEntries(s.scan(&drive.ScanRequest{}), names...)
	s.wantEntries(s.scan(&drive.ScanRequest{Start: "a/"}), names[4:]...)
	s.wantEntries(s.scan(&drive.ScanRequest{Start: "a/\x00"}), names[5:]...)
	s.wantEntries(s.scan(&drive.ScanRequest{Start: "\xff"}))
	s.wantEntries(s.scan(&drive.ScanRequest{Prefix: "a"}), names[:7]...)
	s.wantEntries(s.scan(&drive.ScanRequest{Prefix: "a", Start: "a/"}), names[4:7]...)
	s.wantEntries(s.scan(&drive.ScanRequest{Prefix: "a/", Start: "a"}), names[4:6]...)
	s.wantEntries(s.scan(&drive.ScanRequest{Prefix: "none"}))
	for limit := 1; limit <= len(names)+1; limit++ {
		reply := s.scan(&drive.ScanRequest{Limit: limit})
		s.wantEntries(reply, names[:min(limit, len(names))]...)
		if reply.Truncated != (limit < len(names)) {
			s.Fatalf("limit %d of %d: truncated %v", limit, len(names), reply.Truncated)
		}
	}
	long := string(bytes.Repeat([]byte("k"), object.MaxKeyBytes))
	s.commit(version{key: long, ts: s.stamp(50)})
	s.wantEntries(s.scan(&drive.ScanRequest{Prefix: long}), long)
}

func scanSets(s *suite) {
	sets := map[string]cluster.SetID{"a": 1, "b": 2, "c": 63, "d": 64, "e": 100}
	commits := map[string]*Commit{}
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		commits[name] = s.commit(version{key: name, ts: s.stamp(i), set: sets[name]})
	}
	s.mark(commits["b"])
	of := func(name string) cluster.SetID { return sets[name] }
	reply := s.scan(&drive.ScanRequest{Sets: of, Full: []uint64{1<<1 | 1<<2, 1}, Witness: []uint64{1 << 63}})
	s.wantEntries(reply, "a", "b", "c", "d")
	for _, e := range reply.Entries {
		c := commits[e.Name]
		if e.Ref != c.Ref || e.Rev != c.Rev || ondisk.VersionKind(e.Kind) != c.Kind || e.Set != c.Set || e.Unstable != (e.Name != "b") {
			s.Errorf("entry %+v", e)
		}
		if want := e.Name != "c"; want != bytes.Equal(e.Row, c.Row) {
			s.Errorf("entry %q: row %x", e.Name, e.Row)
		}
	}
	reply = s.scan(&drive.ScanRequest{Sets: of, Full: []uint64{0}, Witness: []uint64{1<<2 | 1<<63}, Limit: 1})
	s.wantEntries(reply, "b")
	if !reply.Truncated {
		s.Error("another key of the sets is behind the last entry")
	}
}

func scanDelimiter(s *suite) {
	for i, name := range []string{"a", "b/1", "b/2", "b/c/3", "b0", "c//d", "d::e", "e/"} {
		s.mark(s.commit(version{key: name, ts: s.stamp(i)}))
	}
	s.wantEntries(s.scan(&drive.ScanRequest{Delimiter: "/"}), "a", "b/", "b0", "c/", "d::e", "e/")
	s.wantEntries(s.scan(&drive.ScanRequest{Delimiter: "/", Prefix: "b/"}), "b/1", "b/2", "b/c/")
	s.wantEntries(s.scan(&drive.ScanRequest{Delimiter: "/", Prefix: "b"}), "b/", "b0")
	s.wantEntries(s.scan(&drive.ScanRequest{Delimiter: "//"}), "a", "b/1", "b/2", "b/c/3", "b0", "c//", "d::e", "e/")
	s.wantEntries(s.scan(&drive.ScanRequest{Delimiter: "::", Start: "c"}), "c//d", "d::", "e/")
	// A start within a common prefix gives it as long as something below it is left.
	reply := s.scan(&drive.ScanRequest{Delimiter: "/", Start: "b/2"})
	s.wantEntries(reply, "b/", "b0", "c/", "d::e", "e/")
	if e := reply.Entries[0]; !e.Common || e.Example != "b/2" || e.Kind != quorum.Object || e.Unstable {
		s.Fatalf("common prefix %+v", e)
	}
	reply = s.scan(&drive.ScanRequest{Delimiter: "/", Limit: 2})
	s.wantEntries(reply, "a", "b/")
	if !reply.Truncated {
		s.Error("not truncated behind a common prefix")
	}
	s.wantEntries(s.scan(&drive.ScanRequest{Delimiter: "/", Start: "b0"}), "b0", "c/", "d::e", "e/")
	reply = s.scan(&drive.ScanRequest{Delimiter: "/", Start: "e/", Limit: 1})
	s.wantEntries(reply, "e/")
	if reply.Truncated {
		s.Error("truncated behind the last common prefix")
	}
}

func scanTombstones(s *suite) {
	for i := range 300 {
		name := fmt.Sprintf("dead/%03d", i)
		s.mark(s.commit(version{key: name, ts: s.stamp(2*i + 1), kind: ondisk.KindTombstone}))
	}
	s.mark(s.commit(version{key: "a", ts: s.stamp(1)}), s.commit(version{key: "z", ts: s.stamp(1)}))
	reply := s.scan(&drive.ScanRequest{Limit: 2})
	s.wantEntries(reply, "a", "z")
	if reply.Truncated {
		s.Error("truncated although only tombstones are left")
	}
	s.wantEntries(s.scan(&drive.ScanRequest{Delimiter: "/"}), "a", "z")
	if n := len(s.scan(&drive.ScanRequest{Tombstones: true}).Entries); n != 302 {
		s.Errorf("%d entries with tombstones, want 302", n)
	}
	doubt := s.commit(version{key: "dead/150", ts: s.stamp(1000), kind: ondisk.KindTombstone})
	reply = s.scan(&drive.ScanRequest{})
	s.wantEntries(reply, "a", "dead/150", "z")
	if e := reply.Entries[1]; !e.Unstable || e.Kind != quorum.Tombstone || e.Ref != doubt.Ref {
		s.Errorf("an unfinished tombstone: %+v", e)
	}
	reply = s.scan(&drive.ScanRequest{Delimiter: "/"})
	s.wantEntries(reply, "a", "dead/", "z")
	if e := reply.Entries[1]; e.Example != "dead/150" || !e.Unstable || e.Kind != quorum.Tombstone {
		s.Errorf("a prefix of which nothing is certain: %+v", e)
	}
}

// scanRemembered: keys with promises of attempts that are over are named, in pages of every length.
func scanRemembered(s *suite) {
	ago := func(age time.Duration) int { return -int(age.Microseconds()) << 10 } // as a stamp of the case
	promise := func(name string, age time.Duration) {
		req := s.request(quorum.ReqPrepare, name)
		req.Ballot = object.VersionRef{TS: s.stamp(ago(age)), Write: object.NewWriteID()}
		s.wantOK("a promise", s.ask(req).OK, true)
	}
	s.mark(s.commit(version{key: "c", ts: s.stamp(ago(3 * drive.AttemptLife))}))
	for _, name := range []string{"a", "b", "c", "e/f", "zz"} {
		promise(name, 2*drive.AttemptLife)
	}
	promise("b", 0) // what it remembers is young again
	promise("d", drive.AttemptLife/2)
	for limit := 1; limit <= 6; limit++ {
		var got []string
		req := drive.ScanRequest{Tombstones: true, Limit: limit}
		for {
			reply := s.scan(&req)
			for _, e := range reply.Entries {
				if e.Kind == 0 {
					got = append(got, e.Name)
					if e.Set != suiteSet || e.Row != nil || e.Unstable {
						s.Errorf("entry %+v", e)
					}
				}
			}
			if !reply.Truncated {
				break
			}
			req.Start = reply.Entries[len(reply.Entries)-1].Name + "\x00"
		}
		if fmt.Sprint(got) != "[a c e/f zz]" {
			s.Errorf("pages of %d: %v", limit, got)
		}
	}
	reply := s.scan(&drive.ScanRequest{Tombstones: true})
	s.wantEntries(reply, "a", "c", "c", "e/f", "zz")
	if reply.Entries[2].Kind != quorum.Object {
		s.Errorf("the version of a key that is named: %+v", reply.Entries[2])
	}
	s.wantEntries(s.scan(&drive.ScanRequest{}), "c")
	s.wantEntries(s.scan(&drive.ScanRequest{Tombstones: true, Delimiter: "/"}), "c")
}

// scanVersions walks versions in pieces of every length, from key to key and within one.
func scanVersions(s *suite) {
	put := func(key string, ts int, kind ondisk.VersionKind, null bool) *Commit {
		c := s.commitOf(version{key: key, ts: s.stamp(ts), kind: kind})
		c.Versioned = !null
		s.offer(c, true)
		return c
	}
	var want []string
	say := func(c *Commit) { want = append(want, fmt.Sprintf("%s %d", c.Key.Name, c.Ref.TS-s.now)) }
	var all []*Commit
	for _, key := range []string{"a", "d/x", "d/y", "e"} {
		var own []*Commit
		for ts := 1; ts <= 4; ts++ {
			kind := ondisk.KindObject
			if ts == 3 {
				kind = ondisk.KindDeleteMarker
			}
			own = append(own, put(key, 10*ts, kind, ts == 2))
		}
		all = append(all, own...)
		for _, c := range slices.Backward(own) {
			say(c)
		}
	}
	s.mark(all...)
	doubt := put("e", 50, ondisk.KindObject, true)
	want = slices.Insert(want, 12, "e 50")
	for limit := 1; limit <= len(want)+1; limit++ {
		var got []string
		req := drive.ScanRequest{Versions: true, Limit: limit}
		for {
			reply := s.scan(&req)
			for _, e := range reply.Entries {
				got = append(got, fmt.Sprintf("%s %d", e.Name, e.Ref.TS-s.now))
				if e.Unstable != (e.Ref == doubt.Ref) || e.Row == nil {
					s.Errorf("entry %+v", e)
				}
			}
			if !reply.Truncated {
				break
			}
			last := reply.Entries[len(reply.Entries)-1]
			req.Start, req.Below = last.Name, last.Ref
		}
		if !slices.Equal(got, want) {
			s.Fatalf("in pieces of %d: %q, want %q", limit, got, want)
		}
	}
	reply := s.scan(&drive.ScanRequest{Versions: true, Delimiter: "/", Start: "a", Below: all[0].Ref})
	s.wantEntries(reply, "d/", "e", "e", "e", "e", "e")
	if e := reply.Entries[0]; !e.Common || e.Example != "d/x" || e.Ref.TS != s.stamp(40) || e.Unstable {
		s.Errorf("a common prefix: %+v", e)
	}
	s.mark(doubt) // the null version of before is replaced
	s.wantEntries(s.scan(&drive.ScanRequest{Versions: true, Prefix: "e"}), "e", "e", "e", "e")
	// The marker of a versioned key hides it from lists of keys, its newer version does not.
	s.wantEntries(s.scan(&drive.ScanRequest{}), "a", "d/x", "d/y", "e")
}

func (s *suite) at(key string) drive.Target {
	return drive.Target{Set: suiteSet, Epoch: 1, BucketRev: 1, Key: s.key(key)}
}

// upload opens an upload. Its stamp is a promise, so a key's next upload needs a higher one.
func (s *suite) upload(key string) *ondisk.Upload {
	s.Helper()
	s.uploads++
	up := &ondisk.Upload{ID: object.NewWriteID(), TS: s.stamp(s.uploads), Started: 12345, Checksum: ondisk.ChecksumCRC32C,
		Meta: ondisk.Version{Kind: ondisk.KindObject, ContentType: "image/png"}}
	one := *up
	if err := s.d.PutUpload(s.ctx, s.at(key), &one); err != nil {
		s.Fatal(err)
	}
	return up
}

func uploads(s *suite) {
	a, b, c := s.upload("a"), s.upload("b"), s.upload("b")
	if bytes.Compare(b.ID[:], c.ID[:]) > 0 {
		b, c = c, b
	}
	got, parts, err := s.d.GetUpload(s.ctx, s.key("a"), a.ID)
	if err != nil || len(parts) != 0 || got.ID != a.ID || got.Started != a.Started || got.Checksum != a.Checksum || got.Meta.ContentType != "image/png" {
		s.Fatalf("upload %+v, %v", got, err)
	}
	if _, _, err := s.d.GetUpload(s.ctx, s.key("b"), a.ID); !errors.Is(err, drive.ErrNoUpload) {
		s.Fatalf("under another key: %v", err)
	}
	list := func(prefix, key string, after object.WriteID, limit int, want ...object.WriteID) {
		s.Helper()
		entries, err := s.d.ListUploads(s.ctx, suiteBucket, prefix, key, after, limit)
		var ids []object.WriteID
		for _, e := range entries {
			ids = append(ids, e.Upload.ID)
		}
		if err != nil || !slices.Equal(ids, want) {
			s.Fatalf("uploads %v, want %v: %v", ids, want, err)
		}
	}
	list("", "", object.WriteID{}, 10, a.ID, b.ID, c.ID)
	list("", "", object.WriteID{}, 2, a.ID, b.ID)
	list("b", "", object.WriteID{}, 10, b.ID, c.ID)
	list("", "a", a.ID, 10, b.ID, c.ID)
	list("", "b", object.WriteID{}, 10, b.ID, c.ID)
	list("", "b", b.ID, 10, c.ID)
	list("", "b\x00", object.WriteID{}, 10)
	s.wantEntries(s.scan(&drive.ScanRequest{})) // no upload is an object
	for range 2 {
		if err := s.d.DropUpload(s.ctx, s.at("a"), a.ID); err != nil {
			s.Fatal(err)
		}
	}
	list("", "", object.WriteID{}, 10, b.ID, c.ID)
}

func (s *suite) part(number, ts int, data []byte, inline bool) (*ondisk.UploadPart, []byte) {
	p := &ondisk.UploadPart{
		Part: ondisk.Part{Number: uint16(number), Size: int64(len(data)), Stored: int64(len(data)),
			ETag: "0123456789abcdef0123456789abcdef", Write: object.NewWriteID(), ModTime: 99},
		TS: s.stamp(ts), Slot: 1, N: 4, K: 2, Unit: 1024, Frame: suiteFrame,
	}
	p.Ref = ondisk.Ref{Set: suiteSet, Length: int64(len(data)), Inline: inline}
	if inline {
		p.Ref.OID = object.NewOID(p.TS)
		return p, data
	}
	p.Ref.OID = s.staged(data)
	return p, nil
}

func (s *suite) putPart(key string, up *ondisk.Upload, p *ondisk.UploadPart, inline []byte) {
	s.Helper()
	for range 2 { // it may be repeated
		one := *p
		if err := s.d.PutPart(s.ctx, s.at(key), up.ID, &one, inline); err != nil {
			s.Fatal(err)
		}
	}
}

// wantGone waits until a shard is given back: large uploads may take the drive a while, and nothing
// tells when it is done.
func (s *suite) wantGone(what, name string, oid object.OID) {
	s.Helper()
	await.True(s, what+" is given back", func() bool {
		sh, err := s.d.OpenShard(s.ctx, s.key(name), oid)
		if errors.Is(err, drive.ErrNoShard) {
			return true
		}
		if err != nil {
			s.Fatalf("%s: %v", what, err)
		}
		sh.Close()
		return false
	})
}

func parts(s *suite) {
	up := s.upload("k")
	data := s.bytes(100_000)
	big, _ := s.part(2, 5, data, false)
	old, oldData := s.part(1, 3, s.bytes(10), true)
	newer, newData := s.part(1, 4, s.bytes(20), true)
	s.putPart("k", up, big, nil)
	s.putPart("k", up, old, oldData)
	s.putPart("k", up, newer, newData)
	_, rows, err := s.d.GetUpload(s.ctx, s.key("k"), up.ID)
	if err != nil || len(rows) != 3 {
		s.Fatalf("%d parts, %v", len(rows), err)
	}
	for i, want := range []*ondisk.UploadPart{newer, old, big} {
		got := rows[i]
		if got.Number != want.Number || got.Write != want.Write || got.TS != want.TS || got.Size != want.Size || got.ETag != want.ETag || got.Ref != want.Ref || got.Frame != want.Frame {
			s.Errorf("part row %d is %+v, want %+v", i, got, want)
		}
	}
	for _, c := range []struct {
		p    *ondisk.UploadPart
		data []byte
	}{{big, data}, {newer, newData}} {
		sh, err := s.d.OpenShard(s.ctx, s.key("k"), c.p.Ref.OID)
		if err != nil {
			s.Fatal(err)
		}
		s.wantShard(sh, c.data)
	}
	empty := &ondisk.UploadPart{Part: ondisk.Part{Number: 3, ETag: "d41d8cd98f00b204e9800998ecf8427e", Write: object.NewWriteID()}, TS: s.stamp(6), N: 4, K: 2}
	s.putPart("k", up, empty, nil)
	s.wantErr("part of an unknown upload", s.d.PutPart(s.ctx, s.at("k"), object.NewWriteID(), empty, nil), drive.ErrNoUpload)
	if err := s.d.DropUpload(s.ctx, s.at("k"), up.ID); err != nil {
		s.Fatal(err)
	}
	s.wantGone("part of a dropped upload", "k", big.Ref.OID)
	s.wantErr("part after the upload was dropped", s.d.PutPart(s.ctx, s.at("k"), up.ID, empty, nil), drive.ErrNoUpload)
}

func completedUpload(s *suite) {
	up := s.upload("k")
	data := s.bytes(300_000)
	one, oneData := s.part(1, 2, s.bytes(33), true)
	two, _ := s.part(2, 3, data, false)
	unwanted, _ := s.part(3, 4, s.bytes(70_000), false)
	s.putPart("k", up, one, oneData)
	s.putPart("k", up, two, nil)
	s.putPart("k", up, unwanted, nil)
	req := s.commitOf(version{key: "k", ts: s.stamp(10), size: 300_033, write: up.ID})
	req.OID, req.Upload, req.Parts = object.NewOID(s.stamp(10)), up.ID, []ondisk.Part{one.Part, two.Part}
	row := ondisk.Version{Kind: ondisk.KindObject, N: 4, K: 2, Size: req.Size, Stored: req.Size, Parts: 2,
		Refs: []ondisk.Ref{{Set: suiteSet, OID: req.OID, Length: req.Size}}}
	var err error
	if req.Row, err = ondisk.AppendVersion(nil, &row); err != nil {
		s.Fatal(err)
	}
	s.offer(req, true)
	s.offer(req, true)
	s.wantVersions("k", -1, req)
	rep := s.report("k", true)
	if rep.Shard != nil || rep.Inline != nil {
		s.Fatal("a multipart object has no shard of its own")
	}
	rep.Release()
	got, err := s.d.Parts(s.ctx, req.OID)
	if err != nil || len(got) != 2 || got[0].Ref != one.Ref || got[1].Ref != two.Ref || got[1].Size != two.Size || got[1].ETag != two.ETag {
		s.Fatalf("part table %+v, %v", got, err)
	}
	for oid, want := range map[object.OID][]byte{one.Ref.OID: oneData, two.Ref.OID: data} {
		sh, err := s.d.OpenShard(s.ctx, s.key("k"), oid)
		if err != nil {
			s.Fatal(err)
		}
		s.wantShard(sh, want)
	}
	if _, _, err := s.d.GetUpload(s.ctx, s.key("k"), up.ID); !errors.Is(err, drive.ErrUnsettled) {
		s.Fatalf("the upload while its completion is not settled: %v", err)
	}
	s.mark(req)
	if _, _, err := s.d.GetUpload(s.ctx, s.key("k"), up.ID); !errors.Is(err, drive.ErrNoUpload) {
		s.Fatalf("the upload after its completion: %v", err)
	}
	s.wantGone("a part that was not named", "k", unwanted.Ref.OID)
	readers := []Report{s.report("k", true), s.report("k", true)}
	if readers[0].Hold == nil || readers[1].Hold == nil || s.report("k", false).Hold != nil {
		s.Fatal("a multipart object is held if its shard is asked for, and only then")
	}
	s.mark(s.commit(version{key: "k", ts: s.stamp(11)}))
	readers[0].Release()
	later := s.staged(data)
	s.mark(s.commit(version{key: "later", ts: s.stamp(12), staged: later, size: 600_000}))
	s.mark(s.commit(version{key: "later", ts: s.stamp(13)}))
	s.wantGone("what was superseded after it", "later", later)
	if got, err := s.d.Parts(s.ctx, req.OID); err != nil || len(got) != 2 {
		s.Fatalf("part table of a held object: %d parts, %v", len(got), err)
	}
	for oid, want := range map[object.OID][]byte{one.Ref.OID: oneData, two.Ref.OID: data} {
		sh, err := s.d.OpenShard(s.ctx, s.key("k"), oid)
		if err != nil {
			s.Fatalf("a part of a held object: %v", err)
		}
		s.wantShard(sh, want)
	}
	readers[1].Release()
	for _, oid := range []object.OID{one.Ref.OID, two.Ref.OID} {
		s.wantGone("a part of a superseded object", "k", oid)
	}
}

func fences(s *suite) {
	fence := func(rev uint64, sealed, removed bool) {
		s.Helper()
		if err := s.d.Fence(s.ctx, suiteBucket, rev, sealed, removed); err != nil {
			s.Fatal(err)
		}
	}
	at := func(rev uint64) *Commit {
		c := s.commitOf(version{key: "k", ts: s.stamp(int(rev))})
		c.BucketRev = rev
		return c
	}
	s.offer(at(1), true)
	fence(5, false, false)
	_, err := s.d.Commit(s.ctx, at(4))
	s.wantErr("commit of an older revision", err, drive.ErrStale)
	target := s.at("k")
	target.BucketRev = 4
	s.wantErr("upload of an older revision", s.d.PutUpload(s.ctx, target, &ondisk.Upload{ID: object.NewWriteID(), Meta: ondisk.Version{Kind: ondisk.KindObject}}), drive.ErrStale)
	s.offer(at(5), true)
	fence(3, true, false) // a late message changes nothing
	s.offer(at(6), true)  // and a newer revision is learnt from who sends it
	fence(7, true, false)
	_, err = s.d.Commit(s.ctx, at(8))
	s.wantErr("commit while sealed", err, drive.ErrStale)
	fence(9, false, false)
	s.offer(at(9), true)
	fence(10, false, true)
	_, err = s.d.Commit(s.ctx, at(11))
	s.wantErr("commit to a removed bucket", err, drive.ErrStale)
}

func epochs(s *suite) {
	a := s.commitOf(version{key: "a", ts: s.stamp(1)})
	a.Epoch = 2
	_, err := s.d.Commit(s.ctx, a)
	s.wantErr("commit of an epoch that the drive was not told of", err, drive.ErrStale)
	s.adopt(suiteSet, 2)
	s.offer(a, true)
	_, err = s.d.Commit(s.ctx, s.commitOf(version{key: "b", ts: s.stamp(2)}))
	s.wantErr("commit of an older epoch", err, drive.ErrStale)
	s.commit(version{key: "c", ts: s.stamp(3), set: suiteSet + 1}) // every set has its own
}

func bucketEmpty(s *suite) {
	want := func(want bool) {
		s.Helper()
		if got, err := s.d.BucketEmpty(s.ctx, suiteBucket); err != nil || got != want {
			s.Fatalf("empty %v, want %v: %v", got, want, err)
		}
	}
	want(true)
	up := s.upload("k")
	want(false)
	if err := s.d.DropUpload(s.ctx, s.at("k"), up.ID); err != nil {
		s.Fatal(err)
	}
	want(true)
	s.mark(s.commit(version{key: "k", ts: s.stamp(11)}))
	want(false)
	s.mark(s.commit(version{key: "k", ts: s.stamp(12), kind: ondisk.KindTombstone}))
	want(true)
}

func control(s *suite) {
	cs, ok := s.d.Subject.(drive.ControlStore)
	if !ok {
		return // only local drives keep control rows
	}
	_, _, err := cs.LoadControl(s.ctx)
	s.wantErr("control state of a new drive", err, drive.ErrNoControl)
	meta := ondisk.ControlMeta{Index: 7, Term: 2, Rows: 2}
	if err := cs.StoreControl(s.ctx, meta, map[string][]byte{"a": {1}, "b": {2}}, nil); err != nil {
		s.Fatal(err)
	}
	meta.Index = 8
	if err := cs.StoreControl(s.ctx, meta, map[string][]byte{"c": {3}}, []string{"a"}); err != nil {
		s.Fatal(err)
	}
	got, rows, err := cs.LoadControl(s.ctx)
	if err != nil || got.Index != 8 || len(rows) != 2 || !bytes.Equal(rows["b"], []byte{2}) || !bytes.Equal(rows["c"], []byte{3}) {
		s.Fatalf("control state %+v %v, %v", got, rows, err)
	}
}
