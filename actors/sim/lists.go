package sim

import (
	"holdfast/actors/object"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// listing is a client's list: page after page, each of a Lister of its own. Every page counts in the
// history as one read of each name that it speaks of. A list of versions says the same of a bucket
// without versioning.
type listing struct {
	*quorum.Lister
	bucket   bucketRecord
	epochs   [maxSets]uint64
	sets     []quorum.ListSet
	versions bool
	start    quorum.ListPlace
	limit    int // of a page
	some     int // of a drive's answer
	began    int64
	tries    int
	number   int // of the deal; answers to earlier ones are void
	deal     *quorum.ListDeal
	reading  bool
	page     []listed
}

// listed is what a page says of a name.
type listed struct {
	name  string
	value uint16
	ref   object.VersionRef
	null  bool
	gone  bool // a marker
}

func (l *listing) begin(w *World, i int32) {
	t := &w.tasks[i]
	if !w.bucketBegins(t) {
		w.endTask(i)
		return
	}
	n := &w.nodes[t.node]
	l.bucket, l.began, l.reading = *w.bucketOf(n), w.step, false
	l.page, l.sets = l.page[:0], l.sets[:0]
	for s := range w.plan.sets {
		rec := w.record(s, n.view[s])
		l.epochs[s] = rec.cfg.Epoch
		set := quorum.ListSet{Config: rec.cfg}
		for m := range rec.cfg.Members().All() {
			set.Drives[m] = int(rec.drives[m])
		}
		l.sets = append(l.sets, set)
	}
	l.Lister = quorum.NewLister(quorum.ListQuery{Versions: l.versions, From: l.start, Limit: l.limit}, w.tuning.Rules)
	l.goOn(w, i, quorum.ListDealing)
}

// ask deals the sets to drives and sends what is to be asked; false if a set has too few drives.
func (l *listing) ask(w *World, i int32) bool {
	l.deal, _, _ = quorum.DealList(l.sets, w.plan.drives, l.number%w.plan.drives, l.Bars(), w.tuning.Rules)
	if l.deal == nil {
		return false
	}
	l.number++
	l.Deal(l.deal)
	for k := range l.deal.Asks {
		to := &l.deal.Asks[k]
		a := &ask{kind: askList, number: l.number, nth: k, drive: int16(to.Drive), epochs: l.epochs, bucket: l.bucket, start: l.Where(), versions: l.versions, limit: min(l.some, l.Want())}
		for s := range w.plan.sets {
			if to.Asked(cluster.SetID(s)) {
				a.sets = append(a.sets, s)
			}
		}
		w.spread(i, a)
	}
	return true
}

func (l *listing) answer(w *World, i int32, a *ask) {
	switch {
	case a.number != l.number:
	case a.refused:
		l.again(w, i)
	case !a.outstanding: // lost
		l.goOn(w, i, l.Lost(a.nth))
	default:
		l.goOn(w, i, l.Answered(a.nth, quorum.ListAnswer{Entries: a.items, Truncated: a.truncated, Silent: a.silent}))
	}
}

// again starts the page anew: the configuration has changed.
func (l *listing) again(w *World, i int32) {
	t := &w.tasks[i]
	if l.tries++; l.tries > 3 {
		w.endSpan(i, outcome{failed: true})
		return
	}
	w.learnBucket(t.node, len(w.buckets)-1)
	t.gen++
	t.asked = t.asked[:0]
	l.begin(w, i)
}

// goOn does what the lister wants.
func (l *listing) goOn(w *World, i int32, step quorum.ListStep) {
	for {
		switch step {
		case quorum.ListDealing:
			if !l.ask(w, i) {
				w.endSpan(i, outcome{failed: true})
			}
			return
		case quorum.ListReading:
			name, id := l.Unclear()
			l.reading = true
			w.within(i, nameNumber(name), func(n *node, target quorum.Target) machine {
				return quorum.NewGetAt(&n.env, target, writeID(settles+w.writes), true, id)
			})
			return
		case quorum.ListShows:
			it := l.Item()
			step = l.add(it.Ref, it.Null, it.Kind)
		case quorum.ListResolved:
			v := l.What().(*quorum.Version)
			step = l.add(v.Ref, v.Null, v.Kind)
		case quorum.ListDone:
			l.book(w, i)
			return
		default:
			return // answers are awaited
		}
	}
}

func (l *listing) add(ref object.VersionRef, null bool, kind quorum.Kind) quorum.ListStep {
	l.page = append(l.page, listed{l.Item().Name, uint16(writeNumber(ref.Write)), ref, null, kind == quorum.Marker})
	return l.Next()
}

func (l *listing) resolved(w *World, i int32, _ uint8, r quorum.Result) {
	if !l.reading {
		return
	}
	l.reading = false
	switch r.Status {
	case quorum.StatusOK:
		l.goOn(w, i, l.Resolved(r.Version.Ref, r.Version.Kind, &r.Version))
	case quorum.StatusAbsent: // or a marker, which has its place among versions
		l.goOn(w, i, l.Resolved(r.Version.Ref, r.Version.Kind, &r.Version))
	default:
		w.endSpan(i, outcome{failed: true})
	}
}

// book books a page in the history and goes on to the next.
func (l *listing) book(w *World, i int32) {
	more, next := l.More(), l.start
	if n := len(l.page); n > 0 {
		next = quorum.ListPlace{Name: l.page[n-1].name, Below: l.page[n-1].ref}
	}
	if !l.versions {
		next = quorum.ListPlace{Name: next.Name + "\x00"}
	}
	w.note("page from %+v: %+v, next %+v, more %v", l.start, l.page, next, more)
	if !w.plan.buckets {
		w.bookVersions(l, more)
		l.goBehind(w, i, next, more)
		return
	}
	w.checkPage(l.page, l.start.Name, more)
	if b := w.lastBucket(); !b.live() || b.incarnation != l.bucket.incarnation {
		l.again(w, i) // what is said to be missing is asked for in a bucket that is no more
		return
	}
	for n := range uint8(names) {
		name := nameOf(n)
		if before := l.start; name < before.Name || name == before.Name && before.Below != (object.VersionRef{}) || more && name > next.Name {
			continue
		}
		if len(w.calls[0]) < maxCalls-8 {
			k := call{kind: callListed, name: n, invoke: l.began, ret: w.step}
			for _, p := range l.page {
				if p.name == name {
					k.value = p.value
				}
			}
			w.calls[0] = append(w.calls[0], k)
		}
	}
	l.goBehind(w, i, next, more)
}

// goBehind begins the next page, if there is one.
func (l *listing) goBehind(w *World, i int32, next quorum.ListPlace, more bool) {
	if !more {
		w.endSpan(i, outcome{})
		return
	}
	t := &w.tasks[i]
	t.gen++
	t.asked = t.asked[:0]
	l.start, l.tries = next, 0
	l.begin(w, i)
}
