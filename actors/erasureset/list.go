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
	start, ok := startAfter(req.Prefix, req.Delimiter, req.After)
	if !ok {
		return page, nil
	}
	l := s.lister(&req.Bucket, &quorum.ListQuery{
		Prefix: req.Prefix, Delimiter: req.Delimiter, From: quorum.ListPlace{Name: start}, Limit: req.Limit,
	})
	if err := l.run(ctx); err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	page.Entries, page.Truncated = l.entries, l.More()
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
	q := quorum.ListQuery{Prefix: req.Prefix, Delimiter: req.Delimiter, Versions: true, Limit: req.Limit}
	start, ok := startAfter(req.Prefix, req.Delimiter, req.KeyMarker)
	q.From.Name = start
	if req.VersionMarker.Named && strings.HasPrefix(req.KeyMarker, req.Prefix) && req.KeyMarker >= req.Prefix {
		ref, err := s.refOf(ctx, &req.Bucket, req.KeyMarker, req.VersionMarker)
		if err != nil {
			return nil, fmt.Errorf("list versions: key %q: %w", req.KeyMarker, err)
		}
		q.From, ok = quorum.ListPlace{Name: req.KeyMarker, Below: ref}, true
	}
	if !ok {
		return &VersionsPage{}, nil
	}
	l := s.lister(&req.Bucket, &q)
	if err := l.run(ctx); err != nil {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	return &VersionsPage{Entries: l.entries, Truncated: l.More()}, nil
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
			next, ok := quorum.NameBehind(after)
			if !ok {
				return "", false
			}
			start = next
		}
	}
	start = max(start, prefix)
	return start, strings.HasPrefix(start, prefix) || start < prefix
}

// lister carries one page's quorum.Lister to the drives: it scans, reads and keeps what is listed.
type lister struct {
	*quorum.Lister
	s       *Store
	bucket  *cluster.Bucket
	plan    *listPlan
	entries []ListEntry
}

func (s *Store) lister(b *cluster.Bucket, q *quorum.ListQuery) *lister {
	return &lister{Lister: quorum.NewLister(*q, 0), s: s, bucket: b}
}

// run makes the page.
func (l *lister) run(ctx context.Context) (err error) {
	for step := quorum.ListDealing; step != quorum.ListDone; {
		switch step {
		case quorum.ListDealing:
			if l.plan, err = l.s.listPlan(l.Bars()); err == nil {
				step = l.Deal(l.plan.ListDeal)
			}
		case quorum.ListAsking:
			step = l.scan(ctx)
			err = ctx.Err()
		case quorum.ListReading:
			step, err = l.resolve(ctx)
		case quorum.ListBelow:
			q := l.Below()
			below := l.s.lister(l.bucket, &q)
			if err = below.run(ctx); err == nil {
				step = l.Lists(len(below.entries) > 0)
			}
		case quorum.ListShows:
			step = l.show()
		case quorum.ListResolved:
			l.add(l.What().(*Info))
			step = l.Next()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// show adds the item that all agree on.
func (l *lister) show() quorum.ListStep {
	it := l.Item()
	if it.Common {
		l.add(nil)
		return l.Next()
	}
	info := new(Info)
	if err := ondisk.DecodeShared(info, it.Ref, it.Rev, it.Row); err != nil {
		return l.Doubt()
	}
	l.add(info)
	return l.Next()
}

func (l *lister) add(info *Info) {
	it := l.Item()
	l.entries = append(l.entries, ListEntry{Name: it.Name, Common: it.Common, Latest: l.Latest(), Info: info})
}

// scan asks the drives of the plan.
func (l *lister) scan(ctx context.Context) (step quorum.ListStep) {
	ctx, cancel := context.WithTimeout(ctx, scanLimit)
	defer cancel()
	asks := l.plan.Asks
	replies := make([]drive.ScanReply, len(asks))
	errs := make([]error, len(asks))
	sets := func(name string) cluster.SetID { return placement.SetOf(l.plan.topo, l.bucket.ID, name) }
	req := drive.ScanRequest{
		Bucket: l.bucket.ID, Prefix: l.Prefix, Start: l.Where().Name, Delimiter: l.Delimiter,
		Versions: l.Versions, Below: l.Where().Below, Limit: min(l.Want(), scanMax), Sets: sets,
	}
	var wg sync.WaitGroup
	for i := range asks {
		wg.Go(func() {
			d := l.plan.drive(i)
			replies[i], errs[i] = apart(ctx, l.s, d, func() (drive.ScanReply, error) {
				req := req
				req.Full, req.Witness = asks[i].Full, asks[i].Witness
				return d.Scan(ctx, &req)
			})
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			l.s.log.Warn("drive is left out of a list", "drive", l.plan.drive(i).ID(), "err", err)
			step = l.Lost(i)
			continue
		}
		if silent := replies[i].Silent; len(silent) > 0 {
			l.s.plans.distrust(l.plan.topo, asks[i].Drive, silent)
		}
		step = l.Answered(i, replies[i])
	}
	return step
}

// resolve asks the one resolver for what is unclear (I32).
func (l *lister) resolve(ctx context.Context) (quorum.ListStep, error) {
	name, id := l.Unclear()
	f, err := l.s.readListed(ctx, l.bucket, name, id)
	if err != nil {
		return 0, fmt.Errorf("key %q: %w", name, err)
	}
	info := f.version()
	if info == nil {
		return l.Resolved(object.VersionRef{}, 0, nil), nil
	}
	return l.Resolved(object.VersionRef{TS: info.TS, Write: info.Write}, quorum.Kind(info.Kind), info), nil
}

// readListed reads the current version of a key, or the one named.
func (s *Store) readListed(ctx context.Context, b *cluster.Bucket, name string, id object.VersionID) (found, error) {
	f, err := s.read(ctx, s.target(b, name), id, false)
	if err == nil {
		f.close()
	}
	return f, err
}

// version is the object or the delete marker that was found, nil if neither was.
func (f *found) version() *Info {
	if f.info != nil {
		return f.info
	}
	return f.marker
}

// refOf is the place of a named version. If there is no such null version any more, it is the place
// before all others: better a version twice than one left out.
func (s *Store) refOf(ctx context.Context, b *cluster.Bucket, name string, id object.VersionID) (object.VersionRef, error) {
	if !id.Null {
		return id.Ref, nil
	}
	f, err := s.readListed(ctx, b, name, id)
	if info := f.version(); err == nil && info != nil {
		return object.VersionRef{TS: info.TS, Write: info.Write}, nil
	}
	return object.VersionRef{}, err
}
