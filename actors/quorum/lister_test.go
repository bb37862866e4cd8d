package quorum

import (
	"slices"
	"testing"

	"holdfast/actors/object"
)

// listed is a lister over sets of four drives each, all sets on the same four drives.
func listed(sets, limit int, off Rules) *Lister {
	var ls []ListSet
	for range sets {
		s := ListSet{Config: SetConfig{Shape: ShapeOf(4)}}
		for m := range s.Drives {
			s.Drives[m] = -1
		}
		for m := range 4 {
			s.Drives[m] = m
		}
		ls = append(ls, s)
	}
	return NewLister(ls, "", limit, off)
}

func item(name string, set int, ts uint64) ListItem {
	return ListItem{Name: name, Set: set, Witness: Witness{Present: true, Ref: v(ts), Rev: object.Stamp(ts), Live: true}}
}

func (l *Lister) wantPage(t *testing.T, next string, more bool, names ...string) {
	t.Helper()
	got, n, m := l.Page()
	if state, _ := l.State(); state != ListPage || !slices.Equal(got, names) || m != more || more && n != next {
		t.Errorf("state %d, page %q next %q more %v, want %q %q %v", state, got, n, m, names, next, more)
	}
}

func TestListsAreMerged(t *testing.T) {
	l := listed(2, 10, 0)
	ask := l.Ask()
	if len(ask) != 2 || len(ask[0]) != 2 {
		t.Fatalf("asks %v", ask)
	}
	l.Answered(0, ListAnswer{Items: []ListItem{item("a", 0, 1), item("b", 1, 2), item("d", 0, 9)}})
	l.Answered(1, ListAnswer{Items: []ListItem{item("a", 0, 1), item("b", 1, 2), item("c", 1, 3)}})
	if got := l.Unclear(); !slices.Equal(got, []string{"c", "d"}) {
		t.Fatalf("unclear %q", got)
	}
	l.Resolved("c", true, true)
	l.Resolved("d", false, true)
	l.wantPage(t, "", false, "a", "b", "c")
}

func TestAListEndsWhereTheFirstTruncatedAnswerEnds(t *testing.T) {
	l := listed(1, 10, 0)
	l.Ask()
	l.Answered(0, ListAnswer{Items: []ListItem{item("a", 0, 1), item("b", 0, 2)}, Truncated: true})
	l.Answered(1, ListAnswer{Items: []ListItem{item("a", 0, 1), item("b", 0, 2), item("c", 0, 3)}})
	l.wantPage(t, "b\x00", true, "a", "b")

	l = listed(1, 1, 0)
	l.Ask()
	l.Answered(0, ListAnswer{Items: []ListItem{item("a", 0, 1), item("b", 0, 2)}})
	l.Answered(1, ListAnswer{Items: []ListItem{item("a", 0, 1), item("b", 0, 2)}})
	l.wantPage(t, "a\x00", true, "a")
}

func TestAListWithoutQuorumFails(t *testing.T) {
	l := listed(1, 10, 0)
	l.Ask()
	l.Lost(0)
	if ask := l.Ask(); len(ask) != 1 || ask[2] == nil {
		t.Fatalf("asks %v", ask)
	}
	if !l.Answered(1, ListAnswer{Silent: []int{0}}) {
		t.Fatal("a drive that is not in sync is counted")
	}
	if ask := l.Ask(); ask[3] == nil {
		t.Fatalf("asks %v", ask)
	}
	l.Lost(2)
	l.Ask()
	if state, set := l.State(); state != ListUnavailable || set != 0 {
		t.Errorf("state %d, set %d", state, set)
	}

	l = listed(1, 10, 0)
	l.Ask()
	l.Answered(0, ListAnswer{Items: []ListItem{item("a", 0, 1)}})
	l.Answered(1, ListAnswer{})
	l.Resolved("a", false, false)
	if state, set := l.State(); state != ListUnavailable || set != -1 {
		t.Errorf("with an unresolved key: state %d, set %d", state, set)
	}
}

func TestWitnesses(t *testing.T) {
	row := func(ts uint64, kind Kind, stable bool) Version {
		return Version{Ref: v(ts), Rev: object.Stamp(ts), Kind: kind, Null: true, Stable: stable}
	}
	for _, c := range []struct {
		name string
		rows []Version
		want Witness
		ok   bool
	}{
		{"nothing", nil, Witness{}, false},
		{"an object", []Version{row(5, Object, true)}, Witness{Present: true, Ref: v(5), Rev: 5, Live: true}, true},
		{"in doubt", []Version{row(6, Tombstone, false), row(5, Object, true)}, Witness{Present: true, Ref: v(6), Rev: 6, Unstable: true}, true},
		{"deleted", []Version{row(6, Tombstone, true)}, Witness{}, false},
		{"purged", []Version{{Ref: v(6), Rev: 9, Kind: Purged, Stable: true}, row(5, Object, true)}, Witness{Present: true, Ref: v(5), Rev: 5, Live: true}, true},
	} {
		if got, ok := Witnessed(&KeyState{Versions: c.rows}); got != c.want || ok != c.ok {
			t.Errorf("%s: %+v %v", c.name, got, ok)
		}
	}
}

func TestABucketGoesOnlyBehindKSealsOfEverySet(t *testing.T) {
	sets := []SetConfig{{Shape: ShapeOf(4)}, {ID: 1, Shape: ShapeOf(4)}}
	want := func(d *BucketDelete, state DeleteState) {
		t.Helper()
		if got, _ := d.State(); got != state {
			t.Errorf("state %d, want %d", got, state)
		}
	}
	seal := func() *BucketDelete {
		d := NewBucketDelete(sets, 0)
		d.Sealed(0, 0, true)
		d.Sealed(0, 1, true)
		d.Sealed(1, 0, true)
		want(d, DeleteSealing)
		d.Sealed(1, 1, false) // not in sync
		want(d, DeleteSealing)
		d.Sealed(1, 3, true)
		want(d, DeleteAsking)
		if d.Ask(0) != 0b0011 || d.Ask(1) != 0b1001 {
			t.Errorf("asks %b and %b", d.Ask(0), d.Ask(1))
		}
		return d
	}
	d := seal()
	d.Reported(0, 0, nil)
	d.Reported(0, 1, nil)
	d.Reported(1, 0, nil)
	want(d, DeleteAsking)
	d.Reported(1, 3, nil)
	want(d, DeleteRemove)

	d = seal()
	d.Reported(0, 0, []string{"x"})
	d.Reported(0, 1, nil)
	d.Reported(1, 0, []string{"y"})
	d.Reported(1, 3, nil)
	want(d, DeleteResolving)
	d.Resolved("x", Result{Status: StatusOK})
	want(d, DeleteResolving)
	d.Resolved("y", Result{Status: StatusOK, Versions: []Version{{Kind: Object}}})
	want(d, DeleteOccupied)

	d = seal()
	d.Lost(0, 0)
	want(d, DeleteAsking)
	d.Reported(0, 1, nil)
	want(d, DeleteStuck)

	d = NewBucketDelete(sets, 0)
	for m := range 3 {
		d.Lost(1, m)
	}
	d.Sealed(1, 3, true)
	want(d, DeleteStuck)
}

func TestMovesWait(t *testing.T) {
	w := newWorld(t, 4, 0)
	w.drives = append(w.drives, &drv{})
	w.target.Config.Epoch, w.target.Config.Phase, w.target.Config.Moving = 2, Begun, 1
	m := NewMove(w.env, w.target)
	adopt := func(members ...int) {
		for _, i := range members {
			m.Step(w.now, &Event{Kind: EvReply, From: i, ID: m.c.round, Reply: &Reply{OK: true, Config: m.t.Config}})
		}
	}
	want := func(s MoveStep) {
		t.Helper()
		if m.Want() != s {
			t.Errorf("wants %d, not %d", m.Want(), s)
		}
	}
	e := m.Step(w.now, &Event{Kind: EvBegin})
	if len(e.Sends) != 5 {
		t.Errorf("%d messages", len(e.Sends))
	}
	adopt(4, 0)
	want(MoveWait)
	adopt(2)
	want(MoveCopy)
	m.Step(w.now, &Event{Kind: EvCopied})
	want(MoveCopy) // it has not got the floor yet
	m.Step(w.now, &Event{Kind: EvReply, From: 4, ID: m.asked, Reply: &Reply{OK: true}})
	want(MoveFlip)
	next := m.t.Config
	next.Epoch, next.Phase = 3, Flipped
	m.Step(w.now, &Event{Kind: EvConfig, Config: &next})
	adopt(0, 4, 2)
	want(MoveWait) // the newcomer is no old member
	if e := m.Step(w.now.Add(adoptEvery), &Event{Kind: EvTick}); len(e.Sends) != 2 {
		t.Errorf("tells %d members again", len(e.Sends))
	}
	adopt(3)
	want(MoveDone)
	next.Epoch, next.Phase = 4, Settled
	if e := m.Step(w.now, &Event{Kind: EvConfig, Config: &next}); m.Want() != MoveEnded || len(e.Sends) != 4 {
		t.Errorf("wants %d, tells %d", m.Want(), len(e.Sends))
	}
	next.Epoch, next.Phase, next.Moving = 5, Begun, 2
	m.Step(w.now, &Event{Kind: EvConfig, Config: &next})
	want(MoveWait) // what the last move copied says nothing of this one
}

func TestAClockHalts(t *testing.T) {
	var c Clock
	first, ok := c.Take(t0)
	if !ok {
		t.Fatal("no stamp")
	}
	c.Observe(first + 1000)
	second, ok := c.Take(t0.Add(-1))
	if !ok || second <= first+1000 {
		t.Errorf("%d after %d", second, first)
	}
	c.Halt()
	if _, ok := c.Take(t0); ok || !c.Halted() {
		t.Error("a halted clock gives stamps")
	}
	c.Resume(first)
	if s, ok := c.Take(t0); !ok || s <= first || s > second {
		t.Errorf("resumed at %d", s)
	}
}

func TestStandingVersions(t *testing.T) {
	at := func(ts object.Stamp) object.VersionRef { return object.VersionRef{TS: ts} }
	for name, c := range map[string]struct {
		rows []Version // Ref and Rev are as given, newest first
		want []object.Stamp
	}{
		"versions and a marker": {[]Version{{Ref: at(3), Kind: Marker, Stable: true}, {Ref: at(2), Kind: Object, Stable: true}, {Ref: at(1), Kind: Object, Stable: true}}, []object.Stamp{3, 2, 1}},
		"revised":               {[]Version{{Ref: at(2), Rev: 5, Kind: Object, Stable: true}, {Ref: at(2), Rev: 2, Kind: Object, Stable: true}}, []object.Stamp{2}},
		"removed":               {[]Version{{Ref: at(2), Rev: 5, Kind: Purged, Stable: true}, {Ref: at(2), Rev: 2, Kind: Object, Stable: true}, {Ref: at(1), Kind: Object, Stable: true}}, []object.Stamp{1}},
		"removal in doubt":      {[]Version{{Ref: at(2), Rev: 5, Kind: Purged}, {Ref: at(2), Rev: 2, Kind: Object, Stable: true}}, []object.Stamp{2}},
		"null replaced":         {[]Version{{Ref: at(3), Kind: Object, Null: true, Stable: true}, {Ref: at(2), Kind: Object, Stable: true}, {Ref: at(1), Kind: Object, Null: true, Stable: true}}, []object.Stamp{3, 2}},
		"null in doubt":         {[]Version{{Ref: at(3), Kind: Object, Null: true}, {Ref: at(1), Kind: Object, Null: true, Stable: true}}, []object.Stamp{3, 1}},
		"null removed":          {[]Version{{Ref: at(3), Rev: 4, Kind: Purged, Null: true, Stable: true}, {Ref: at(1), Kind: Object, Null: true, Stable: true}}, nil},
		"tombstone":             {[]Version{{Ref: at(3), Kind: Tombstone, Null: true, Stable: true}, {Ref: at(1), Kind: Object, Null: true, Stable: true}}, nil},
	} {
		var s Standing
		var got []object.Stamp
		for i := range c.rows {
			if v := &c.rows[i]; s.Next(v.Ref, v.Kind, v.Null, v.Stable) {
				got = append(got, v.Ref.TS)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
