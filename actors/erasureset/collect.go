package erasureset

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/placement"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

const (
	// Keys that wait, in number and in memory; those beyond are found again by the sweep.
	maxTombs     = 256 << 10
	maxTodoBytes = 16 << 20
	maxWaitBytes = 8 << 20 // of later
	// tombBytes and knownBytes are what a key takes beside its name: in a queue, and in collector.known.
	// Both have room for what slices and maps keep free to grow.
	tombBytes  = 128
	knownBytes = 64

	tombsAtOnce  = 4096 // in one round of collection, in the order of their keys: neighbours go together
	tombsInStep  = 256  // of these, so many ask the drives together
	collectLimit = 30 * time.Second
	// collectTries is how often a key is tried while all its drives are there. What they do not agree on
	// after that waits for the next sweep.
	collectTries = 3
)

// collector ends what keys no longer need: tombstones and purged versions that every member of their
// set holds stable, and what drives remember of attempts that are over. It only knows those that this
// store met; others, after a restart or beyond the bounds, the sweep finds.
type collector struct {
	s     *Store
	mu    sync.Mutex
	todo  tombQueue               // guarded by mu, in order of arrival
	later tombQueue               // guarded by mu, by when they are due
	known map[object.Key]struct{} // guarded by mu: of later
	spare sync.Pool               // of *collection
}

// tombQueue is keys that wait, bounded in number and memory.
type tombQueue struct {
	list  []tomb
	bytes int // of all entries, names included
	each  int // bytes of an entry beside its name
	limit int // of bytes
}

// push takes a key in if there is room. It copies the name, which otherwise keeps the memory of the
// request that it came with.
func (q *tombQueue) push(t *tomb) bool {
	need := q.each + len(t.key.Name)
	if len(q.list) >= maxTombs || q.bytes+need > q.limit {
		return false
	}
	t.key.Name = strings.Clone(t.key.Name)
	q.bytes += need
	q.list = append(q.list, *t)
	return true
}

// pop moves the first n to the end of batch.
func (q *tombQueue) pop(batch []tomb, n int) []tomb {
	batch = append(batch, q.list[:n]...)
	for i := range q.list[:n] {
		q.bytes -= q.each + len(q.list[i].key.Name)
	}
	q.list = slices.Delete(q.list, 0, n) // clears what it leaves: names are let go
	return batch
}

type tomb struct {
	key     object.Key
	stamp   object.Stamp // of the tombstone, if it is known
	tries   int
	due     time.Time // of later: what is younger may not go yet
	waiting bool      // what is to end is no tombstone: it was in later, or could have been
}

func newCollector(s *Store) *collector {
	return &collector{
		s: s, known: map[object.Key]struct{}{},
		todo:  tombQueue{each: tombBytes, limit: maxTodoBytes},
		later: tombQueue{each: tombBytes + knownBytes, limit: maxWaitBytes},
	}
}

// add tells of a key with a tombstone, and its stamp if that is known.
func (c *collector) add(key object.Key, stamp object.Stamp) { c.put(tomb{key: key, stamp: stamp}) }

func (c *collector) put(t tomb) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.todo.push(&t)
}

// addLater tells of a key of which something can be forgotten once the attempts of today are over.
func (c *collector) addLater(key object.Key) { c.putLater(tomb{key: key}) }

// addOver tells of a key of which something can be forgotten now.
func (c *collector) addOver(key object.Key) { c.put(tomb{key: key, waiting: true}) }

func (c *collector) putLater(t tomb) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.known[t.key]; ok {
		return
	}
	t.due, t.waiting = time.Now().Add(drive.AttemptLife+time.Minute), true
	if c.later.push(&t) {
		c.known[t.key] = struct{}{} // with the name that push has copied
	}
}

// take returns the next batch.
func (c *collector) take() []tomb {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch := c.todo.pop(nil, min(len(c.todo.list), tombsAtOnce))
	now := time.Now()
	n := 0
	for n < len(c.later.list) && len(batch)+n < tombsAtOnce && c.later.list[n].due.Before(now) {
		delete(c.known, c.later.list[n].key)
		n++
	}
	batch = c.later.pop(batch, n)
	if len(c.later.list) == 0 && n > 0 {
		c.known, c.later.list = map[object.Key]struct{}{}, nil // neither shrinks by itself
	}
	return batch
}

func (c *collector) loop() {
	tick := time.NewTicker(c.s.opt.CollectEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.s.closing.Done():
			return
		}
		ctx, cancel := context.WithTimeout(c.s.closing, collectLimit)
		for c.s.closing.Err() == nil && c.once(ctx) == tombsAtOnce {
		}
		cancel()
	}
}

// CollectTombstones runs collection until nothing more can be collected now, and returns how many
// keys it ended.
func (s *Store) CollectTombstones(ctx context.Context) int {
	total := 0
	for {
		n := s.tombs.once(ctx)
		total += n
		if n == 0 {
			return total
		}
	}
}

// once works on one batch and returns how many of it are done.
func (c *collector) once(ctx context.Context) (done int) {
	batch := c.take()
	if len(batch) == 0 {
		return 0
	}
	c.s.marks.flush()
	slices.SortFunc(batch, func(x, y tomb) int {
		return cmp.Or(cmp.Compare(x.key.Bucket, y.key.Bucket), strings.Compare(x.key.Name, y.key.Name))
	})
	mem := c.memory()
	defer c.release(mem)
	tombs := batch[:0]
	for _, b := range batch {
		if t, ok := c.targetOf(mem, b.key); ok { // else its bucket is gone
			tombs, mem.targets = append(tombs, b), append(mem.targets, t)
		}
	}
	c.raise(ctx, mem, tombs)
	for i := 0; i < len(tombs); i += tombsInStep {
		done += c.some(ctx, mem, tombs[i:min(i+tombsInStep, len(tombs))], mem.targets[i:])
	}
	c.s.metrics.collected.Add(float64(done))
	return done
}

// collection is the memory of a round of collection.
type collection struct {
	stepMem
	machines []quorum.Collect
	joints   []joint
	list     []*joint
	targets  []*target         // of the tombs
	known    map[place]*target // the same by place; the key is that of any of them
}

// place is where keys have the same target but for their names.
type place struct {
	bucket cluster.BucketID
	set    cluster.SetID
}

// memory returns that of an earlier round, if it is still there.
func (c *collector) memory() *collection {
	mem, _ := c.spare.Get().(*collection)
	if mem == nil {
		mem = &collection{
			machines: make([]quorum.Collect, tombsInStep), joints: make([]joint, tombsInStep), list: make([]*joint, tombsInStep),
			known: map[place]*target{},
		}
		for i := range mem.joints {
			mem.joints[i].m = &mem.machines[i]
			mem.list[i] = &mem.joints[i]
		}
	}
	return mem
}

func (c *collector) release(mem *collection) {
	clear(mem.targets)
	clear(mem.known)
	mem.targets = mem.targets[:0]
	c.spare.Put(mem)
}

// targetOf is a target for a key, but for its name.
func (c *collector) targetOf(mem *collection, key object.Key) (*target, bool) {
	if c.s.opt.Bucket == nil {
		return nil, false
	}
	b, ok := c.s.opt.Bucket(key.Bucket)
	if !ok {
		return nil, false
	}
	at := place{b.ID, placement.SetOf(c.s.opt.Topology(), b.ID, key.Name)}
	t := mem.known[at]
	if t == nil {
		t = c.s.target(&b, key.Name)
		mem.known[at] = t
	}
	return t, true
}

// some works on tombstones whose machines go step by step together.
func (c *collector) some(ctx context.Context, mem *collection, tombs []tomb, targets []*target) (done int) {
	list := mem.list[:len(tombs)]
	for i, j := range list {
		qt := targets[i].quorum()
		qt.Key = tombs[i].key
		j.t = targets[i]
		mem.machines[i].Reset(&c.s.env, &qt)
	}
	together(ctx, list, &mem.stepMem)
	for i := range list {
		if mem.machines[i].Result().Status == quorum.StatusOK {
			done++
		} else if t, ok := c.s.targetOf(tombs[i].key); ok {
			c.again(ctx, tombs[i], t)
		}
	}
	return done
}

// raise has the drives raise the floors of the sets to the tombstones' stamps before anybody asks for
// them, once for each set: else the machine of each key would, and ask all members again. A floor that
// is raised early only refuses more.
func (c *collector) raise(ctx context.Context, mem *collection, tombs []tomb) {
	type floor struct {
		t     *target
		stamp object.Stamp
	}
	floors := map[cluster.SetID]floor{}
	for i := range tombs {
		if t := mem.targets[i]; tombs[i].stamp > floors[t.id].stamp {
			floors[t.id] = floor{t, tombs[i].stamp}
		}
	}
	step, n := newStep(&mem.stepMem), 0
	for id, f := range floors {
		qt := f.t.quorum()
		send := quorum.Send{To: qt.Config.Members()}
		send.Req = quorum.Request{Kind: quorum.ReqFloor, Fence: quorum.Fence{Set: id, Epoch: qt.Config.Epoch}, Floor: f.stamp}
		step.add(&joint{t: f.t}, &send)
		if n++; n%tombsInStep == 0 || n == len(floors) {
			step.run(ctx) // what comes of it the machines see
			step.end()
			step = newStep(&mem.stepMem)
		}
	}
}

// again keeps a key for later. If all its drives are there, they disagree: of a tombstone that is
// settled first.
func (c *collector) again(ctx context.Context, b tomb, t *target) {
	if t.online().Len() == t.n() && ctx.Err() == nil {
		if b.tries++; b.tries > collectTries {
			return
		}
		if !b.waiting {
			_, _ = c.s.settle(ctx, t) // what it cannot do now it may do the next time
		}
	}
	if b.waiting {
		c.putLater(b)
	} else {
		c.put(b)
	}
}
