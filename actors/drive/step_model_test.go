package drive_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// twins are the actor, which keeps the protocol's state in rows, and the drive in memory, which keeps
// it as it is. Given the same requests they give the same answers.
type twins struct {
	t      *rapid.T
	r      *rig
	mem    *drivetest.Mem
	base   object.Stamp
	epoch  uint64
	rev    uint64
	tokens map[object.Key][2]uint64 // of the actor and of the memory
	key    int                      // of the request that is made
	sent   map[int][]quorum.Attempt // by key: attempts that were heard of
}

var (
	twinKeys = []string{"a", "a\x00b", "b"}
	twinCtx  = context.Background()
)

func (w *twins) draw(name string, n int) int { return rapid.IntRange(0, n-1).Draw(w.t, name) }

func (w *twins) stamp() object.Stamp { return w.base + object.Stamp(1+w.draw("stamp", 40)) }

// id is a write id, of which each names a write of one key.
func (w *twins) id(n byte) object.WriteID { return object.WriteID{0: n, 1: byte(w.key)} }

func (w *twins) ref() object.VersionRef {
	return object.VersionRef{TS: w.stamp(), Write: w.id(byte(1 + w.draw("write", 4)))}
}

// attempt is one that was heard of, or another.
func (w *twins) attempt() quorum.Attempt {
	if list := w.sent[w.key]; len(list) > 0 && w.draw("known", 8) > 0 {
		return list[w.draw("which", len(list))]
	}
	ref := w.ref()
	return quorum.Attempt{Ref: ref, Rev: ref.TS, Epoch: w.epoch, Null: w.draw("null", 2) == 0}
}

func (w *twins) version() (quorum.Version, drive.Payload) {
	a := w.attempt()
	switch w.draw("revise", 6) {
	case 0:
		a.Rev = max(a.Ref.TS, w.stamp())
	case 1:
		a.Ref, a.Rev = w.ref(), 0
		a.Rev = a.Ref.TS
	}
	w.sent[w.key] = append(w.sent[w.key], a)
	v := quorum.Version{Ref: a.Ref, Rev: a.Rev, Null: a.Null, Epoch: a.Epoch}
	// What a revision is, and what it completes, follows from its name, as if one coordinator had made it.
	switch sum := int(a.Ref.TS) + int(a.Rev) + int(a.Ref.Write[0]); {
	case a.Rev != a.Ref.TS && sum%3 == 0:
		v.Kind = quorum.Purged
	case a.Rev != a.Ref.TS, int(a.Ref.TS)%4 != 0:
		v.Kind = quorum.Object
	default:
		v.Kind = quorum.Kind(2 + a.Ref.TS%8/4)
	}
	if v.Kind == quorum.Object && a.Ref.Write[0] == 2 {
		v.Upload = a.Ref.Write
	}
	return v, payloadOf(&v)
}

func payloadOf(v *quorum.Version) drive.Payload {
	var oid object.OID
	binary.BigEndian.PutUint64(oid[:], uint64(v.Ref.TS))
	copy(oid[8:], v.Ref.Write[:2])
	row := ondisk.Version{Kind: ondisk.VersionKind(v.Kind), N: 4, K: 2, ModTime: int64(v.Rev), NullID: v.Null}
	p := drive.Payload{}
	if v.Kind == quorum.Object {
		p.Size, p.OID = 6, oid
		row.Size, row.Stored, row.ETag = 6, 6, "x"
		row.Refs = []ondisk.Ref{{Set: testSet, OID: oid, Length: 6, Inline: true}}
		if v.Data = v.Rev == v.Ref.TS; v.Data {
			p.Inline = []byte(fmt.Sprint(v.Ref.TS%100, v.Ref.Write[0]))
		}
	}
	p.Row, _ = ondisk.AppendVersion(nil, &row)
	return p
}

func (w *twins) request() *drive.Request {
	kinds := []quorum.RequestKind{
		quorum.ReqCommit, quorum.ReqCommit, quorum.ReqCommit, quorum.ReqCommit, quorum.ReqPrepare, quorum.ReqMark, quorum.ReqMark, quorum.ReqKill,
		quorum.ReqDrop, quorum.ReqCollect, quorum.ReqForget, quorum.ReqToken, quorum.ReqHeal, quorum.ReqHinted, quorum.ReqUpload,
		quorum.ReqDecide, quorum.ReqStage, quorum.ReqFloor, quorum.ReqAdopt, quorum.ReqFence,
	}
	w.key = w.draw("key", len(twinKeys))
	req := &drive.Request{Request: quorum.Request{Kind: kinds[w.draw("kind", len(kinds))], Key: key(twinKeys[w.key])}}
	req.Set, req.Epoch, req.Revision = testSet, w.epoch, w.rev
	if w.draw("late", 12) == 0 {
		req.Epoch--
	}
	switch req.Kind {
	case quorum.ReqCommit:
		req.Version, req.Payload = w.version()
		req.Ballot = req.Version.Ref
		if req.Version.Rev != req.Version.Ref.TS {
			req.Ballot = quorum.Ballot{TS: req.Version.Rev, Write: w.id(9)}
		} else if w.draw("prepared", 4) == 0 {
			req.Ballot = w.ref()
			req.Decision = quorum.Decision{Ballot: req.Ballot}
		}
	case quorum.ReqPrepare:
		req.Ballot, req.All, req.WithRows = w.ref(), w.draw("all", 2) == 0, true
	case quorum.ReqMark:
		a := w.attempt()
		req.Version.Ref, req.Version.Rev, req.Missed = a.Ref, a.Rev, quorum.Slots(w.draw("missed", 4))
	case quorum.ReqKill, quorum.ReqDrop:
		req.Attempt = w.attempt()
		w.sent[w.key] = append(w.sent[w.key], req.Attempt)
	case quorum.ReqCollect:
		a := w.attempt()
		req.Version = quorum.Version{Ref: a.Ref, Rev: a.Rev, Kind: quorum.Tombstone}
		req.Now = w.horizon()
	case quorum.ReqForget:
		req.Now, req.Floor = w.horizon(), w.stamp()
	case quorum.ReqHeal:
		w.heal(req)
	case quorum.ReqHinted:
		a := w.attempt()
		req.Version.Ref, req.Version.Rev, req.Missed = a.Ref, a.Rev, quorum.Slots(w.draw("missed", 4))
	case quorum.ReqUpload:
		req.Ballot = quorum.Ballot{TS: w.stamp(), Write: w.id(2)}
		req.Upload = req.Ballot.Write
		req.Opened = []*ondisk.Upload{{ID: req.Upload, TS: req.Ballot.TS, Meta: ondisk.Version{Kind: ondisk.KindObject}}}
	case quorum.ReqDecide:
		req.Ballot, req.Dead = w.ref(), []quorum.Attempt{w.attempt()}
		req.Decision = quorum.Decision{Ballot: req.Ballot}
		if w.draw("abort", 2) == 0 {
			req.Upload = w.id(2)
		}
	case quorum.ReqFloor:
		req.Floor = w.base + object.Stamp(w.draw("floor", 4))
	case quorum.ReqAdopt:
		w.adopt(req)
	case quorum.ReqFence:
		if w.draw("raise", 2) == 0 {
			w.rev++
		}
		req.Key.Name, req.Revision, req.Sealed = "", w.rev, w.draw("sealed", 8) == 0
	}
	return req
}

// horizon is a clock that lets the drive's horizon reach some of the stamps.
func (w *twins) horizon() object.Stamp {
	return w.base + object.Stamp(w.draw("horizon", 10)) + object.Stamp(drive.AttemptLife.Microseconds())<<10
}

func (w *twins) heal(req *drive.Request) {
	for range w.draw("versions", 3) {
		v, p := w.version()
		if v.Ballot = v.Ref; v.Rev != v.Ref.TS {
			v.Ballot = quorum.Ballot{TS: v.Rev, Write: w.id(9)}
		}
		if !slices.ContainsFunc(req.Versions, func(o quorum.Version) bool { return o.Is(v.Ref, v.Rev) }) {
			req.Versions, req.Payloads = append(req.Versions, v), append(req.Payloads, p)
		}
	}
	if w.draw("dead", 3) == 0 {
		req.Dead = []quorum.Attempt{w.attempt()}
	}
	if w.draw("opened", 3) == 0 {
		req.Uploads = []object.WriteID{w.id(2)}
		req.Opened = []*ondisk.Upload{{ID: req.Uploads[0], Meta: ondisk.Version{Kind: ondisk.KindObject}}}
	}
}

func (w *twins) adopt(req *drive.Request) {
	c := quorum.SetConfig{ID: testSet, Epoch: w.epoch, Shape: quorum.ShapeOf(4)}
	if w.draw("raise", 3) == 0 {
		w.epoch++
		c.Epoch = w.epoch
	}
	c.Phase, c.Moving = quorum.Phase(w.draw("phase", 3)), w.draw("moving", 4)
	req.Key.Name, req.Config, req.Member = "", c, 1
}

// do sends one request to both.
func (w *twins) do(*rapid.T) { w.send([]*drive.Request{w.request()}) }

// several are sent as one batch, marks before the others.
func (w *twins) several(*rapid.T) {
	var list []*drive.Request
	var marks []drive.Mark
	for range 2 + w.draw("more", 5) {
		switch r := w.request(); r.Kind {
		case quorum.ReqMark:
			marks = append(marks, drive.Mark{Key: r.Key, Set: r.Set, Ref: r.Version.Ref, Rev: r.Version.Rev, Missed: r.Missed})
		case quorum.ReqStage, quorum.ReqHeal:
		default:
			list = append(list, r)
		}
	}
	if slices.ContainsFunc(list, func(r *drive.Request) bool { return r.Kind != quorum.ReqCollect }) {
		for _, d := range []drive.Doer{w.r.a, w.mem} {
			if err := d.Mark(marks); err != nil {
				w.t.Fatal(err)
			}
		}
		w.send(list)
	}
}

func (w *twins) send(list []*drive.Request) {
	var got, want []drive.Call
	for _, req := range list {
		a, m := *req, *req
		if req.Kind == quorum.ReqHeal {
			a.Token, m.Token = w.tokens[req.Key][0], w.tokens[req.Key][1]
		}
		got = append(got, drive.Call{Req: &a, Reply: &drive.Reply{}})
		want = append(want, drive.Call{Req: &m, Reply: &drive.Reply{}})
	}
	moved := w.move()
	w.r.a.DoAll(twinCtx, got)
	moved()
	w.mem.DoAll(twinCtx, want)
	for i := range list {
		w.same(list[i], &got[i], &want[i])
		if list[i].Kind == quorum.ReqToken && got[i].Reply.OK {
			w.tokens[list[i].Key] = [2]uint64{got[i].Reply.Token, want[i].Reply.Token}
		}
	}
	if err := w.r.a.FlushMarks(twinCtx); err != nil {
		w.t.Fatal(err)
	}
}

// move lets the actor move small shards of some keys in its journal at the same time, or not.
func (w *twins) move() (wait func()) {
	var keys []object.Key
	for _, name := range twinKeys {
		if w.draw("move", 3) == 0 {
			keys = append(keys, key(name))
		}
	}
	moved, err := w.r.a.StartRehome(keys...)
	if err != nil {
		w.t.Fatal(err)
	}
	return func() {
		if err := moved(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// said is what an answer says, without what only one of the two can know.
func said(c *drive.Call) string {
	r := c.Reply
	for i := range r.Versions {
		v := &r.Versions[i]
		v.Synced = false
		if v.Stable {
			v.Seats = nil
		}
	}
	q := r.Reply
	q.Token = min(q.Token, 1)
	slices.SortFunc(q.Uploads, func(x, y object.WriteID) int { return bytes.Compare(x[:], y[:]) })
	out := fmt.Sprintf("%+v %q", q, r.Inline)
	for i := range r.Rows {
		out += fmt.Sprintf("\n\t%x", r.Rows[i].Shared)
	}
	return out
}

func (w *twins) same(req *drive.Request, got, want *drive.Call) {
	w.t.Helper()
	if !sameError(got.Err, want.Err) {
		w.t.Fatalf("%+v:\n actor  %v\n memory %v", req.Request, got.Err, want.Err)
	}
	if a, m := said(got), said(want); got.Err == nil && req.Kind != quorum.ReqMark && a != m {
		w.t.Fatalf("%+v:\n actor  %s\n memory %s", req.Request, a, m)
	}
}

// check compares reports of all keys, a list and the uploads.
func (w *twins) check(*rapid.T) {
	for _, name := range twinKeys {
		for _, all := range []bool{true, false} {
			req := &drive.Request{Request: quorum.Request{Kind: quorum.ReqReport, Key: key(name), All: all}, WithRows: true, WithShard: true}
			req.Set, req.Epoch, req.Revision, req.Sealed = testSet, w.epoch, w.rev, true
			got, want := drive.Call{Req: req, Reply: &drive.Reply{}}, drive.Call{Req: req, Reply: &drive.Reply{}}
			got.Err, want.Err = w.r.a.Do(twinCtx, req, got.Reply), w.mem.Do(twinCtx, req, want.Reply)
			w.same(req, &got, &want)
		}
	}
	var manyGot, manyWant []drive.Call // many at once, of which some are known by heart
	for _, name := range twinKeys {
		req := &drive.Request{Request: quorum.Request{Kind: quorum.ReqReport, Key: key(name), All: true}, NoUploads: true}
		req.Set, req.Epoch, req.Revision, req.Sealed = testSet, w.epoch, w.rev, true
		manyGot = append(manyGot, drive.Call{Req: req, Reply: &drive.Reply{}})
		manyWant = append(manyWant, drive.Call{Req: req, Reply: &drive.Reply{}})
	}
	w.r.a.DoAll(twinCtx, manyGot)
	w.mem.DoAll(twinCtx, manyWant)
	for _, c := range manyGot {
		i := slices.IndexFunc(manyWant, func(o drive.Call) bool { return o.Req == c.Req })
		w.same(c.Req, &c, &manyWant[i])
	}
	req := drive.ScanRequest{Bucket: testBucket, Full: allSets(), Limit: 10, Tombstones: true, Sets: func(string) cluster.SetID { return testSet }}
	got, err := w.r.a.Scan(twinCtx, &req)
	want, wantErr := w.mem.Scan(twinCtx, &req)
	got.Silent, want.Silent = nil, nil
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || err != nil || wantErr != nil {
		w.t.Fatalf("scan:\n actor  %+v, %v\n memory %+v, %v", got, err, want, wantErr)
	}
	refs := func(d drive.Drive) string {
		list, err := d.Pending(twinCtx, 0, 1000)
		hints, _, err2 := d.Debts(twinCtx, nil, 1000)
		var out []string
		for i := range list {
			out = append(out, fmt.Sprint("pending ", list[i].Key, list[i].Ref, list[i].Rev))
		}
		for i := range hints {
			for slot := range quorum.Slots(hints[i].Slots).All() {
				out = append(out, fmt.Sprint("missed ", hints[i].Key, hints[i].Ref, hints[i].Rev, slot))
			}
		}
		slices.Sort(out)
		return fmt.Sprint(out, err, err2)
	}
	if a, m := refs(w.r.a), refs(w.mem); a != m {
		w.t.Fatalf("work left:\n actor  %s\n memory %s", a, m)
	}
	if err := w.r.a.CheckJournal(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *twins) restart(*rapid.T) {
	w.r.reopen()
	w.mem.Restart()
	if err := adopt(twinCtx, w.mem); err != nil { // as the rig does when it opens
		w.t.Fatal(err)
	}
	clear(w.tokens)
}

// tables writes what is in memory to tables and, now and then, merges them: no row may come or go.
func (w *twins) tables(*rapid.T) {
	err := w.r.a.Flush()
	if err == nil && w.draw("merge", 4) == 0 {
		err = w.r.a.Merge()
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestActorAnswersAsTheProtocolOnPlainMemory: the actor, over rows, batches, restarts and what it
// knows by heart, answers every request as quorum.Drive does on state that lies in memory.
func TestActorAnswersAsTheProtocolOnPlainMemory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fs := vfs.NewMem()
		if err := drive.FormatOn(fs, "/d", testLabel()); err != nil {
			rt.Fatal(err)
		}
		now := time.Now()
		clock := func() time.Time { return now }
		w := &twins{t: rt, mem: drivetest.NewMem(testLabel().Drive), sent: map[int][]quorum.Attempt{}, tokens: map[object.Key][2]uint64{}, base: object.StampAt(now) - 1000, epoch: 1, rev: 1}
		w.mem.SetClock(clock)
		w.r = &rig{t: t, o: drive.Options{Path: "/d", FS: fs, Label: testLabel(), MemTable: 1 << 20, Clock: clock}}
		w.r.open()
		defer func() { w.r.a.Close() }()
		if err := adopt(twinCtx, w.mem); err != nil {
			rt.Fatal(err)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"do": w.do, "do2": w.do, "do3": w.do, "several": w.several, "restart": w.restart, "tables": w.tables, "": w.check,
		})
	})
}
