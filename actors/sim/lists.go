package sim

import (
	"slices"

	"holdfast/actors/quorum"
)

// listing is a client's list: page after page, each of a Lister of its own. Every page counts in the
// history as one read of each name that it speaks of.
type listing struct {
	*quorum.Lister
	bucket  bucketRecord
	epochs  [maxSets]uint64
	start   string
	limit   int // of a page
	some    int // of a drive's answer
	began   int64
	tries   int
	waiting int            // names being resolved
	newest  [maxDrives]int // question to each drive; answers to earlier ones are void
	asked   int
}

func (l *listing) begin(w *World, i int32) {
	t := &w.tasks[i]
	if !w.bucketBegins(t) {
		w.endTask(i)
		return
	}
	n := &w.nodes[t.node]
	l.bucket, l.began, l.waiting = *w.bucketOf(n), w.step, 0
	var sets []quorum.ListSet
	for s := range w.plan.sets {
		rec := w.record(s, n.view[s])
		l.epochs[s] = rec.cfg.Epoch
		set := quorum.ListSet{Config: rec.cfg}
		for m := range set.Drives {
			set.Drives[m] = -1
		}
		for m := range rec.cfg.Members().All() {
			set.Drives[m] = int(rec.drives[m])
		}
		sets = append(sets, set)
	}
	l.Lister = quorum.NewLister(sets, l.start, l.limit, w.tuning.Rules)
	l.ask(w, i)
}

// ask sends what the lister wants asked.
func (l *listing) ask(w *World, i int32) {
	deals := l.Ask()
	var drives []int
	for d := range deals {
		drives = append(drives, d)
	}
	slices.Sort(drives)
	for _, d := range drives {
		l.asked++
		l.newest[d] = l.asked
		w.spread(i, &ask{kind: askList, number: l.asked, drive: int16(d), sets: deals[d], epochs: l.epochs, bucket: l.bucket, start: l.start, limit: l.some})
	}
	l.goOn(w, i)
}

func (l *listing) answer(w *World, i int32, a *ask) {
	again := true
	if a.number != l.newest[a.drive] {
		return
	}
	switch {
	case a.refused:
		l.again(w, i)
		return
	case !a.outstanding: // lost
		l.Lost(int(a.drive))
	default:
		again = l.Answered(int(a.drive), quorum.ListAnswer{Items: a.items, Truncated: a.truncated, Silent: a.silent})
	}
	if state, _ := l.State(); again && state == quorum.ListAsking {
		l.ask(w, i)
		return
	}
	l.goOn(w, i)
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

// goOn does what the lister's state asks for.
func (l *listing) goOn(w *World, i int32) {
	switch state, _ := l.State(); state {
	case quorum.ListUnavailable:
		w.endSpan(i, outcome{failed: true})
	case quorum.ListResolving:
		if l.waiting > 0 {
			return
		}
		open := slices.Clone(l.Unclear())
		l.waiting = len(open)
		for _, name := range open {
			if t := &w.tasks[i]; t.alive && t.span == l {
				w.within(i, nameNumber(name), func(n *node, target quorum.Target) machine {
					return quorum.NewGet(&n.env, target, writeID(settles+w.writes), true)
				})
			}
		}
	case quorum.ListPage:
		l.page(w, i)
	}
}

func (l *listing) resolved(w *World, i int32, name uint8, r quorum.Result) {
	if state, _ := l.State(); state != quorum.ListResolving {
		return
	}
	l.waiting--
	l.Resolved(nameOf(name), r.Status == quorum.StatusOK, r.Status == quorum.StatusOK || r.Status == quorum.StatusAbsent)
	l.goOn(w, i)
}

// page books a page in the history and goes on to the next.
func (l *listing) page(w *World, i int32) {
	page, next, more := l.Page()
	w.note("page from %q: %q, next %q, more %v", l.start, page, next, more)
	w.checkPage(page, l.start, next, more)
	if b := w.lastBucket(); !b.live() || b.incarnation != l.bucket.incarnation {
		l.again(w, i) // what is said to be missing is asked for in a bucket that is no more
		return
	}
	for n := range uint8(names) {
		if name := nameOf(n); name >= l.start && (!more || name < next) && len(w.calls[0]) < maxCalls-8 {
			k := call{kind: callListed, name: n, invoke: l.began, ret: w.step}
			if slices.Contains(page, name) {
				k.value = 1
			}
			w.calls[0] = append(w.calls[0], k)
		}
	}
	if !more || next > nameOf(names-1) {
		w.endSpan(i, outcome{})
		return
	}
	t := &w.tasks[i]
	t.gen++
	t.asked = t.asked[:0]
	l.start, l.tries = next, 0
	l.begin(w, i)
}
