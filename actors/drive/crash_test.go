package drive_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/actors/segment"
)

// model is what a drive must show: the newest version of each key, and the rest that was said.
type model struct {
	keys    map[string]string // payload; "" = deleted or never there
	uploads map[string]int    // open uploads by key: number of parts
	control uint64
	fence   uint64
	promise object.Stamp // given for the key "promised"
}

func (m *model) clone() *model {
	c := &model{keys: map[string]string{}, uploads: map[string]int{}, control: m.control, fence: m.fence, promise: m.promise}
	for k, v := range m.keys {
		c.keys[k] = v
	}
	for k, v := range m.uploads {
		c.uploads[k] = v
	}
	return c
}

// step is one mutating operation and what it changes.
type step struct {
	name string
	do   func(r *rig) error
	then func(m *model)
}

// crashJournal makes small files of the journal, so that they are sealed, emptied and used again.
const crashJournal = 32 << 10

// crashScript touches every mutating operation of a drive at least once.
func crashScript() []step {
	var steps []step
	add := func(name string, do func(r *rig) error, then func(m *model)) {
		if then == nil {
			then = func(*model) {}
		}
		steps = append(steps, step{name, do, then})
	}
	last := map[string]*drivetest.Commit{}
	put := func(name, payload string, staged bool) {
		add("put "+name, func(r *rig) error {
			c := r.version(name, payload)
			if staged {
				c = r.staged(name, []byte(payload), 256<<10)
			}
			last[name] = c
			_, err := r.a.Commit(context.Background(), c)
			return err
		}, func(m *model) { m.keys[name] = payload })
	}
	mark := func(name string) {
		add("mark "+name, func(r *rig) error {
			c := last[name]
			if err := r.a.Mark([]drive.Mark{{Key: c.Key, Set: c.Set, Ref: c.Ref, Missed: 1}}); err != nil {
				return err
			}
			return r.a.Collect(context.Background(), nil)
		}, nil)
	}
	del := func(name string) {
		add("delete "+name, func(r *rig) error {
			last[name] = r.tombstone(name)
			_, err := r.a.Commit(context.Background(), last[name])
			return err
		}, func(m *model) { m.keys[name] = "" })
	}
	protocolSteps(add)
	put("inline", "one", false)
	put("inline", "two", false)
	mark("inline")
	put("small", string(pattern(9000, 1)), true)
	put("large", string(pattern(700<<10, 2)), true)
	mark("large")
	put("huge", string(pattern(1<<20+100, 3)), true)
	mark("huge")
	put("large", string(pattern(300<<10, 4)), true)
	mark("large")
	del("inline")
	mark("inline")
	add("collect inline", func(r *rig) error {
		c := last["inline"]
		return r.a.Collect(context.Background(), []drivetest.Tomb{{Key: c.Key, Set: c.Set, Ref: c.Ref}})
	}, nil)
	uploadSteps(add)
	add("control", func(r *rig) error {
		return r.a.StoreControl(context.Background(), ondisk.ControlMeta{Index: 1}, map[string][]byte{"x": []byte("y")}, nil)
	}, func(m *model) { m.control = 1 })
	add("fence", func(r *rig) error { return r.a.Fence(context.Background(), testBucket+1, 4, false, false) },
		func(m *model) { m.fence = 4 })
	put("doomed", "never stable", false)
	add("drop doomed", func(r *rig) error {
		c := last["doomed"]
		return r.a.Drop(context.Background(), c.Key, c.Set, c.Ref)
	}, func(m *model) { m.keys["doomed"] = "" })
	add("many", putMany, func(m *model) {
		for i := range 720 {
			m.keys[fmt.Sprintf("many%d", i)] = string(pattern(2000, byte(i%90)))
		}
	})
	del("huge")
	mark("huge")
	put("inline", "three", false)
	add("remove bucket", func(r *rig) error { return r.a.Fence(context.Background(), testBucket+2, 1, false, true) }, nil)
	return steps
}

// protocolSteps are what only the protocol's own requests do.
func protocolSteps(add func(string, func(*rig) error, func(*model))) {
	add("adopt", func(r *rig) error { return adopt(context.Background(), r.a) }, nil)
	add("promise", func(r *rig) error {
		req := promiseOf(quorum.ReqPrepare)
		var reply drive.Reply
		if err := r.a.Do(context.Background(), req, &reply); err != nil || reply.OK {
			return err
		}
		return errors.New("no promise")
	}, func(m *model) { m.promise = promiseOf(quorum.ReqPrepare).Ballot.TS })
}

// promiseOf asks for a promise, or which was given.
func promiseOf(kind quorum.RequestKind) *drive.Request {
	req := &drive.Request{Request: quorum.Request{Kind: kind, Key: key("promised")}}
	req.Set, req.Epoch, req.Revision = testSet, 1, 1
	req.Ballot = quorum.Ballot{TS: 1 << 40, Write: object.WriteID{1}}
	return req
}

// checkPromise: a promise that was answered still binds.
func checkPromise(ctx context.Context, a *drive.Actor, was, will object.Stamp) error {
	var reply drive.Reply
	if err := a.Do(ctx, promiseOf(quorum.ReqReport), &reply); err != nil {
		return err
	}
	if got := reply.Promise.TS; got != was && got != will {
		return fmt.Errorf("promised %d, not %d or %d", got, was, will)
	}
	return nil
}

// putMany commits enough to rotate the log and flush.
func putMany(r *rig) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for i := range 8 {
		var cs []*drivetest.Commit
		for j := range 90 {
			cs = append(cs, r.version(fmt.Sprintf("many%d", i*90+j), string(pattern(2000, byte(j)))))
		}
		wg.Go(func() {
			for _, c := range cs {
				if _, err := r.a.Commit(context.Background(), c); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return failed
}

func uploadSteps(add func(string, func(*rig) error, func(*model))) {
	var up *ondisk.Upload
	var parts []ondisk.Part
	at := func(name string) drive.Target {
		return drive.Target{Set: testSet, Epoch: 1, BucketRev: 1, Key: key(name)}
	}
	for round, name := range []string{"mp", "aborted"} {
		add("open upload", func(r *rig) error {
			up = &ondisk.Upload{ID: object.NewWriteID(), TS: r.stamp(), Started: 1, Meta: ondisk.Version{Kind: ondisk.KindObject}}
			return r.a.PutUpload(context.Background(), at(name), up)
		}, func(m *model) { m.uploads[name] = 0 })
		for i := range 2 {
			add("part", func(r *rig) error {
				ts := r.stamp()
				p := ondisk.UploadPart{Part: ondisk.Part{
					Number: uint16(i + 1), Size: 1 << 19, Stored: 1 << 19, ETag: "0123456789abcdef0123456789abcdef", Write: object.NewWriteID(),
					Ref: ondisk.Ref{Set: testSet, OID: object.NewOID(ts), Length: 1 << 19, Inline: i == 1},
				}, TS: ts, Slot: 1, N: 4, K: 2, Unit: 256 << 10, Frame: 256 << 10}
				parts = append(parts, p.Part)
				if i == 1 {
					return r.a.PutPart(context.Background(), at(name), up.ID, &p, []byte("tail"))
				}
				r.stage(p.Ref.OID, pattern(256<<10, byte(i)), 256<<10)
				return r.a.PutPart(context.Background(), at(name), up.ID, &p, nil)
			}, func(m *model) { m.uploads[name]++ })
		}
		if round == 1 {
			add("abort upload", func(r *rig) error {
				return r.a.DropUpload(context.Background(), at(name), up.ID)
			}, func(m *model) { delete(m.uploads, name) })
			continue
		}
		add("complete", func(r *rig) error {
			oid := object.NewOID(r.stamp())
			v := &ondisk.Version{Kind: ondisk.KindObject, N: 4, K: 2, Unit: 256 << 10, Frame: 256 << 10, Size: 1 << 19, Stored: 1 << 19, Parts: 1,
				ETag: "0123456789abcdef0123456789abcdef-1", Refs: []ondisk.Ref{{Set: testSet, OID: oid, Length: 1 << 19}}}
			c := r.commitOf(name, v, r.stamp(), oid, nil)
			c.Parts, c.Upload = parts[:1], up.ID
			_, err := r.a.Commit(context.Background(), c)
			return err
		}, func(m *model) { m.keys[name] = multipart; delete(m.uploads, name) })
	}
}

// multipart stands for the payload of the completed upload: its first part.
const multipart = "multipart"

// crasher clones the file system at calls that change it and checks each clone.
type crasher struct {
	t       *testing.T
	mem     *vfs.MemFS
	every   int
	mu      sync.Mutex // one clone at a time
	calls   int        // guarded by mu
	checked int        // guarded by mu
	off     bool       // guarded by mu

	state  sync.Mutex
	acked  *model // guarded by state: what was answered
	coming *model // guarded by state: what the operation under way will change it to
	name   string // guarded by state
}

// begin says that an operation is under way which changes what is there to next.
func (c *crasher) begin(name string, next *model) {
	c.state.Lock()
	defer c.state.Unlock()
	c.name, c.coming = name, next
}

// end says that the operation was answered.
func (c *crasher) end() {
	c.state.Lock()
	defer c.state.Unlock()
	c.acked = c.coming
}

func (c *crasher) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls++; c.off || c.calls%c.every != 0 || c.t.Failed() {
		return nil
	}
	c.state.Lock()
	acked, coming, name := c.acked, c.coming, c.name
	c.state.Unlock()
	// All kept, all dropped, and parts of it, in turn.
	percent := []int{0, 50, 100, 20, 80}[c.calls/c.every%5]
	clone := c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(uint64(c.calls), 7))})
	c.checked++
	at := fmt.Sprintf("crash before call %d (%v %s) during %q, keeping %d %% of what was not synced", c.calls, op.Kind, op.Path, name, percent)
	if err := checkCrash(clone, acked, coming); err != nil {
		c.t.Errorf("%s: %v", at, err)
	}
	return nil
}

func (c *crasher) String() string { return "crasher" }

// checkCrash opens what a crash left and compares: everything acknowledged is there, the operation
// under way happened wholly or not at all.
func checkCrash(fs vfs.FS, acked, coming *model) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	a, err := drive.Open(ctx, drive.Options{Path: "/d", FS: fs, Label: crashLabel(), MemTable: 1 << 20, Journal: crashJournal})
	if err != nil {
		return err
	}
	defer a.Close()
	if err := adopt(ctx, a); err != nil {
		return err
	}
	for name := range coming.keys {
		if err := checkKey(ctx, a, name, acked.keys[name], coming.keys[name]); err != nil {
			return fmt.Errorf("key %s: %w", name, err)
		}
	}
	if err := checkPromise(ctx, a, acked.promise, coming.promise); err != nil {
		return err
	}
	list, err := a.ListUploads(ctx, testBucket, "", "", object.WriteID{}, 100)
	if err != nil {
		return err
	}
	found := map[string]int{}
	for _, e := range list {
		_, parts, err := a.GetUpload(ctx, key(e.Name), e.Upload.ID)
		if err != nil {
			return err
		}
		for _, p := range parts {
			s, err := a.OpenShard(ctx, key(e.Name), p.Ref.OID)
			if err != nil {
				return fmt.Errorf("part %d of %s: %w", p.Number, e.Name, err)
			}
			if _, err := readShard(ctx, s); err != nil {
				return fmt.Errorf("part %d of %s: %w", p.Number, e.Name, err)
			}
			s.Close()
		}
		found[e.Name] = len(parts)
	}
	for _, name := range []string{"mp", "aborted"} {
		n, ok := found[name]
		a1, ok1 := acked.uploads[name]
		a2, ok2 := coming.uploads[name]
		if !(ok == ok1 && n == a1) && !(ok == ok2 && n == a2) {
			return fmt.Errorf("upload %s: open %t with %d parts, acknowledged %t with %d", name, ok, n, ok1, a1)
		}
	}
	meta, _, err := a.LoadControl(ctx)
	if err != nil && !errors.Is(err, drive.ErrNoControl) {
		return err
	}
	if meta.Index != acked.control && meta.Index != coming.control {
		return fmt.Errorf("control copy at %d", meta.Index)
	}
	if err := a.CheckJournal(); err != nil {
		return err
	}
	// The store still takes writes, and its space accounts are in order.
	r := &rig{t: failing{}, o: drive.Options{Path: "/d", FS: fs}, a: callable(a)}
	if _, err := r.a.Commit(ctx, r.version("after", "crash")); err != nil {
		return fmt.Errorf("commit after the crash: %w", err)
	}
	return nil
}

// failing is a testing.TB that nothing must fail on.
type failing struct{ testing.TB }

func (failing) Helper() {}

func (failing) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func checkKey(ctx context.Context, a *drive.Actor, name, was, will string) error {
	rep, err := callable(a).Report(ctx, &drivetest.ReportRequest{Set: testSet, Epoch: 1, Key: key(name), WithShard: true})
	if err != nil {
		return err
	}
	got := ""
	if len(rep.Versions) > 0 && rep.Versions[0].Version.Kind == ondisk.KindObject {
		v := &rep.Versions[0].Version
		switch {
		case v.Parts > 0:
			table, err := a.Parts(ctx, v.Refs[0].OID)
			if err != nil {
				return err
			}
			s, err := a.OpenShard(ctx, key(name), table[0].Ref.OID)
			if err != nil {
				return fmt.Errorf("part: %w", err)
			}
			defer s.Close()
			if data, err := readShard(ctx, s); err != nil || data != string(pattern(256<<10, 0)) {
				return fmt.Errorf("part has wrong bytes: %v", err)
			}
			got = multipart
		case v.Refs[0].Inline:
			got = string(rep.Inline)
		case rep.Shard == nil:
			return errors.New("no shard")
		default:
			defer rep.Shard.Close()
			if got, err = readShard(ctx, rep.Shard); err != nil {
				return err
			}
		}
	}
	if got != was && got != will {
		return fmt.Errorf("%d bytes %.20q, want %d bytes %.20q or %d bytes %.20q", len(got), got, len(was), was, len(will), will)
	}
	return nil
}

func readShard(ctx context.Context, s drive.ShardReader) (string, error) {
	var out []byte
	for i := 0; int64(len(out)) < s.Size(); i++ {
		got, err := s.ReadFrames(ctx, i, [][]byte{make([]byte, ondisk.FrameHeaderRoom+s.Frame())})
		if err != nil {
			return "", err
		}
		out = append(out, got[0]...)
	}
	return string(out), nil
}

func crashLabel() ondisk.Label {
	l := testLabel()
	l.SegmentSize = 4096 + 4*segment.UnitSize
	return l
}

// TestCrashAtEveryCall stops the world before each call that changes the file system, drops what
// was not synced wholly or partly, and opens what is left.
func TestCrashAtEveryCall(t *testing.T) {
	every := 5
	if testing.Short() {
		every = 29
	}
	mem := vfs.NewCrashableMem()
	if err := drive.FormatOn(mem, "/d", crashLabel()); err != nil {
		t.Fatal(err)
	}
	c := &crasher{t: t, mem: mem, every: every}
	c.acked = &model{keys: map[string]string{}, uploads: map[string]int{}}
	c.coming = c.acked
	r := &rig{t: t, o: drive.Options{Path: "/d", FS: errorfs.Wrap(mem, c), Label: crashLabel(), MemTable: 1 << 20, Journal: crashJournal}}
	r.open()
	for _, s := range crashScript() {
		next := c.acked.clone()
		s.then(next)
		c.begin(s.name, next)
		if err := s.do(r); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		c.end()
	}
	c.begin("close", c.acked)
	if err := r.a.Close(); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t.Logf("%d calls, %d crashes", c.calls, c.checked)
}

// atCall runs once, before the n-th call that changes the file system.
type atCall struct {
	n, calls int
	mu       sync.Mutex
	run      func()
}

func (*atCall) String() string { return "at call" }

func (a *atCall) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calls++; a.calls == a.n {
		a.run()
	}
	return nil
}

// crashesOf runs f and returns what several crashes before its n-th changing call leave; nil if f
// makes fewer calls.
func crashesOf(mem *vfs.MemFS, n int, f func(vfs.FS) error) (clones []*vfs.MemFS) {
	at := &atCall{n: n, run: func() {
		for i, percent := range []int{0, 50, 100} {
			cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(uint64(n), uint64(i)))}
			clones = append(clones, mem.CrashClone(cfg))
		}
	}}
	if err := f(drivetest.Inject(mem, at)); err != nil {
		return nil
	}
	return clones
}

// TestCrashWhileRecovering stops the world again at every call of the open that follows a crash.
func TestCrashWhileRecovering(t *testing.T) {
	mem := vfs.NewCrashableMem()
	if err := drive.FormatOn(mem, "/d", crashLabel()); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, o: drive.Options{Path: "/d", FS: mem, Label: crashLabel(), MemTable: 1 << 20, Journal: crashJournal}}
	r.open()
	m := &model{keys: map[string]string{}, uploads: map[string]int{}}
	for _, s := range crashScript() {
		if err := s.do(r); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		s.then(m)
	}
	if err := r.a.Mark(nil); err != nil {
		t.Fatal(err)
	}
	first := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(3, 4))})
	r.a.Close()
	for n := 1; ; n += 3 {
		again := first.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(5, 6))})
		clones := crashesOf(again, n, func(fs vfs.FS) error {
			a, err := drive.Open(context.Background(), drive.Options{Path: "/d", FS: fs, Label: crashLabel(), MemTable: 1 << 20, Journal: crashJournal})
			if err != nil {
				return err
			}
			return a.Close()
		})
		if clones == nil {
			if n < 20 {
				t.Fatalf("only %d calls", n)
			}
			return
		}
		for i, clone := range clones {
			if err := checkCrash(clone, m, m); err != nil {
				t.Fatalf("crash before call %d of the recovery, clone %d: %v", n, i, err)
			}
		}
	}
}
