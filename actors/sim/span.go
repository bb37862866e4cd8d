package sim

import (
	"holdfast/actors/object"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// span is an operation over many sets: what a task does whose messages go to drives, not to members.
type span interface {
	begin(w *World, i int32)
	// answer takes a drive's answer to a message; nil: it is lost.
	answer(w *World, i int32, a *ask)
	// resolved tells what an operation on one key, which the span had begun, came to.
	resolved(w *World, i int32, name uint8, r quorum.Result)
}

// askKind is what a span asks a drive.
type askKind uint8

const (
	askFence  askKind = iota + 1 // know this revision of the bucket
	askVacant                    // which names of the sets do you hold something of?
	askList                      // names from start on
)

// ask is a message of a span, and what the drive says to it.
type ask struct {
	kind        askKind
	drive       int16
	number      int               // of askList
	sets        []int             // indices; of askVacant and askList
	epochs      [maxSets]uint64   // as the sender knows them
	bucket      bucketRecord      // as the sender knows it
	nth         int               // of askList: among those of its deal
	start       quorum.ListPlace  // of askList
	versions    bool              // of askList
	limit       int               // of askList
	refused     bool              // the drive knows another revision
	judge       uint16            // bit per set: the drive is in sync there
	items       []quorum.ListItem // of askList; of askVacant the names alone
	truncated   bool
	silent      []cluster.SetID // that the drive does not vouch for
	outstanding bool
}

// spread sends a span's message to a drive.
func (w *World) spread(i int32, a *ask) {
	t := &w.tasks[i]
	if t.fuse > 0 {
		t.fuse--
		t.burnt = t.fuse == 0
	}
	t.sent++
	t.asked = append(t.asked, asked{t.sent, 1 << a.drive})
	j := w.alloc()
	p := &w.packets[j]
	p.req = quorum.Request{}
	p.span, p.task, p.gen, p.id, p.nth, p.deadline = a, i, t.gen, t.sent, t.sent, w.now+w.plan.pace.deadline
	p.from, p.life, p.label = t.node, w.nodes[t.node].life, t.label
	p.drive, p.member, p.key = a.drive, int8(a.drive), -1
	w.send(j)
}

// serveSpan lets a drive answer a span's message.
func (w *World) serveSpan(d *drive, p *packet) {
	a := *p.span
	p.span = &a // a message that was doubled is answered twice
	a.judge, a.refused, a.silent, a.items, a.truncated = 0, false, nil, nil, false
	for s := range w.plan.sets {
		if d.ram.sets[s].State == quorum.SlotInSync {
			a.judge |= 1 << s
		}
	}
	w.note("drive %d <- %s of sets %v from %q", d.id, p.kind(), a.sets, a.start.Name)
	if a.kind == askFence {
		a.refused = !w.stepDrive(d, -1, w.fenceRequest(&a.bucket)).OK
		return
	}
	for _, s := range a.sets {
		if w.rottenIn(d, s) {
			a.silent = append(a.silent, cluster.SetID(s))
			continue
		}
		switch w.vouches(d, s, &a) {
		case quorum.RefusedNot:
			w.listSet(d, s, &a)
		case quorum.RefusedBucket:
			a.refused = true
		default:
			a.silent = append(a.silent, cluster.SetID(s))
		}
	}
	sortItems(a.items)
	if a.kind == askList && len(a.items) > a.limit {
		a.items, a.truncated = a.items[:a.limit], true
	}
}

// vouches says whether a drive may speak for a set under the sender's configuration.
func (w *World) vouches(d *drive, set int, a *ask) quorum.Refusal {
	req := quorum.Request{Kind: quorum.ReqReport, Sealed: a.kind == askVacant}
	req.Key.Bucket = cluster.BucketID(a.bucket.incarnation)
	req.Fence = quorum.Fence{Set: cluster.SetID(set), Epoch: a.epochs[set], Revision: a.bucket.revision}
	rep := w.stepDrive(d, -1, &req)
	if rep.Refused == quorum.RefusedNot && !rep.Judge {
		return quorum.RefusedSync
	}
	return rep.Refused
}

// listSet adds what a drive says of a set's names.
func (w *World) listSet(d *drive, set int, a *ask) {
	for n := range uint8(names) {
		key := keyOfName(n, a.bucket.incarnation)
		if key >= w.plan.keys || int(w.setOf[key]) != set || a.kind == askList && nameOf(n) < a.start.Name {
			continue
		}
		st := &d.ram.keys[key]
		switch {
		case a.kind == askVacant:
			if quorum.Vacated(st) != quorum.Vacant {
				a.items = append(a.items, quorum.ListItem{Name: nameOf(n)})
			}
		case a.versions:
			a.listVersions(n, set, st)
		default:
			if v := quorum.Newest(st); v != nil && quorum.Told(v.Kind, v.Stable) {
				a.add(n, set, v)
			}
		}
	}
}

// listVersions adds the versions of a name that lie in the range.
func (a *ask) listVersions(n uint8, set int, st *quorum.KeyState) {
	var stands quorum.Standing
	for i := range st.Versions {
		v := &st.Versions[i]
		if !stands.Next(v.Ref, v.Kind, v.Null, v.Stable) {
			continue
		}
		if below := a.start.Below; nameOf(n) > a.start.Name || below == (object.VersionRef{}) || v.Ref.Compare(below) < 0 {
			a.add(n, set, v)
		}
	}
}

func (a *ask) add(n uint8, set int, v *quorum.Version) {
	a.items = append(a.items, quorum.ListItem{
		Name: nameOf(n), Set: cluster.SetID(set), Ref: v.Ref, Rev: v.Rev, Kind: v.Kind, Unstable: !v.Stable, Null: v.Null,
	})
}

func sortItems(items []quorum.ListItem) {
	for i := range items {
		for j := i; j > 0 && items[j].Name < items[j-1].Name; j-- {
			items[j], items[j-1] = items[j-1], items[j]
		}
	}
}

// kind names a packet's request.
func (p *packet) kind() string {
	if p.span == nil {
		return requestName(p.req.Kind)
	}
	return [...]string{"", "fence", "vacant", "list"}[p.span.kind]
}

// within begins an operation on one key for a span.
func (w *World) within(i int32, name uint8, m func(n *node, target quorum.Target) machine) {
	t := &w.tasks[i]
	b := *w.bucketOf(&w.nodes[t.node])
	if !b.live() {
		t.span.resolved(w, i, name, quorum.Result{Status: quorum.StatusStale})
		return
	}
	parent, gen, node := i, t.gen, t.node
	w.writes++
	j := w.newTask(node, keyOfName(name, b.incarnation), settles+w.writes)
	c := &w.tasks[j]
	c.parent, c.parentGen, c.within, c.name3 = parent, gen, true, name
	c.m = m(&w.nodes[node], w.target(&w.nodes[node], int(c.key)))
	w.stepTask(j, &quorum.Event{Kind: quorum.EvBegin})
}

// endSpan answers the client of a span.
func (w *World) endSpan(i int32, o outcome) {
	t := &w.tasks[i]
	w.returned(t.client, t.turn, o)
	t.told = true
	w.endTask(i)
}
