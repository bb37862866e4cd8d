package drivetest

import (
	"bytes"
	"fmt"
	"sync"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

func acceptRule(s *suite) {
	a := s.commit(version{key: "k", ts: s.stamp(10)})
	b := s.commit(version{key: "k", ts: s.stamp(20)})
	old := s.commitOf(version{key: "k", ts: s.stamp(15)})
	if reply := s.offer(old, false); reply.Highest < s.stamp(20) {
		s.Fatalf("a refusal names %d as highest stamp, the key has %d", reply.Highest, s.stamp(20))
	}
	low := b.Ref.Write
	low[0]--
	if b.Ref.Write[0] > 0 {
		s.offer(s.commitOf(version{key: "k", ts: s.stamp(20), write: low}), false)
	}
	s.wantVersions("k", -1, b, a)
	s.commit(version{key: "other", ts: s.stamp(1)}) // keys have their own order
	far := s.commitOf(version{key: "far", ts: s.stamp(0) + (2000_000 << 10)})
	s.offer(far, false) // two seconds ahead of the clock
}

func repeatedCommit(s *suite) {
	a := s.commit(version{key: "k", ts: s.stamp(1), inline: []byte("one"), size: 3})
	s.offer(a, true)
	s.wantVersions("k", -1, a)
	s.mark(a)
	s.offer(a, true)
	s.wantVersions("k", 0, a)
	b := s.commit(version{key: "k", ts: s.stamp(2)})
	s.offer(a, true) // still held
	s.mark(b)
	s.offer(a, true) // superseded: it was accepted, which is all that is asked
	s.wantVersions("k", 0, b)
}

func reportRange(s *suite) {
	if rep := s.report("none", true); len(rep.Versions) != 0 || rep.Shard != nil || rep.Inline != nil {
		s.Fatalf("report of an unknown key: %+v", rep)
	}
	a := s.commit(version{key: "k", ts: s.stamp(1), size: 7})
	s.mark(a)
	b := s.commit(version{key: "k", ts: s.stamp(2), size: 8})
	c := s.commit(version{key: "k", ts: s.stamp(3), kind: ondisk.KindTombstone})
	s.wantVersions("k", 2, c, b, a)
}

func markReclaims(s *suite) {
	a := s.commit(version{key: "k", ts: s.stamp(1), inline: []byte("old"), size: 3})
	b := s.commit(version{key: "k", ts: s.stamp(2), inline: []byte("middle"), size: 6})
	c := s.commit(version{key: "k", ts: s.stamp(3)})
	s.mark(b)
	s.wantVersions("k", 1, c, b)
	if _, err := s.d.OpenShard(s.ctx, s.key("k"), a.OID); err == nil {
		s.Fatal("the shard of a superseded version is still there")
	}
	s.mark(a, b, s.commitOf(version{key: "never", ts: s.stamp(1)})) // late and unknown marks are harmless
	s.wantVersions("k", 1, c, b)
	s.mark(c)
	s.wantVersions("k", 0, c)
}

func markVersioned(s *suite) {
	a, b := s.commitOf(version{key: "k", ts: s.stamp(1), inline: []byte("old"), size: 3}), s.commitOf(version{key: "k", ts: s.stamp(2)})
	for _, c := range []*Commit{a, b} {
		c.Versioned = true
		s.offer(c, true)
	}
	s.mark(a, b)
	s.wantVersions("k", 0, b) // a report ends at the newest stable one
	sh, err := s.d.OpenShard(s.ctx, s.key("k"), a.OID)
	if err != nil {
		s.Fatalf("the older version's shard: %v", err)
	}
	s.wantShard(sh, []byte("old"))
}

func dropUnfinished(s *suite) {
	a := s.commit(version{key: "k", ts: s.stamp(1)})
	s.mark(a)
	b := s.commit(version{key: "k", ts: s.stamp(2), inline: []byte("dead"), size: 4})
	for range 2 { // it may be repeated
		if err := s.d.Drop(s.ctx, b.Key, b.Set, b.Ref); err != nil {
			s.Fatal(err)
		}
	}
	s.wantVersions("k", 0, a)
	if _, err := s.d.OpenShard(s.ctx, s.key("k"), b.OID); err == nil {
		s.Fatal("the shard of a dropped version is still there")
	}
	s.offer(b, false) // the dead mark binds
	s.commit(version{key: "k", ts: s.stamp(3), write: b.Ref.Write})
	c := s.commitOf(version{key: "unheard", ts: s.stamp(5)})
	if err := s.d.Drop(s.ctx, c.Key, c.Set, c.Ref); err != nil {
		s.Fatal(err)
	}
	s.offer(c, false)
	s.commit(version{key: "unheard", ts: s.stamp(4)}) // it binds one attempt only
	s.wantEntries(s.scan(&drive.ScanRequest{}), "k", "unheard")
}

func dropHeld(s *suite) {
	a := s.commit(version{key: "k", ts: s.stamp(1)}) // never stable
	b := s.commit(version{key: "k", ts: s.stamp(2)})
	s.mark(b)
	s.wantErr("drop of a stable version", s.d.Drop(s.ctx, b.Key, b.Set, b.Ref), drive.ErrHeld)
	s.wantErr("drop of a superseded attempt", s.d.Drop(s.ctx, a.Key, a.Set, a.Ref), drive.ErrHeld)
	s.wantVersions("k", 0, b)
}

func (s *suite) collect(reqs ...*Commit) {
	s.Helper()
	var tombs []Tomb
	for _, r := range reqs {
		tombs = append(tombs, Tomb{Key: r.Key, Set: r.Set, Ref: r.Ref})
	}
	if err := s.d.Collect(s.ctx, tombs); err != nil {
		s.Fatal(err)
	}
}

func collectTombstone(s *suite) {
	a := s.commit(version{key: "k", ts: s.stamp(1), inline: []byte("gone"), size: 4})
	tomb := s.commit(version{key: "k", ts: s.stamp(10), kind: ondisk.KindTombstone})
	s.mark(tomb)
	s.wantVersions("k", 0, tomb)
	s.collect(tomb)
	s.wantVersions("k", -1)
	s.offer(a, true) // a late commit was accepted once, and does not bring it back
	s.wantVersions("k", -1)
	s.offer(s.commitOf(version{key: "fresh", ts: s.stamp(9)}), false)            // nor any at or below the floor
	s.commit(version{key: "fresh", ts: s.stamp(9), set: suiteSet + 1})           // floors are per set
	s.commit(version{key: "k", ts: s.stamp(11), inline: []byte("new"), size: 3}) // above it life goes on
	s.collect(tomb)
	if rep := s.report("k", true); !bytes.Equal(rep.Inline, []byte("new")) {
		s.Fatalf("the new version's shard is %q", rep.Inline)
	}
}

func collectPassesOver(s *suite) {
	unstable := s.commit(version{key: "unstable", ts: s.stamp(1), kind: ondisk.KindTombstone})
	tomb := s.commit(version{key: "newer", ts: s.stamp(1), kind: ondisk.KindTombstone})
	s.mark(tomb)
	newer := s.commit(version{key: "newer", ts: s.stamp(2)})
	s.collect(unstable, tomb, s.commitOf(version{key: "unknown", ts: s.stamp(3), kind: ondisk.KindTombstone}))
	s.wantVersions("unstable", -1, unstable)
	s.wantVersions("newer", 1, newer, tomb)
}

// shardSizes around the borders of checksum blocks and frames.
var shardSizes = []int{1, 100, 3000, 64<<10 - 1, 64 << 10, 64<<10 + 1, suiteFrame - 1, suiteFrame, suiteFrame + 1, 5*suiteFrame + 777}

func stagedData(s *suite) {
	for _, size := range shardSizes {
		data := s.bytes(size)
		key := fmt.Sprint("size-", size)
		req := s.commit(version{key: key, ts: s.stamp(1), staged: s.staged(data), size: int64(2 * size)})
		s.wantVersions(key, -1, req)
		rep := s.report(key, true)
		if rep.Shard == nil || rep.Inline != nil {
			s.Fatalf("shard of %d bytes: %+v", size, rep)
		}
		s.wantShard(rep.Shard, data)
		sh, err := s.d.OpenShard(s.ctx, s.key(key), req.OID)
		if err != nil {
			s.Fatal(err)
		}
		s.wantShard(sh, data)
	}
}

func unstagedData(s *suite) {
	oid := object.NewOID(s.now)
	if _, err := s.d.Commit(s.ctx, s.commitOf(version{key: "k", ts: s.stamp(1), staged: oid, size: 9})); err == nil {
		s.Fatal("a row was accepted whose data nobody wrote")
	}
	w := s.stage(oid, s.bytes(1000))
	defer w.Abort()
	if _, err := s.d.Commit(s.ctx, s.commitOf(version{key: "k", ts: s.stamp(2), staged: oid, size: 9})); err == nil {
		s.Fatal("a row was accepted whose data was not synced")
	}
	s.wantVersions("k", -1)
}

func abortedData(s *suite) {
	oid := object.NewOID(s.now)
	w := s.stage(oid, s.bytes(suiteFrame+5))
	if err := w.Sync(s.ctx); err != nil {
		s.Fatal(err)
	}
	_, err := s.d.OpenShard(s.ctx, s.key("k"), oid)
	s.wantErr("open of staged data", err, drive.ErrNoShard)
	w.Abort()
	w.Abort()
	if _, err := s.d.Commit(s.ctx, s.commitOf(version{key: "k", ts: s.stamp(1), staged: oid, size: 9})); err == nil {
		s.Fatal("a row was accepted whose data was aborted")
	}
	data := s.bytes(5000)
	oid = object.NewOID(s.now + 1)
	w = s.stage(oid, data)
	if err := w.Sync(s.ctx); err != nil {
		s.Fatal(err)
	}
	s.commit(version{key: "kept", ts: s.stamp(2), staged: oid, size: 9})
	w.Abort() // harmless after a commit took the data
	s.wantShard(s.report("kept", true).Shard, data)
}

func inlineData(s *suite) {
	for _, size := range []int{1, 17, 2048} {
		data := s.bytes(size)
		key := fmt.Sprint("inline-", size)
		req := s.commitOf(version{key: key, ts: s.stamp(1), inline: bytes.Clone(data), size: int64(size)})
		s.offer(req, true)
		clear(req.Inline) // it was the drive's only until the call returned
		if rep := s.report(key, true); !bytes.Equal(rep.Inline, data) || rep.Shard != nil {
			s.Fatalf("inline shard of %d bytes: %+v", size, rep)
		}
		if rep := s.report(key, false); rep.Inline != nil || rep.Shard != nil {
			s.Fatal("a shard came that was not asked for")
		}
		sh, err := s.d.OpenShard(s.ctx, s.key(key), req.OID)
		if err != nil {
			s.Fatal(err)
		}
		s.wantShard(sh, data)
	}
}

func pinnedShard(s *suite) {
	data := s.bytes(3*suiteFrame + 1)
	old := s.commit(version{key: "k", ts: s.stamp(1), staged: s.staged(data), size: 1})
	s.mark(old)
	pinned := s.report("k", true).Shard
	s.mark(s.commit(version{key: "k", ts: s.stamp(2), kind: ondisk.KindTombstone}))
	for i := range 20 { // whatever wants space must not take this
		s.commit(version{key: fmt.Sprint("other-", i), ts: s.stamp(3), staged: s.staged(s.bytes(suiteFrame)), size: 1})
	}
	s.wantShard(pinned, data)
	if _, err := s.d.OpenShard(s.ctx, s.key("k"), old.OID); err == nil {
		s.Fatal("a superseded shard can still be opened")
	}
}

func unknownThings(s *suite) {
	_, err := s.d.OpenShard(s.ctx, s.key("k"), object.NewOID(s.now))
	s.wantErr("open of an unknown shard", err, drive.ErrNoShard)
	_, err = s.d.Parts(s.ctx, object.NewOID(s.now))
	s.wantErr("parts of an unknown object", err, drive.ErrNoShard)
	_, _, err = s.d.GetUpload(s.ctx, s.key("k"), object.NewWriteID())
	s.wantErr("unknown upload", err, drive.ErrNoUpload)
	if h := s.d.Health(); h.State != drive.Online {
		s.Fatalf("health %+v", h)
	}
}

func damage(s *suite) {
	dam, ok := s.d.Subject.(Damager)
	if !ok {
		return // the drive's own tests break its files
	}
	data := s.bytes(2*suiteFrame + 100<<10)
	req := s.commit(version{key: "k", ts: s.stamp(1), staged: s.staged(data), size: 1})
	const at = suiteFrame + 70<<10 // second block of the second frame
	dam.DamageShard(req.OID, at)
	rep := s.report("k", true)
	if len(rep.Versions) != 1 || rep.Shard == nil {
		s.Fatalf("the row is evidence all the same: %+v", rep)
	}
	defer rep.Shard.Close()
	buf := [][]byte{make([]byte, slabRoom+suiteFrame)}
	_, err := rep.Shard.ReadFrames(s.ctx, 1, buf)
	s.wantErr("read of a damaged frame", err, drive.ErrDamaged)
	s.wantErr("read of a damaged block", rep.Shard.ReadAt(s.ctx, make([]byte, 1), at), drive.ErrDamaged)
	if got, err := rep.Shard.ReadFrames(s.ctx, 2, buf); err != nil || !bytes.Equal(got[0], data[2*suiteFrame:]) {
		s.Fatalf("the next frame: %v", err)
	}
	p := make([]byte, 64<<10)
	if err := rep.Shard.ReadAt(s.ctx, p, suiteFrame); err != nil || !bytes.Equal(p, data[suiteFrame:][:64<<10]) {
		s.Fatalf("the block before: %v", err)
	}
}

func pending(s *suite) {
	a := s.commit(version{key: "a", ts: s.stamp(1)})
	b := s.commit(version{key: "b", ts: s.stamp(2)})
	c := s.commit(version{key: "c", ts: s.stamp(3)})
	s.mark(b)
	list, err := s.d.Pending(s.ctx, 0, 10)
	if err != nil || len(list) != 2 || list[0].Key != a.Key || list[0].Ref != a.Ref || list[1].Ref != c.Ref {
		s.Fatalf("pending %+v, %v", list, err)
	}
	if list, err = s.d.Pending(s.ctx, 0, 1); err != nil || len(list) != 1 || list[0].Ref != a.Ref {
		s.Fatalf("the oldest: %+v, %v", list, err)
	}
	if list, err = s.d.Pending(s.ctx, 1<<40, 10); err != nil || len(list) != 0 {
		s.Fatalf("older than minutes: %+v, %v", list, err)
	}
	if err := s.d.Drop(s.ctx, a.Key, a.Set, a.Ref); err != nil {
		s.Fatal(err)
	}
	if list, err = s.d.Pending(s.ctx, 0, 10); err != nil || len(list) != 1 || list[0].Ref != c.Ref {
		s.Fatalf("after a drop: %+v, %v", list, err)
	}
}

func concurrent(s *suite) {
	const writers, keys = 16, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range keys {
				req := s.commitOf(version{key: fmt.Sprintf("%02d-%02d", w, i), ts: s.stamp(w*keys + i), inline: []byte{byte(w)}, size: 1})
				reply, err := s.d.Commit(s.ctx, req)
				if err != nil || !reply.Accepted {
					s.Errorf("commit: %+v, %v", reply, err)
					return
				}
				rep, err := s.d.Report(s.ctx, &ReportRequest{Set: suiteSet, Epoch: 1, Key: req.Key, WithShard: true})
				if err != nil || len(rep.Versions) != 1 || !bytes.Equal(rep.Inline, req.Inline) {
					s.Errorf("report right after the commit: %+v, %v", rep, err)
				}
			}
		})
	}
	wg.Wait()
	if reply := s.scan(&drive.ScanRequest{}); len(reply.Entries) != writers*keys {
		s.Fatalf("%d keys of %d", len(reply.Entries), writers*keys)
	}
}
