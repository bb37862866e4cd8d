package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"holdfast/scripts/torture/history"
)

// op builds one operation of key k. The span is "from to".
func op(kind history.Kind, value string, from, to int64, more ...func(*history.Op)) history.Op {
	o := history.Op{Key: "k", Via: "test", Kind: kind, Value: value, Outcome: history.OK, Invoke: from, Return: to}
	for _, f := range more {
		f(&o)
	}
	return o
}

func ends(out history.Outcome) func(*history.Op) { return func(o *history.Op) { o.Outcome = out } }

func onlyIf(c history.Condition, want string) func(*history.Op) {
	return func(o *history.Op) { o.If, o.Want = c, want }
}

func TestVerdicts(t *testing.T) {
	const r, w, d = history.Read, history.Write, history.Delete
	none, unknown, refused := onlyIf(history.IfNone, ""), ends(history.Unknown), ends(history.Refused)
	for _, c := range []struct {
		name  string
		legal bool
		ops   []history.Op
	}{
		{"nothing", true, nil},
		{"absent at first", true, []history.Op{op(r, "", 1, 2)}},
		{"read what was written", true, []history.Op{op(w, "a", 1, 2), op(r, "a", 3, 4)}},
		{"a lost write", false, []history.Op{op(w, "a", 1, 2), op(r, "", 3, 4)}},
		{"a write that nobody made", false, []history.Op{op(w, "a", 1, 2), op(r, "b", 3, 4)}},
		{"a stale read", false, []history.Op{op(w, "a", 1, 2), op(w, "b", 3, 4), op(r, "a", 5, 6)}},
		{"a read beside the write", true, []history.Op{op(w, "a", 1, 2), op(w, "b", 3, 9), op(r, "b", 4, 5), op(r, "b", 6, 7)}},
		{"new, then old, beside one write", false, []history.Op{op(w, "a", 1, 2), op(w, "b", 3, 9), op(r, "b", 4, 5), op(r, "a", 6, 7)}},
		{"back from the dead", false, []history.Op{op(w, "a", 1, 2), op(d, "", 3, 4), op(r, "a", 5, 6)}},
		{"the second of two alike", true, []history.Op{op(w, "a", 1, 2), op(w, "b", 3, 4, unknown), op(w, "c", 5, 6, unknown), op(w, "d", 7, 8, none, refused), op(r, "c", 9, 10), op(r, "c", 11, 12)}},
		{"two alike for three refusals", false, []history.Op{op(w, "x", 1, 2, none, unknown), op(w, "y", 1, 2, none, unknown), op(w, "b", 3, 4, none, refused), op(d, "", 5, 6), op(w, "c", 7, 8, none, refused), op(d, "", 9, 10), op(w, "d", 11, 12, none, refused)}},
		{"two alike for two refusals", true, []history.Op{op(w, "x", 1, 2, none, unknown), op(w, "y", 1, 2, none, unknown), op(w, "b", 3, 4, none, refused), op(d, "", 5, 6), op(w, "c", 7, 8, none, refused), op(d, "", 9, 10), op(r, "", 11, 12)}},
		{"unknown and seen much later", true, []history.Op{op(w, "a", 1, 2), op(w, "b", 3, 4, unknown), op(r, "a", 50, 51), op(r, "b", 60, 61)}},
		{"unknown, seen and gone again", false, []history.Op{op(w, "a", 1, 2), op(w, "b", 3, 4, unknown), op(r, "b", 50, 51), op(r, "a", 60, 61)}},
		{"seen before it was asked for", false, []history.Op{op(r, "b", 1, 2), op(w, "b", 3, 4, unknown)}},
		{"unknown delete", true, []history.Op{op(w, "a", 1, 2), op(d, "", 3, 4, unknown), op(r, "a", 5, 6), op(r, "", 7, 8)}},
		{"a failed write was written", false, []history.Op{op(w, "a", 1, 2, ends(history.Failed)), op(r, "a", 3, 4)}},
		{"two winners of if-none-match", false, []history.Op{op(w, "a", 1, 9, none), op(w, "b", 1, 9, none)}},
		{"one winner of if-none-match", true, []history.Op{op(w, "a", 1, 9, none), op(w, "b", 1, 9, none, refused)}},
		{"no winner of if-none-match", false, []history.Op{op(w, "a", 1, 9, none, refused), op(w, "b", 1, 9, none, refused)}},
		{"a loser that waited for nobody", false, []history.Op{op(w, "a", 5, 9, none), op(w, "b", 1, 2, none, refused)}},
		{"an unknown winner", true, []history.Op{op(w, "a", 1, 9, none, unknown), op(w, "b", 1, 9, none, refused), op(r, "a", 20, 21)}},
		{"an unknown loser of a later race", false, []history.Op{op(w, "a", 1, 2, none, unknown), op(w, "b", 3, 4), op(r, "a", 5, 6)}},
		{"if-match of what stands", true, []history.Op{op(w, "a", 1, 2), op(w, "b", 3, 4, onlyIf(history.IfMatch, "a"))}},
		{"if-match of what stood", false, []history.Op{op(w, "a", 1, 2), op(w, "b", 3, 4), op(w, "c", 5, 6, onlyIf(history.IfMatch, "a"))}},
		{"two winners of if-match", false, []history.Op{op(w, "a", 1, 2), op(w, "b", 3, 9, onlyIf(history.IfMatch, "a")), op(w, "c", 3, 9, onlyIf(history.IfMatch, "a"))}},
		{"refused though it stands", false, []history.Op{op(w, "a", 1, 2), op(w, "b", 3, 4, onlyIf(history.IfMatch, "a"), refused)}},
		{"delete of nothing, if-match", true, []history.Op{op(d, "", 3, 4, onlyIf(history.IfMatch, "a")), op(r, "", 5, 6)}},
		{"delete of another, if-match", false, []history.Op{op(w, "b", 1, 2), op(d, "", 3, 4, onlyIf(history.IfMatch, "a"))}},
		{"source of a copy was another", true, []history.Op{op(w, "b", 1, 2), op(r, "", 3, 4, onlyIf(history.IfMatch, "a"), refused)}},
		{"source of a copy was the one", false, []history.Op{op(w, "a", 1, 2), op(r, "", 3, 4, onlyIf(history.IfMatch, "a"), refused)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := history.History{Ops: c.ops}
			var out bytes.Buffer
			verdicts := judge(&h, time.Minute)
			code := report(&out, &h, verdicts)
			if (code == exitOK) != c.legal {
				t.Fatalf("status %d, %s", code, out.String())
			}
			if !c.legal && (!strings.Contains(out.String(), "key k is NOT LINEARIZABLE") || !strings.Contains(out.String(), "\n> ")) {
				t.Fatalf("the report shows no answer that is wrong:\n%s", out.String())
			}
		})
	}
}

// simulate makes a history of clients that work on a correct register, some of whose answers are lost.
func simulate(seed uint64, calls int) []history.Op {
	rng := rand.New(rand.NewPCG(seed, 0))
	var ops []history.Op
	cur, now := "", int64(0)
	for i := range calls {
		now += 10
		o := op(history.Read, cur, now-rng.Int64N(60), now+rng.Int64N(60))
		o.Client = i
		switch rng.IntN(5) {
		case 0, 1:
			cur = fmt.Sprint("v", i)
			o.Kind, o.Value = history.Write, cur
		case 2:
			if rng.IntN(4) == 0 {
				cur = ""
				o.Kind, o.Value = history.Delete, ""
			}
		}
		if o.Kind != history.Read && rng.IntN(20) == 0 {
			o.Outcome = history.Unknown
		}
		ops = append(ops, o)
	}
	return ops
}

// TestOneWrongAnswerIsFound makes correct histories of many operations, then changes one read.
func TestOneWrongAnswerIsFound(t *testing.T) {
	for seed := range uint64(10) {
		ops := simulate(seed, 400)
		h := history.History{Ops: ops}
		if v := judge(&h, time.Minute); v[0].result != porcupine.Ok {
			t.Fatalf("seed %d: a correct history is %s", seed, v[0].result)
		}
		// A read of the value that stood long before.
		for i := len(ops) - 1; i > 100; i-- {
			if old := &ops[i-100]; ops[i].Kind == history.Read && old.Kind == history.Read && old.Value != "" && old.Value != ops[i].Value {
				ops[i].Value = old.Value
				break
			}
		}
		v := judge(&h, time.Minute)
		if v[0].result != porcupine.Illegal {
			t.Fatalf("seed %d: a stale read is %s", seed, v[0].result)
		}
		if dir := t.TempDir(); seed == 0 {
			if err := draw(dir, v, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
	}
}
