package sim

import (
	"fmt"
	"slices"
	"time"

	"holdfast/actors/object"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// record is what the control plane says of a set at one epoch, with the drives behind its members.
// The log of a set's records is the truth; nodes learn of it one after the other.
type record struct {
	cfg    quorum.SetConfig
	drives [maxN + 1]int16
	bucket int // index of the bucket's record that was newest then
}

// raftSet is one set in the control plane.
type raftSet struct {
	log []record // index = epoch - 1
}

// record is the set's record at an epoch.
func (w *World) record(set int, epoch uint64) *record { return &w.sets[set].log[epoch-1] }

// latest is the newest committed record.
func (w *World) latest(set int) *record { return &w.sets[set].log[len(w.sets[set].log)-1] }

// found forms the sets on the drives, and puts the keys into them.
func (w *World) found() {
	p := &w.plan
	r := rng{mix(w.seed + 2)}
	for s := range p.sets {
		set := &w.sets[s]
		rec := record{cfg: quorum.SetConfig{ID: cluster.SetID(s), Epoch: 1, Shape: quorum.ShapeOf(p.n)}}
		var order [maxDrives]int16
		for i := range p.drives {
			order[i] = int16(i)
		}
		for i := range p.n {
			if !w.manual {
				j := i + r.n(p.drives-i)
				order[i], order[j] = order[j], order[i]
			}
			rec.drives[i] = order[i]
		}
		set.log = append(set.log[:0], rec)
		w.movers[s] = mover{}
		for m := range p.n {
			d := &w.drives[rec.drives[m]]
			d.ram.sets[s] = quorum.SetState{Config: rec.cfg, Member: m, State: quorum.SlotInSync}
		}
	}
	for k := range p.keys {
		w.setOf[k] = int8(r.n(p.sets))
	}
	for i := range p.drives {
		d := &w.drives[i]
		d.ram.bucket = w.firstBuckets()
		d.flight.take(&d.ram, everything)
		d.safe.take(&d.ram, everything)
	}
	w.foundBucket()
	for i := range p.nodes {
		w.startEnv(int16(i))
		for s := range p.sets {
			w.nodes[i].view[s] = 1
		}
	}
}

// keyOf names a key of the bucket.
func keyOf(k int) object.Key {
	return object.Key{Bucket: cluster.BucketID(incarnationOf(k)), Name: nameOf(uint8(k % names))}
}

// target is a key as a node sees it.
func (w *World) target(n *node, key int) quorum.Target {
	set := int(w.setOf[key])
	return quorum.Target{Key: keyOf(key), Revision: w.revision(n, key), Config: w.record(set, n.view[set]).cfg}
}

// commit appends a record to a set's log, and lets the nodes learn of it.
func (w *World) commit(set int, rec record) {
	rec.cfg.Epoch = uint64(len(w.sets[set].log)) + 1
	rec.bucket = len(w.buckets) - 1
	w.sets[set].log = append(w.sets[set].log, rec)
	w.note("raft: set %d epoch %d phase %d moving %d newcomer %d", set, rec.cfg.Epoch, rec.cfg.Phase, rec.cfg.Moving, rec.drives[rec.cfg.N])
	for i := range w.plan.nodes {
		f := fate(w.seed, 0x2af7, uint64(set)<<32|rec.cfg.Epoch, uint64(i))
		delay := ms + int64(f.n(int(10*ms)))
		if !w.calm && f.chance(w.plan.luck.deaf) {
			delay += int64(f.n(int(w.plan.luck.deafMax)))
		}
		w.q.push(event{at: w.now + delay, kind: evConfig, who: int16(i), arg: int32(set)})
	}
}

// learn brings a node's view of a set up to an epoch, and with it the drives of the node.
func (w *World) learn(who int16, set int, epoch uint64) {
	n := &w.nodes[who]
	if !n.up || n.view[set] >= epoch {
		return
	}
	rec := w.record(set, epoch)
	if w.learnBucket(who, rec.bucket); n.view[set] >= epoch {
		return
	}
	n.view[set] = epoch
	for m := range rec.cfg.Members().All() {
		if d := &w.drives[rec.drives[m]]; d.node == who && d.open {
			w.adopt(d, rec, m)
		}
	}
	for i := range w.plan.drives {
		if d := &w.drives[i]; d.node == who && d.open && d.ram.sets[set].State != quorum.SlotNone && !rec.has(d.id) {
			w.retire(d, set)
		}
	}
	for i := range w.tasks {
		if t := &w.tasks[i]; t.alive && t.m != nil && t.node == who && int(t.set) == set {
			w.stepTask(int32(i), &quorum.Event{Kind: quorum.EvConfig, Config: &rec.cfg})
		}
	}
}

// adopt tells a drive of its node's newer record.
func (w *World) adopt(d *drive, rec *record, member int) {
	req := quorum.Request{Kind: quorum.ReqAdopt, Config: rec.cfg, Member: member}
	req.Fence = quorum.Fence{Set: rec.cfg.ID, Epoch: rec.cfg.Epoch, Revision: 1}
	w.stepDrive(d, -1, &req)
	w.suspect(d)
	if d.hard.any() {
		w.sync(d)
	}
}

// startEnv gives a node the environment of its operations.
func (w *World) startEnv(who int16) {
	n := &w.nodes[who]
	n.clock = quorum.Clock{}
	n.env = quorum.Env{Rules: w.tuning.Rules, Clock: wallClock{w, who}, Limits: quorum.Limits{
		Write:    quorum.WriteLimits{Straggler: 20 * time.Millisecond, Mark: 60 * time.Millisecond, Restamps: 3},
		Interval: 20 * time.Millisecond, Life: time.Duration(attemptLife) * time.Microsecond, Tries: 3,
	}}
}

// wallClock stamps by the wall clock of a node, as it is. The time that an operation is given is that of
// timers, which do not see it jump.
type wallClock struct {
	w   *World
	who int16
}

func (c wallClock) Take(time.Time) (object.Stamp, bool) {
	n := &c.w.nodes[c.who]
	return n.clock.Take(c.w.wall(n))
}

func (c wallClock) Observe(s object.Stamp) { c.w.nodes[c.who].clock.Observe(s) }

func (c wallClock) Halt() { c.w.nodes[c.who].clock.Halt() }

// resume lets a clock that was halted go on once the node's time agrees with that of the others.
func (w *World) resume(n *node) {
	if !n.clock.Halted() {
		return
	}
	others := w.others(n)
	if d := w.wall(n).Sub(others); d >= -100*time.Millisecond && d <= 100*time.Millisecond {
		n.clock.Resume(object.StampAt(others))
	}
}

// look notes how far any clock has ever been.
func (w *World) look() {
	for i := range w.plan.nodes {
		w.peak = max(w.peak, object.StampAt(w.wall(&w.nodes[i])))
	}
}

// others is the middle of the other nodes' clocks.
func (w *World) others(n *node) time.Time {
	var all []time.Time
	for i := range w.plan.nodes {
		if o := &w.nodes[i]; o != n && o.up {
			all = append(all, w.wall(o))
		}
	}
	if len(all) == 0 {
		return w.wall(n)
	}
	slices.SortFunc(all, time.Time.Compare)
	return all[len(all)/2]
}

const (
	callDeadline = 200 * ms
	tickEvery    = 100 * ms
	pendingAge   = 400 * ms
	attemptLife  = 2 * s
)

// has says whether a drive is a member.
func (r *record) has(drive int16) bool {
	for m := range r.cfg.Members().All() {
		if r.drives[m] == drive {
			return true
		}
	}
	return false
}

func (r *record) String() string {
	return fmt.Sprintf("epoch %d phase %d drives %v", r.cfg.Epoch, r.cfg.Phase, r.drives[:r.cfg.N+1])
}
