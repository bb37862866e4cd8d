package erasureset

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/placement"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// uploadPos is a place in the order of uploads.
type uploadPos struct {
	key string
	id  object.WriteID
}

func (a uploadPos) compare(b uploadPos) int {
	if c := strings.Compare(a.key, b.key); c != 0 {
		return c
	}
	return cmp.Compare(string(a.id[:]), string(b.id[:]))
}

// ListUploads returns one page of a bucket's open uploads.
func (s *Store) ListUploads(ctx context.Context, req *ListUploadsRequest) (*UploadsPage, error) {
	page := &UploadsPage{}
	if req.Limit <= 0 {
		return page, nil
	}
	var pos uploadPos
	switch {
	case req.AfterUpload != nil:
		pos = uploadPos{req.KeyMarker, *req.AfterUpload}
	case req.KeyMarker != "":
		start, ok := startAfter(req.Prefix, req.Delimiter, req.KeyMarker)
		if !ok {
			return page, nil
		}
		pos.key = start
	}
	for more := true; more; {
		var err error
		if pos, more, err = s.uploadSegment(ctx, req, page, pos); err != nil {
			return nil, fmt.Errorf("list uploads: %w", err)
		}
	}
	return page, nil
}

// uploadSegment asks all drives once for the uploads behind pos and adds what they agree on.
func (s *Store) uploadSegment(ctx context.Context, req *ListUploadsRequest, page *UploadsPage, pos uploadPos) (next uploadPos, more bool, err error) {
	limit := req.Limit - len(page.Uploads) - len(page.Prefixes) + 1
	seen, cut, err := s.askUploads(ctx, req, pos, limit)
	if err != nil {
		return pos, false, err
	}
	for i := range seen {
		u := &seen[i]
		if cut != nil && u.compare(*cut) > 0 {
			break
		}
		next = u.uploadPos
		if !u.open {
			continue
		}
		common := ""
		if req.Delimiter != "" {
			if at := strings.Index(u.key[len(req.Prefix):], req.Delimiter); at >= 0 {
				common = u.key[:len(req.Prefix)+at+len(req.Delimiter)]
			}
		}
		if len(page.Uploads)+len(page.Prefixes) == req.Limit {
			page.Truncated = true
			return next, false, nil
		}
		if common != "" {
			page.Prefixes = append(page.Prefixes, common)
			page.NextKey, page.NextID = common, object.WriteID{}
			over, ok := quorum.NameBehind(common)
			return uploadPos{key: over}, ok, nil
		}
		page.Uploads = append(page.Uploads, UploadItem{Key: u.key, Upload: u.up})
		page.NextKey, page.NextID = u.key, u.id
	}
	if cut == nil {
		return next, false, nil
	}
	return *cut, true, nil
}

type seenUpload struct {
	uploadPos
	up    ondisk.Upload
	count int
	open  bool
}

// askUploads merges the answers of all drives in service. cut is the last place up to which they
// are complete, nil if that is the end.
func (s *Store) askUploads(ctx context.Context, req *ListUploadsRequest, pos uploadPos, limit int) ([]seenUpload, *uploadPos, error) {
	topo := s.opt.Topology()
	type answer struct {
		id   cluster.DriveID
		list []drive.UploadEntry
		err  error
	}
	all := s.drives(topo)
	answers := make(chan answer, len(all))
	for _, d := range all {
		go func() {
			list, err := apart(ctx, s, d, func() ([]drive.UploadEntry, error) {
				return d.ListUploads(ctx, req.Bucket.ID, req.Prefix, pos.key, pos.id, limit)
			})
			answers <- answer{d.ID(), list, err}
		}()
	}
	var cut *uploadPos
	answered := map[cluster.DriveID]bool{}
	merged := map[uploadPos]*seenUpload{}
	for range all {
		a := <-answers
		if a.err != nil {
			continue
		}
		answered[a.id] = true
		for _, e := range a.list {
			p := uploadPos{e.Name, e.Upload.ID}
			if merged[p] == nil {
				merged[p] = &seenUpload{uploadPos: p, up: e.Upload}
			}
			merged[p].count++
		}
		if len(a.list) == limit {
			last := uploadPos{a.list[limit-1].Name, a.list[limit-1].Upload.ID}
			if cut == nil || last.compare(*cut) < 0 {
				cut = &last
			}
		}
	}
	silent := make([]int, len(topo.Sets))
	for id, set := range topo.Sets {
		for _, m := range set.Members {
			if !answered[m] {
				silent[id]++
			}
		}
		if set.N()-silent[id] < set.K() {
			return nil, nil, fmt.Errorf("set %d: %d of %d drives answer, %d are needed: %w", id, set.N()-silent[id], set.N(), set.K(), object.ErrReadQuorum)
		}
	}
	seen := make([]seenUpload, 0, len(merged))
	for _, u := range merged {
		id := placement.SetOf(topo, req.Bucket.ID, u.key)
		set := topo.Sets[id]
		// The rule of askUpload; what it could not tell is listed, since an open upload may not hide.
		u.open = u.count+silent[id] >= set.K()
		seen = append(seen, *u)
	}
	slices.SortFunc(seen, func(a, b seenUpload) int { return a.compare(b.uploadPos) })
	return seen, cut, nil
}
