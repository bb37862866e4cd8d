package sim

import (
	"cmp"
	"math/bits"
	"slices"
)

// maxCalls is how many calls of one key the checker takes.
const maxCalls = 64

// spec is a sequential specification: a state that calls act upon.
type spec[S any] interface {
	comparable
	apply(c *call) (after S, ok bool)
	hash() uint64
	// blind says that o, which could come next in this state, cannot tell whether x came before it, nor can
	// anything behind o that x might not as well come directly before.
	blind(x, o *call) bool
	// hides says that such calls take effect as late as they can among those that may change places.
	hides(x *call) bool
}

type memoKey[S spec[S]] struct {
	done  uint64
	state S
}

// checker searches for an order of a key's calls that the specification allows: each call takes effect
// once between its invocation and its return, an unanswered one at any time after its invocation or
// never. The search is Wing and Gong's with Lowe's memory of visited states, and four rules that leave
// orders out of which another stands for them:
//
//   - A call that changes nothing is taken as soon as it fits.
//   - An unanswered call is taken only directly before one that notices it. One that nobody notices need not
//     have happened, and one that is noticed later may come later: nothing ends its time.
//   - Values that no answer names are all one value; of calls that then do the same, the one whose time
//     began and ends first is taken first.
//   - What must end first is tried first.
type checker[S spec[S]] struct {
	calls []call
	byRet []int8           // answered calls that change something, the one that returns first in front
	open  []int8           // unanswered calls
	reads uint64           // bit per call that changes nothing
	must  uint64           // bit per answered call
	twins [maxCalls]uint64 // of each call: those that are taken before it
	table []memoKey[S]     // open addressing; an entry counts if its generation is the current one
	gen   []uint32
	now   uint32
	used  int
	steps int // unanswered calls tried
	// tooMany is what a search may take: states, and sixteen times as many steps.
	tooMany int
}

// maxStates bounds a search. Nearly all need a few dozen states.
const maxStates = 1 << 18

// width is what the last search took, in states.
func (c *checker[S]) width() int { return max(c.used, c.steps/16) }

// judge is linearizable, and says how wide the search was.
func (c *checker[S]) judge(calls []call) (ok bool, wide int) {
	ok = c.linearizable(calls)
	return ok, c.width()
}

// undecided says that the last search was given up: it found no order within its bounds.
func (c *checker[S]) undecided() bool { return c.width() > c.tooMany }

// linearizable sorts and judges the calls of one key. A history that is given up counts as right here;
// whoever asks looks at undecided.
func (c *checker[S]) linearizable(calls []call) bool {
	c.calls = c.calls[:0]
	for i := range calls {
		if k := &calls[i]; k.kind != 0 && (k.ret != never || !k.reads()) {
			c.calls = append(c.calls, *k)
		}
	}
	if len(c.calls) > maxCalls {
		panic("sim: too many calls of one key")
	}
	slices.SortStableFunc(c.calls, func(a, b call) int { return cmp.Compare(a.invoke, b.invoke) })
	c.prepare()
	var empty S
	return c.search(0, empty) || c.undecided()
}

// prepare sorts the calls into kinds and clears the memory.
func (c *checker[S]) prepare() {
	if c.table == nil || c.now == 1<<32-1 || len(c.table) > 1<<16 {
		c.table, c.gen, c.now = make([]memoKey[S], 1024), make([]uint32, 1024), 0
	}
	if c.now, c.used, c.steps = c.now+1, 0, 0; c.tooMany == 0 {
		c.tooMany = maxStates
	}
	c.byRet, c.open, c.reads, c.must = c.byRet[:0], c.open[:0], 0, 0
	for i := range c.calls {
		k := &c.calls[i]
		if k.ret != never {
			c.must |= 1 << i
		}
		switch {
		case k.changesNothing():
			c.reads |= 1 << i
		case k.ret == never:
			c.open = append(c.open, int8(i))
		default:
			c.byRet = append(c.byRet, int8(i))
		}
	}
	slices.SortStableFunc(c.byRet, func(a, b int8) int { return cmp.Compare(c.calls[a].ret, c.calls[b].ret) })
	if len(c.open) > 0 {
		c.forget()
	}
	for i := range c.calls {
		c.twins[i] = 0
		for j := range i {
			if c.reads>>i&1 == 0 && c.reads>>j&1 == 0 && c.calls[j].ret <= c.calls[i].ret && c.calls[j].does(&c.calls[i]) {
				c.twins[i] |= 1 << j
			}
		}
	}
}

// nobody is the name of all values and tags that no answer and no condition names.
const nobody = isMarker - 1

// forget gives what nobody names one name, or two if it matters which versions are held.
func (c *checker[S]) forget() {
	locks := slices.ContainsFunc(c.calls, func(k call) bool { return k.locked })
	name := func(x uint16) uint16 {
		if locks && !isHeld(x) {
			return nobody - 1
		}
		return nobody
	}
	for i := range c.calls {
		k := &c.calls[i]
		switch k.kind {
		case callPut, callPutIfAbsent, callPutIfMatch, callPutNull, callDelete, callDeleteIfMatch, callDeleteNull:
			if k.value != 0 && !c.named(k.value) {
				k.value = name(k.value)
			}
		case callTag, callTagAt:
			if !c.named(k.tag) {
				k.tag = name(k.tag)
			}
		}
	}
}

// named says whether an answer or a condition names a value or tag.
func (c *checker[S]) named(x uint16) bool {
	for i := range c.calls {
		k := &c.calls[i]
		if k.want == x || k.reads() && (k.value == x || k.tag == x) {
			return true
		}
		for r := range k.list.n {
			if row := &k.list.row[r]; !row.late && (row.value&^isMarker == x || row.tag == x) {
				return true
			}
		}
	}
	return false
}

// does says whether two calls do the same.
func (c *call) does(o *call) bool {
	return c.kind == o.kind && c.value == o.value && c.tag == o.tag && c.want == o.want && c.upload == o.upload &&
		c.name == o.name && c.null == o.null && c.maybe == o.maybe && c.refused == o.refused && (c.ret == never) == (o.ret == never)
}

// horizon is the earliest return of an answered call that is left: later invocations must wait. never: none is left.
func (c *checker[S]) horizon(done uint64) int64 {
	first := never
	for left := c.must &^ done; left != 0; left &= left - 1 {
		first = min(first, c.calls[bits.TrailingZeros64(left)].ret)
	}
	return first
}

// read takes all calls that change nothing and fit: no order needs them later.
func (c *checker[S]) read(done uint64, s S, first int64) uint64 {
	for left := c.reads &^ done; left != 0; left &= left - 1 {
		i := bits.TrailingZeros64(left)
		if c.calls[i].invoke > first {
			break
		}
		if _, ok := s.apply(&c.calls[i]); ok {
			done |= 1 << i
		}
	}
	return done
}

// search says whether what is not done has an order from a state on.
func (c *checker[S]) search(done uint64, s S) bool {
	first := c.horizon(done)
	for {
		if first == never {
			return true
		}
		after := c.read(done, s, first)
		if after == done {
			break
		}
		done, first = after, c.horizon(after)
	}
	if !c.visit(memoKey[S]{done, s}) {
		return false
	}
	for _, i := range c.byRet {
		k := &c.calls[i]
		if done>>i&1 != 0 || k.invoke > first || c.twins[i]&^done != 0 {
			continue
		}
		if next, ok := s.apply(k); ok && c.search(done|1<<i, next) {
			return true
		}
	}
	return c.late(done, first, s, s, -1)
}

// late goes on from a state s with an unanswered call and something that notices it. last, which led from the
// state before to s, is one that nothing has noticed so far, or -1.
func (c *checker[S]) late(done uint64, first int64, before, s S, last int8) bool {
	for _, i := range c.open {
		x := &c.calls[i]
		if x.invoke > first {
			break
		}
		if done>>i&1 != 0 || c.twins[i]&^done != 0 {
			continue
		}
		if c.steps++; c.undecided() {
			return false
		}
		next, ok := s.apply(x)
		if !ok || next == s || last >= 0 && !c.behind(before, next, last, i) {
			continue
		}
		did := done | 1<<i
		if after := c.read(did, next, first); after != did { // they notice x, or would have been taken before
			if c.search(after, next) {
				return true
			}
			continue
		}
		for _, j := range c.byRet {
			o := &c.calls[j]
			if did>>j&1 != 0 || o.invoke > first || c.twins[j]&^did != 0 {
				continue
			}
			if end, ok := next.apply(o); ok && notices(s, end, x, o) && c.search(did|1<<j, end) {
				return true
			}
		}
		if c.late(did, first, s, next, i) {
			return true
		}
	}
	return false
}

// notices says whether o, which came directly behind x, could tell it: without x it had another answer, or
// led elsewhere in a way that x behind it does not make good. s is the state before both, end that behind both.
func notices[S spec[S]](s, end S, x, o *call) bool {
	without, ok := s.apply(o)
	if !ok {
		return true
	}
	if without == end || s.blind(x, o) {
		return false
	}
	swapped, ok := without.apply(x)
	return !ok || swapped != end
}

// behind says whether of two unanswered calls the second has to come behind the first: otherwise another
// order stands for this one.
func (c *checker[S]) behind(s, end S, first, second int8) bool {
	x, y := &c.calls[first], &c.calls[second]
	without, ok := s.apply(y)
	if !ok {
		return true
	}
	if without == end || s.blind(x, y) {
		return false
	}
	if hx, hy := s.hides(x), s.hides(y); hx != hy && !hx || hx == hy && first < second {
		return true
	}
	swapped, ok := without.apply(x)
	return !ok || swapped != end
}

// visit notes a state and reports whether it is new. When there are too many none is.
func (c *checker[S]) visit(k memoKey[S]) bool {
	if c.undecided() {
		return false
	}
	if 2*c.used >= len(c.table) {
		old, gen := c.table, c.gen
		c.table, c.gen, c.used = make([]memoKey[S], 2*len(old)), make([]uint32, 2*len(old)), 0
		for i := range old {
			if gen[i] == c.now {
				c.visit(old[i])
			}
		}
	}
	mask := uint64(len(c.table) - 1)
	for i := mix(k.done^k.state.hash()<<32) & mask; ; i = (i + 1) & mask {
		if c.gen[i] != c.now {
			c.table[i], c.gen[i] = k, c.now
			c.used++
			return true
		}
		if c.table[i] == k {
			return false
		}
	}
}
