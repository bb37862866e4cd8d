package erasureset

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/placement"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

const (
	liveKind = ondisk.KindObject
	listLive = quorum.ListLive
	listDead = quorum.ListDead
	// scanLimit is the deadline of one scan; a drive that exceeds it is left out of the page.
	scanLimit = 5 * time.Second
	// scanMax is the most entries that one scan may be asked for.
	scanMax = 4096
)

// List returns one page of a bucket's keys.
func (s *Store) List(ctx context.Context, req *ListRequest) (*ListPage, error) {
	page := &ListPage{}
	if req.Limit <= 0 {
		return page, nil
	}
	l := s.lister(&req.Bucket, req.Prefix, req.Delimiter, req.Limit)
	start, ok := startAfter(req.Prefix, req.Delimiter, req.After)
	if err := l.run(ctx, place{name: start}, ok); err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	page.Entries, page.Truncated = l.entries, l.truncated
	if page.Truncated {
		page.Next = page.Entries[len(page.Entries)-1].Name
	}
	return page, nil
}

// ListVersions returns one page of a bucket's versions.
func (s *Store) ListVersions(ctx context.Context, req *VersionsRequest) (*VersionsPage, error) {
	if req.Limit <= 0 {
		return &VersionsPage{}, nil
	}
	l := s.lister(&req.Bucket, req.Prefix, req.Delimiter, req.Limit)
	l.versions = true
	start, ok := startAfter(req.Prefix, req.Delimiter, req.KeyMarker)
	at := place{name: start}
	if req.VersionMarker.Named && strings.HasPrefix(req.KeyMarker, req.Prefix) && req.KeyMarker >= req.Prefix {
		ref, err := l.refOf(ctx, req.KeyMarker, req.VersionMarker)
		if err != nil {
			return nil, fmt.Errorf("list versions: key %q: %w", req.KeyMarker, err)
		}
		at, ok = place{name: req.KeyMarker, below: ref}, true
	}
	if err := l.run(ctx, at, ok); err != nil {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	return &VersionsPage{Entries: l.entries, Truncated: l.truncated}, nil
}

// startAfter is the first name behind after; false if there can be none. Behind a common prefix
// that is everything below it.
func startAfter(prefix, delimiter, after string) (string, bool) {
	if after == "" {
		return prefix, true
	}
	start := after + "\x00"
	if rest, below := strings.CutPrefix(after, prefix); below && delimiter != "" {
		if i := strings.Index(rest, delimiter); i >= 0 && i+len(delimiter) == len(rest) {
			next, ok := successor(after)
			if !ok {
				return "", false
			}
			start = next
		}
	}
	start = max(start, prefix)
	return start, strings.HasPrefix(start, prefix) || start < prefix
}

// successor is the first string behind all those that begin with p.
func successor(p string) (string, bool) {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] != 0xff {
			return p[:i] + string([]byte{p[i] + 1}), true
		}
	}
	return "", false
}

// lister is one page in the making.
type lister struct {
	s                 *Store
	bucket            *cluster.Bucket
	prefix, delimiter string
	limit             int
	versions          bool // all versions of each key, and not its current one

	first     place // where the page begins
	entries   []ListEntry
	truncated bool
	last      string                   // key of the last version that was passed
	nulls     string                   // key of which a null version was met
	exclude   map[cluster.DriveID]bool // drives that failed during this page
}

func (s *Store) lister(b *cluster.Bucket, prefix, delimiter string, limit int) *lister {
	return &lister{s: s, bucket: b, prefix: prefix, delimiter: delimiter, limit: limit, exclude: map[cluster.DriveID]bool{}}
}

// place is where a scan begins or ends: at a key, or at its versions older than below.
type place struct {
	name  string
	below object.VersionRef
}

// before orders places as lists do: by name, versions of one name from the newest on.
func (p place) before(o place) bool {
	if p.name != o.name {
		return p.name < o.name
	}
	return o.below.Compare(p.below) < 0
}

// run fills the page from a place on.
func (l *lister) run(ctx context.Context, at place, more bool) (err error) {
	if l.first = at; at.below != (object.VersionRef{}) {
		l.last, l.nulls = at.name, at.name // its newest version lies before this page, and maybe a null one
	}
	for more {
		if at, more, err = l.segment(ctx, at); err != nil {
			return err
		}
	}
	return nil
}

// segment scans and merges once from start, and says where to go on, if anywhere.
func (l *lister) segment(ctx context.Context, start place) (next place, more bool, err error) {
	plan, err := l.s.listPlan(l.exclude)
	if err != nil {
		return next, false, err
	}
	replies, ok := l.scan(ctx, plan, start)
	if !ok {
		return start, true, ctx.Err() // deal the failed drives' sets to others
	}
	var cut place
	truncated := false
	for i := range replies {
		if r := &replies[i]; r.Truncated && len(r.Entries) > 0 {
			if last := l.place(&r.Entries[len(r.Entries)-1]); !truncated || last.before(cut) {
				cut, truncated = last, true
			}
		}
	}
	m := &merge{l: l, plan: plan, replies: replies, pos: make([]int, len(replies)), at: make([]*drive.Entry, len(replies))}
	lastCommon := false
	for {
		e := m.next()
		if e == nil || truncated && cut.before(l.place(e)) {
			break
		}
		lastCommon = e.Common
		listed, info, err := m.decide(ctx, e)
		if err != nil {
			return next, false, fmt.Errorf("key %q: %w", e.Name, err)
		}
		if !listed {
			continue
		}
		if len(l.entries) == l.limit {
			l.truncated = true
			return next, false, nil
		}
		latest := l.versions && !e.Common && e.Name != l.last
		l.last = e.Name
		l.entries = append(l.entries, ListEntry{Name: e.Name, Common: e.Common, Latest: latest, Info: info})
	}
	switch {
	case !truncated:
		return next, false, nil
	case lastCommon:
		next.name, more = successor(cut.name)
		return next, more, nil
	case l.versions:
		return cut, true, nil
	}
	return place{name: cut.name + "\x00"}, true, nil
}

// place is where an entry stands.
func (l *lister) place(e *drive.Entry) place {
	if !l.versions || e.Common {
		return place{name: e.Name}
	}
	return place{e.Name, e.Ref}
}

// scan asks the drives of a plan; false if one failed, which is then excluded.
func (l *lister) scan(ctx context.Context, plan *listPlan, start place) ([]drive.ScanReply, bool) {
	ctx, cancel := context.WithTimeout(ctx, scanLimit)
	defer cancel()
	replies := make([]drive.ScanReply, len(plan.drives))
	errs := make([]error, len(plan.drives))
	sets := func(name string) cluster.SetID { return placement.SetOf(plan.topo, l.bucket.ID, name) }
	limit := min(l.limit-len(l.entries)+1, scanMax)
	var wg sync.WaitGroup
	for i, d := range plan.drives {
		wg.Go(func() {
			replies[i], errs[i] = apart(ctx, l.s, d.d, func() (drive.ScanReply, error) {
				return d.d.Scan(ctx, &drive.ScanRequest{
					Bucket: l.bucket.ID, Prefix: l.prefix, Start: start.name, Delimiter: l.delimiter,
					Versions: l.versions, Below: start.below, Limit: limit,
					Full: d.full, Witness: d.witness, Sets: sets,
				})
			})
		})
	}
	wg.Wait()
	ok := true
	for i, err := range errs {
		if err != nil {
			ok = false
			l.exclude[plan.drives[i].id] = true
			l.s.log.Warn("drive is left out of a list", "drive", plan.drives[i].id, "err", err)
		}
	}
	return replies, ok
}

// merge walks the answers of all drives in order.
type merge struct {
	l       *lister
	plan    *listPlan
	replies []drive.ScanReply
	pos     []int
	at      []*drive.Entry // entries of the present place, by drive; nil where it is missing
}

// next moves to the next place and returns an entry of it, nil at the end.
func (m *merge) next() (first *drive.Entry) {
	for i := range m.replies {
		m.at[i] = nil
		es := m.replies[i].Entries
		if m.pos[i] == len(es) {
			continue
		}
		e, c := &es[m.pos[i]], -1
		if first != nil {
			c = m.l.compare(e, first)
		}
		if c < 0 {
			clear(m.at[:i])
			first = e
		}
		if c <= 0 {
			m.at[i] = e
		}
	}
	for i, e := range m.at {
		if e != nil {
			m.pos[i]++
		}
	}
	return first
}

// compare orders the places of two entries.
func (l *lister) compare(a, b *drive.Entry) int {
	if c := strings.Compare(a.Name, b.Name); c != 0 || !l.versions || a.Common {
		return c
	}
	return b.Ref.Compare(a.Ref)
}

// decide says what is to be listed of the present place, of which first is an entry: its common
// prefix, what is known of its version, or nothing.
func (m *merge) decide(ctx context.Context, first *drive.Entry) (listed bool, info *Info, err error) {
	if first.Common {
		listed, err = m.proven(ctx, first.Name)
		return listed, nil, err
	}
	// Of two null versions the newer one replaces the older, whether the drives know that yet or not.
	second := first.Null && m.l.nulls == first.Name
	if first.Null {
		m.l.nulls = first.Name
	}
	verdict, full := m.plan.judge(first.Set, m.at, m.l.listed)
	switch {
	case verdict == listDead:
		return false, nil, nil
	case verdict == listLive && full != nil && !second:
		info := new(Info)
		if err := ondisk.DecodeShared(info, full.Ref, full.Rev, full.Row); err == nil {
			return true, info, nil
		}
	}
	info, err = m.l.resolved(ctx, m.l.place(first), first.Null)
	return info != nil, info, err
}

// listed says which kinds of versions have a place in the list.
func (l *lister) listed(kind ondisk.VersionKind) bool {
	return kind == ondisk.KindObject || l.versions && kind == ondisk.KindDeleteMarker
}

// resolved asks the one resolver for a key or version (I32); nil: nothing is to be listed. null says
// that it is a null version, which counts only if it is the newest.
func (l *lister) resolved(ctx context.Context, at place, null bool) (*Info, error) {
	if !l.versions {
		f, err := l.read(ctx, at.name, object.VersionID{})
		return f.info, err
	}
	f, err := l.read(ctx, at.name, object.IDOf(at.below, null))
	for _, info := range []*Info{f.info, f.marker} {
		if err == nil && info != nil && (object.VersionRef{TS: info.TS, Write: info.Write}) == at.below {
			return info, nil
		}
	}
	return nil, err
}

// read reads the current version of a key, or the one named.
func (l *lister) read(ctx context.Context, name string, id object.VersionID) (found, error) {
	f, err := l.s.read(ctx, l.s.target(l.bucket, name), id, false)
	if err == nil {
		f.close()
	}
	return f, err
}

// refOf is the place of a named version. If there is no such null version any more, it is the place
// before all others: better a version twice than one left out.
func (l *lister) refOf(ctx context.Context, name string, id object.VersionID) (object.VersionRef, error) {
	if !id.Null {
		return id.Ref, nil
	}
	f, err := l.read(ctx, name, id)
	for _, info := range []*Info{f.info, f.marker} {
		if err == nil && info != nil {
			return object.VersionRef{TS: info.TS, Write: info.Write}, nil
		}
	}
	return object.VersionRef{}, err
}

// proven says whether there is something to be listed below a common prefix: an example that all
// drives of its set agree on, one that the resolver finds, or in the end anything below it.
func (m *merge) proven(ctx context.Context, prefix string) (bool, error) {
	type example struct {
		name string
		ref  object.VersionRef // of versions
		null bool
	}
	tried := map[example]bool{}
	of := func(e *drive.Entry) example {
		if m.l.versions {
			return example{e.Example, e.Ref, e.Null}
		}
		return example{name: e.Example}
	}
	for _, e := range m.at {
		if e == nil || tried[of(e)] {
			continue
		}
		tried[of(e)] = true
		same := make([]*drive.Entry, len(m.at))
		for i, o := range m.at {
			if o != nil && of(o) == of(e) {
				same[i] = o
			}
		}
		if verdict, _ := m.plan.judge(e.Set, same, m.l.listed); verdict == listLive {
			return true, nil
		}
	}
	for ex := range tried {
		if info, err := m.l.resolved(ctx, place{ex.name, ex.ref}, ex.null); err != nil || info != nil {
			return info != nil, err
		}
	}
	below := m.l.s.lister(m.l.bucket, prefix, "", 1)
	below.versions = m.l.versions
	from := place{name: prefix}
	if strings.HasPrefix(m.l.first.name, prefix) {
		from = m.l.first
	}
	err := below.run(ctx, from, true)
	return err == nil && len(below.entries) > 0, err
}
