package drive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
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
	s := scan{a: a, req: req, limit: req.Limit, drops: a.drops.Load()}
	if req.Tombstones {
		s.over = object.StampAt(a.o.Clock().Add(-AttemptLife))
	}
	if s.limit <= 0 || s.limit > maxScan {
		s.limit = maxScan
	}
	if req.Delimiter == "" {
		s.reply.Entries = make([]Entry, 0, min(s.limit, 1000))
	}
	s.reply.Silent = a.silent(req) // before: what comes in sync while it is walked was not when that began
	if err := s.run(ctx); err != nil {
		return ScanReply{}, a.wrap(fmt.Errorf("scan: %w", damaged(err)))
	}
	if err := a.gate.pass(ctx, s.batch, a.health.Failed()); err != nil {
		return ScanReply{}, err
	}
	return s.reply, nil
}

// silent are the sets asked for that the drive cannot vouch for: it is not in sync, or no member.
func (a *Actor) silent(req *ScanRequest) (out []cluster.SetID) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, asked := range [...][]uint64{req.Full, req.Witness} {
		for i, word := range asked {
			if i < len(a.sound) {
				word &^= a.sound[i]
			}
			for ; word != 0; word &= word - 1 {
				out = append(out, cluster.SetID(64*i+bits.TrailingZeros64(word)))
			}
		}
	}
	return out
}

// scan is one walk over version rows.
type scan struct {
	a     *Actor
	req   *ScanRequest
	limit int
	it    *pebble.Iterator
	reply ScanReply
	batch uint64 // highest batch of a row that was used
	drops uint64 // Actor.drops when it began
	at    scanned
	own   ondisk.VersionOwn
	state ondisk.KeyState // scratch
	over  object.Stamp    // attempts up to it are over, see AttemptLife
	name  []byte          // scratch
	seek  []byte          // scratch
	rows  []byte          // arena of the rows in the reply
}

// scanned is the version row that a scan is at, in pieces that alias the iterator's.
type scanned struct {
	revision
	prefix, escaped []byte // of the key: see ondisk.SplitVersionKey
	value, shared   []byte // fetched once: a second fetch may use the first one's memory
	batch           uint64
	kind            ondisk.VersionKind
}

// look takes the row that the iterator is at apart.
func (s *scan) look() (err error) {
	at := &s.at
	if at.prefix, at.escaped, at.ref, at.rev, err = ondisk.SplitVersionKey(s.it.Key()); err != nil {
		return err
	}
	at.value = s.it.Value()
	if at.batch, _, at.shared, err = ondisk.SplitVersionValue(at.value); err != nil {
		return err
	}
	at.kind, err = ondisk.KindOfVersion(at.shared)
	return err
}

func (s *scan) run(ctx context.Context) (err error) {
	req := s.req
	lower := ondisk.AppendNamePrefix(nil, req.Bucket, max(req.Start, req.Prefix))
	upper := ondisk.AppendPrefixAfter(nil, req.Bucket, req.Prefix)
	if s.it, err = s.a.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.it.Close()) }()
	if req.Versions {
		return s.walkVersions(ctx)
	}
	n := 0
	for ok := s.it.First(); ok; n++ {
		if n%scanCheck == scanCheck-1 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if ondisk.IsKeyStateKey(s.it.Key()) {
			if req.Tombstones && req.Delimiter == "" {
				if done, err := s.remembered(); err != nil || done {
					return err
				}
			}
			ok = s.it.Next()
			continue
		}
		if err := s.look(); err != nil {
			return err
		}
		if s.at.kind == ondisk.KindPurged {
			moved, err := s.standing()
			if err != nil {
				return err
			}
			if moved {
				ok = s.it.Valid()
				continue
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

// standing moves on from rows that a removal has ended to the newest of their key that stands. moved
// says that there is none: the iterator is at another key, or at the end.
func (s *scan) standing() (moved bool, err error) {
	var top quorum.Topmost
	at := &s.at
	prefix := bytes.Clone(at.prefix)
	for {
		if _, err := ondisk.DecodeVersionOwn(&s.own, at.value); err != nil {
			return false, err
		}
		if top.Next(at.ref, quorum.Kind(at.kind), s.own.Null, !s.unstable(at.revision)) {
			return false, nil
		}
		if !s.it.Next() || ondisk.IsKeyStateKey(s.it.Key()) {
			return true, nil
		}
		if err := s.look(); err != nil {
			return false, err
		}
		if !bytes.Equal(at.prefix, prefix) {
			return true, nil
		}
	}
}

// unstable says whether a revision is not known stable, or was not before it was taken away while
// this scan looks at an older view of the index.
func (s *scan) unstable(r revision) bool {
	if s.a.unstable(r) != nil {
		return true
	}
	return s.a.drops.Load() != s.drops && s.a.vanished.since(s.drops, r)
}

// remembered looks at the row of a key itself, for ScanRequest.Tombstones. done says that the answer is full.
func (s *scan) remembered() (done bool, err error) {
	if err := ondisk.DecodeKeyStateInto(&s.state, s.it.Value()); err != nil {
		return false, err
	}
	newest := max(s.state.Promise.TS, s.state.Decision.Ballot.TS)
	for i := range s.state.Dead {
		newest = max(newest, s.state.Dead[i].Rev)
	}
	if newest == 0 || newest > s.over {
		return false, nil
	}
	key, err := ondisk.ParseKeyStateKey(s.it.Key())
	if err != nil {
		return false, err
	}
	set := s.req.Sets(key.Name)
	if !quorum.HasSet(s.req.Full, set) && !quorum.HasSet(s.req.Witness, set) {
		return false, nil
	}
	if len(s.reply.Entries) == s.limit {
		s.reply.Truncated = true
		return true, nil
	}
	e := s.entry()
	e.Name, e.Set = key.Name, set
	s.batch = max(s.batch, s.state.Batch)
	return false, nil
}

// visit looks at the row of one key that counts, which look took apart. common is set if the key
// proved a common prefix; done says that the answer is full.
func (s *scan) visit() (common string, done bool, err error) {
	at := &s.at
	unstable := s.unstable(at.revision)
	told := quorum.Told(quorum.Kind(at.kind), !unstable)
	if !told && !(s.req.Tombstones && at.kind == ondisk.KindTombstone) {
		return "", false, nil
	}
	if s.name, err = ondisk.AppendName(s.name[:0], at.escaped); err != nil {
		return "", false, err
	}
	name := string(s.name)
	set := s.req.Sets(name)
	full := quorum.HasSet(s.req.Full, set)
	if !full && !quorum.HasSet(s.req.Witness, set) {
		return "", false, nil
	}
	n := s.delimiter(name)
	if n >= 0 && !told {
		return "", false, nil // a tombstone proves no prefix
	}
	if len(s.reply.Entries) == s.limit {
		s.reply.Truncated = true
		return "", true, nil
	}
	e := s.entry()
	e.Name, e.Set, e.Ref, e.Rev, e.Kind, e.Unstable = name, set, at.ref, at.rev, quorum.Kind(at.kind), unstable
	if n >= 0 {
		e.Name, e.Common, e.Example = name[:n], true, name
		common = e.Name
	}
	if full && n < 0 {
		e.Row = s.keep(at.shared)
	}
	s.batch = max(s.batch, at.batch)
	return common, false, nil
}

// entry is one more entry of the answer, still empty.
func (s *scan) entry() *Entry {
	s.reply.Entries = append(s.reply.Entries, Entry{})
	return &s.reply.Entries[len(s.reply.Entries)-1]
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

// noRows says whether a bucket has no rows of a kind but tombstones and removals.
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
		if ondisk.IsKeyStateKey(it.Key()) {
			continue
		}
		_, _, shared, err := ondisk.SplitVersionValue(it.Value())
		if err != nil {
			return false, damaged(err)
		}
		if kind, err := ondisk.KindOfVersion(shared); err != nil || kind != ondisk.KindTombstone && kind != ondisk.KindPurged {
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
