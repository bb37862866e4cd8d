package quorum

import (
	"fmt"
	"slices"
	"testing"

	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
)

// onFour are sets whose members are all the same four drives.
func onFour(sets int) []ListSet {
	out := make([]ListSet, sets)
	for i := range out {
		out[i].Config = SetConfig{ID: cluster.SetID(i), Shape: ShapeOf(4)}
		for m := range 4 {
			out[i].Drives[m] = m
		}
	}
	return out
}

// lists runs a lister over drives that say what they are told to.
type lists struct {
	*testing.T
	*Lister
	sets   []ListSet
	says   map[int]func(from ListPlace) ListAnswer
	finds  map[string]ListItem // what a Get finds, by name
	below  bool
	asked  []int // drives
	reads  []string
	got    []string
	latest int
}

func (l *lists) run() (whole bool) {
	l.Helper()
	for step := ListDealing; ; {
		switch step {
		case ListDealing:
			deal, _, _ := DealList(l.sets, 4, 0, l.Bars(), 0)
			if deal == nil {
				return false
			}
			step = l.Deal(deal)
		case ListAsking:
			for i, a := range l.deal.Asks {
				l.asked = append(l.asked, a.Drive)
				if say := l.says[a.Drive]; say != nil {
					step = l.Answered(i, say(l.Where()))
				} else {
					step = l.Lost(i)
				}
				if i == 0 {
					l.Answered(i, ListAnswer{}) // it comes twice
				}
			}
		case ListReading:
			name, _ := l.Unclear()
			l.reads = append(l.reads, name)
			it := l.finds[name]
			step = l.Resolved(it.Ref, it.Kind, it.Ref)
		case ListBelow:
			step = l.Lists(l.below)
		case ListShows, ListResolved:
			text := l.Item().Name
			if ref := l.Item().Ref; l.Versions {
				if step == ListResolved {
					ref = l.What().(object.VersionRef)
				}
				text = fmt.Sprintf("%s %d", text, ref.TS)
			}
			if l.got = append(l.got, text); l.Latest() {
				l.latest++
			}
			step = l.Next()
		case ListDone:
			return true
		default:
			l.Fatalf("step %d", step)
		}
	}
}

func (l *lists) want(more bool, names ...string) {
	l.Helper()
	if !slices.Equal(l.got, names) || l.More() != more {
		l.Errorf("page %q more %v, want %q %v", l.got, l.More(), names, more)
	}
}

// saying are drives each of which has some items, and gives at most so many of them at once.
func saying(some int, items ...[]ListItem) map[int]func(ListPlace) ListAnswer {
	out := map[int]func(ListPlace) ListAnswer{}
	for d, its := range items {
		out[d] = func(from ListPlace) (a ListAnswer) {
			for _, it := range its {
				if it.Name < from.Name || it.Name == from.Name && from.Below != (object.VersionRef{}) && it.Ref.Compare(from.Below) >= 0 {
					continue
				}
				if len(a.Entries) == some {
					a.Truncated = true
					break
				}
				a.Entries = append(a.Entries, it)
			}
			return a
		}
	}
	return out
}

func item(name string, set int, ts uint64) ListItem {
	return ListItem{Name: name, Set: cluster.SetID(set), Ref: v(ts), Rev: object.Stamp(ts), Kind: Object}
}

func null(ts uint64, stable bool) ListItem {
	it := item("a", 0, ts)
	it.Null, it.Unstable = true, !stable
	return it
}

func TestListsAreMerged(t *testing.T) {
	for some := 1; some <= 5; some++ {
		for limit := 1; limit <= 4; limit++ {
			l := &lists{T: t, sets: onFour(2), Lister: NewLister(ListQuery{Limit: limit}, 0),
				says: saying(some,
					[]ListItem{item("a", 0, 1), item("b", 1, 2), item("d", 0, 9)},
					[]ListItem{item("a", 0, 1), item("b", 1, 2), item("c", 1, 3)}),
				finds: map[string]ListItem{"c": item("c", 1, 3)}, // and d has been deleted
			}
			l.run()
			want := []string{"a", "b", "c"}
			l.want(limit < 3, want[:min(limit, 3)]...)
			if limit == 4 && !slices.Equal(l.reads, []string{"c", "d"}) {
				t.Errorf("reads %q", l.reads)
			}
			if some > 4 && !slices.Equal(l.asked, []int{0, 1}) {
				t.Errorf("asks %v", l.asked)
			}
		}
	}
}

func TestAListWithoutQuorumFails(t *testing.T) {
	in := []ListItem{item("a", 0, 1), item("b", 1, 1)}
	l := &lists{T: t, sets: onFour(2), Lister: NewLister(ListQuery{Limit: 9}, 0), says: saying(9, in, in, in)}
	l.says[0] = nil
	l.says[1] = func(ListPlace) ListAnswer { // it is being rebuilt in one set, and knows of nothing there
		return ListAnswer{Entries: in[1:], Silent: []cluster.SetID{0}}
	}
	if l.run() {
		t.Error("a set of which one drive tells is listed")
	}
	l.says[3] = l.says[2]
	l.Lister, l.asked = NewLister(ListQuery{Limit: 9}, 0), nil
	if !l.run() || len(l.reads) != 0 {
		t.Errorf("bars %v, reads %q", l.Bars(), l.reads)
	}
	l.want(false, "a", "b")
	if want := []ListBar{{Drive: 0, All: true}, {Drive: 1, Set: 0}}; !slices.Equal(l.Bars(), want) {
		t.Errorf("bars %v", l.Bars())
	}
	l.says[2] = func(ListPlace) ListAnswer { return ListAnswer{Truncated: true} }
	l.Lister = NewLister(ListQuery{Limit: 9}, 0)
	if l.run() {
		t.Error("an answer that says nothing counts")
	}
}

func TestADealCoversEverySetByFewDrives(t *testing.T) {
	sets := make([]ListSet, 70)
	for i := range sets {
		sets[i].Config = SetConfig{Shape: ShapeOf(4)}
		for m := range 4 {
			sets[i].Drives[m] = (i + m) % 8
		}
	}
	sets[5].Drives[0] = -1
	bars := []ListBar{{Drive: 3, All: true}, {Drive: 1, Set: 69}}
	for first := range 8 {
		deal, _, _ := DealList(sets, 8, first, bars, 0)
		if deal == nil || len(deal.Asks) > 6 {
			t.Fatalf("from %d: %+v", first, deal)
		}
		for id := range cluster.SetID(70) {
			full, all := 0, 0
			for i := range deal.Asks {
				a := &deal.Asks[i]
				if a.Drive == 3 || a.Drive == 1 && id == 69 || a.Drive == 5 && id == 5 {
					if a.Asked(id) {
						t.Errorf("drive %d is asked for set %d", a.Drive, id)
					}
				}
				if HasSet(a.Full, id) {
					full++
				}
				if a.Asked(id) {
					all++
				}
			}
			if full != 1 || all != 2 {
				t.Errorf("set %d: %d drives, %d of them for rows", id, all, full)
			}
		}
	}
	if deal, lacking, have := DealList(sets, 8, 0, []ListBar{{Drive: 0, All: true}, {Drive: 1, All: true}, {Drive: 2, All: true}}, 0); deal != nil || have != 1 || lacking != 0 {
		t.Errorf("set %d has %d", lacking, have)
	}
}

// TestNullVersionsInLists: of the null versions of a key one is listed, that which stands.
func TestNullVersionsInLists(t *testing.T) {
	three := item("a", 0, 3)
	for name, c := range map[string]struct {
		one, two []ListItem
		finds    ListItem // as the null version
		from     uint64
		want     []string
		reads    int
	}{
		"agreed":                   {[]ListItem{null(5, true), three}, []ListItem{null(5, true), three}, ListItem{}, 0, []string{"a 5", "a 3"}, 0},
		"replaced":                 {[]ListItem{null(5, true), three, null(1, true)}, []ListItem{null(5, false), three, null(1, true)}, ListItem{}, 0, []string{"a 5", "a 3"}, 0},
		"in doubt, finished":       {[]ListItem{null(5, false), three, null(1, true)}, []ListItem{three, null(1, true)}, null(5, true), 0, []string{"a 5", "a 3"}, 1},
		"in doubt, killed":         {[]ListItem{null(5, false), three, null(1, true)}, []ListItem{three, null(1, true)}, null(1, true), 0, []string{"a 3", "a 1"}, 1},
		"in doubt, an older one":   {[]ListItem{null(5, false), three}, []ListItem{three}, null(2, true), 0, []string{"a 3", "a 2"}, 1},
		"in doubt, replaced since": {[]ListItem{null(5, false), three, null(1, true)}, []ListItem{three, null(1, true)}, null(7, true), 0, []string{"a 7", "a 3"}, 1},
		"removed":                  {[]ListItem{null(5, false), three, null(1, true)}, []ListItem{three, null(1, true)}, ListItem{}, 0, []string{"a 3"}, 1},
		"on the page before":       {[]ListItem{null(2, true)}, []ListItem{null(2, true)}, null(7, true), 3, nil, 1},
		"on this page":             {[]ListItem{null(2, true)}, []ListItem{null(2, true)}, null(2, true), 3, []string{"a 2"}, 1},
	} {
		for some := 1; some <= 4; some++ {
			from := ListPlace{}
			if c.from > 0 {
				from = ListPlace{"a", v(c.from)}
			}
			l := &lists{T: t, sets: onFour(1), Lister: NewLister(ListQuery{Versions: true, From: from, Limit: 9}, 0),
				says: saying(some, c.one, c.two), finds: map[string]ListItem{"a": c.finds}}
			l.run()
			latest := 1
			if c.from > 0 || len(c.want) == 0 {
				latest = 0
			}
			if !slices.Equal(l.got, c.want) || len(l.reads) != c.reads || l.latest != latest {
				t.Errorf("%s, %d at a time: %q, want %q; reads %q, %d are the latest", name, some, l.got, c.want, l.reads, l.latest)
			}
		}
	}
}

// TestANullVersionMovesBetweenRanges: one that was replaced while a page was made is on it all the same, in its
// place or behind what was listed already.
func TestANullVersionMovesBetweenRanges(t *testing.T) {
	three, two := item("a", 0, 3), item("a", 0, 2)
	for name, c := range map[string]struct {
		first, then []ListItem
		from        uint64
		limit       int
		finds       ListItem // as the null version
		want        []string
		more        bool
		reads       int
	}{
		"replaced":           {[]ListItem{three, null(1, true)}, []ListItem{null(5, true), three}, 0, 9, null(5, true), []string{"a 3", "a 5"}, false, 1},
		"amid others":        {[]ListItem{three, two, null(1, true)}, []ListItem{null(5, true), three, two}, 0, 9, null(5, true), []string{"a 3", "a 5", "a 2"}, false, 1},
		"where it was":       {[]ListItem{three, two, null(1, true)}, []ListItem{three, two, null(1, true)}, 0, 9, null(1, true), []string{"a 3", "a 2", "a 1"}, false, 1},
		"removed":            {[]ListItem{three, null(1, true)}, []ListItem{three}, 0, 9, ListItem{}, []string{"a 3"}, false, 1},
		"listed already":     {[]ListItem{null(5, true), three}, []ListItem{null(5, true), three}, 0, 9, null(5, true), []string{"a 5", "a 3"}, false, 0},
		"no room":            {[]ListItem{three, null(1, true)}, []ListItem{null(5, true), three}, 0, 1, null(5, true), []string{"a 3"}, true, 1},
		"to the page before": {[]ListItem{three, null(1, true)}, []ListItem{null(5, true), three}, 4, 9, null(5, true), []string{"a 3"}, false, 1},
	} {
		from := ListPlace{}
		if c.from > 0 {
			from = ListPlace{"a", v(c.from)}
		}
		before, behind := saying(1, c.first, c.first), saying(1, c.then, c.then)
		says := map[int]func(ListPlace) ListAnswer{}
		for d := range before {
			says[d] = func(at ListPlace) ListAnswer {
				if at == from {
					return before[d](at)
				}
				return behind[d](at)
			}
		}
		l := &lists{T: t, sets: onFour(1), Lister: NewLister(ListQuery{Versions: true, From: from, Limit: c.limit}, 0),
			says: says, finds: map[string]ListItem{"a": c.finds}}
		if l.run(); !slices.Equal(l.got, c.want) || l.More() != c.more || len(l.reads) != c.reads {
			t.Errorf("%s: %q more %v, want %q; reads %q", name, l.got, l.More(), c.want, l.reads)
		}
	}
}

func TestCommonPrefixesAreProved(t *testing.T) {
	common := func(example string, ts uint64) ListItem {
		it := item("p/", 0, ts)
		it.Common, it.Example = true, example
		return it
	}
	for name, c := range map[string]struct {
		one, two []ListItem
		finds    map[string]ListItem
		below    bool
		want     []string
		reads    []string
	}{
		"agreed":              {[]ListItem{common("p/a", 1)}, []ListItem{common("p/a", 1)}, nil, false, []string{"p/"}, nil},
		"another has it":      {[]ListItem{common("p/a", 1)}, []ListItem{common("p/b", 2)}, map[string]ListItem{"p/b": item("p/b", 0, 2)}, false, []string{"p/"}, []string{"p/a", "p/b"}},
		"something is below":  {[]ListItem{common("p/a", 1)}, nil, nil, true, []string{"p/"}, []string{"p/a"}},
		"nothing is below it": {[]ListItem{common("p/a", 1), item("q", 0, 1)}, []ListItem{item("q", 0, 1)}, nil, false, []string{"q"}, []string{"p/a"}},
	} {
		l := &lists{T: t, sets: onFour(1), Lister: NewLister(ListQuery{Delimiter: "/", Limit: 9}, 0),
			says: saying(9, c.one, c.two), finds: c.finds, below: c.below}
		l.run()
		if !slices.Equal(l.got, c.want) || !slices.Equal(l.reads, c.reads) {
			t.Errorf("%s: %q, want %q; reads %q", name, l.got, c.want, l.reads)
		}
	}
	if next, ok := NameBehind("p\xff"); next != "q" || !ok {
		t.Errorf("%q", next)
	}
	if _, ok := NameBehind("\xff\xff"); ok {
		t.Error("there is nothing behind it")
	}
}

func TestADamagedRowIsRead(t *testing.T) {
	l := NewLister(ListQuery{Versions: true, Limit: 1}, 0)
	deal, _, _ := DealList(onFour(1), 4, 0, nil, 0)
	l.Deal(deal)
	in := ListAnswer{Entries: []ListItem{item("a", 0, 1)}}
	l.Answered(0, in)
	if step := l.Answered(1, in); step != ListShows {
		t.Fatalf("step %d", step)
	}
	if step := l.Doubt(); step != ListReading {
		t.Fatalf("step %d", step)
	}
	if step := l.Resolved(v(1), Object, nil); step != ListResolved || !l.Latest() || l.Next() != ListDone || l.More() {
		t.Errorf("step %d, latest %v, more %v", step, l.Latest(), l.More())
	}
}

func TestWhatAListIsTold(t *testing.T) {
	row := func(ts uint64, kind Kind, stable bool) Version {
		return Version{Ref: v(ts), Rev: object.Stamp(ts), Kind: kind, Null: true, Stable: stable}
	}
	for _, c := range []struct {
		name string
		rows []Version
		want uint64
	}{
		{"nothing", nil, 0},
		{"an object", []Version{row(5, Object, true)}, 5},
		{"in doubt", []Version{row(6, Tombstone, false), row(5, Object, true)}, 6},
		{"deleted", []Version{row(6, Tombstone, true)}, 0},
		{"purged", []Version{{Ref: v(6), Rev: 9, Kind: Purged, Stable: true}, row(5, Object, true)}, 5},
		{"a purged null", []Version{{Ref: v(6), Rev: 9, Kind: Purged, Null: true, Stable: true}, row(5, Object, true)}, 0},
	} {
		got := object.VersionRef{}
		if n := Newest(&KeyState{Versions: c.rows}); n != nil && Told(n.Kind, n.Stable) {
			got = n.Ref
		}
		if c.want != 0 && got != v(c.want) || c.want == 0 && got != (object.VersionRef{}) {
			t.Errorf("%s: %v", c.name, got)
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
