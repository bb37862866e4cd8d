package quorum

import (
	"testing"
	"time"

	"holdfast/actors/object"
)

// A world of one key for tests of whole operations: drives that answer at once, in order, unless the
// test says otherwise. The simulator of actors/sim is where chance comes in.

type drv struct {
	key  KeyState
	set  SetState
	buck BucketState
	dr   DriveState
	down bool
}

type world struct {
	t      *testing.T
	env    *Env
	drives []*drv // by member, under the present configuration
	target Target
	now    time.Time
	off    Rules
	// lose says that a request does not arrive; quiet, that its answer does not come back.
	lose, quiet func(m int, req *Request) bool
	ids         byte
}

func newWorld(t *testing.T, n int, off Rules) *world {
	w := &world{t: t, now: t0, off: off}
	w.env = &Env{Rules: off, Clock: &Clock{}, Limits: Limits{
		Write:    WriteLimits{Straggler: 5 * time.Millisecond, Mark: 20 * time.Millisecond, Restamps: 3},
		Interval: 20 * time.Millisecond, Life: time.Minute, Tries: 4,
	}}
	w.target = Target{Key: object.Key{Bucket: 1, Name: "k"}, Config: SetConfig{Epoch: 1, Shape: ShapeOf(n)}}
	for i := range n {
		d := &drv{}
		w.drives = append(w.drives, d)
		w.adopt(i, d)
	}
	return w
}

func (w *world) adopt(m int, d *drv) {
	Drive{Rules: w.off, Life: time.Minute}.Step(0, At{&d.key, &d.set, &d.buck, &d.dr}, &Request{Kind: ReqAdopt, Config: w.target.Config, Member: m})
}

// reconfigure gives all members a new configuration.
func (w *world) reconfigure(change func(c *SetConfig)) {
	w.target.Config.Epoch++
	change(&w.target.Config)
	for m := range w.target.Config.Members().All() {
		w.adopt(m, w.drives[m])
	}
}

func (w *world) ask(m int, req *Request) Reply {
	d := w.drives[m]
	ans := Drive{Rules: w.off, Life: time.Minute}.Step(object.StampAt(w.now), At{&d.key, &d.set, &d.buck, &d.dr}, req)
	d.key.Synced()
	return ans.Reply
}

type op interface {
	Step(now time.Time, ev *Event) Effect
}

// run runs an operation to its end and reports whether it was done.
func (w *world) run(o op) bool {
	done := false
	queue := []Event{{Kind: EvBegin}}
	wake := time.Time{}
	for range 10_000 {
		if len(queue) == 0 {
			if wake.IsZero() {
				return done
			}
			w.now, wake = wake, time.Time{}
			queue = append(queue, Event{Kind: EvTick})
		}
		ev := queue[0]
		queue = queue[1:]
		e := o.Step(w.now, &ev)
		wake = e.Wake
		done = done || e.Done
		for _, s := range e.Sends {
			for m := range s.To.All() {
				queue = append(queue, w.deliver(m, s))
			}
		}
		if e.Over {
			return done
		}
	}
	w.t.Fatal("the operation does not end")
	return false
}

func (w *world) deliver(m int, s Send) Event {
	lost := Event{Kind: EvLost, From: m, ID: s.ID}
	if m >= len(w.drives) || w.drives[m].down || w.lose != nil && w.lose(m, &s.Req) {
		return lost
	}
	r := w.ask(m, &s.Req)
	if w.quiet != nil && w.quiet(m, &s.Req) {
		return lost
	}
	return Event{Kind: EvReply, From: m, ID: s.ID, Reply: &r}
}

func (w *world) id() object.WriteID {
	w.ids++
	return object.WriteID{0: w.ids}
}

func (w *world) update(in Intent) Result {
	if in.Write == (object.WriteID{}) {
		in.Write = w.id()
	}
	w.now = w.now.Add(time.Second)
	u := NewUpdate(w.env, w.target, in)
	if !w.run(u) {
		w.t.Fatalf("update %+v is not done", in)
	}
	return u.Result()
}

func (w *world) put(body uint64, cond Cond) Status {
	return w.update(Intent{Kind: Put, What: Object, Null: true, Body: body, Cond: cond}).Status
}

func (w *world) get() Result {
	w.now = w.now.Add(time.Second)
	g := NewGet(w.env, w.target, w.id(), false)
	if !w.run(g) {
		w.t.Fatal("get is not done")
	}
	return g.Result()
}

// reads says that the key reads as body, 0 for absent.
func (w *world) reads(body uint64) {
	w.t.Helper()
	r := w.get()
	switch {
	case body == 0 && r.Status != StatusAbsent, body != 0 && (r.Status != StatusOK || r.Version.Body != body):
		w.t.Errorf("reads as %d (status %d), want %d", r.Version.Body, r.Status, body)
	}
}

// only loses all requests of a kind but those to the members given.
func only(k RequestKind, to Slots) func(int, *Request) bool {
	return func(m int, r *Request) bool { return r.Kind == k && !to.Has(m) }
}
