package sim

import (
	"fmt"
	"runtime/debug"
	"time"

	"holdfast/actors/object"
	"holdfast/actors/quorum"
)

// eventKind is what an event does.
type eventKind uint8

const (
	evDeliver eventKind = iota + 1 // packet arg reaches node who
	evAnswer                       // packet arg is back at node who
	evSync                         // the sync of drive who ends
	evTask                         // task arg on node who wakes
	evCall                         // client who asks for its next operation
	evFault                        // fault arg begins
	evMend                         // fault arg ends
	evTick                         // background work of node who
	evStart                        // node who starts again
	evLost                         // packet arg will not be answered
	evCopy                         // node who tries again to copy a key of set arg
	evConfig                       // node who learns the newest record of set arg
	evBucket                       // node who learns record arg of the bucket
)

// node is a process with its clock, its drives and its coordinators.
type node struct {
	up         bool
	paused     int64 // it stands still until then
	island     int64 // it learns nothing of what is committed until then
	life       uint16
	clock      quorum.Clock
	env        quorum.Env
	off, drift int64             // of the wall clock: microseconds; millionths
	seen       [maxDrives]uint64 // newest batch of each drive that an answer told of (I15)
	view       [maxSets]uint64   // epoch of each set that it knows
	bucket     int               // index of the bucket's record that it knows
	busy       uint16            // bit per key: background work is under way
}

// drive is a drive and the actor that owns it.
type drive struct {
	disk
	id     int16
	node   int16
	open   bool // in service
	gone   bool // taken away for good
	forgot bool // its batch number is below what others saw of it (I15)
	life   uint16
	saved  image // for faultRevert
}

// World is one simulated cluster. It is used for one run after another; nothing in it is shared.
type World struct {
	Stats
	tuning    Tuning
	plan      Plan
	seed      uint64
	now       int64
	step      int64 // events so far: the time of histories, so that no two moments are equal
	calm      bool  // faults are over
	losses    int
	peak      object.Stamp // highest time that any clock has ever shown
	restarted bool         // a drive was closed or left a set: pins do not survive that
	media     bool         // a disk has lost or forgotten what it had said was durable
	spoils    uint16       // bit per key: a shard has rotted
	writes    uint32
	q         queue
	nodes     [maxNodes]node
	drives    [maxDrives]drive
	cut       [maxNodes]uint32 // bit: messages from here to there are lost
	skews     []int32          // faults under way that strike some kinds of messages
	packets   []packet
	spare     []int32
	tasks     []task
	idle      []int32
	clients   []client
	calls     [maxKeys][]call
	uploads   [maxKeys]uint8
	setOf     [maxKeys]int8
	sets      [maxSets]raftSet
	movers    [maxSets]mover
	attempts  [maxKeys][]attempt
	undone    [maxKeys][]uint16 // writes of which a client was told that they were not done
	check     checker[register]
	checkAll  checker[shelf]
	checkIn   checker[space]
	buckets   []bucketRecord
	broken    *Violation
	manual    bool  // Explore or a Schedule decides what happens next: messages go into the bag
	scripted  bool  // ... a Schedule
	label     int16 // of the operation of a Schedule that is being stepped
	bag       []event
	trace     func(format string, args ...any) // nil unless replaying
	take      func(History)                    // nil unless somebody asks for the histories
}

// NewWorld returns an empty world.
func NewWorld(t Tuning) *World {
	w := &World{tuning: t, clients: make([]client, maxClients)}
	return w
}

// epoch is where the clocks of the simulated world stand at its time 0.
const epoch = int64(1_700_000_000) * s

// wall is a node's wall clock.
func (w *World) wall(n *node) time.Time {
	return time.UnixMicro(epoch + w.now + n.off + w.now/1000*n.drift/1000)
}

// fail notes the first violation; the run ends.
func (w *World) fail(rule, format string, args ...any) {
	if w.broken == nil {
		w.broken = &Violation{Rule: rule, Detail: fmt.Sprintf(format, args...), At: w.now}
	}
}

// Run runs one seed, cut as c says, and returns the violation found, or nil.
func (w *World) Run(c Cut) (v *Violation) {
	w.plan.draw(c.Seed, w.tuning)
	c.apply(&w.plan)
	defer func() {
		if r := recover(); r != nil {
			v = &Violation{Rule: "panic", Detail: fmt.Sprint(r), At: w.now}
			if w.trace != nil {
				w.note("%s", debug.Stack())
			}
		}
	}()
	w.reset()
	w.schedule()
	w.run(w.plan.end)
	w.settle()
	w.judge()
	w.Events += uint64(w.step)
	return w.broken
}

// reset builds the world of the plan.
func (w *World) reset() {
	p := &w.plan
	if p.pace == (pace{}) {
		p.pace = pace{tick: tickEvery, pending: pendingAge, deadline: callDeadline, quiet: attemptLife}
	}
	w.skews, w.spoils = w.skews[:0], 0
	w.seed, w.now, w.peak, w.step, w.calm, w.media, w.losses, w.restarted, w.broken = p.Seed, 0, 0, 0, false, false, 0, false, nil
	w.q.reset()
	w.packets, w.spare = w.packets[:0], w.spare[:0]
	w.resetTasks()
	w.cut = [maxNodes]uint32{}
	for i := range p.nodes {
		w.nodes[i] = node{up: true, life: 1, off: p.clockOff[i], drift: p.clockDrift[i]}
	}
	for i := range p.drives {
		d := &w.drives[i]
		d.disk.reset()
		d.id, d.node, d.open, d.gone, d.forgot, d.life = int16(i), int16(i%p.nodes), true, false, false, 1
	}
	for i := range w.calls {
		w.calls[i] = w.calls[i][:0]
		w.attempts[i] = w.attempts[i][:0]
		w.undone[i] = w.undone[i][:0]
		w.uploads[i] = 0
	}
	for i := range w.clients {
		w.clients[i] = client{}
	}
	w.found()
}

// run handles events up to a time, or until a rule is broken.
func (w *World) run(until int64) {
	for w.broken == nil && len(w.q.heap) > 0 && w.q.heap[0].at <= until {
		e := w.q.pop()
		w.now = e.at
		w.step++
		if w.step > maxSteps {
			w.fail("ends", "%d events and no end", w.step)
			return
		}
		w.handle(&e)
	}
	w.now = max(w.now, until)
}

// maxSteps is far above what a run takes.
const maxSteps = 400_000

func (w *World) handle(e *event) {
	switch e.kind {
	case evSync:
		if d := &w.drives[e.who]; d.life == e.life {
			w.synced(d)
		}
		return
	case evFault:
		w.strike(e.arg)
		return
	case evMend:
		w.mend(e.arg)
		return
	case evCall:
		w.nextCall(e.who)
		return
	case evStart:
		w.startNode(e.who)
		return
	}
	w.onNode(e)
}

// onNode handles what happens inside a process: not at all if it is gone, later if it stands still.
func (w *World) onNode(e *event) {
	n := &w.nodes[e.who]
	if n.paused > w.now {
		e.at = n.paused
		if e.kind == evDeliver && n.paused > w.packets[e.arg].deadline {
			w.lost(w.twin(e.arg)) // the sender does not wait so long
		}
		w.q.push(*e)
		return
	}
	void := !n.up || e.life != 0 && e.life != n.life
	switch e.kind {
	case evDeliver:
		if void {
			w.lost(e.arg)
			return
		}
		w.deliver(e.arg)
	case evAnswer, evLost:
		if void {
			w.free(e.arg)
			return
		}
		w.answered(e.arg, e.kind == evLost)
	case evTask:
		if !void {
			w.woken(e)
		}
	case evTick:
		if !void {
			w.tick(e.who)
		}
	case evCopy:
		if !void {
			w.copyKey(int(e.arg))
		}
	case evBucket:
		w.learnBucket(e.who, int(e.arg))
	case evConfig:
		if n.island > w.now {
			e.at = n.island
			w.q.push(*e)
		} else if !void {
			w.learn(e.who, int(e.arg), w.latest(int(e.arg)).cfg.Epoch)
		}
	}
}
