package sim

import (
	"slices"

	"holdfast/actors/quorum"
)

// deletion is a client's deletion of the bucket: seal, look, remove or lift the seal.
type deletion struct {
	*quorum.BucketDelete
	bucket  bucketRecord // with the seal
	sets    []record     // as the deleter knew them when it sealed
	asked   bool
	waiting int
	over    bool
}

func (l *deletion) begin(w *World, i int32) {
	t := &w.tasks[i]
	if !w.bucketBegins(t) {
		w.endTask(i)
		return
	}
	b := *w.lastBucket()
	if b.sealed {
		w.endSpan(i, outcome{failed: true}) // another deletes it
		return
	}
	b.sealed, b.revision = true, b.revision+1
	w.commitBucket(t.node, b)
	l.bucket = *w.lastBucket()
	n := &w.nodes[t.node]
	l.sets = l.sets[:0]
	for s := range w.plan.sets {
		l.sets = append(l.sets, *w.record(s, n.view[s]))
	}
	l.BucketDelete = quorum.NewBucketDelete(w.configs(n), w.tuning.Rules)
	w.spreadFence(i, l.sets, &l.bucket)
	l.goOn(w, i)
}

// spreadFence tells all members of all sets a revision of the bucket.
func (w *World) spreadFence(i int32, sets []record, b *bucketRecord) {
	told := uint64(0)
	for s := range sets {
		for m := range sets[s].cfg.Members().All() {
			if d := sets[s].drives[m]; told>>d&1 == 0 {
				told |= 1 << d
				w.spread(i, &ask{kind: askFence, drive: d, bucket: *b})
			}
		}
	}
}

// each calls f with every set and member that a drive is.
func each(sets []record, drive int16, f func(set, member int)) {
	for s := range sets {
		for m := range sets[s].cfg.Members().All() {
			if sets[s].drives[m] == drive {
				f(s, m)
			}
		}
	}
}

func (l *deletion) answer(w *World, i int32, a *ask) {
	lost := !a.outstanding || a.refused
	switch {
	case a.kind == askFence:
		each(l.sets, a.drive, func(s, m int) {
			if lost {
				l.Lost(s, m)
			} else {
				l.Sealed(s, m, a.judge>>s&1 != 0)
			}
		})
	default:
		s := a.sets[0]
		each(l.sets[s:s+1], a.drive, func(_, m int) {
			if lost || len(a.silent) > 0 {
				l.Lost(s, m)
				return
			}
			var found []string
			for j := range a.items {
				found = append(found, a.items[j].Name)
			}
			l.Reported(s, m, found)
		})
	}
	l.goOn(w, i)
}

// goOn does what the state of the deletion asks for.
func (l *deletion) goOn(w *World, i int32) {
	t := &w.tasks[i]
	state, _ := l.State()
	switch {
	case l.over:
	case state == quorum.DeleteAsking && !l.asked:
		l.asked = true
		n := &w.nodes[t.node]
		for s := range l.sets {
			for m := range l.Ask(s).All() {
				a := &ask{kind: askVacant, drive: l.sets[s].drives[m], sets: []int{s}, bucket: l.bucket}
				for o := range l.sets {
					a.epochs[o] = n.view[o]
				}
				w.spread(i, a)
			}
		}
	case state == quorum.DeleteResolving && l.waiting == 0:
		open := l.Unclear()
		slices.Sort(open)
		l.waiting = len(open)
		for _, name := range open {
			if !l.over {
				w.within(i, nameNumber(name), func(n *node, target quorum.Target) machine {
					target.Sealed, target.Revision = true, l.bucket.revision
					return quorum.NewUpdate(&n.env, target, quorum.Intent{Kind: quorum.Settle, Write: writeID(settles + w.writes)})
				})
			}
		}
	case state == quorum.DeleteRemove:
		l.end(w, i, true, outcome{})
	case state == quorum.DeleteOccupied:
		l.end(w, i, false, outcome{refused: true})
	case state == quorum.DeleteStuck:
		l.end(w, i, false, outcome{failed: true})
	}
}

func (l *deletion) resolved(w *World, i int32, name uint8, r quorum.Result) {
	l.waiting--
	if state, _ := l.State(); state == quorum.DeleteResolving && !l.over {
		l.Resolved(nameOf(name), r)
	}
	l.goOn(w, i)
}

// end proposes the removal, or lifts the seal; neither if the bucket has another revision by now.
func (l *deletion) end(w *World, i int32, remove bool, o outcome) {
	l.over = true
	t := &w.tasks[i]
	b := *w.lastBucket()
	if b.revision != l.bucket.revision || b.incarnation != l.bucket.incarnation {
		w.endSpan(i, outcome{failed: true})
		return
	}
	b.sealed, b.removed, b.revision = remove, remove, b.revision+1
	w.commitBucket(t.node, b)
	w.endSpan(i, o)
}

// creation makes the bucket.
type creation struct{}

func (*creation) begin(w *World, i int32) {
	t := &w.tasks[i]
	w.bucketBegins(t)
	b := *w.lastBucket()
	switch {
	case b.live():
		w.endSpan(i, outcome{refused: true})
	case b.incarnation == incarnations:
		w.endSpan(i, outcome{failed: true}) // the world has room for no more
	default:
		w.commitBucket(t.node, bucketRecord{incarnation: b.incarnation + 1, revision: 1})
		w.endSpan(i, outcome{})
	}
}
func (*creation) answer(*World, int32, *ask)                   {}
func (*creation) resolved(*World, int32, uint8, quorum.Result) {}

// freezing changes a setting that coordinators obey: behind its acknowledgement none writes under the old.
type freezing struct {
	sets   []record
	bucket bucketRecord
	told   []quorum.Slots
	out    int
}

func (l *freezing) begin(w *World, i int32) {
	t := &w.tasks[i]
	if !w.bucketBegins(t) {
		w.endTask(i)
		return
	}
	b := *w.lastBucket()
	if b.sealed {
		w.endSpan(i, outcome{failed: true})
		return
	}
	b.frozen, b.revision = !b.frozen, b.revision+1
	c := &w.clients[t.client]
	if b.frozen {
		w.calls[0][c.call].value = 1
	}
	w.commitBucket(t.node, b)
	l.bucket = *w.lastBucket()
	for s := range w.plan.sets {
		l.sets = append(l.sets, *w.record(s, w.nodes[t.node].view[s]))
	}
	l.told = make([]quorum.Slots, len(l.sets))
	w.spreadFence(i, l.sets, &l.bucket)
	l.out = len(t.asked)
}

func (l *freezing) answer(w *World, i int32, a *ask) {
	l.out--
	if a.outstanding && !a.refused {
		each(l.sets, a.drive, func(s, m int) {
			if a.judge>>s&1 != 0 {
				l.told[s] |= quorum.Slot(m)
			}
		})
	}
	enough := true
	for s := range l.sets {
		enough = enough && l.sets[s].cfg.Evident(l.told[s], 0)
	}
	if enough {
		w.endSpan(i, outcome{})
	} else if l.out == 0 {
		w.endSpan(i, outcome{unknown: true})
	}
}

func (l *freezing) resolved(*World, int32, uint8, quorum.Result) {}
