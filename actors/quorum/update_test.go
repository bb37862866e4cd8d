package quorum

import (
	"testing"
	"time"

	"holdfast/actors/object"
)

func (w *world) want(what string, got, want Status) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: status %d, want %d", what, got, want)
	}
}

func TestPutsReadBack(t *testing.T) {
	for _, n := range []int{1, 4, 6} {
		w := newWorld(t, n, 0)
		w.reads(0)
		w.want("put", w.put(1, Cond{}), StatusOK)
		w.reads(1)
		w.want("overwrite", w.update(Intent{Kind: Put, What: Object, Null: true, Body: 2, Staged: true}).Status, StatusOK)
		w.reads(2)
		w.want("delete", w.update(Intent{Kind: Put, What: Tombstone, Null: true}).Status, StatusOK)
		w.reads(0)
		for _, d := range w.drives {
			if len(d.key.Versions) != 1 || !d.key.Versions[0].Stable || len(d.key.Pins) > 0 {
				t.Errorf("n=%d: left over: %+v", n, d.key)
			}
		}
		c := NewCollect(w.env, w.target)
		w.run(c)
		w.want("collect", c.Result().Status, StatusOK)
		for _, d := range w.drives {
			if !d.key.Empty() || d.set.GCFloor == 0 {
				t.Errorf("n=%d: not collected: %+v, floor %d", n, d.key, d.set.GCFloor)
			}
		}
		w.want("put again", w.put(3, Cond{}), StatusOK)
		w.reads(3)
	}
}

func TestConditions(t *testing.T) {
	w := newWorld(t, 4, 0)
	w.want("if match, absent", w.put(1, Cond{Kind: CondBody, Body: 7}), StatusFailed)
	w.want("if none match, absent", w.put(1, Cond{Kind: CondAbsent}), StatusOK)
	w.want("if none match, present", w.put(2, Cond{Kind: CondAbsent}), StatusFailed)
	w.want("if match, other", w.put(2, Cond{Kind: CondBody, Body: 7}), StatusFailed)
	w.want("if match", w.put(2, Cond{Kind: CondBody, Body: 1}), StatusOK)
	w.reads(2)
	w.drives[0].down = true
	w.want("one drive away", w.put(3, Cond{Kind: CondPresent}), StatusOK)
	w.drives[1].down = true
	w.want("two drives away", w.put(4, Cond{Kind: CondPresent}), StatusUnavailable)
	w.reads(3)
	w.drives[0].down, w.drives[1].down = false, false
	w.want("settle", w.update(Intent{Kind: Settle}).Status, StatusOK)
	w.reads(3)
}

func TestRevisions(t *testing.T) {
	w := newWorld(t, 4, 0)
	w.want("revise what is not there", w.update(Intent{Kind: Revise, Meta: 1}).Status, StatusAbsent)
	w.put(1, Cond{})
	w.want("revise", w.update(Intent{Kind: Revise, Meta: 5}).Status, StatusOK)
	if r := w.get(); r.Version.Meta != 5 || r.Version.Body != 1 {
		t.Errorf("reads %+v", r.Version)
	}
	// A revision that reaches two of four is killed with proof: nothing was done.
	w.lose = only(ReqCommit, 0b0011)
	w.want("revise on two", w.update(Intent{Kind: Revise, Meta: 6}).Status, StatusUnavailable)
	w.lose = nil
	if r := w.get(); r.Version.Meta != 5 {
		t.Errorf("an unacknowledged revision is read: %+v", r.Version)
	}
	w.update(Intent{Kind: Settle})
	for i, d := range w.drives {
		if len(d.key.Versions) != 1 || d.key.Versions[0].Meta != 5 || !d.key.Versions[0].Data {
			t.Errorf("drive %d holds %+v", i, d.key.Versions)
		}
	}
}

func TestVersionsAndPurge(t *testing.T) {
	w := newWorld(t, 4, 0)
	var refs []object.VersionRef
	for body := uint64(1); body <= 3; body++ {
		r := w.update(Intent{Kind: Put, What: Object, Body: body})
		w.want("put", r.Status, StatusOK)
		refs = append(refs, r.Version.Ref)
	}
	w.want("marker", w.update(Intent{Kind: Put, What: Marker}).Status, StatusOK)
	w.reads(0)
	r := w.update(Intent{Kind: Settle})
	if len(r.Versions) != 4 {
		t.Fatalf("%d versions, want 4", len(r.Versions))
	}
	w.want("purge the marker", w.update(Intent{Kind: Purge, At: object.IDOf(r.Versions[0].Ref, false)}).Status, StatusOK)
	w.reads(3)
	w.want("purge the newest", w.update(Intent{Kind: Purge, At: object.IDOf(refs[2], false)}).Status, StatusOK)
	w.reads(2)
	w.want("purge it again", w.update(Intent{Kind: Purge, At: object.IDOf(refs[2], false)}).Status, StatusAbsent)
	w.want("purge an old one", w.update(Intent{Kind: Purge, At: object.IDOf(refs[0], false)}).Status, StatusOK)
	w.reads(2)
	w.now = w.now.Add(time.Hour)
	for range 8 { // attempts that old are over; then what was purged goes
		w.run(NewCollect(w.env, w.target))
		w.deliverForget()
	}
	w.reads(2)
	for i, d := range w.drives {
		if len(d.key.Versions) != 1 || len(d.key.Dead)+len(d.key.Superseded) > 0 {
			t.Errorf("drive %d: %+v", i, d.key)
		}
	}
}

// named reads a named version.
func (w *world) named(id object.VersionID) Result {
	w.now = w.now.Add(time.Second)
	g := NewGetAt(w.env, w.target, w.id(), false, id)
	if !w.run(g) {
		w.t.Fatal("get is not done")
	}
	return g.Result()
}

func TestNamedVersions(t *testing.T) {
	w := newWorld(t, 4, 0)
	ids := []object.VersionID{object.NullVersion}
	w.put(1, Cond{}) // before versioning
	for body := uint64(2); body <= 3; body++ {
		r := w.update(Intent{Kind: Put, What: Object, Body: body})
		ids = append(ids, object.IDOf(r.Version.Ref, false))
	}
	mark := w.update(Intent{Kind: Put, What: Marker}).Version.Ref
	reads := func(what string, i int, body uint64) {
		t.Helper()
		r := w.named(ids[i])
		switch {
		case body == 0:
			w.want(what, r.Status, StatusAbsent)
		case r.Status != StatusOK || r.Version.Body != body:
			t.Errorf("%s: reads as %d (status %d), want %d", what, r.Version.Body, r.Status, body)
		}
	}
	for i := range ids {
		reads("below a marker", i, uint64(i+1))
	}
	if r := w.named(object.IDOf(mark, false)); r.Status != StatusAbsent || r.Version.Kind != Marker {
		t.Errorf("the marker by its id: %+v", r)
	}
	if r := w.get(); r.Status != StatusAbsent || r.Version.Ref != mark {
		t.Errorf("behind the marker: %+v", r)
	}
	if r := w.named(object.IDOf(object.VersionRef{TS: 1}, false)); r.Status != StatusAbsent || r.Version.Kind != 0 {
		t.Errorf("what never was: %+v", r)
	}
	w.want("revise an old one", w.update(Intent{Kind: Revise, At: ids[1], Meta: 7}).Status, StatusOK)
	if r := w.named(ids[1]); r.Version.Meta != 7 || r.Version.Body != 2 {
		t.Errorf("revised: %+v", r.Version)
	}
	w.put(4, Cond{}) // versioning suspended: replaces the null version
	reads("null replaced", 0, 4)
	w.want("null deleted", w.update(Intent{Kind: Put, What: Marker, Null: true}).Status, StatusOK)
	reads("null deleted", 0, 0)
	w.put(5, Cond{})
	w.want("null purged", w.update(Intent{Kind: Purge, At: object.NullVersion}).Status, StatusOK)
	reads("null purged", 0, 0)
	w.want("null purged again", w.update(Intent{Kind: Purge, At: object.NullVersion}).Status, StatusAbsent)
	reads("others stand", 2, 3)
}

// TestNamedVersionInDoubt: a purge that did not reach W is settled before the version is returned,
// and one that did is never read past.
func TestNamedVersionInDoubt(t *testing.T) {
	for _, reached := range []Slots{0b0001, 0b0011, 0b0111} {
		w := newWorld(t, 4, 0)
		id := object.IDOf(w.update(Intent{Kind: Put, What: Object, Body: 1}).Version.Ref, false)
		w.update(Intent{Kind: Put, What: Object, Body: 2})
		// The coordinator dies behind its commits: nothing is killed, marked or answered.
		w.lose = func(m int, r *Request) bool {
			return r.Kind == ReqCommit && !reached.Has(m) || r.Kind == ReqKill || r.Kind == ReqDrop || r.Kind == ReqMark
		}
		w.update(Intent{Kind: Purge, At: id})
		w.lose = nil
		first := w.named(id)
		for range 3 {
			if r := w.named(id); r.Status != first.Status {
				t.Errorf("purge on %v: read as %v and then as %v", reached, first.Status, r.Status)
			}
		}
		if want := reached.Len() < 3; (first.Status == StatusOK) != want && reached.Len() != 2 {
			t.Errorf("purge on %v: %v", reached, first.Status)
		}
	}
}

// deliverForget lets the drives' horizons pass.
func (w *world) deliverForget() {
	for m := range w.drives {
		w.ask(m, &Request{Kind: ReqForget, Fence: w.target.fence(), Now: object.StampAt(w.now)})
	}
}

func TestUploadsEndOnce(t *testing.T) {
	for _, first := range []IntentKind{Complete, Abort} {
		w := newWorld(t, 4, 0)
		up := w.id()
		w.want("open", w.update(Intent{Kind: Open, Write: up}).Status, StatusOK)
		in := func(k IntentKind) Intent { return Intent{Kind: k, What: Object, Null: true, Body: 9, Upload: up} }
		w.want("first", w.update(in(first)).Status, StatusOK)
		if first == Complete {
			w.want("complete again", w.update(in(Complete)).Status, StatusOK)
			w.want("abort after complete", w.update(in(Abort)).Status, StatusNoUpload)
			w.reads(9)
		} else {
			w.want("complete after abort", w.update(in(Complete)).Status, StatusNoUpload)
			w.reads(0)
		}
	}
}

func TestUnfinishedWrites(t *testing.T) {
	for reached := Slots(1); reached < 15; reached++ {
		w := newWorld(t, 4, 0)
		w.put(1, Cond{})
		w.lose = func(m int, r *Request) bool {
			return r.Kind == ReqCommit && !reached.Has(m) || r.Kind == ReqKill || r.Kind == ReqMark || r.Kind == ReqDrop
		}
		w.quiet = func(_ int, r *Request) bool { return r.Kind == ReqCommit }
		w.want("put", w.put(2, Cond{}), StatusUnknown)
		w.lose, w.quiet = nil, nil
		want := uint64(1)
		if reached.Len() >= 3 {
			want = 2
		}
		w.reads(want)
		w.reads(want)
		w.update(Intent{Kind: Settle})
		w.reads(want)
		for i, d := range w.drives {
			if len(d.key.Versions) != 1 || !d.key.Versions[0].Stable {
				if reached.Len() < 3 || reached.Has(i) {
					t.Errorf("reached %b: drive %d still holds %+v", reached, i, d.key.Versions)
				}
			}
		}
	}
}

func TestARefusedWriteIsKilledAndStampedAnew(t *testing.T) {
	w := newWorld(t, 4, 0)
	w.put(1, Cond{})
	// Somebody with a faster clock wrote on two drives.
	v := Version{Ref: object.VersionRef{TS: object.StampAt(w.now.Add(1400 * time.Millisecond)), Write: w.id()}, Kind: Object, Null: true, Body: 8, Epoch: 1, Data: true}
	v.Rev = v.Ref.TS
	for m := range 2 {
		w.ask(m, &Request{Kind: ReqCommit, Fence: w.target.fence(), Version: v, Ballot: v.Ref})
	}
	if w.drives[0].key.Versions[0].Body != 8 {
		w.now = w.now.Add(time.Second)
		for m := range 2 {
			w.ask(m, &Request{Kind: ReqCommit, Fence: w.target.fence(), Version: v, Ballot: v.Ref})
		}
		w.now = w.now.Add(-time.Second)
	}
	r := w.update(Intent{Kind: Put, What: Object, Null: true, Body: 2})
	w.want("put", r.Status, StatusOK)
	if r.Version.Ref.TS <= v.Ref.TS {
		t.Error("it was not stamped anew")
	}
	w.reads(2)
}

func TestAMoveCarriesEverything(t *testing.T) {
	w := newWorld(t, 4, 0)
	w.put(1, Cond{})
	w.drives = append(w.drives, &drv{})
	w.reconfigure(func(c *SetConfig) { c.Phase, c.Moving = Begun, 1 })
	if w.drives[4].set.State != SlotRebuilding {
		t.Fatalf("the newcomer is in state %d", w.drives[4].set.State)
	}
	w.want("put while it moves", w.put(2, Cond{}), StatusOK)
	w.drives[4].down = true
	w.want("put without the newcomer", w.put(3, Cond{}), StatusOK)
	w.drives[4].down = false
	h := NewHeal(w.env, w.target, w.id(), 4)
	w.run(h)
	w.want("copy", h.Result().Status, StatusOK)
	w.reconfigure(func(c *SetConfig) { c.Phase = Flipped })
	if w.drives[4].set.State != SlotInSync {
		t.Fatalf("after the flip the newcomer is in state %d", w.drives[4].set.State)
	}
	w.want("conditional put after the flip", w.put(4, Cond{Kind: CondBody, Body: 3}), StatusOK)
	w.drives[1], w.drives = w.drives[4], w.drives[:4]
	w.reconfigure(func(c *SetConfig) { c.Phase = Settled })
	w.reads(4)
	w.drives[0].down, w.drives[2].down = true, true
	w.reads(4)
}

func TestAHealIsCancelledByWhateverComes(t *testing.T) {
	w := newWorld(t, 4, 0)
	w.drives[3].down = true
	w.put(1, Cond{})
	w.drives[3].down = false
	tombs := 0
	w.lose = func(m int, r *Request) bool { // while it copies, the key is deleted
		if r.Kind == ReqHeal && tombs == 0 {
			tombs++
			u := NewUpdate(w.env, w.target, Intent{Kind: Put, What: Tombstone, Null: true, Write: w.id()})
			w.run(u)
		}
		return false
	}
	h := NewHeal(w.env, w.target, w.id(), 3)
	w.run(h)
	w.want("heal", h.Result().Status, StatusOK)
	w.lose = nil
	w.reads(0)
	if len(w.drives[3].key.Versions) != 1 || w.drives[3].key.Versions[0].Kind != Tombstone {
		t.Errorf("the target holds %+v", w.drives[3].key.Versions)
	}
}
