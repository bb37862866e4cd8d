package sim

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"holdfast/actors/quorum"
)

// Explore is the exhaustive mode: a set of four drives, two writers and a reader on nodes of their own,
// and one crash of a writer's node, in every order of deliveries. States that were seen before are not
// entered again; a state is reached by playing its choices from the beginning, so machines need no copies.
//
// Messages are delivered in any order and none is lost but by the crash; drives do not crash, and a timer
// goes off only when its operation has nothing else to wait for. All orders are too many; Bound says how
// often an order may differ from first come, first served, and within the bound every order is tried.
type Explore struct {
	Rules   quorum.Rules
	Writers [2]callKind
	Skew    int64 // of the second writer's clock
	Crash   bool
	Bound   int           // deviations; 0 = any number
	Limit   int           // states; 0 = no limit
	Time    time.Duration // 0 = no limit

	States, Paths int
	Complete      bool // everything within the bounds was seen

	w       *World
	seen    map[uint64]int // state -> deviations it took to reach it
	spent   []int          // deviations before each step of the path
	started [3]bool        // writers, reader
	reads   int
	crashed bool
	path    []int16
	until   time.Time
}

// Explorations are what is explored: each pair of writers that can hurt the other, the crash, and clocks
// that differ.
func Explorations() []Explore {
	return []Explore{
		{Writers: [2]callKind{callPut, callPut}, Crash: true},
		{Writers: [2]callKind{callPut, callPut}, Skew: -50 * ms},
		{Writers: [2]callKind{callPutIfAbsent, callPutIfAbsent}, Crash: true},
		{Writers: [2]callKind{callPut, callPutIfAbsent}, Skew: -50 * ms, Crash: true},
	}
}

// String says what is explored and how far it has come.
func (x *Explore) String() string {
	return fmt.Sprintf("%v and %v, skew %d ms, crash %v, %d deviations: %d states on %d paths", x.Writers[0], x.Writers[1], x.Skew/ms, x.Crash, x.Bound, x.States, x.Paths)
}

// choice is what may happen next.
type choice struct {
	kind choiceKind
	arg  int32
}

type choiceKind uint8

const (
	chooseDeliver choiceKind = iota + 1 // entry arg of the bag
	chooseStart                         // writer or reader arg
	chooseCrash                         // of the node of writer arg
	chooseTick                          // task arg
)

// Run explores and returns the first violation with the choices that lead to it.
func (x *Explore) Run() (v *Violation, path string) {
	x.seen = map[uint64]int{}
	x.spent = x.spent[:0]
	x.until = time.Now().Add(x.Time)
	x.path = x.path[:0]
	x.Complete = true
	x.w = NewWorld(Tuning{Rules: x.Rules})
	var options [][]choice // untried choices at each depth of the path
	for {
		x.replay()
		if x.w.broken == nil {
			options = x.descend(options)
		}
		if x.w.broken != nil {
			return x.w.broken, x.tell()
		}
		x.Paths++
		// The deepest place where another choice is left.
		for len(options) > 0 && len(options[len(options)-1]) == 0 {
			options = options[:len(options)-1]
		}
		if len(options) == 0 {
			return nil, ""
		}
		if x.Limit > 0 && x.States >= x.Limit || x.Time > 0 && x.Paths%64 == 0 && time.Now().After(x.until) {
			x.Complete = false
			return nil, ""
		}
		last := &options[len(options)-1]
		x.path = append(x.path[:len(options)-1], (*last)[0].code())
		x.spent = append(x.spent[:len(options)], x.spent[len(options)-1]+1)
		*last = (*last)[1:]
	}
}

func (c choice) code() int16     { return int16(c.kind)<<10 | int16(c.arg) }
func choiceOf(code int16) choice { return choice{choiceKind(code >> 10), int32(code & 1023)} }
func (c choice) String() string {
	return fmt.Sprintf("%s %d", [...]string{"", "deliver", "start", "crash", "tick"}[c.kind], c.arg)
}

// descend goes on from the state at the end of the path until it ends or is known, and notes what else
// could have been chosen on the way.
func (x *Explore) descend(options [][]choice) [][]choice {
	for x.w.broken == nil {
		h := x.hash()
		if len(x.spent) == 0 {
			x.spent = append(x.spent, 0)
		}
		spent := x.spent[len(x.path)]
		if least, known := x.seen[h]; known && least <= spent {
			return options
		}
		x.seen[h] = spent
		x.States++
		all := x.choices()
		if len(all) == 0 {
			x.w.judge()
			return options
		}
		rest := all[1:]
		if x.Bound > 0 && spent >= x.Bound {
			rest = nil
		}
		options = append(options, rest)
		x.path = append(x.path, all[0].code())
		x.spent = append(x.spent[:len(x.path)], spent)
		x.take(all[0])
	}
	return options
}

// replay plays the path from the beginning.
func (x *Explore) replay() {
	w := x.w
	w.plan = Plan{n: 4, sets: 1, drives: 7, nodes: 7, keys: 1, clients: maxClients, end: never}
	w.plan.clockOff[5] = x.Skew
	w.bag, w.manual = w.bag[:0], true
	w.reset()
	x.started, x.reads, x.crashed = [3]bool{}, 0, false
	for _, code := range x.path {
		x.take(choiceOf(code))
	}
}

// choices lists what may happen in this state.
func (x *Explore) choices() (all []choice) {
	w := x.w
	for i := range x.started {
		if !x.started[i] {
			all = append(all, choice{chooseStart, int32(i)})
		}
	}
	if x.started[2] && x.reads < 2 && !w.clients[2].busy {
		all = append(all, choice{chooseStart, 2})
	}
	for i := range w.bag {
		all = append(all, choice{chooseDeliver, int32(i)})
	}
	if x.Crash && !x.crashed {
		for i := range int32(2) {
			if x.started[i] && w.clients[i].busy {
				all = append(all, choice{chooseCrash, i})
			}
		}
	}
	for i := range w.tasks {
		if t := &w.tasks[i]; t.alive && t.wake != 0 && !x.waits(int32(i)) {
			all = append(all, choice{chooseTick, int32(i)})
		}
	}
	return all
}

// waits says whether a message of the task is under way.
func (x *Explore) waits(task int32) bool {
	return slices.ContainsFunc(x.w.bag, func(e event) bool {
		p := &x.w.packets[e.arg]
		return p.task == task && p.gen == x.w.tasks[task].gen
	})
}

// take carries a choice out.
func (x *Explore) take(c choice) {
	w := x.w
	w.step++
	switch c.kind {
	case chooseStart:
		o := opPlan{kind: callGet, client: int16(c.arg), inline: true}
		if c.arg < 2 {
			o.kind = x.Writers[c.arg]
		} else {
			x.reads++
		}
		x.started[c.arg] = true
		w.invoke(int16(c.arg), int16(4+c.arg), &o, uint16(c.arg)+1)
	case chooseDeliver:
		e := w.bag[c.arg]
		w.bag = slices.Delete(w.bag, int(c.arg), int(c.arg)+1)
		w.onNode(&e)
	case chooseCrash:
		x.crashed = true
		w.stopNode(int16(4+c.arg), false)
		w.bag = slices.DeleteFunc(w.bag, func(e event) bool { return e.who == int16(4+c.arg) })
	case chooseTick:
		t := &w.tasks[c.arg]
		w.now = max(w.now, t.wake)
		w.woken(&event{at: t.wake, arg: c.arg, gen: t.gen})
	}
}

func (x *Explore) tell() string {
	s := ""
	for _, code := range x.path {
		s += choiceOf(code).String() + "; "
	}
	return s
}

// hash names the state: the drives' rows, the machines, what is under way, and what clients know.
func (x *Explore) hash() uint64 {
	w := x.w
	h := hasher{h: 0xcbf29ce484222325}
	for i := range 4 {
		h.value(reflect.ValueOf(&w.drives[i].ram.keys[0]).Elem())
	}
	for i := range w.tasks {
		if t := &w.tasks[i]; t.alive {
			h.word(uint64(t.name)<<16 | uint64(t.node))
			h.value(reflect.ValueOf(t.m).Elem())
		}
	}
	sum := uint64(0) // the order of what is under way says nothing
	for _, e := range w.bag {
		g := hasher{h: uint64(e.kind)}
		p := &w.packets[e.arg]
		g.word(uint64(p.from)<<32 | uint64(p.drive)<<16 | uint64(p.id))
		if e.kind == evDeliver {
			g.value(reflect.ValueOf(&p.req).Elem())
		} else {
			g.value(reflect.ValueOf(&p.rep).Elem())
		}
		sum += mix(g.h)
	}
	h.word(sum)
	x.hashHistory(&h)
	return h.h
}

// hashHistory adds what clients saw, with the order of its moments and not the moments themselves.
func (x *Explore) hashHistory(h *hasher) {
	w := x.w
	calls := w.calls[0]
	for i := range calls {
		a := &calls[i]
		h.word(uint64(a.kind)<<32 | uint64(a.value)<<16 | uint64(a.client))
		if a.refused {
			h.word(1)
		}
		if a.ret == never {
			h.word(2)
			continue
		}
		for j := range calls {
			if calls[j].invoke > a.ret {
				h.word(uint64(j) + 3)
			}
		}
	}
	if x.crashed {
		h.word(99)
	}
}

// hasher hashes values by their contents.
type hasher struct{ h uint64 }

func (h *hasher) word(x uint64) { h.h = mix(h.h ^ x + 0x9e3779b97f4a7c15) }

func (h *hasher) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			h.word(1)
		} else {
			h.word(0)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		h.word(uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		h.word(v.Uint())
	case reflect.String:
		for i := range v.Len() {
			h.word(uint64(v.String()[i]))
		}
	case reflect.Array, reflect.Slice:
		if v.Type() == reflect.TypeFor[[]quorum.Send]() {
			return // what the last step sent: it is in the bag
		}
		h.word(uint64(v.Len()))
		for i := range v.Len() {
			h.value(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			h.value(v.Field(i))
		}
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() || v.Type() == reflect.TypeFor[*quorum.Env]() {
			h.word(0)
			return
		}
		h.value(v.Elem())
	case reflect.Func, reflect.Chan, reflect.Map, reflect.UnsafePointer:
		if !v.IsNil() {
			panic("sim: a machine holds a " + v.Kind().String())
		}
	}
}
