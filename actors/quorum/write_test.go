package quorum

import (
	"testing"
	"time"

	"holdfast/actors/object"
)

var t0 = time.Unix(1_700_000_000, 0)

// at is one step of a schedule: an event some ms after the start, and what must come of it.
type at struct {
	ms   int
	ev   WriteEvent
	want WriteEffect
}

func acc(i int) WriteEvent { return WriteEvent{Kind: WriteAccepted, Slot: i} }
func ref(i int, h uint64) WriteEvent {
	return WriteEvent{Kind: WriteRefused, Slot: i, Highest: object.Stamp(h)}
}
func fail(i int, r Reason) WriteEvent { return WriteEvent{Kind: WriteFailed, Slot: i, Reason: r} }
func killed(i int) WriteEvent         { return WriteEvent{Kind: WriteKilled, Slot: i} }
func notKilled(i int) WriteEvent      { return WriteEvent{Kind: WriteNotKilled, Slot: i} }
func begin(slots, held Slots) WriteEvent {
	return WriteEvent{Kind: WriteBegin, Slots: slots, Held: held}
}
func wake(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }

var tick = WriteEvent{Kind: WriteTick}

func TestWriteSchedules(t *testing.T) {
	limits := WriteLimits{Straggler: 50 * time.Millisecond, Mark: 500 * time.Millisecond, Restamps: 2}
	for _, c := range []struct {
		name  string
		n     int
		steps []at
	}{
		{"all accept: acknowledged with the last, marked at once", 4, []at{
			{0, begin(0b1111, 0), WriteEffect{Offer: 0b1111}},
			{1, acc(0), WriteEffect{}},
			{1, acc(3), WriteEffect{}},
			{1, acc(1), WriteEffect{Wake: wake(51)}},
			{2, acc(2), WriteEffect{Ack: true, Mark: 0b1111, Over: true}},
		}},
		{"one drive alone", 1, []at{
			{0, begin(0b1, 0), WriteEffect{Offer: 0b1}},
			{1, acc(0), WriteEffect{Ack: true, Mark: 0b1, Over: true}},
		}},
		{"a straggler delays the acknowledgement by its limit, then the mark by another (I2b)", 4, []at{
			{0, begin(0b1111, 0), WriteEffect{Offer: 0b1111}},
			{1, acc(0), WriteEffect{}},
			{1, acc(1), WriteEffect{}},
			{1, acc(2), WriteEffect{Wake: wake(51)}},
			{51, tick, WriteEffect{Ack: true, Wake: wake(501)}},
			{501, tick, WriteEffect{Mark: 0b0111, Missed: 0b1000}},
			{900, acc(3), WriteEffect{Mark: 0b1000, Over: true}},
		}},
		{"an absent drive is missed, not waited for", 4, []at{
			{0, begin(0b0111, 0), WriteEffect{Offer: 0b0111}},
			{1, acc(0), WriteEffect{}},
			{1, acc(1), WriteEffect{}},
			{1, acc(2), WriteEffect{Ack: true, Mark: 0b0111, Missed: 0b1000, Over: true}},
		}},
		{"nobody took it and some knew better: a newer stamp, without a kill", 4, []at{
			{0, begin(0b1111, 0), WriteEffect{Offer: 0b1111}},
			{1, ref(0, 70), WriteEffect{}},
			{1, ref(1, 90), WriteEffect{Wake: wake(501)}},
			{1, ref(2, 80), WriteEffect{Wake: wake(501)}},
			{1, ref(3, 10), WriteEffect{Restamp: 91}},
			{2, begin(0b1111, 0), WriteEffect{Offer: 0b1111}},
			{3, acc(0), WriteEffect{}},
			{3, acc(1), WriteEffect{}},
			{3, acc(2), WriteEffect{Wake: wake(53)}},
			{3, acc(3), WriteEffect{Ack: true, Mark: 0b1111, Over: true}},
		}},
		{"refused by some: killed first, then a newer stamp (I7, I8)", 4, []at{
			{0, begin(0b1111, 0), WriteEffect{Offer: 0b1111}},
			{1, acc(0), WriteEffect{}},
			{1, ref(1, 90), WriteEffect{}},
			{1, ref(2, 80), WriteEffect{Wake: wake(501)}},
			{1, acc(3), WriteEffect{Kill: 0b0110}},
			{2, killed(1), WriteEffect{}},
			{2, killed(2), WriteEffect{Restamp: 91, Drop: 0b1001}},
		}},
		{"a kill without k marks proves nothing: the outcome is unknown", 4, []at{
			{0, begin(0b1111, 0), WriteEffect{Offer: 0b1111}},
			{1, acc(0), WriteEffect{}},
			{1, ref(1, 90), WriteEffect{}},
			{1, ref(2, 80), WriteEffect{Wake: wake(501)}},
			{1, ref(3, 80), WriteEffect{Kill: 0b1110}},
			{2, killed(3), WriteEffect{}},
			{2, notKilled(1), WriteEffect{}},
			{2, notKilled(2), WriteEffect{Fail: true, Unknown: true, Reason: ReasonUnknown, Over: true}},
		}},
		{"two may hold it unheard: they are asked, and say nothing", 4, []at{
			{0, begin(0b1111, 0), WriteEffect{Offer: 0b1111}},
			{1, acc(0), WriteEffect{}},
			{1, fail(1, ReasonUnknown), WriteEffect{}},
			{1, ref(2, 80), WriteEffect{Wake: wake(501)}},
			{1, fail(3, ReasonUnknown), WriteEffect{Kill: 0b1110}},
			{2, killed(2), WriteEffect{}},
			{2, notKilled(1), WriteEffect{}},
			{2, notKilled(3), WriteEffect{Fail: true, Unknown: true, Reason: ReasonUnknown, Over: true}},
		}},
		{"two may hold it unheard: asked for a mark one says that it does", 4, []at{
			{0, begin(0b1111, 0), WriteEffect{Offer: 0b1111}},
			{1, acc(0), WriteEffect{}},
			{1, acc(1), WriteEffect{}},
			{1, ref(2, 80), WriteEffect{}},
			{1, fail(3, ReasonUnknown), WriteEffect{Kill: 0b1100}},
			{2, killed(2), WriteEffect{}},
			{2, WriteEvent{Kind: WriteHeld, Slot: 3}, WriteEffect{Ack: true, Mark: 0b1011, Missed: 0b0100, Over: true}},
		}},
		{"a silent drive counts as unknown after the limit", 4, []at{
			{0, begin(0b1111, 0), WriteEffect{Offer: 0b1111}},
			{1, fail(0, ReasonAbsent), WriteEffect{}},
			{1, fail(1, ReasonAbsent), WriteEffect{Wake: wake(501)}},
			{1, acc(2), WriteEffect{Wake: wake(501)}},
			{501, tick, WriteEffect{Kill: 0b1011}},
			{502, notKilled(0), WriteEffect{}},
			{502, notKilled(1), WriteEffect{}},
			{502, notKilled(3), WriteEffect{Fail: true, Unknown: true, Reason: ReasonUnknown, Over: true}},
		}},
		{"too few and known: killed and failed for certain", 6, []at{
			{0, begin(0b111111, 0), WriteEffect{Offer: 0b111111}},
			{1, acc(0), WriteEffect{}},
			{1, acc(1), WriteEffect{}},
			{1, acc(2), WriteEffect{}},
			{1, fail(3, ReasonFull), WriteEffect{}},
			{1, fail(4, ReasonFull), WriteEffect{}},
			{1, fail(5, ReasonFull), WriteEffect{Kill: 0b111000}},
			{2, killed(3), WriteEffect{}},
			{2, killed(4), WriteEffect{}},
			{2, killed(5), WriteEffect{Drop: 0b000111, Fail: true, Reason: ReasonFull, Over: true}},
		}},
		{"full mailboxes are the reason only if they alone are in the way", 4, []at{
			{0, begin(0b1111, 0), WriteEffect{Offer: 0b1111}},
			{1, fail(0, ReasonBusy), WriteEffect{}},
			{1, fail(1, ReasonAbsent), WriteEffect{Wake: wake(501)}},
			{1, fail(2, ReasonAbsent), WriteEffect{Wake: wake(501)}},
			{1, fail(3, ReasonBusy), WriteEffect{Fail: true, Reason: ReasonAbsent, Over: true}},
		}},
		{"one newer bucket revision is enough to refuse (I17)", 4, []at{
			{0, begin(0b1111, 0), WriteEffect{Offer: 0b1111}},
			{1, fail(0, ReasonStale), WriteEffect{}},
			{1, fail(1, ReasonStale), WriteEffect{Wake: wake(501)}},
			{1, fail(2, ReasonStale), WriteEffect{Wake: wake(501)}},
			{1, fail(3, ReasonStale), WriteEffect{Fail: true, Reason: ReasonStale, Over: true}},
		}},
		{"finishing another's version: the missing ones are enough", 4, []at{
			{0, begin(0b0110, 0b0001), WriteEffect{Offer: 0b0110}},
			{1, acc(1), WriteEffect{}},
			{1, acc(2), WriteEffect{Ack: true, Mark: 0b0111, Missed: 0b1000, Over: true}},
		}},
		{"a finish that is refused neither kills nor re-stamps", 4, []at{
			{0, begin(0b1110, 0b0001), WriteEffect{Offer: 0b1110}},
			{1, ref(1, 99), WriteEffect{}},
			{1, ref(2, 99), WriteEffect{Wake: wake(501)}},
			{1, ref(3, 99), WriteEffect{Fail: true, Unknown: true, Reason: ReasonUnknown, Over: true}},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := NewWrite(ShapeOf(c.n), limits)
			for i, s := range c.steps {
				if got := w.Step(wake(s.ms), s.ev); got != s.want {
					t.Fatalf("step %d:\n got %+v\nwant %+v", i, got, s.want)
				}
			}
		})
	}
}

func TestRestampsEnd(t *testing.T) {
	w := NewWrite(ShapeOf(1), WriteLimits{Restamps: 2})
	for i := range 3 {
		w.Step(t0, begin(1, 0))
		e := w.Step(t0, ref(0, 5))
		if last := i == 2; e.Fail != last || (e.Restamp != 0) == last {
			t.Fatalf("attempt %d: %+v", i, e)
		}
	}
}
