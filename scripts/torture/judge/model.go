package main

import (
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"holdfast/scripts/torture/history"
)

// never is the return time of an operation that may take effect at any time.
const never = int64(1) << 62

// state is a key's: what stands, and how many operations of each class of like ones were taken.
type state struct {
	cur  string // ETag, "" for none
	done [classes]uint8
}

// classes is how many classes of like operations of one key are told apart.
const classes = 8

// call is an operation as the model takes it. Operations of unknown outcome that nothing can tell from
// each other form a class and are taken in the order of their ranks, which is that of their
// invocations: of two of them the one that came first may always be the one that took effect. Without
// this rule a key with 20 unanswered writes has a million sets of writes that happened.
type call struct {
	*history.Op
	class int // -1: none
	rank  uint8
}

// register is the sequential specification of a key.
var register = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(before, input, output any) (bool, any) {
		s, c := before.(state), input.(call)
		if c.class >= 0 {
			if s.done[c.class] != c.rank {
				return false, before
			}
			s.done[c.class]++
		}
		var ok bool
		s.cur, ok = step(s.cur, c.Op)
		return ok, s
	},
	DescribeOperation: func(input, output any) string { return input.(call).String() },
	DescribeState: func(s any) string {
		if s.(state).cur == "" {
			return "nothing"
		}
		return s.(state).cur
	},
}

// step says what stands after op, and whether op could have had its answer where cur stood. An operation
// of unknown outcome always could: if it never happened it is the last of all.
func step(cur string, op *history.Op) (after string, ok bool) {
	holds := true
	switch op.If {
	case history.IfNone:
		holds = cur == ""
	case history.IfMatch:
		// To delete what is not there succeeds with some servers whatever it depends on; the answer of
		// others, 404, is a read.
		holds = cur == op.Want || op.Kind == history.Delete && cur == ""
	}
	switch {
	case op.Outcome == history.Refused:
		return cur, !holds
	case op.Outcome == history.Unknown && !holds:
		return cur, true
	case !holds:
		return cur, false
	case op.Kind == history.Read:
		return cur, op.Value == cur
	}
	return op.Value, true // of a delete it is ""
}

// upTo is what was known of a key at a time: what had not returned by then has an unknown outcome, and
// a read that has none says nothing. ops are in order of invocation.
func upTo(ops []*history.Op, at int64) []porcupine.Operation {
	var out []porcupine.Operation
	told := map[string]bool{} // values that an answer or a condition names
	for _, op := range ops {
		if op.Invoke > at || op.Outcome == history.Failed {
			continue
		}
		seen, end := op, op.Return
		if op.Outcome == history.Unknown || op.Return > at {
			if op.Kind == history.Read {
				continue
			}
			open := *op
			open.Outcome = history.Unknown
			seen, end = &open, never
		}
		if seen.Kind == history.Read {
			told[seen.Value] = true
		}
		told[seen.Want] = true
		out = append(out, porcupine.Operation{ClientId: op.Client, Input: call{Op: seen, class: -1}, Call: op.Invoke, Return: end})
	}
	classify(out, told)
	return out
}

// likeness is what makes operations of unknown outcome alike.
type likeness struct {
	kind  history.Kind
	cond  history.Condition
	want  string
	value string // "" if nobody saw it
}

// classify finds the classes; with too many of them the last ones are left as they are.
func classify(ops []porcupine.Operation, told map[string]bool) {
	members := map[likeness][]int{}
	var order []likeness
	for i := range ops {
		c := ops[i].Input.(call)
		if c.Outcome != history.Unknown {
			continue
		}
		like := likeness{c.Kind, c.If, c.Want, c.Value}
		if !told[c.Value] {
			like.value = ""
		}
		if members[like] == nil {
			order = append(order, like)
		}
		members[like] = append(members[like], i)
	}
	class := 0
	for _, like := range order {
		if n := len(members[like]); n < 2 || n > 255 || class == classes {
			continue
		}
		for rank, i := range members[like] {
			ops[i].Input = call{Op: ops[i].Input.(call).Op, class: class, rank: uint8(rank)}
		}
		class++
	}
}

// verdict is what the judge found out about a key.
type verdict struct {
	key    string
	result porcupine.CheckResult
	ops    []*history.Op
	at     int64 // of an illegal one: the first return by which it was
}

// check judges one key within the limit.
func check(key string, ops []*history.Op, limit time.Duration) verdict {
	v := verdict{key: key, ops: ops}
	v.result = porcupine.CheckOperationsTimeout(register, upTo(ops, never), limit)
	if v.result == porcupine.Illegal {
		v.at = firstWrong(ops, limit)
	}
	return v
}

// firstWrong finds the return by which the history had become impossible: what is shown to people ends
// there.
func firstWrong(ops []*history.Op, limit time.Duration) int64 {
	var ends []int64
	for _, op := range ops {
		ends = append(ends, op.Return)
	}
	slices.Sort(ends)
	i, _ := slices.BinarySearchFunc(ends, true, func(end int64, _ bool) int {
		if porcupine.CheckOperationsTimeout(register, upTo(ops, end), limit) == porcupine.Illegal {
			return 0
		}
		return -1
	})
	return ends[min(i, len(ends)-1)]
}
