package quorum

import (
	"testing"

	"holdfast/actors/object"
)

func v(ts uint64) object.VersionRef { return object.VersionRef{TS: object.Stamp(ts)} }

// seen builds a report: versions newest first, the last stable if marked so.
func seen(stable bool, ts ...uint64) []Seen {
	var out []Seen
	for i, x := range ts {
		out = append(out, Seen{Ref: v(x), Rev: object.Stamp(x), Stable: stable && i == len(ts)-1})
	}
	return out
}

func TestReadSchedules(t *testing.T) {
	type step struct {
		ev   ReadEvent
		want ReadEffect
	}
	start := func(usable Slots) ReadEvent { return ReadEvent{Kind: ReadBegin, Slots: usable} }
	says := func(i int, s []Seen) ReadEvent { return ReadEvent{Kind: ReadAnswer, Slot: i, Seen: s} }
	silent := func(i int) ReadEvent { return ReadEvent{Kind: ReadUnknown, Slot: i} }
	got := func(ts uint64, holders Slots) ReadEffect {
		return ReadEffect{Outcome: Found, Ref: v(ts), Rev: object.Stamp(ts), Holders: holders}
	}
	for _, c := range []struct {
		name  string
		n     int
		steps []step
	}{
		{"clean: k data slots agree and know it stable", 4, []step{
			{start(0b1111), ReadEffect{Ask: 0b0011}},
			{says(0, seen(true, 5)), ReadEffect{}},
			{says(1, seen(true, 5)), got(5, 0b0011)},
		}},
		{"absent: k say so (I4)", 4, []step{
			{start(0b1111), ReadEffect{Ask: 0b0011}},
			{says(0, nil), ReadEffect{}},
			{says(1, nil), ReadEffect{Outcome: Absent}},
		}},
		{"usable slots first, the others when those do not suffice", 4, []step{
			{start(0b1100), ReadEffect{Ask: 0b1100}},
			{silent(2), ReadEffect{Ask: 0b0001}},
			{says(3, seen(true, 5)), ReadEffect{}},
			{says(0, seen(true, 5)), got(5, 0b1001)},
		}},
		{"stable anywhere is enough, even on one that missed nothing", 4, []step{
			{start(0b1111), ReadEffect{Ask: 0b0011}},
			{says(0, seen(true, 9, 5)), ReadEffect{}},
			{says(1, seen(true, 9)), got(9, 0b0011)},
		}},
		{"H1: seen on k of n is not enough to return", 4, []step{
			{start(0b1111), ReadEffect{Ask: 0b0011}},
			{says(0, seen(false, 9)), ReadEffect{}},
			{says(1, seen(false, 9)), ReadEffect{Ask: 0b1100}},
			{silent(2), ReadEffect{}},
			{silent(3), ReadEffect{Outcome: InDoubt, Ref: v(9), Rev: 9, Holders: 0b0011}},
		}},
		{"on W slots it was acknowledged, marked or not (I3)", 4, []step{
			{start(0b1111), ReadEffect{Ask: 0b0011}},
			{says(0, seen(false, 9)), ReadEffect{}},
			{says(1, seen(false, 9)), ReadEffect{Ask: 0b1100}},
			{says(3, seen(true, 9)), got(9, 0b1011)},
		}},
		{"H4: several unfinished ones are skipped one after the other (I5, I9)", 6, []step{
			{start(0b111111), ReadEffect{Ask: 0b000111}},
			{says(0, seen(true, 8, 5)), ReadEffect{}},
			{says(1, seen(true, 8, 5)), ReadEffect{}},
			{says(2, seen(true, 7, 5)), ReadEffect{Ask: 0b111000}},
			{says(3, seen(true, 7, 5)), ReadEffect{}},
			{says(4, seen(true, 5)), got(5, 0b011111)}, // 8 and 7: two holders and one silent are fewer than four
		}},
		{"absence beside an unfinished version: skipped once nobody is silent", 4, []step{
			{start(0b1111), ReadEffect{Ask: 0b0011}},
			{says(0, seen(false, 9)), ReadEffect{}},
			{says(1, nil), ReadEffect{Ask: 0b1100}},
			{says(2, nil), ReadEffect{Outcome: Absent}},
		}},
		{"H5: errors are unknown, never absent (I15)", 4, []step{
			{start(0b1111), ReadEffect{Ask: 0b0011}},
			{silent(0), ReadEffect{Ask: 0b0100}},
			{silent(1), ReadEffect{Ask: 0b1000}},
			{says(2, nil), ReadEffect{}},
			{silent(3), ReadEffect{Outcome: NoQuorum}},
		}},
		{"a slow answer brings another slot in", 4, []step{
			{start(0b1111), ReadEffect{Ask: 0b0011}},
			{says(0, seen(true, 5)), ReadEffect{}},
			{ReadEvent{Kind: ReadSlow}, ReadEffect{Ask: 0b0100}},
			{says(2, seen(true, 5)), got(5, 0b0101)},
		}},
		{"one drive alone", 1, []step{
			{start(0b1), ReadEffect{Ask: 0b1}},
			{says(0, seen(false, 5)), got(5, 0b1)},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := NewRead(ShapeOf(c.n))
			for i, s := range c.steps {
				if e := r.Step(s.ev); e != s.want {
					t.Fatalf("step %d:\n got %+v\nwant %+v", i, e, s.want)
				}
			}
		})
	}
}
