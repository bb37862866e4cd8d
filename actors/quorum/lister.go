package quorum

import (
	"strings"

	"holdfast/actors/object"
)

// ListPlace is where a scan begins or ends: at a key, or at its versions older than Below. Lists are in
// order of names, versions of one name from the newest on.
type ListPlace struct {
	Name  string
	Below object.VersionRef
}

// before says whether p comes before o in a list.
func (p ListPlace) before(o ListPlace) bool {
	if p.Name != o.Name {
		return p.Name < o.Name
	}
	return o.Below.Compare(p.Below) < 0
}

// NameBehind is the first string behind all those that begin with p; false if there is none.
func NameBehind(p string) (string, bool) {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] != 0xff {
			return p[:i] + string([]byte{p[i] + 1}), true
		}
	}
	return "", false
}

// ListQuery is what one page is to hold.
type ListQuery struct {
	Prefix, Delimiter string // for the drives: a Lister takes the common prefixes that they name
	Versions          bool   // all versions of each key, and not its current one
	From              ListPlace
	Limit             int
}

// Lister makes one page of a bucket's list out of what drives say of the same range: every set by k
// in-sync judges (I4). Answers are merged as they are, up to where the first truncated one ends, and
// judged one place after the other; what the drives of a set do not agree on goes through the resolver
// (I26, I32). Nothing is kept of what has been listed.
type Lister struct {
	ListQuery
	off  Rules
	bars []ListBar

	// Of the range that is asked for:

	from      ListPlace
	deal      *ListDeal
	answers   []ListAnswer // of each drive of the deal
	heard     []bool
	waiting   int
	failed    bool // somebody did not answer for all that it was asked
	pos       []int
	at        []*ListItem // what each drive has at the present place; nil: nothing
	same      []*ListItem // scratch
	cut       ListPlace   // the last place of which all speak, if truncated
	truncated bool
	common    bool      // the last place was a common prefix
	put       *ListItem // a place that comes next, when something else had to come before it

	// Of the page:

	item         *ListItem
	example      int // drive whose example of a common prefix is being read
	count        int
	more, latest bool
	last, passed string // key of the last version that was listed, and of the one before
	null         string // key whose null version was seen to
	elsewhere    string // key whose null version may lie on the page before
	held         ListItem
	holding      bool     // held is to be listed in its place
	moved        ListItem // stands for the null version of a key amid whose versions a range begins
	what, heldAs any
}

// ListStep is what a Lister wants next.
type ListStep uint8

// Steps of a Lister.
const (
	listMerging  ListStep = iota
	ListDealing           // a deal for the next range, without what Bars forbids; without one the page fails
	ListAsking            // the answers of the deal's drives, from Where on, Want entries of each
	ListReading           // what a Get finds for Unclear; if it fails the page does, rather than leave a key out
	ListBelow             // whether the list of Below has anything
	ListShows             // nothing: Item is listed. Go on with Next
	ListResolved          // the same for what a Get has found
	ListDone              // nothing: the page is whole
)

// NewLister returns the machine of one page, which begins with ListDealing.
func NewLister(q ListQuery, off Rules) *Lister {
	l := &Lister{ListQuery: q, off: off, from: q.From}
	if q.From.Below != (object.VersionRef{}) { // its newest version lies before this page, and maybe a null one
		l.last, l.elsewhere = q.From.Name, q.From.Name
	}
	return l
}

// Bars are the drives and sets that a deal may not ask.
func (l *Lister) Bars() []ListBar { return l.bars }

// Where and Want are what drives are to be asked for.
func (l *Lister) Where() ListPlace { return l.from }

// Want is how many entries are wanted of each: one more than are missing tells whether there are more.
func (l *Lister) Want() int { return l.Limit - l.count + 1 }

// More says of a whole page whether there is more behind it.
func (l *Lister) More() bool { return l.more }

// Item is what is listed, Latest that it is the newest of the versions of its key.
func (l *Lister) Item() *ListItem { return l.item }

// Latest says of a listed version that it is the newest of its key.
func (l *Lister) Latest() bool { return l.latest }

// What is the owner's word for what is ListResolved.
func (l *Lister) What() any { return l.what }

// Unclear is what a Get is to read: the current version of a key, or the one named.
func (l *Lister) Unclear() (name string, id object.VersionID) {
	if name = l.item.Name; l.item.Common {
		name = l.item.Example
	}
	if l.Versions {
		id = object.IDOf(l.item.Ref, l.item.Null)
	}
	return name, id
}

// Below is a list that tells whether a common prefix has anything below it.
func (l *Lister) Below() ListQuery {
	q := ListQuery{Prefix: l.item.Name, Versions: l.Versions, From: ListPlace{Name: l.item.Name}, Limit: 1}
	if strings.HasPrefix(l.From.Name, q.Prefix) {
		q.From = l.From
	}
	return q
}

// Deal begins a range. What drives say to the questions of an earlier deal is not to be handed in.
func (l *Lister) Deal(d *ListDeal) ListStep {
	n := len(d.Asks)
	if cap(l.answers) < n {
		l.answers, l.heard, l.pos = make([]ListAnswer, n), make([]bool, n), make([]int, n)
		pointers := make([]*ListItem, 2*n)
		l.at, l.same = pointers[:n:n], pointers[n:]
	}
	l.answers, l.heard, l.pos, l.at, l.same = l.answers[:n], l.heard[:n], l.pos[:n], l.at[:n], l.same[:n]
	clear(l.answers)
	clear(l.heard)
	clear(l.pos)
	l.deal, l.waiting, l.failed = d, n, false
	return ListAsking
}

// Lost tells that a drive of the deal gives no answer: its sets must be dealt to others.
func (l *Lister) Lost(ask int) ListStep {
	if !l.hear(ask) {
		return ListAsking
	}
	l.bar(ListBar{Drive: l.deal.Asks[ask].Drive, All: true})
	return l.gathered()
}

// Answered takes the answer of a drive of the deal, once. The lister keeps it until the range is over.
func (l *Lister) Answered(ask int, a ListAnswer) ListStep {
	if a.Truncated && len(a.Entries) == 0 {
		return l.Lost(ask) // it says nothing
	}
	if !l.hear(ask) {
		return ListAsking
	}
	l.answers[ask] = a
	for _, set := range a.Silent {
		if !l.off.Off(NoInSync) {
			l.bar(ListBar{Drive: l.deal.Asks[ask].Drive, Set: set})
		}
	}
	return l.gathered()
}

func (l *Lister) hear(ask int) (first bool) {
	if first = !l.heard[ask]; first {
		l.heard[ask] = true
		l.waiting--
	}
	return first
}

func (l *Lister) bar(b ListBar) {
	l.bars = append(l.bars, b)
	l.failed = true
}

// gathered begins to merge when all have answered.
func (l *Lister) gathered() ListStep {
	switch {
	case l.waiting > 0:
		return ListAsking
	case l.failed:
		return ListDealing
	}
	l.truncated = false
	for i := range l.answers {
		a := &l.answers[i]
		if !a.Truncated {
			continue
		}
		if last := l.place(&a.Entries[len(a.Entries)-1]); !l.truncated || last.before(l.cut) {
			l.cut, l.truncated = last, true
		}
	}
	if l.astride() {
		l.null, l.moved = l.from.Name, ListItem{Name: l.from.Name, Ref: l.from.Below, Null: true}
		l.item = &l.moved
		return ListReading
	}
	return l.Next()
}

// astride says whether the range begins amid versions of a key of which the page has met no null one. That may
// have lain in this range while the one before was read, and been replaced since by one that lies in that.
func (l *Lister) astride() bool {
	return l.from != l.From && l.from.Below != (object.VersionRef{}) && l.from.Name != l.null && !l.off.Off(NoListMoved)
}

// place is where an item stands.
func (l *Lister) place(it *ListItem) ListPlace {
	if !l.Versions || it.Common {
		return ListPlace{Name: it.Name}
	}
	return ListPlace{it.Name, it.Ref}
}

// compare orders the places of two items.
func (l *Lister) compare(a, b *ListItem) int {
	if c := strings.Compare(a.Name, b.Name); c != 0 || !l.Versions || a.Common {
		return c
	}
	return b.Ref.Compare(a.Ref)
}

// Next goes on behind what was listed.
func (l *Lister) Next() (step ListStep) {
	for step == listMerging {
		step = l.merge()
	}
	return step
}

// merge judges the next place.
func (l *Lister) merge() ListStep {
	it := l.put
	if l.put = nil; it == nil {
		it = l.forth()
	}
	over := it == nil || l.truncated && l.cut.before(l.place(it)) && !l.off.Off(NoListHorizon)
	if l.holding && l.reached(it, over) {
		l.put, l.item, l.what, l.holding = it, &l.held, l.heldAs, false
		return l.list(ListResolved)
	}
	if over {
		return l.ended()
	}
	l.item, l.common = it, it.Common
	if it.Common {
		return l.prefix()
	}
	null := it.Null && l.Versions
	if null && it.Name == l.null {
		return listMerging // of two null versions the newer one replaces the older, whether the drives know that yet or not
	}
	verdict, one := JudgeListed(l.at, l.deal.by[it.Set], l.Versions)
	if null && verdict != ListDead {
		if l.null = it.Name; it.Name == l.elsewhere {
			verdict = ListUnclear
		}
	}
	switch {
	case verdict == ListLive:
		l.item = one
		return l.list(ListShows)
	case verdict == ListDead || l.off.Off(NoListResolve):
		return listMerging
	}
	return ListReading
}

// forth moves to the next place and returns an item of it, nil at the end.
func (l *Lister) forth() (first *ListItem) {
	for i := range l.answers {
		l.at[i] = nil
		es := l.answers[i].Entries
		if l.pos[i] == len(es) {
			continue
		}
		it, c := &es[l.pos[i]], -1
		if first != nil {
			c = l.compare(it, first)
		}
		if c < 0 {
			clear(l.at[:i])
			first = it
		}
		if c <= 0 {
			l.at[i] = it
		}
	}
	for i, it := range l.at {
		if it != nil {
			l.pos[i]++
		}
	}
	return first
}

// reached says whether the held version comes before the next place, or before the end of the range.
func (l *Lister) reached(it *ListItem, over bool) bool {
	if held := l.place(&l.held); !over {
		return !l.place(it).before(held)
	} else {
		return !l.truncated || !l.cut.before(held)
	}
}

// ended goes on behind the range, if there is anything.
func (l *Lister) ended() ListStep {
	if !l.truncated {
		return ListDone
	}
	switch l.from = l.cut; {
	case l.common:
		name, ok := NameBehind(l.cut.Name)
		if l.from = (ListPlace{Name: name}); !ok {
			return ListDone
		}
	case !l.Versions:
		l.from.Name += "\x00"
	}
	return ListDealing
}

// list lists the item, if the page has room.
func (l *Lister) list(step ListStep) ListStep {
	if l.count == l.Limit {
		l.more = true
		return ListDone
	}
	l.count++
	l.latest = l.Versions && !l.item.Common && l.item.Name != l.last
	l.passed, l.last = l.last, l.item.Name
	return step
}

// Doubt tells that the item which ListShows cannot be used as it is: its row is damaged.
func (l *Lister) Doubt() ListStep {
	l.count--
	l.last = l.passed
	return ListReading
}

// Resolved tells what a Get has found for Unclear; kind is zero if there is no such version. what is
// the owner's, for What.
func (l *Lister) Resolved(ref object.VersionRef, kind Kind, what any) ListStep {
	it, is := l.item, Listed(kind, l.Versions)
	switch {
	case it.Common && is:
		return l.list(ListShows)
	case it.Common:
		return l.nextExample(l.example + 1)
	case !is, l.Versions && !it.Null && ref != it.Ref:
		return l.Next()
	case l.Versions && it.Null && it.Name == l.elsewhere && ref.Compare(l.From.Below) >= 0:
		return l.Next() // its place is on the page before
	case l.Versions && it.Null && ref.Compare(it.Ref) < 0:
		// The one asked for is no more, and an older one stands: it has its place among the versions. If
		// a newer one has replaced it, that is listed here: better out of its order than not at all.
		l.held = ListItem{Name: it.Name, Set: it.Set, Ref: ref, Kind: kind, Null: true}
		l.heldAs, l.holding = what, true
		return l.Next()
	}
	l.what = what
	return l.list(ListResolved)
}

// prefix judges a common prefix: there is something to be listed below it if all drives of a set agree
// on an example, or the resolver finds one, or else anything is found below it.
func (l *Lister) prefix() ListStep {
	for i, it := range l.at {
		if !l.isExample(i) {
			continue
		}
		for j, o := range l.at {
			if l.same[j] = nil; o != nil && l.alike(o, it) {
				l.same[j] = o
			}
		}
		if verdict, _ := JudgeListed(l.same, l.deal.by[it.Set], l.Versions); verdict == ListLive {
			return l.list(ListShows)
		}
	}
	if l.off.Off(NoListResolve) {
		return listMerging
	}
	return l.nextExample(0)
}

// nextExample goes on with the first example from drive i on.
func (l *Lister) nextExample(i int) ListStep {
	for ; i < len(l.at); i++ {
		if l.isExample(i) {
			l.example, l.item = i, l.at[i]
			return ListReading
		}
	}
	return ListBelow
}

// isExample says whether drive i has an example that none before it has.
func (l *Lister) isExample(i int) bool {
	if l.at[i] == nil {
		return false
	}
	for _, o := range l.at[:i] {
		if o != nil && l.alike(o, l.at[i]) {
			return false
		}
	}
	return true
}

func (l *Lister) alike(a, b *ListItem) bool {
	return a.Example == b.Example && (!l.Versions || a.Ref == b.Ref && a.Null == b.Null)
}

// Lists tells whether the list of Below has anything.
func (l *Lister) Lists(something bool) ListStep {
	if something {
		return l.list(ListShows)
	}
	return l.Next()
}
