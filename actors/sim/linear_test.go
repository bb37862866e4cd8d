package sim

import (
	"math/rand/v2"
	"testing"
)

func TestCheckerJudgesHistories(t *testing.T) {
	put := func(v uint16, from, to int64) call { return call{kind: callPut, value: v, invoke: from, ret: to} }
	get := func(v uint16, from, to int64) call {
		return call{kind: callGet, value: v, tag: v, invoke: from, ret: to}
	}
	cond := func(k callKind, v, want uint16, refused bool, from, to int64) call {
		return call{kind: k, value: v, want: want, refused: refused, invoke: from, ret: to}
	}
	for _, c := range []struct {
		name  string
		calls []call
		want  bool
	}{
		{"nothing", nil, true},
		{"lost write", []call{put(1, 1, 2), get(0, 3, 4)}, false},
		{"new, then old (H1)", []call{put(1, 1, 2), put(2, 3, never), get(2, 4, 5), get(1, 6, 7)}, false},
		{"never written", []call{get(9, 1, 2)}, false},
		{"unknown outcome takes effect late", []call{put(1, 1, never), get(0, 2, 3), get(1, 4, 5)}, true},
		{"one PUT twice (H3)", []call{put(1, 1, 9), put(2, 2, 9), get(1, 3, 4), get(2, 5, 6), get(1, 7, 8)}, false},
		{"two If-None-Match win (I14)", []call{cond(callPutIfAbsent, 1, 0, false, 1, 3), cond(callPutIfAbsent, 2, 0, false, 2, 4)}, false},
		{"one wins", []call{cond(callPutIfAbsent, 1, 0, false, 1, 3), cond(callPutIfAbsent, 2, 0, true, 2, 4)}, true},
		{"refused though absent", []call{cond(callPutIfAbsent, 2, 0, true, 2, 4)}, false},
		{"both If-Match win", []call{put(1, 1, 2), cond(callPutIfMatch, 2, 1, false, 3, 6), cond(callPutIfMatch, 3, 1, false, 4, 7)}, false},
		{"unanswered conditional is bound by its condition", []call{put(1, 1, 2), cond(callPutIfAbsent, 2, 0, false, 3, never), get(2, 4, 5)}, false},
		{"deleted, then back (H7)", []call{put(1, 1, 2), {kind: callDelete, invoke: 3, ret: 4}, get(1, 5, 6)}, false},
		{"tag lost", []call{put(1, 1, 2), {kind: callTag, tag: 7, invoke: 3, ret: 4}, get(1, 5, 6)}, false},
		{"tag kept", []call{put(1, 1, 2), {kind: callTag, tag: 7, invoke: 3, ret: 4}, {kind: callGet, value: 1, tag: 7, invoke: 5, ret: 6}}, true},
		{"tag on another object", []call{put(1, 1, 2), {kind: callTag, tag: 7, invoke: 3, ret: 4}, put(2, 5, 6), {kind: callGet, value: 2, tag: 7, invoke: 7, ret: 8}}, false},
	} {
		var k checker[register]
		if got := k.linearizable(c.calls); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestAHistoryOfTooManyOrdersIsGivenUp: it is said to be undecided, and the next one is judged.
func TestAHistoryOfTooManyOrdersIsGivenUp(t *testing.T) {
	var k checker[register]
	var calls []call
	for i := range uint16(20) {
		calls = append(calls, call{kind: callPut, value: i + 1, invoke: 1, ret: never})
	}
	calls = append(calls, call{kind: callGet, value: 99, invoke: 2, ret: 3})
	if !k.linearizable(calls) || !k.undecided() {
		t.Error("a history with a million orders is decided")
	}
	if k.linearizable([]call{{kind: callGet, value: 99, invoke: 2, ret: 3}}) || k.undecided() {
		t.Error("the history behind it is not")
	}
}

// TestCheckerAgreesWithBruteForce compares the search with trying all orders of small histories.
func TestCheckerAgreesWithBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var k checker[register]
	yes := 0
	for range 20_000 {
		var calls []call
		for i := range 1 + r.IntN(6) {
			c := call{kind: callKind(1 + r.IntN(int(callTag))), invoke: int64(r.IntN(12))}
			c.ret = c.invoke + 1 + int64(r.IntN(6))
			switch c.kind {
			case callGet:
				c.value = uint16(r.IntN(4))
				c.tag = c.value
			case callDelete:
			case callTag:
				c.tag = uint16(i + 1)
			default:
				c.value, c.want = uint16(i+1), uint16(r.IntN(4))
			}
			if c.kind > callDelete {
				c.refused = r.IntN(2) == 0
			}
			if c.kind != callGet && !c.refused && r.IntN(4) == 0 {
				c.ret = never
			}
			calls = append(calls, c)
		}
		want := brute(calls, 0, register{})
		if got := k.linearizable(calls); got != want {
			t.Fatalf("%+v: got %v, brute force says %v", calls, got, want)
		}
		if want {
			yes++
		}
	}
	if yes < 1000 {
		t.Errorf("only %d histories were right: the comparison says little", yes)
	}
}

func brute(calls []call, done uint, s register) bool {
	open := false
	for i := range calls {
		open = open || done>>i&1 == 0 && calls[i].ret != never
	}
	if !open {
		return true
	}
next:
	for i := range calls {
		if done>>i&1 != 0 {
			continue
		}
		for j := range calls {
			if done>>j&1 == 0 && calls[j].ret < calls[i].invoke {
				continue next
			}
		}
		if after, ok := s.apply(&calls[i]); ok && brute(calls, done|1<<i, after) {
			return true
		}
	}
	return false
}

func FuzzParseCut(f *testing.F) {
	for _, s := range []string{"1", "18446744073709551615", "4711/0ff8/01/1f", "1///", "x", "1/2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCut(text)
		if err != nil {
			return
		}
		again, err := ParseCut(c.String())
		if err != nil || again != c {
			t.Fatalf("%q reads as %q, that reads as %q, %v", text, c.String(), again.String(), err)
		}
	})
}
