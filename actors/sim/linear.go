package sim

import (
	"cmp"
	"slices"

	"holdfast/actors/object"
)

// callKind is what a client asked for.
type callKind uint8

const (
	callGet callKind = iota + 1
	callPut
	callDelete
	callPutIfAbsent // If-None-Match: *
	callPutIfMatch  // If-Match: the value want
	callDeleteIfMatch
	callTag      // metadata revision of whatever object stands
	callUpload   // opens a multipart upload named value
	callComplete // makes the upload want the object, if it is open
	callAbort    // ends the upload want, if it is open
	// Of versioned keys only:
	callPutNull  // a PUT while versioning is suspended
	callPurge    // removes the version named want
	callVersions // lists all versions
	callKinds
	// Of worlds with bucket life only:
	callList
	callCreate
	callDrop   // deletes the bucket
	callFreeze // forbids writes, or lets them again
	callListed // what a page of a list says of one name
)

// never is the return time of a call that was never answered.
const never = int64(1) << 62

// call is one operation on one key as its client saw it. Values are names of writes, 0 is absence.
type call struct {
	kind        callKind
	refused     bool   // the precondition was found false, or there was nothing to tag
	value       uint16 // written, or read
	tag         uint16 // written, or read
	want        uint16 // of a condition
	upload      uint8  // the upload's number among those of the key
	name        uint8  // in a world with bucket life
	gone        bool   // there was no bucket
	completes   bool   // it was a completion, whatever became of it
	maybe       bool   // another completion of the upload was left unfinished: nobody may know what became of it
	list        shelf  // that was listed
	invoke, ret int64
	deadline    int64             // in simulated time: the client gives up
	ref         object.VersionRef // version written, or named by want
	client      int16
}

// reads says that the call changes nothing.
func (c *call) reads() bool {
	return c.kind == callGet || c.kind == callVersions || c.kind == callListed
}

// changesNothing says that the call's answer shows that it did not.
func (c *call) changesNothing() bool { return c.reads() || c.refused || c.gone }

// register is the state of a key without versions: the sequential specification. An object starts with its value as tag.
type register struct {
	value, tag uint16
	open       uint64 // bit per upload of the key
}

// judged holds a call's answer against the condition it had: done says that the call changes nothing,
// ok that the answer is right, cur being the value that stands. An unanswered call takes effect only
// where its condition holds.
func (c *call) judged(cur uint16) (done, ok bool) {
	var holds bool
	switch c.kind {
	case callPutIfAbsent:
		holds = cur == 0
	case callPutIfMatch, callDeleteIfMatch:
		holds = cur == c.want && cur != 0
	case callTag:
		holds = cur != 0
	default:
		return false, true
	}
	return c.refused, holds != c.refused
}

// apply steps the specification; ok says whether the call could have this answer in this state.
func (s register) apply(c *call) (after register, ok bool) {
	if done, ok := c.judged(s.value); !ok || done {
		return s, ok
	}
	switch c.kind {
	case callGet:
		return s, c.value == s.value && c.tag == s.tag
	case callDelete, callDeleteIfMatch:
		return register{open: s.open}, true
	case callTag:
		return register{s.value, c.tag, s.open}, true
	case callUpload:
		return register{s.value, s.tag, s.open | 1<<c.upload}, true
	case callComplete, callAbort:
		return s.decide(c)
	}
	return register{c.value, c.value, s.open}, true
}

// decide is the one decision of an upload (I27). Completing again answers as before while the object
// stands; otherwise an upload that is not open is unknown.
func (s register) decide(c *call) (after register, ok bool) {
	open := s.open>>c.upload&1 != 0
	if c.kind == callComplete && s.value == c.want {
		return s, !c.refused
	}
	if c.refused || !open {
		return s, c.refused && (!open || c.maybe)
	}
	s.open &^= 1 << c.upload
	if c.kind == callComplete {
		s.value, s.tag = c.want, max(c.want, c.tag)
	}
	return s, true
}

// maxCalls is how many calls of one key the checker takes.
const maxCalls = 64

// spec is a sequential specification: a state that calls act upon.
type spec[S any] interface {
	comparable
	apply(c *call) (after S, ok bool)
	hash() uint64
}

func (s register) hash() uint64 { return uint64(s.value)<<16 | uint64(s.tag) ^ mix(s.open) }

type memoKey[S spec[S]] struct {
	done  uint64
	state S
}

// checker searches for an order of a key's calls that the specification allows: each call takes effect
// once between its invocation and its return, an unanswered one at any time after its invocation or
// never. The search is Wing and Gong's with Lowe's memory of visited states.
type checker[S spec[S]] struct {
	calls []call
	table []memoKey[S] // open addressing; an entry counts if its generation is the current one
	gen   []uint32
	now   uint32
	used  int
}

// maxStates bounds a search: a few histories with many unanswered calls have more orders than memory
// has room for. Nearly all need a few hundred.
const maxStates = 1 << 18

// undecided says that the last search was given up: it found no order among maxStates states.
func (c *checker[S]) undecided() bool { return c.used > maxStates }

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
	c.clear()
	var empty S
	return c.search(0, empty) || c.undecided()
}

func (c *checker[S]) search(done uint64, s S) bool {
	for {
		first, open := never, false // earliest return among what is left: later invocations must wait
		for i := range c.calls {
			if k := &c.calls[i]; done>>i&1 == 0 && k.ret != never {
				open = true
				first = min(first, k.ret)
			}
		}
		if !open {
			return true
		}
		// A read that fits can be taken at once: it changes nothing, so no order needs it later.
		taken := false
		for i := range c.calls {
			k := &c.calls[i]
			if k.invoke > first {
				break
			}
			if done>>i&1 == 0 && k.changesNothing() {
				if _, ok := s.apply(k); ok {
					done |= 1 << i
					taken = true
				}
			}
		}
		if taken {
			continue
		}
		if !c.visit(memoKey[S]{done, s}) {
			return false
		}
		for i := range c.calls {
			k := &c.calls[i]
			if k.invoke > first {
				break
			}
			if done>>i&1 != 0 || k.changesNothing() {
				continue
			}
			if next, ok := s.apply(k); ok && c.search(done|1<<i, next) {
				return true
			}
		}
		return false
	}
}

func (c *checker[S]) clear() {
	if c.table == nil || c.now == 1<<32-1 || len(c.table) > 1<<16 {
		c.table, c.gen, c.now = make([]memoKey[S], 1024), make([]uint32, 1024), 0
	}
	c.now++
	c.used = 0
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
