package drivetest

import (
	"bytes"
	"fmt"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
)

// request is one of the protocol about a key of the suite.
func (s *suite) request(kind quorum.RequestKind, name string) *drive.Request {
	req := &drive.Request{Request: quorum.Request{Kind: kind, Key: s.key(name)}}
	req.Set, req.Epoch, req.Revision = suiteSet, 1, 1
	return req
}

// ask sends a request and wants it answered.
func (s *suite) ask(req *drive.Request) *drive.Reply {
	s.Helper()
	reply := &drive.Reply{}
	if err := s.d.Do(s.ctx, req, reply); err != nil {
		s.Fatalf("request %d about %q: %v", req.Kind, req.Key.Name, err)
	}
	return reply
}

func (s *suite) wantOK(what string, got, want bool) {
	s.Helper()
	if got != want {
		s.Fatalf("%s: %t, want %t", what, got, want)
	}
}

// object offers a version with an inline shard; null ones replace each other.
func (s *suite) object(name string, ts int, null bool) *drive.Request {
	req := s.request(quorum.ReqCommit, name)
	c := s.commitOf(version{key: name, ts: s.stamp(ts), inline: []byte{byte(ts)}, size: 2})
	req.Payload = drive.Payload{Row: c.Row, Size: c.Size, OID: c.OID, Inline: c.Inline}
	req.Ballot = c.Ref
	req.Version = quorum.Version{Ref: c.Ref, Rev: c.Rev, Kind: quorum.Object, Null: null, Data: true, Epoch: 1}
	return req
}

func (s *suite) settle(req *drive.Request, missed quorum.Slots) {
	s.Helper()
	v := &req.Version
	if err := s.d.Mark([]drive.Mark{{Key: req.Key, Set: suiteSet, Ref: v.Ref, Rev: v.Rev, Missed: missed}}); err != nil {
		s.Fatal(err)
	}
	s.barrier()
}

func (s *suite) all(name string) *drive.Reply {
	s.Helper()
	req := s.request(quorum.ReqReport, name)
	req.All, req.WithRows, req.WithShard, req.Synced = true, true, true, true
	return s.ask(req)
}

func promises(s *suite) {
	b := object.VersionRef{TS: s.stamp(10), Write: object.NewWriteID()}
	req := s.request(quorum.ReqPrepare, "k")
	req.Ballot = b
	s.wantOK("a promise", s.ask(req).OK, true)
	s.wantOK("a commit below it", s.ask(s.object("k", 5, true)).OK, false)
	if rep := s.all("k"); rep.Promise != b {
		s.Fatalf("promised %+v, want %+v", rep.Promise, b)
	}
	under := s.object("k", 10, true)
	under.Version.Ref, under.Ballot = b, b
	under.Decision = quorum.Decision{Ballot: b}
	if reply := s.ask(under); !reply.OK || reply.Batch == 0 {
		s.Fatalf("the commit under it: %+v", reply)
	}
	if rep := s.all("k"); rep.Decision.Ballot != b || len(rep.Versions) != 1 || rep.Versions[0].Seats[0].Epoch != 1 || rep.Versions[0].Seats[0].W != 3 {
		s.Fatalf("report %+v", rep)
	}
}

func kills(s *suite) {
	c := s.object("k", 5, true)
	s.ask(c)
	req := s.request(quorum.ReqKill, "k")
	req.Attempt = c.Version.Attempt()
	if v := s.ask(req).Kill; v != quorum.KillHeld {
		s.Fatalf("verdict %d over what is held", v)
	}
	req.Kind = quorum.ReqDrop
	s.ask(req)
	rep := s.all("k")
	if len(rep.Versions) != 0 || len(rep.Dead) != 1 || !rep.Dead[0].Proven {
		s.Fatalf("after its drop: %+v", rep)
	}
	s.wantOK("an attempt with a dead mark", s.ask(c).OK, false)
}

func revisions(s *suite) {
	one, two := s.object("k", 1, false), s.object("k", 2, false)
	s.ask(one)
	s.settle(one, 0)
	s.ask(two)
	s.settle(two, 0)
	tag := *one
	tag.Version.Rev, tag.Ballot = s.stamp(9), object.VersionRef{TS: s.stamp(9), Write: object.NewWriteID()}
	tag.Version.Data, tag.Inline = false, nil
	s.ask(&tag)
	s.settle(&tag, 0)
	named := s.request(quorum.ReqReport, "k")
	named.At, named.WithShard, named.WithRows = object.IDOf(one.Version.Ref, false), true, true
	rep := s.ask(named)
	if len(rep.Versions) != 1 || rep.Versions[0].Rev != s.stamp(9) || !rep.Versions[0].Data || !bytes.Equal(rep.Inline, one.Inline) || len(rep.Rows) != 1 {
		s.Fatalf("the older version by name: %+v, shard %x", rep.Versions, rep.Inline)
	}
	s.wantOK("a version below a revision", s.ask(s.object("k", 8, false)).OK, false)
	gone := tag
	gone.Version.Rev, gone.Ballot.TS, gone.Version.Kind = s.stamp(20), s.stamp(20), quorum.Purged
	row, err := ondisk.AppendVersion(nil, &ondisk.Version{Kind: ondisk.KindPurged})
	if err != nil {
		s.Fatal(err)
	}
	gone.Payload = drive.Payload{Row: row}
	s.ask(&gone)
	s.settle(&gone, 0)
	if _, err := s.d.OpenShard(s.ctx, s.key("k"), one.OID); err == nil {
		s.Fatal("the shard of a removed version is still there")
	}
	if rep := s.all("k"); len(rep.Versions) != 2 || rep.Versions[1].Kind != quorum.Purged || !rep.Versions[1].Synced || !bytes.Equal(rep.Inline, two.Inline) {
		s.Fatalf("behind a removal: %+v", rep)
	}
	gone.Version.Ref = two.Version.Ref
	gone.Version.Rev, gone.Ballot.TS = s.stamp(21), s.stamp(21)
	s.ask(&gone)
	s.settle(&gone, 0)
	s.wantEntries(s.scan(&drive.ScanRequest{}))
}

func hints(s *suite) {
	c := s.object("k", 1, true)
	s.ask(c)
	s.settle(c, quorum.Slot(0)|quorum.Slot(3))
	list, next, err := s.d.Debts(s.ctx, nil, 100)
	var missed quorum.Slots
	for i := range list {
		missed |= quorum.Slots(list[i].Slots)
		if list[i].Key != c.Key || list[i].Ref != c.Version.Ref {
			s.Fatalf("debt %+v", list[i])
		}
	}
	if err != nil || next != nil || missed != 0b1001 {
		s.Fatalf("debts %+v, %x, %v", list, next, err)
	}
	req := s.request(quorum.ReqHinted, "k")
	req.Version, req.Missed = c.Version, quorum.Slot(0)|quorum.Slot(3)
	s.ask(req)
	if list, _, err := s.d.Debts(s.ctx, nil, 100); err != nil || len(list) != 0 {
		s.Fatalf("debts that were paid: %+v, %v", list, err)
	}
}

func heals(s *suite) {
	c := s.object("k", 1, true)
	token := s.ask(s.request(quorum.ReqToken, "k")).Token
	heal := s.request(quorum.ReqHeal, "k")
	heal.Token, heal.Versions, heal.Payloads = token, []quorum.Version{c.Version}, []drive.Payload{c.Payload}
	s.ask(s.object("k", 2, true))
	s.wantOK("a heal whose key has changed", s.ask(heal).OK, false)
	heal.Token = s.ask(s.request(quorum.ReqToken, "other")).Token
	heal.Key = s.key("other")
	s.wantOK("a heal", s.ask(heal).OK, true)
	if rep := s.all("other"); len(rep.Versions) != 1 || !rep.Versions[0].Stable || !bytes.Equal(rep.Inline, c.Inline) {
		s.Fatalf("healed: %+v, shard %x", rep.Versions, rep.Inline)
	}
}

func refusals(s *suite) {
	req := s.object("k", 1, true)
	want := func(what string, r quorum.Refusal) *drive.Reply {
		s.Helper()
		reply := s.ask(req)
		if reply.Refused != r {
			s.Fatalf("%s: refused as %d, want %d", what, reply.Refused, r)
		}
		return reply
	}
	req.Epoch = 2
	want("an epoch to come", quorum.RefusedBehind)
	s.adopt(suiteSet, 2)
	req.Epoch = 1
	if reply := want("an epoch that is over", quorum.RefusedEpoch); reply.Config.Epoch != 2 {
		s.Fatalf("the newer epoch is %d", reply.Config.Epoch)
	}
	req.Epoch, req.Revision = 2, 2
	want("a revision to come", quorum.RefusedBehind)
	req.Set, req.Epoch = 4000, 1
	want("a set of others", quorum.RefusedSync)
}

// markBeside: what a drive knows of a key by heart when it is marked is not all that it holds.
func markBeside(s *suite) {
	for _, missed := range []quorum.Slots{0, quorum.Slot(3)} {
		name := fmt.Sprint("k", missed)
		var list []*drive.Request
		for ts := range 4 {
			req := s.object(name, ts, true)
			s.wantOK("a version", s.ask(req).OK, true)
			list = append(list, req)
		}
		for i, req := range list {
			v := &req.Version
			if err := s.d.Mark([]drive.Mark{{Key: req.Key, Set: suiteSet, Ref: v.Ref, Rev: v.Rev, Missed: missed}}); err != nil {
				s.Fatal(err)
			}
			prepare := s.request(quorum.ReqPrepare, name)
			prepare.Ballot = object.VersionRef{TS: s.stamp(10 + i), Write: object.NewWriteID()}
			rep := s.ask(prepare)
			if n := len(rep.Versions); !rep.OK || n != 4-i || rep.Versions[0].Ref != list[3].Version.Ref || !rep.Versions[n-1].Stable {
				s.Fatalf("behind mark %d, missed by %b: %+v", i, missed, rep.Versions)
			}
		}
	}
}

func namedPins(s *suite) {
	data := s.bytes(suiteFrame + 5)
	s.commit(version{key: "k", ts: s.stamp(1), staged: s.staged(data), size: 1})
	req := s.request(quorum.ReqReport, "k")
	req.WithShard, req.Pin = true, quorum.PinID{Op: object.NewWriteID(), Round: 1}
	reply := s.ask(req)
	if reply.Shard == nil {
		s.Fatal("no shard")
	}
	unpin := s.request(quorum.ReqUnpin, "k")
	unpin.Pin = req.Pin
	for range 2 {
		s.wantOK("an unpin", s.ask(unpin).OK, true)
	}
	reply.Release()
}

func manyAtOnce(s *suite) {
	var calls []drive.Call
	for i := range 600 {
		calls = append(calls, drive.Call{Req: s.object(string(rune('a'+i)), i, true), Reply: &drive.Reply{}})
	}
	calls = append(calls, drive.Call{Req: s.object("late", 1, true), Reply: &drive.Reply{}})
	calls[600].Req.Staged, calls[600].Req.Inline = true, nil
	s.d.DoAll(s.ctx, calls)
	for i := range calls[:600] {
		if calls[i].Err != nil || !calls[i].Reply.OK {
			s.Fatalf("call %d: %+v, %v", i, calls[i].Reply, calls[i].Err)
		}
	}
	s.wantErr("the one whose shard is not there", calls[600].Err, drive.ErrNoShard)
}
