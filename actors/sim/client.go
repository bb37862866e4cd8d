package sim

import (
	"fmt"

	"holdfast/actors/object"
)

// client asks for one operation after the other, each at any node. It gives up waiting after a while;
// then it cannot know what became of the operation.
type client struct {
	next int32 // in the plan
	busy bool
	turn uint32 // rises with each call: a late answer finds that nobody waits
	key  uint8
	call int32 // index in World.calls of the call under way
}

const (
	maxClients = 8
	patience   = 20 * s
)

// nextCall starts a client's next operation when its time has come.
func (w *World) nextCall(who int16) {
	c := &w.clients[who]
	if c.busy {
		if w.now < w.calls[c.key][c.call].deadline {
			return // of an earlier call
		}
		w.returned(who, c.turn, outcome{unknown: true})
		return
	}
	for int(c.next) < len(w.plan.ops) {
		o := &w.plan.ops[c.next]
		switch {
		case o.client != who || o.off:
			c.next++
			continue
		case w.calm:
			return
		case o.at > w.now:
			w.q.push(event{at: o.at, kind: evCall, who: who})
			return
		}
		at := int16(w.fateOfOp(c.next).n(w.plan.nodes))
		if !w.nodes[at].up || w.nodes[at].paused > w.now { // refused: it tries another time
			w.q.push(event{at: w.now + 2*ms, kind: evCall, who: who})
			if c.turn++; c.turn%8 == 0 {
				c.next++
			}
			return
		}
		i := c.next
		c.next++
		if w.plan.buckets {
			w.invokeIn(who, at, o, uint16(i)+1)
			return
		}
		if w.invoke(who, at, o, uint16(i)+1) >= 0 {
			return
		}
	}
}

// fateOfOp is the luck of a planned operation.
func (w *World) fateOfOp(i int32) *rng {
	f := fate(w.seed, 0xca11, uint64(i), uint64(w.clients[w.plan.ops[i].client].turn))
	return &f
}

// outcome is what a client is told.
type outcome struct {
	value, tag uint16
	ref        object.VersionRef
	list       shelf
	refused    bool // 412, or 404 where there must be an object
	unknown    bool // 503: it may have happened or may yet
	failed     bool // 503: it did not happen
	gone       bool // 404: there is no bucket
	denied     bool // 403: it is frozen
	held       bool // 403: the version is held
}

func (o *outcome) String() string {
	switch {
	case o.gone:
		return "there is no bucket"
	case o.denied:
		return "the bucket is frozen"
	case o.held:
		return "held"
	case o.refused:
		return "refused"
	case o.unknown:
		return "outcome unknown"
	case o.failed:
		return "failed"
	}
	text := fmt.Sprintf("ok, value %d tag %d", o.value, o.tag)
	for i := range o.list.n {
		text += fmt.Sprintf(" %+v", o.list.row[i])
	}
	return text
}

// invoke begins a call in the history and in the cluster.
func (w *World) invoke(who, at int16, o *opPlan, value uint16) int32 {
	k := call{kind: o.kind, null: o.null, invoke: w.step, ret: never, client: who, deadline: w.now + patience}
	switch o.kind {
	case callPut, callPutIfAbsent, callPutNull, callDeleteNull:
		k.value = value
	case callDelete:
		if w.plan.versioned {
			k.value = value
		}
	case callUpload:
		if k.value = value; w.uploads[o.key] == 64 {
			return -1
		}
		k.upload = w.uploads[o.key]
		w.uploads[o.key]++
	case callComplete, callAbort:
		k.completes = o.kind == callComplete
		if k.want, k.upload = w.upload(o.key, k.deadline); k.want == 0 {
			return -1 // there is none
		}
	case callPurge, callGetAt, callTagAt:
		if o.kind == callTagAt {
			k.tag = value
		}
		k.locked = o.kind == callPurge && w.plan.locks
		if o.null {
			break
		}
		var of callKind
		if k.want, k.ref, of = w.pick(o.key); k.want == 0 || of.deletes() && o.kind == callTagAt {
			return -1 // no version is known that could be named
		}
		if (of == callPutNull || of == callDeleteNull) && o.kind != callPurge {
			k.want, k.null = 0, true // as a client knows it
		}
	case callPutIfMatch:
		k.value, k.want = value, w.guess(o.key)
	case callDeleteIfMatch:
		k.want = w.guess(o.key)
		if w.plan.versioned {
			k.value = value
		}
	case callTag:
		k.tag = value
	}
	c := &w.clients[who]
	i := int32(len(w.calls[o.key]))
	w.calls[o.key] = append(w.calls[o.key], k)
	c.busy, c.key, c.call = true, o.key, i
	c.turn++
	w.Calls++
	w.q.push(event{at: w.now + patience, kind: evCall, who: who})
	w.note("client %d at node %d: %s key %d value %d want %d", who, at, o.kind, o.key, value, k.want)
	w.begin(who, at, o, &w.calls[o.key][i], value)
	return i
}

// guess is what a client believes to stand: what it or another read or wrote last.
func (w *World) guess(key uint8) uint16 {
	for i := len(w.calls[key]) - 1; i >= 0; i-- {
		if k := &w.calls[key][i]; k.value != 0 && !k.refused {
			return k.value
		}
	}
	return 1
}

// upload chooses an upload that some client was told of.
func (w *World) upload(key uint8, salt int64) (value uint16, number uint8) {
	calls := w.calls[key]
	if len(calls) == 0 {
		return 0, 0
	}
	f := fate(w.seed, 0x0b1d, uint64(salt), uint64(key))
	for range 6 {
		if k := &calls[f.n(len(calls))]; k.kind == callUpload && k.ret != never {
			return k.value, k.upload
		}
	}
	return 0, 0
}

// pick chooses a version whose id some client was told.
func (w *World) pick(key uint8) (value uint16, ref object.VersionRef, of callKind) {
	calls := w.calls[key]
	if len(calls) == 0 {
		return 0, ref, 0
	}
	f := fate(w.seed, 0x91c4, uint64(len(calls)), uint64(key))
	for range 4 {
		if k := &calls[f.n(len(calls))]; k.makes() && k.ref != ref {
			return k.value, k.ref, k.kind
		}
	}
	return 0, ref, 0
}

// returned ends the call of a client, if it still waits for it.
func (w *World) returned(who int16, turn uint32, o outcome) {
	c := &w.clients[who]
	if !c.busy || c.turn != turn {
		return
	}
	c.busy = false
	k := &w.calls[c.key][c.call]
	w.note("client %d: %s key %d -> %s", who, k.kind, c.key, &o)
	switch {
	case o.unknown:
		if w.Unknown++; k.kind == callList || k.kind == callPages {
			k.kind = 0
		}
	case o.failed, o.denied: // while a setting changes, nodes differ over it
		w.Failed++
		if o.failed {
			w.undo(c.key, k)
		}
		k.kind = 0 // it never happened
	default:
		k.ret, k.refused, k.gone, k.held = w.step, o.refused, o.gone, o.held
		if o.refused {
			w.undo(c.key, k)
		}
		if (k.kind == callList || k.kind == callPages) && !k.gone {
			k.kind = 0 // its pages stand in the history themselves
		}
		if !k.reads() && k.kind != callPurge && k.kind != callTagAt {
			k.ref = o.ref
		}
		if k.reads() {
			k.value, k.tag, k.list = o.value, o.tag, o.list
		}
	}
	w.q.push(event{at: w.now + 100*us, kind: evCall, who: who})
}
