package quorum

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"holdfast/actors/object"
)

func TestAcceptRule(t *testing.T) {
	to := func(ts uint64) Ballot { return Ballot{TS: object.Stamp(ts)} }
	for _, c := range []struct {
		name string
		view KeyView
		ts   uint64
		want Verdict
	}{
		{"unknown key", KeyView{}, 5, Verdict{Accepted: true, Highest: 5}},
		{"newer", KeyView{Newest: v(4), Highest: 9}, 5, Verdict{Accepted: true, Highest: 9}},
		{"older", KeyView{Newest: v(6)}, 5, Verdict{Highest: 6}},
		{"held", KeyView{Newest: v(6), Holds: true, Promise: to(9), Highest: 6}, 5, Verdict{Accepted: true, Repeat: true, Highest: 6}}, // P7
		{"promised to another (I11, I12)", KeyView{Newest: v(1), Promise: to(7)}, 5, Verdict{Highest: 7}},
		{"promised to this", KeyView{Newest: v(1), Promise: to(5)}, 5, Verdict{Accepted: true, Highest: 5}},
		{"over (I18)", KeyView{Newest: v(1), Horizon: 5}, 5, Verdict{Highest: 5}},
		{"superseded (P1)", KeyView{Newest: v(6), Superseded: true, Highest: 6}, 5, Verdict{Accepted: true, Repeat: true, Highest: 6}},
		{"dead (I7)", KeyView{Newest: v(1), Dead: true}, 5, Verdict{Highest: 5}},
		{"H6: late, below the GC floor of an unknown key (I18)", KeyView{GCFloor: 7}, 5, Verdict{Highest: 7}},
		{"below the GC floor, but the key is known", KeyView{GCFloor: 7, Newest: v(1)}, 5, Verdict{Accepted: true, Highest: 5}},
		{"H17: half a second ahead of clock and all seen (I22)", KeyView{Now: 10, Highest: 20}, uint64(21 + MaxAhead), Verdict{Ahead: true}},
		{"just not ahead", KeyView{Now: 10, Highest: 20}, uint64(20 + MaxAhead), Verdict{Accepted: true, Highest: 20 + MaxAhead}},
	} {
		if got := Accept(&c.view, Plain(v(c.ts))); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
	for _, c := range []struct {
		name string
		view KeyView
		want KillVerdict
	}{
		{"never seen", KeyView{}, KillMark},
		{"held", KeyView{Holds: true}, KillDrop},
		{"stable (P5)", KeyView{Holds: true, Stable: true}, KillHeld},
		{"superseded (P1)", KeyView{Superseded: true}, KillHeld},
		{"collected", KeyView{GCFloor: 5}, KillUnknown},
		{"a newcomer to what came before it (P5)", KeyView{Foreign: true, Rebuilding: true}, KillUnknown},
		{"marked before", KeyView{GCFloor: 5, Dead: true}, KillMark},
	} {
		if got := Kill(&c.view, v(5)); got != c.want {
			t.Errorf("kill %s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestClockRisesStrictly(t *testing.T) {
	var c Clock
	now := time.UnixMicro(1_000_000)
	last := c.Next(now)
	if last != object.StampAt(now) {
		t.Errorf("first stamp %d", last)
	}
	for i, step := range []struct {
		now     time.Time
		observe object.Stamp
	}{{now, 0}, {now.Add(-time.Hour), 0}, {now.Add(time.Second), 0}, {now, last + 1<<40}, {now, 5}} {
		c.Observe(step.observe)
		s := c.Next(step.now)
		if s <= last || s <= step.observe {
			t.Errorf("step %d: %d after %d, observed %d", i, s, last, step.observe)
		}
		last = s
	}
}

func TestJudgeListed(t *testing.T) {
	said := func(ts uint64, kind Kind, stable bool) *ListItem {
		return &ListItem{Ref: v(ts), Rev: object.Stamp(ts), Kind: kind, Unstable: !stable}
	}
	full := said(5, Object, false)
	full.Row = []byte{1}
	for _, c := range []struct {
		name string
		at   []*ListItem
		want ListVerdict
	}{
		{"all agree", []*ListItem{said(5, Object, true), said(5, Object, true)}, ListLive},
		{"one knows it stable", []*ListItem{full, said(5, Object, true)}, ListLive},
		{"another sends the row", []*ListItem{said(5, Object, true), full}, ListLive},
		{"nobody knows it stable", []*ListItem{said(5, Object, false), said(5, Object, false)}, ListUnclear},
		{"H14: one has not seen it", []*ListItem{said(5, Object, true), nil}, ListUnclear},
		{"H14: the other has not", []*ListItem{nil, said(5, Object, true)}, ListUnclear},
		{"other versions", []*ListItem{said(5, Object, true), said(6, Object, true)}, ListUnclear},
		{"a tombstone", []*ListItem{said(5, Tombstone, true), said(5, Tombstone, true)}, ListDead},
		{"a marker", []*ListItem{said(5, Marker, true), said(5, Marker, true)}, ListDead},
		{"nothing", []*ListItem{nil, nil}, ListDead},
	} {
		at := append(c.at, said(9, Object, true)) // a drive that does not speak for the set
		got, item := JudgeListed(at, []int{0, 1}, false)
		if got != c.want || got == ListLive && (item == nil || slices.Contains(c.at, full) && item != full) {
			t.Errorf("%s: %v, want %v, by %+v", c.name, got, c.want, item)
		}
	}
	if got, _ := JudgeListed([]*ListItem{said(5, Marker, true)}, []int{0}, true); got != ListLive {
		t.Errorf("a marker in a list of versions: %v", got)
	}
}

func TestShapesHaveIntersectingQuorums(t *testing.T) {
	for n := 1; n <= 16; n++ {
		if s := ShapeOf(n); n == 1 || n%2 == 0 {
			if s.K+s.W <= n || 2*s.W <= n || s.K > s.W {
				t.Errorf("n=%d: %+v", n, s)
			}
		}
	}
}

func TestSlots(t *testing.T) {
	s := Slot(1) | Slot(3) | Slot(15)
	if got := slices.Collect(s.All()); !slices.Equal(got, []int{1, 3, 15}) || s.Len() != 3 || !s.Has(3) || s.Has(2) {
		t.Errorf("slots %v", got)
	}
	for range 100 {
		s, m := Slots(rand.Uint32()&0xffff), rand.IntN(18)
		f := s.First(m)
		if f&^s != 0 || f.Len() != min(m, s.Len()) || s&^f != 0 && f != 0 && (s&^f)&-(s&^f) < f&-f {
			t.Fatalf("first %d of %b: %b", m, s, f)
		}
	}
	if AllSlots(4) != 0b1111 {
		t.Error("all")
	}
}

// FuzzRead feeds the machine any order of answers: it must end, and may not invent a version.
func FuzzRead(f *testing.F) {
	f.Add([]byte{4, 0x15, 0x25, 0x05, 0x35})
	f.Add([]byte{6, 0x91, 0x82, 0x73, 0xff, 0x00})
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 {
			return
		}
		n := []int{1, 4, 6, 8}[in[0]%4]
		r := NewRead(ShapeOf(n))
		asked := r.Step(ReadEvent{Kind: ReadBegin, Slots: Slots(in[0])}).Ask
		told := map[object.VersionRef]bool{}
		for _, b := range in[1:] {
			if asked == 0 {
				t.Fatal("it waits for nobody")
			}
			slot := slices.Collect(asked.All())[0]
			asked &^= Slot(slot)
			ev := ReadEvent{Kind: ReadUnknown, Slot: slot}
			if b&1 != 0 {
				ev = ReadEvent{Kind: ReadAnswer, Slot: slot, Seen: seen(b&2 != 0, uint64(b>>4)+1)}
				told[ev.Seen[0].Ref] = true
			}
			e := r.Step(ev)
			asked |= e.Ask
			if e.Outcome == Waiting {
				continue
			}
			if (e.Outcome == Found || e.Outcome == InDoubt) && !told[e.Ref] {
				t.Fatalf("nobody told of %+v", e)
			}
			return
		}
	})
}
