package drive

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

const (
	// maxScan is the most entries of one answer.
	maxScan = 4096
	// scanCheck is how many keys are passed between two looks at the deadline.
	scanCheck = 1024
)

// Scan implements Scanner.
func (a *Actor) Scan(ctx context.Context, req *ScanRequest) (ScanReply, error) {
	if err := a.begin(ctx, a.readers); err != nil {
		return ScanReply{}, err
	}
	defer a.end(a.readers)
	s := scan{a: a, req: req, limit: req.Limit}
	if s.limit <= 0 || s.limit > maxScan {
		s.limit = maxScan
	}
	if req.Delimiter == "" {
		s.reply.Entries = make([]Entry, 0, min(s.limit, 1000))
	}
	if err := s.run(ctx); err != nil {
		return ScanReply{}, a.wrap(fmt.Errorf("scan: %w", damaged(err)))
	}
	if err := a.gate.pass(ctx, s.batch, a.health.Failed()); err != nil {
		return ScanReply{}, err
	}
	return s.reply, nil
}

// scan is one walk over version rows.
type scan struct {
	a     *Actor
	req   *ScanRequest
	limit int
	it    *pebble.Iterator
	reply ScanReply
	batch uint64 // highest batch of a row that was used
	name  []byte // scratch
	seek  []byte // scratch
	rows  []byte // arena of the rows in the reply
}

func (s *scan) run(ctx context.Context) (err error) {
	req := s.req
	lower := ondisk.AppendNamePrefix(nil, req.Bucket, max(req.Start, req.Prefix))
	upper := ondisk.AppendPrefixAfter(nil, req.Bucket, req.Prefix)
	if s.it, err = s.a.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.it.Close()) }()
	n := 0
	for ok := s.it.First(); ok; n++ {
		if n%scanCheck == scanCheck-1 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		common, done, err := s.visit()
		if err != nil || done {
			return err
		}
		if common == "" {
			ok = s.it.NextPrefix()
			continue
		}
		// All names below the common prefix are said: one seek skips them.
		s.seek = ondisk.AppendPrefixAfter(s.seek[:0], req.Bucket, common)
		ok = len(s.seek) > 0 && s.it.SeekGE(s.seek)
	}
	return s.it.Error()
}

// visit looks at the newest row of one key, which the iterator is at. common is set if the key
// proved a common prefix; done says that the answer is full.
func (s *scan) visit() (common string, done bool, err error) {
	_, escaped, ref, rev, err := ondisk.SplitVersionKey(s.it.Key())
	if err != nil {
		return "", false, err
	}
	own, shared, err := ondisk.SplitVersionValue(s.it.Value())
	if err != nil {
		return "", false, err
	}
	kind, err := ondisk.KindOfVersion(shared)
	if err != nil {
		return "", false, err
	}
	unstable := s.a.unstable(ref) != nil
	if !unstable && kind != ondisk.KindObject && !(s.req.Tombstones && kind == ondisk.KindTombstone) {
		return "", false, nil
	}
	if s.name, err = ondisk.AppendName(s.name[:0], escaped); err != nil {
		return "", false, err
	}
	name := string(s.name)
	set := s.req.Sets(name)
	full := hasSet(s.req.Full, set)
	if !full && !hasSet(s.req.Witness, set) {
		return "", false, nil
	}
	e := Entry{Name: name, Set: set, Ref: ref, Rev: rev, Kind: kind, Unstable: unstable}
	if at := s.delimiter(name); at >= 0 {
		if !unstable && kind != ondisk.KindObject {
			return "", false, nil // a tombstone proves no prefix
		}
		e.Name, e.Common, e.Example = name[:at], true, name
		common = e.Name
	}
	if len(s.reply.Entries) == s.limit {
		s.reply.Truncated = true
		return "", true, nil
	}
	if full && !e.Common {
		e.Row = s.keep(shared)
	}
	s.batch = max(s.batch, own.Batch)
	s.reply.Entries = append(s.reply.Entries, e)
	return common, false, nil
}

// delimiter returns the length of the common prefix that name belongs to, -1 if to none.
func (s *scan) delimiter(name string) int {
	if s.req.Delimiter == "" {
		return -1
	}
	at := strings.Index(name[len(s.req.Prefix):], s.req.Delimiter)
	if at < 0 {
		return -1
	}
	return len(s.req.Prefix) + at + len(s.req.Delimiter)
}

// keep copies a row into an arena shared by the rows of the answer: one allocation for many.
func (s *scan) keep(row []byte) []byte {
	if cap(s.rows)-len(s.rows) < len(row) {
		s.rows = make([]byte, 0, max(len(row), min(s.limit, 128)*320))
	}
	n := len(s.rows)
	s.rows = append(s.rows, row...)
	return s.rows[n:len(s.rows):len(s.rows)]
}

func hasSet(bits []uint64, set cluster.SetID) bool {
	return int(set)/64 < len(bits) && bits[set/64]>>(set%64)&1 != 0
}

// BucketEmpty implements Scanner.
func (a *Actor) BucketEmpty(ctx context.Context, bucket cluster.BucketID) (bool, error) {
	if err := a.begin(ctx, a.readers); err != nil {
		return false, err
	}
	defer a.end(a.readers)
	for _, kind := range []ondisk.RowKind{ondisk.RowUpload, ondisk.RowVersion} {
		empty, err := a.noRows(ctx, kind, bucket)
		if !empty || err != nil {
			return false, a.wrap(err)
		}
	}
	return true, nil
}

// noRows says whether a bucket has no rows of a kind but tombstones.
func (a *Actor) noRows(ctx context.Context, kind ondisk.RowKind, bucket cluster.BucketID) (empty bool, err error) {
	prefix := bucketPrefix(kind, bucket)
	it, err := a.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: ondisk.AppendPrefixEnd(nil, prefix)})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if kind != ondisk.RowVersion {
			return false, nil
		}
		_, shared, err := ondisk.SplitVersionValue(it.Value())
		if err != nil {
			return false, damaged(err)
		}
		if kind, err := ondisk.KindOfVersion(shared); err != nil || kind != ondisk.KindTombstone {
			return false, damaged(err)
		}
		if n++; n%scanCheck == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	return true, it.Error()
}

// bucketPrefix is the start of all keys of a kind that hold a name of the bucket.
func bucketPrefix(kind ondisk.RowKind, bucket cluster.BucketID) []byte {
	return binary.BigEndian.AppendUint64([]byte{byte(kind)}, uint64(bucket))
}

// Usage returns what a bucket holds on this drive: versions known stable, counted once per drive.
func (a *Actor) Usage(ctx context.Context, bucket cluster.BucketID) (ondisk.Usage, error) {
	if err := a.begin(ctx, a.readers); err != nil {
		return ondisk.Usage{}, err
	}
	defer a.end(a.readers)
	value, closer, err := a.db.Get(ondisk.AppendUsageKey(nil, bucket))
	if errors.Is(err, pebble.ErrNotFound) {
		return ondisk.Usage{}, nil
	}
	if err != nil {
		return ondisk.Usage{}, a.wrap(err)
	}
	defer closer.Close()
	u, err := ondisk.DecodeUsage(value)
	return u, a.wrap(damaged(err))
}
