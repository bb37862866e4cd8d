package erasureset

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"holdfast/actors/drive"
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
	l := &lister{s: s, req: req, page: page, exclude: map[cluster.DriveID]bool{}}
	start, ok := startAfter(req.Prefix, req.Delimiter, req.After)
	for ok {
		var err error
		if start, ok, err = l.segment(ctx, start); err != nil {
			return nil, fmt.Errorf("list: %w", err)
		}
	}
	return page, nil
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
	s       *Store
	req     *ListRequest
	page    *ListPage
	exclude map[cluster.DriveID]bool // drives that failed during this page
}

// segment scans and merges once from start, and says where to go on, if anywhere.
func (l *lister) segment(ctx context.Context, start string) (next string, more bool, err error) {
	plan, err := l.s.listPlan(l.exclude)
	if err != nil {
		return "", false, err
	}
	replies, ok := l.scan(ctx, plan, start)
	if !ok {
		return start, true, ctx.Err() // deal the failed drives' sets to others
	}
	cut, truncated := "", false
	for i := range replies {
		if r := &replies[i]; r.Truncated && len(r.Entries) > 0 {
			if last := r.Entries[len(r.Entries)-1].Name; !truncated || last < cut {
				cut, truncated = last, true
			}
		}
	}
	m := &merge{l: l, plan: plan, replies: replies, pos: make([]int, len(replies)), at: make([]*drive.Entry, len(replies))}
	lastCommon := false
	for {
		name, ok := m.next()
		if !ok || truncated && name > cut {
			break
		}
		lastCommon = m.common()
		entry, err := m.decide(ctx, name)
		if err != nil {
			return "", false, fmt.Errorf("key %q: %w", name, err)
		}
		if entry == nil {
			continue
		}
		if len(l.page.Entries) == l.req.Limit {
			l.page.Truncated = true
			l.page.Next = l.page.Entries[l.req.Limit-1].Name
			return "", false, nil
		}
		l.page.Entries = append(l.page.Entries, *entry)
	}
	if !truncated {
		return "", false, nil
	}
	if !lastCommon {
		return cut + "\x00", true, nil
	}
	next, more = successor(cut)
	return next, more, nil
}

// scan asks the drives of a plan; false if one failed, which is then excluded.
func (l *lister) scan(ctx context.Context, plan *listPlan, start string) ([]drive.ScanReply, bool) {
	ctx, cancel := context.WithTimeout(ctx, scanLimit)
	defer cancel()
	replies := make([]drive.ScanReply, len(plan.drives))
	errs := make([]error, len(plan.drives))
	sets := func(name string) cluster.SetID { return placement.SetOf(plan.topo, l.req.Bucket.ID, name) }
	limit := min(l.req.Limit-len(l.page.Entries)+1, scanMax)
	var wg sync.WaitGroup
	for i, d := range plan.drives {
		wg.Go(func() {
			replies[i], errs[i] = apart(ctx, l.s, d.d, func() (drive.ScanReply, error) {
				return d.d.Scan(ctx, &drive.ScanRequest{
					Bucket: l.req.Bucket.ID, Prefix: l.req.Prefix, Start: start, Delimiter: l.req.Delimiter,
					Limit: limit, Full: d.full, Witness: d.witness, Sets: sets,
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

// merge walks the answers of all drives in name order.
type merge struct {
	l       *lister
	plan    *listPlan
	replies []drive.ScanReply
	pos     []int
	at      []*drive.Entry // entries of the present name, by drive; nil where it is missing
}

// next moves to the next name.
func (m *merge) next() (string, bool) {
	name, ok := "", false
	for i := range m.replies {
		if es := m.replies[i].Entries; m.pos[i] < len(es) && (!ok || es[m.pos[i]].Name < name) {
			name, ok = es[m.pos[i]].Name, true
		}
	}
	for i := range m.replies {
		m.at[i] = nil
		if es := m.replies[i].Entries; ok && m.pos[i] < len(es) && es[m.pos[i]].Name == name {
			m.at[i] = &es[m.pos[i]]
			m.pos[i]++
		}
	}
	return name, ok
}

func (m *merge) common() bool {
	for _, e := range m.at {
		if e != nil {
			return e.Common
		}
	}
	return false
}

// decide makes the list entry of the present name, nil if nothing is to be listed.
func (m *merge) decide(ctx context.Context, name string) (*ListEntry, error) {
	if m.common() {
		ok, err := m.proven(ctx, name)
		if err != nil || !ok {
			return nil, err
		}
		return &ListEntry{Name: name, Common: true}, nil
	}
	var set cluster.SetID
	for _, e := range m.at {
		if e != nil {
			set = e.Set
		}
	}
	verdict, full := m.plan.judge(set, m.at)
	switch {
	case verdict == listDead:
		return nil, nil
	case verdict == listLive && full != nil:
		info := new(Info)
		if err := ondisk.DecodeShared(info, full.Ref, full.Rev, full.Row); err == nil {
			return &ListEntry{Name: name, Info: info}, nil
		}
	}
	info, err := m.l.current(ctx, name)
	if err != nil || info == nil {
		return nil, err
	}
	return &ListEntry{Name: name, Info: info}, nil
}

// current asks the one resolver for a key (I32).
func (l *lister) current(ctx context.Context, name string) (*Info, error) {
	f, err := l.s.read(ctx, l.s.target(&l.req.Bucket, name), false, false)
	if err != nil {
		return nil, err
	}
	f.rep.close(0)
	return f.live(), nil
}

// proven says whether a common prefix has a live key: an example that all drives of its set agree
// on, one that the resolver finds live, or in the end any key below it.
func (m *merge) proven(ctx context.Context, prefix string) (bool, error) {
	tried := map[string]bool{}
	for _, e := range m.at {
		if e == nil || tried[e.Example] {
			continue
		}
		tried[e.Example] = true
		same := make([]*drive.Entry, len(m.at))
		for i, o := range m.at {
			if o != nil && o.Example == e.Example {
				same[i] = o
			}
		}
		if verdict, _ := m.plan.judge(e.Set, same); verdict == listLive {
			return true, nil
		}
	}
	for example := range tried {
		if info, err := m.l.current(ctx, example); err != nil || info != nil {
			return info != nil, err
		}
	}
	below := *m.l.req
	below.Prefix, below.Delimiter, below.Limit = prefix, "", 1
	if !strings.HasPrefix(below.After, prefix) {
		below.After = ""
	}
	page, err := m.l.s.List(ctx, &below)
	return err == nil && len(page.Entries) > 0, err
}
