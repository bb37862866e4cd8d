package quorum

import (
	"testing"
	"time"

	"holdfast/actors/object"
)

// at is a moment after the world's start, as a stamp.
func (w *world) at(d time.Duration) object.Stamp { return object.StampAt(t0.Add(d)) }

// version is a null object stamped at ts by a write of its own.
func (w *world) version(ts object.Stamp, body uint64) Version {
	return Version{
		Ref: object.VersionRef{TS: ts, Write: w.id()}, Rev: ts, Kind: Object, Null: true, Body: body, Data: true,
		Epoch: w.target.Config.Epoch,
	}
}

// send gives one request to several members and counts those that say yes.
func (w *world) send(to Slots, req Request) (yes Slots) {
	req.Fence, req.Key = w.target.fence(), w.target.Key
	for m := range to.All() {
		r := req
		if w.ask(m, &r).OK {
			yes |= Slot(m)
		}
	}
	return yes
}

// commit offers a plain write.
func (w *world) commit(to Slots, v *Version) Slots {
	return w.send(to, Request{Kind: ReqCommit, Version: *v, Ballot: v.Ref})
}

func (w *world) mark(to Slots, v *Version) { w.send(to, Request{Kind: ReqMark, Version: *v}) }

func (w *world) kill(m int, k RequestKind, v *Version) KillVerdict {
	return w.ask(m, &Request{Kind: k, Fence: w.target.fence(), Attempt: v.Attempt()}).Kill
}

func TestADriveTakesAMark(t *testing.T) {
	w := newWorld(t, 4, 0)
	old, u := w.version(w.at(time.Millisecond), 1), w.version(w.at(2*time.Millisecond), 2)
	w.commit(0b1111, &old)
	w.mark(0b1111, &old)
	w.commit(0b0011, &u)
	if got := w.kill(0, ReqKill, &u); got != KillHeld || len(w.drives[0].key.Versions) != 2 {
		t.Errorf("a holder says %d", got)
	}
	for range 2 {
		if got := w.kill(2, ReqKill, &u); got != KillMark {
			t.Errorf("a drive without it says %d", got)
		}
	}
	if w.commit(0b0100, &u) != 0 {
		t.Error("it takes what it has sworn not to (H19)")
	}
	if got := w.kill(0, ReqDrop, &u); got != KillDrop || len(w.drives[0].key.Versions) != 1 || w.commit(0b0001, &u) != 0 {
		t.Errorf("with proof a holder says %d", got)
	}
	w.mark(0b0010, &u)
	if got := w.kill(1, ReqDrop, &u); got != KillHeld || w.drives[1].key.Versions[0].Body != 2 {
		t.Errorf("a drive that holds it stable says %d (P5)", got)
	}
	if got := w.kill(1, ReqKill, &old); got != KillHeld {
		t.Errorf("of what it has reclaimed a drive says %d (P1)", got)
	}
	w.drives[1].key.Restarted(9)
	w.drives[1].dr.Restarted()
	if got := w.kill(1, ReqKill, &old); got != KillUnknown {
		t.Errorf("after a restart it says %d", got)
	}
}

func TestPromisesBarWhatIsBelow(t *testing.T) {
	w := newWorld(t, 4, 0)
	p := Ballot{TS: w.at(5 * time.Millisecond), Write: w.id()}
	if w.send(0b0011, Request{Kind: ReqPrepare, Ballot: p}) != 0b0011 {
		t.Fatal("no promise")
	}
	u := w.version(w.at(4*time.Millisecond), 1)
	if got := w.commit(0b1111, &u); got != 0b1100 {
		t.Errorf("a plain write below the promise is taken by %b (H8)", got)
	}
	rival := Ballot{TS: p.TS, Write: w.id()}
	if w.send(0b0011, Request{Kind: ReqPrepare, Ballot: rival}) != 0 {
		t.Error("one stamp is promised twice")
	}
	if w.send(0b1100, Request{Kind: ReqPrepare, Ballot: rival}) != 0b1100 {
		t.Error("the others know nothing of it")
	}
	v := w.version(p.TS, 2)
	v.Ref.Write = p.Write
	if got := w.send(0b1111, Request{Kind: ReqCommit, Version: v, Ballot: p}); got != 0b0011 {
		t.Errorf("of two ballots with one stamp the first is taken by %b", got)
	}
}

func TestFencesRefuseOtherConfigurations(t *testing.T) {
	w := newWorld(t, 4, 0)
	ask := func(change func(r *Request)) Refusal {
		r := Request{Kind: ReqReport, Fence: w.target.fence()}
		change(&r)
		return w.ask(0, &r).Refused
	}
	fence := func(rev uint64, sealed, removed bool) {
		w.ask(0, &Request{Kind: ReqFence, Fence: Fence{Revision: rev}, Sealed: sealed, Removed: removed})
	}
	check := func(name string, got, want Refusal) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	check("present epoch", ask(func(*Request) {}), RefusedNot)
	check("newer epoch", ask(func(r *Request) { r.Epoch++ }), RefusedBehind)
	check("older epoch", ask(func(r *Request) { r.Epoch-- }), RefusedEpoch)
	check("newer bucket", ask(func(r *Request) { r.Revision = 3 }), RefusedBehind)
	fence(3, false, false)
	check("older bucket (I17)", ask(func(r *Request) { r.Revision = 2 }), RefusedBucket)
	check("known bucket", ask(func(r *Request) { r.Revision = 3 }), RefusedNot)
	fence(4, true, false)
	check("read of a sealed bucket", ask(func(r *Request) { r.Revision = 4 }), RefusedNot)
	check("write to a sealed bucket (H12)", ask(func(r *Request) { r.Revision, r.Kind = 4, ReqPrepare }), RefusedBucket)
	check("its deleter", ask(func(r *Request) { r.Revision, r.Kind, r.Sealed = 4, ReqReport, true }), RefusedNot)
	fence(5, false, true)
	fence(6, false, false)
	check("a removed bucket (I23)", ask(func(r *Request) { r.Revision = 9 }), RefusedBucket)
	w.drives[0].set.State = SlotLost
	check("a drive that lost batches (H18)", ask(func(*Request) {}), RefusedSync)
}

func TestCollectionRaisesTheFloorToAllThatWasKnown(t *testing.T) {
	w := newWorld(t, 4, 0)
	late := w.version(w.at(time.Millisecond), 1)
	tomb := w.version(w.at(2*time.Millisecond), 0)
	tomb.Kind, tomb.Data = Tombstone, false
	w.commit(0b0111, &late)
	w.commit(0b1111, &tomb)
	w.mark(0b1111, &tomb)
	p := Ballot{TS: w.at(5 * time.Millisecond), Write: w.id()}
	w.send(0b0011, Request{Kind: ReqPrepare, Ballot: p})
	if got := w.send(0b1111, Request{Kind: ReqCollect, Version: tomb}); got != 0b1111 {
		t.Fatalf("collected by %b", got)
	}
	if got := w.commit(0b1111, &late); got != 0b0111 || len(w.drives[0].key.Versions) != 0 {
		t.Errorf("a late commit is taken by %b (H6)", got) // those that had it know that it is over
	}
	v := w.version(p.TS, 2)
	v.Ref.Write = p.Write
	if got := w.send(0b1111, Request{Kind: ReqCommit, Version: v, Ballot: p}); got != 0b1100 {
		t.Errorf("a decision from before the collection is taken by %b (P4)", got)
	}
	for m := range w.drives { // whatever has come to the key since
		w.drives[m].key.Restarted(1)
		w.drives[m].dr.Restarted()
		if got := w.kill(m, ReqKill, &late); got != KillUnknown {
			t.Errorf("below its floor drive %d says %d", m, got)
		}
	}
}

func TestHealsNeedALiveToken(t *testing.T) {
	w := newWorld(t, 4, 0)
	v, tomb := w.version(w.at(time.Millisecond), 1), w.version(w.at(2*time.Millisecond), 0)
	tomb.Kind, tomb.Data = Tombstone, false
	v.Stable = true
	open := func() uint64 { return w.ask(3, &Request{Kind: ReqToken, Fence: w.target.fence()}).Token }
	heal := func(token uint64) bool {
		return w.send(0b1000, Request{Kind: ReqHeal, Token: token, Versions: []Version{v}}) != 0
	}
	token := open()
	w.commit(0b1111, &tomb)
	w.mark(0b1111, &tomb)
	if heal(token) {
		t.Error("a delete came between (H7)")
	}
	token = open()
	w.send(0b1111, Request{Kind: ReqCollect, Version: tomb})
	if heal(token) {
		t.Error("a collection came between (H7)")
	}
	token = open()
	w.drives[3].key.Restarted(token)
	if heal(token) {
		t.Error("a restart came between")
	}
	if !heal(open()) || len(w.drives[3].key.Versions) != 1 {
		t.Error("nothing came between")
	}
}

func TestAMissingShardStaysKnownUnderANewRevision(t *testing.T) {
	w := newWorld(t, 4, 0)
	v := w.version(w.at(time.Millisecond), 1)
	w.commit(0b0111, &v)
	w.send(0b0111, Request{Kind: ReqMark, Version: v, Missed: 0b1000})
	rev := v
	rev.Rev, rev.Meta, rev.Data = w.at(2*time.Millisecond), 7, false
	b := Ballot{TS: rev.Rev, Write: w.id()}
	if got := w.send(0b1111, Request{Kind: ReqCommit, Version: rev, Ballot: b}); got != 0b1111 {
		t.Fatalf("the revision is taken by %b", got)
	}
	w.mark(0b1111, &rev)
	for m, d := range w.drives {
		k := &d.key
		if len(k.Versions) != 1 || k.Versions[0].Data != (m < 3) || m < 3 && (len(k.Hints) != 1 || k.Hints[0].Rev != rev.Rev) {
			t.Errorf("drive %d: %+v, hints %+v", m, k.Versions, k.Hints)
		}
	}
	h := NewHeal(w.env, w.target, w.id(), 3)
	w.run(h)
	w.want("heal", h.Result().Status, StatusOK)
	if !w.drives[3].key.Versions[0].Data || len(w.drives[0].key.Hints) != 0 {
		t.Errorf("healed: %+v, hints %+v", w.drives[3].key.Versions, w.drives[0].key.Hints)
	}
}

// TestWhoTakesARevisionWithoutTheShardIsOwedIt: the hint of the version itself may have gone with the power.
func TestWhoTakesARevisionWithoutTheShardIsOwedIt(t *testing.T) {
	w := newWorld(t, 4, 0)
	v := w.version(w.at(time.Millisecond), 1)
	w.commit(0b0111, &v)
	w.mark(0b0111, &v)
	w.want("revise", w.update(Intent{Kind: Revise, Meta: 7}).Status, StatusOK)
	for m := range 3 {
		if h := w.drives[m].key.Hints; len(h) != 1 || h[0].Missed != 0b1000 {
			t.Errorf("drive %d: hints %+v", m, h)
		}
	}
	h := NewHeal(w.env, w.target, w.id(), 3)
	w.run(h)
	if k := &w.drives[3].key; len(k.Versions) != 1 || !k.Versions[0].Data || k.Versions[0].Meta != 7 {
		t.Errorf("healed: %+v", k.Versions)
	}
}

func TestPinsOutliveTheRow(t *testing.T) {
	for _, off := range []Rules{0, NoPin} {
		w := newWorld(t, 4, off)
		w.put(1, Cond{})
		overwritten := false
		w.lose = func(_ int, r *Request) bool {
			if r.Kind == ReqFetch && !overwritten {
				overwritten = true
				w.run(NewUpdate(w.env, w.target, Intent{Kind: Put, What: Object, Null: true, Body: 2, Write: w.id()}))
			}
			return false
		}
		r := w.get()
		if off == 0 && (r.Status != StatusOK || r.Version.Body != 1) || off != 0 && !r.Cut {
			t.Errorf("without %d: %+v (H16)", off, r)
		}
		for _, d := range w.drives {
			if len(d.key.Pins) != 0 {
				t.Errorf("pins are left: %+v", d.key.Pins)
			}
		}
	}
}

// What a decision found not chosen is never finished behind it (P7): an abort is acknowledged, remains
// of a completion with a lower ballot lie on two drives, a third falls silent.
func TestADecisionStands(t *testing.T) {
	for _, off := range []Rules{0, NoDecision} {
		w := newWorld(t, 6, off)
		up := w.id()
		w.send(0b111111, Request{Kind: ReqUpload, Upload: up, Ballot: Ballot{TS: w.at(0), Write: up}})
		b1, b2 := Ballot{TS: w.at(time.Millisecond), Write: w.id()}, Ballot{TS: w.at(2 * time.Millisecond), Write: w.id()}
		w.send(0b000111, Request{Kind: ReqPrepare, Ballot: b1}) // the completion decides
		w.send(0b111000, Request{Kind: ReqPrepare, Ballot: b2}) // the abort finds nothing and decides
		v := w.version(b1.TS, 9)
		v.Ref.Write, v.Upload = up, up
		if got := w.send(0b111111, Request{Kind: ReqCommit, Version: v, Ballot: b1}); got != 0b000111 {
			t.Fatalf("the completion is taken by %b", got)
		}
		if got := w.send(0b111111, Request{Kind: ReqDecide, Upload: up, Ballot: b2, Decision: Decision{Ballot: b2}}); got != 0b111111 {
			t.Fatalf("the abort is taken by %b", got)
		}
		w.drives[5].down = true
		r := w.get()
		if (r.Status == StatusOK) != (off != 0) {
			t.Errorf("without %d: status %d", off, r.Status)
		}
	}
}

// W in two epochs is not W (P2).
func TestAcceptsOfTwoEpochsDoNotAddUp(t *testing.T) {
	for _, off := range []Rules{0, NoOneEpochCount} {
		w := newWorld(t, 4, off)
		w.drives = append(w.drives, &drv{})
		w.reconfigure(func(c *SetConfig) { c.Phase, c.Moving = Begun, 1 })
		u := w.version(w.at(time.Millisecond), 1)
		if got := w.commit(0b01011, &u); got != 0b01011 { // W of the old, two of the new: not acknowledged
			t.Fatalf("taken by %b", got)
		}
		r := NewReadIn(&w.target.Config, off)
		r.Step(ReadEvent{Kind: ReadBegin, Slots: 0b1111})
		r.Step(ReadEvent{Kind: ReadSlow})
		r.Step(ReadEvent{Kind: ReadSlow})
		var e ReadEffect
		for _, m := range []int{0, 1, 2, 3} {
			var seen []Seen
			for _, v := range w.drives[m].key.Versions {
				seen = append(seen, Seen{Ref: v.Ref, Rev: v.Rev, Ballot: v.Ballot, Seats: v.Seats})
			}
			e = r.Step(ReadEvent{Kind: ReadAnswer, Slot: m, Seen: seen})
		}
		if (e.Outcome == Found) != (off != 0) {
			t.Errorf("without %d: outcome %d", off, e.Outcome)
		}
	}
}

// Accepts of a plain write and of a resolution that finishes it do not add up.
func TestWIsCountedUnderOneBallot(t *testing.T) {
	for _, off := range []Rules{0, NoBallotCount} {
		w := newWorld(t, 4, off)
		u := w.version(w.at(time.Millisecond), 1)
		w.commit(0b0001, &u)
		b := Ballot{TS: w.at(2 * time.Millisecond), Write: w.id()}
		w.send(0b0110, Request{Kind: ReqPrepare, Ballot: b})
		if got := w.send(0b0010, Request{Kind: ReqCommit, Version: u, Ballot: b}); got != 0b0010 {
			t.Fatalf("finished on %b", got)
		}
		want := Slots(0b0001)
		if off != 0 {
			want = 0b0011
		}
		if got := w.commit(0b0111, &u); got != want {
			t.Errorf("without %d: the plain commit is accepted by %b, want %b", off, got, want)
		}
		r := w.ask(1, &Request{Kind: ReqKill, Fence: w.target.fence(), Attempt: u.Attempt()})
		if r.Kill != KillHeld || r.Held.Ballot != b || r.Chosen {
			t.Errorf("without %d: asked for a mark it says %d, %+v", off, r.Kill, r.Held)
		}
	}
}

func TestARepeatedPrepareKnowsItsPlace(t *testing.T) {
	w := newWorld(t, 4, 0)
	b := Ballot{TS: w.at(time.Millisecond), Write: w.id()}
	p := Request{Kind: ReqPrepare, Ballot: b}
	for range 2 {
		if w.send(0b0001, p) == 0 {
			t.Fatal("no promise")
		}
	}
	u := w.version(w.at(2*time.Millisecond), 1)
	w.commit(0b0001, &u)
	if w.send(0b0001, p) != 0 {
		t.Error("what came above the ballot is reported as a state below it")
	}
	if w.send(0b0001, Request{Kind: ReqDecide, Ballot: b, Decision: Decision{Ballot: b}, Dead: []Attempt{u.Attempt()}}) == 0 {
		t.Error("the decision is refused")
	}
	if len(w.drives[0].key.Versions) != 1 {
		t.Error("a decision buries what is above its ballot")
	}
}

func TestANewcomerMaySleepThroughItsFlip(t *testing.T) {
	w := newWorld(t, 4, 0)
	w.drives = append(w.drives, &drv{})
	w.reconfigure(func(c *SetConfig) { c.Phase, c.Moving = Begun, 1 })
	w.target.Config.Epoch += 2 // flipped, done
	w.drives[1], w.drives = w.drives[4], w.drives[:4]
	w.drives = append(w.drives, &drv{})
	w.reconfigure(func(c *SetConfig) { c.Phase, c.Moving = Begun, 2 })
	if w.drives[1].set.State != SlotInSync || w.drives[4].set.State != SlotRebuilding {
		t.Errorf("states %d, %d", w.drives[1].set.State, w.drives[4].set.State)
	}
}

// TestARepeatedAcceptBringsTheShard: who finishes a version counts those that repeat their word among
// those with its shard, also the one that had taken the row alone.
func TestARepeatedAcceptBringsTheShard(t *testing.T) {
	w := newWorld(t, 4, 0)
	v := w.version(w.at(time.Millisecond), 1)
	lacking := v
	lacking.Data = false
	w.commit(0b0001, &lacking)
	w.commit(0b0010, &v)
	ballot := Ballot{TS: w.at(2 * time.Millisecond), Write: w.id()}
	w.send(0b0011, Request{Kind: ReqPrepare, Ballot: ballot})
	if got := w.send(0b0011, Request{Kind: ReqCommit, Version: v, Ballot: ballot}); got != 0b0011 {
		t.Fatalf("repeated by %b", got)
	}
	for m := range 2 {
		if row := &w.drives[m].key.Versions[0]; !row.Data || row.Ballot != ballot {
			t.Errorf("drive %d holds %+v", m, *row)
		}
	}
	w.mark(0b0001, &v)
	w.send(0b0001, Request{Kind: ReqCommit, Version: lacking, Ballot: ballot})
	if row := &w.drives[0].key.Versions[0]; !row.Data || !row.Stable {
		t.Errorf("a late repetition takes it away: %+v", *row)
	}
}
