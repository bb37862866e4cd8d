package drivetest

import (
	"bytes"
	"errors"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
)

// offerOf is a version with a staged shard as a coordinator offers it.
func (s *suite) offerOf(name string, ts int, oid object.OID, size int) *drive.Request {
	req := s.request(quorum.ReqCommit, name)
	c := s.commitOf(version{key: name, ts: s.stamp(ts), staged: oid, size: int64(size)})
	req.Payload = drive.Payload{Row: c.Row, Size: c.Size, OID: c.OID, Staged: true}
	req.Ballot = c.Ref
	req.Version = quorum.Version{Ref: c.Ref, Rev: c.Rev, Kind: quorum.Object, Null: true, Data: true, Epoch: 1}
	return req
}

// stagedAs stages and syncs a shard under a name that may have been used.
func (s *suite) stagedAs(oid object.OID, data []byte) drive.ShardWriter {
	s.Helper()
	w := s.stage(oid, data)
	if err := w.Sync(s.ctx); err != nil {
		s.Fatal(err)
	}
	return w
}

func (s *suite) wantOpen(oid object.OID, data []byte) {
	s.Helper()
	sh, err := s.d.OpenShard(s.ctx, s.key("k"), oid)
	if err != nil {
		s.Fatal(err)
	}
	s.wantShard(sh, data)
}

// stagedAgain: whoever finishes a version codes its shards anew, beside others who do the same.
func stagedAgain(s *suite) {
	data := s.bytes(suiteFrame + 3)
	oid := s.staged(data)
	req := s.offerOf("k", 1, oid, len(data))
	s.wantOK("the version", s.ask(req).OK, true)
	again := s.stagedAs(oid, data)
	s.wantOpen(oid, data)
	finish := *req
	finish.Again, finish.Ballot = true, object.VersionRef{TS: s.stamp(5), Write: object.NewWriteID()}
	s.wantOK("its finishing", s.ask(&finish).OK, true)
	again.Abort()
	s.wantOpen(oid, data)
	s.settle(req, 0)
	s.wantOpen(oid, data)

	// Two that finish one version: what the one has staged is as good as what the other has.
	oid = object.NewOID(s.stamp(7))
	one := s.stagedAs(oid, data)
	two := s.stagedAs(oid, data)
	req = s.offerOf("two", 7, oid, len(data))
	s.wantOK("the version of two", s.ask(req).OK, true)
	one.Abort()
	two.Abort()
	s.wantOpen(oid, data)
}

// stampedAnew: an attempt that was refused elsewhere comes under a newer stamp, with the same data.
func stampedAnew(s *suite) {
	data := s.bytes(70_000)
	oid := s.staged(data)
	old := s.offerOf("k", 1, oid, len(data))
	s.wantOK("the first attempt", s.ask(old).OK, true)
	anew := s.offerOf("k", 2, oid, len(data))
	anew.Again = true
	s.wantOK("the second one, with the first one's data", s.ask(anew).OK, true)
	drop := s.request(quorum.ReqDrop, "k")
	drop.Attempt = old.Version.Attempt()
	s.ask(drop)
	s.wantOpen(oid, data)
	s.settle(anew, 0)
	s.wantOpen(oid, data)

	// Both are replaced in one step: the data goes once, and takes nothing else along.
	oid = s.staged(data)
	old, anew = s.offerOf("both", 1, oid, len(data)), s.offerOf("both", 2, oid, len(data))
	anew.Again = true
	s.ask(old)
	s.ask(anew)
	last := s.object("both", 3, true)
	s.ask(last)
	s.settle(last, 0)
	s.wantGone("the data of two attempts", "both", oid)
	if rep := s.all("both"); len(rep.Versions) != 1 || !bytes.Equal(rep.Inline, last.Inline) {
		s.Fatalf("behind both: %+v, shard %x", rep.Versions, rep.Inline)
	}

	// The drive drops it, and is healed while that is still being given back.
	oid = s.staged(data)
	old = s.offerOf("dropped", 1, oid, len(data))
	s.ask(old)
	drop = s.request(quorum.ReqDrop, "dropped")
	drop.Attempt = old.Version.Attempt()
	s.ask(drop)
	anew = s.offerOf("dropped", 2, oid, len(data))
	for try := 0; ; try++ {
		w := s.stagedAs(oid, data)
		defer w.Abort()
		heal := s.request(quorum.ReqHeal, "dropped")
		heal.Token = s.ask(s.request(quorum.ReqToken, "dropped")).Token
		heal.Versions, heal.Payloads = []quorum.Version{anew.Version}, []drive.Payload{anew.Payload}
		heal.Payloads[0].Again = true
		err := s.d.Do(s.ctx, heal, &drive.Reply{})
		if err == nil {
			break
		}
		if !errors.Is(err, drive.ErrNoShard) {
			s.Fatal(err)
		}
		s.wantGone("the attempt's data", "k", oid)
	}
	s.passGarbage()
	s.wantOpen(oid, data)
}

// passGarbage waits until the drive has given back all that it owed before.
func (s *suite) passGarbage() {
	s.Helper()
	later := s.staged(s.bytes(70_000))
	key := "garbage-" + later.String()
	s.mark(s.commit(version{key: key, ts: s.stamp(100), staged: later, size: 1}))
	s.mark(s.commit(version{key: key, ts: s.stamp(101)}))
	s.wantGone("what was superseded last", key, later)
}

// multipart is the completion of an upload of the suite's parts.
func (s *suite) multipart(name string, ts int, up *ondisk.Upload, parts ...*ondisk.UploadPart) *drive.Request {
	s.Helper()
	var table []ondisk.Part
	size := int64(0)
	for _, p := range parts {
		table = append(table, p.Part)
		size += p.Size
	}
	oid := object.NewOID(s.stamp(ts))
	row := ondisk.Version{Kind: ondisk.KindObject, N: 4, K: 2, Size: size, Stored: size, Parts: uint32(len(parts)),
		Refs: []ondisk.Ref{{Set: suiteSet, OID: oid, Length: size}}}
	shared, err := ondisk.AppendVersion(nil, &row)
	if err != nil {
		s.Fatal(err)
	}
	req := s.request(quorum.ReqCommit, name)
	req.Payload = drive.Payload{Row: shared, Size: size, OID: oid, Parts: table}
	ref := object.VersionRef{TS: s.stamp(ts), Write: up.ID}
	req.Ballot = ref
	req.Version = quorum.Version{Ref: ref, Rev: ref.TS, Kind: quorum.Object, Null: true, Data: true, Epoch: 1, Upload: up.ID}
	return req
}

// healedParts: a drive that has the upload, but not all of its parts, is brought what it lacks.
func healedParts(s *suite) {
	up := s.upload("k")
	here, lacking := s.bytes(70_000), s.bytes(300_000)
	one, oneData := s.part(1, 2, s.bytes(33), true)
	two, _ := s.part(2, 3, here, false)
	three, _ := s.part(3, 4, lacking, false)
	four, fourData := s.part(4, 5, s.bytes(44), true)
	unwanted, _ := s.part(5, 6, s.bytes(70_000), false)
	s.putPart("k", up, one, oneData)
	s.putPart("k", up, two, nil)
	s.putPart("k", up, unwanted, nil)
	req := s.multipart("k", 10, up, one, two, three, four)
	heal := s.request(quorum.ReqHeal, "k")
	heal.Token = s.ask(s.request(quorum.ReqToken, "k")).Token
	heal.Versions, heal.Payloads = []quorum.Version{req.Version}, []drive.Payload{req.Payload}
	p := &heal.Payloads[0]
	p.Staged, p.Again, p.PartInline = true, true, [][]byte{oneData, nil, nil, fourData}
	w := s.stagedAs(two.Ref.OID, here) // of which the drive need not be asked beforehand
	s.wantOK("the heal", s.ask(heal).OK, true)
	w.Abort()
	check := func() {
		s.Helper()
		for p, want := range map[*ondisk.UploadPart][]byte{one: oneData, two: here, three: lacking, four: fourData} {
			s.wantOpen(p.Ref.OID, want)
		}
		if got, err := s.d.Parts(s.ctx, req.OID); err != nil || len(got) != 4 {
			s.Fatalf("part table %+v, %v", got, err)
		}
	}
	check()
	_, _, err := s.d.GetUpload(s.ctx, s.key("k"), up.ID)
	s.wantErr("the upload that was completed", err, drive.ErrNoUpload)
	s.wantGone("a part that was not named", "k", unwanted.Ref.OID)
	s.passGarbage()
	check()
}

// completedTwice: the parts are one completion's or another's, never gone with the one that failed.
func completedTwice(s *suite) {
	for name, null := range map[string]bool{"null": true, "versioned": false} {
		up := s.upload(name)
		data := s.bytes(70_000)
		one, _ := s.part(1, 2, data, false)
		s.putPart(name, up, one, nil)
		failed, done := s.multipart(name, 10, up, one), s.multipart(name, 11, up, one)
		failed.Version.Null, done.Version.Null = null, null
		s.wantOK("the first completion", s.ask(failed).OK, true)
		s.wantOK("the second", s.ask(done).OK, true)
		s.settle(done, 0)
		if !null {
			drop := s.request(quorum.ReqDrop, name)
			drop.Attempt = failed.Version.Attempt()
			s.ask(drop)
		}
		s.passGarbage()
		s.wantOpen(one.Ref.OID, data)

		// One attempt under two stamps: both have one part table.
		name += "-stamps"
		up = s.upload(name)
		one, _ = s.part(1, 2, data, false)
		s.putPart(name, up, one, nil)
		failed = s.multipart(name, 10, up, one)
		failed.Version.Null = null
		s.wantOK("the first stamp", s.ask(failed).OK, true)
		anew := *failed
		anew.Version.Ref.TS, anew.Version.Rev = s.stamp(12), s.stamp(12)
		heal := s.request(quorum.ReqHeal, name)
		heal.Token = s.ask(s.request(quorum.ReqToken, name)).Token
		heal.Dead = []quorum.Attempt{failed.Version.Attempt()}
		heal.Decision.Ballot = object.VersionRef{TS: s.stamp(20), Write: object.NewWriteID()}
		heal.Versions, heal.Payloads = []quorum.Version{anew.Version}, []drive.Payload{anew.Payload}
		heal.Payloads[0].Staged, heal.Payloads[0].Again = true, true
		s.wantOK("the heal with the second", s.ask(heal).OK, true)
		s.passGarbage()
		s.wantOpen(one.Ref.OID, data)
		if got, err := s.d.Parts(s.ctx, failed.OID); err != nil || len(got) != 1 {
			s.Fatalf("part table %+v, %v", got, err)
		}
	}
}
