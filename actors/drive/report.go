package drive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

// reportTries is how often a report starts anew because the version it was about to hand out was
// superseded and reclaimed meanwhile.
const reportTries = 4

// Report implements Reporter.
func (a *Actor) Report(ctx context.Context, req *ReportRequest) (Report, error) {
	if err := a.begin(ctx, a.readers); err != nil {
		return Report{}, err
	}
	defer a.end(a.readers)
	if err := a.vouch(req.Set, req.Epoch); err != nil {
		return Report{}, err
	}
	for try := 1; ; try++ {
		r, shard, err := a.report(ctx, req)
		if err != nil {
			r.Release()
			return Report{}, a.wrap(fmt.Errorf("report %q: %w", req.Key.Name, err))
		}
		if errors.Is(shard, ErrNoShard) && try < reportTries {
			continue // superseded and reclaimed meanwhile, if it is not missing
		}
		if shard != nil {
			// The row is evidence all the same; whoever asks goes to other drives for the shard.
			a.m.error("shard")
			a.log.Warn("shard cannot be read", "oid", r.Versions[0].Version.Refs[0].OID.String(), "err", shard)
		}
		return r, nil
	}
}

// report reads one key once. shard says why there is none although one was asked for.
func (a *Actor) report(ctx context.Context, req *ReportRequest) (r Report, shard, err error) {
	it, err := a.db.NewIter(&pebble.IterOptions{UseL6Filters: true})
	if err != nil {
		return r, nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var batch uint64
	prefix := ondisk.AppendVersionPrefix(make([]byte, 0, len(req.Key.Name)+16), req.Key)
	for ok := it.SeekPrefixGE(prefix); ok; ok = it.Next() {
		_, _, ref, rev, err := ondisk.SplitVersionKey(it.Key())
		if err != nil {
			return r, nil, damaged(err)
		}
		if n := len(r.Versions); n > 0 && r.Versions[n-1].Version.TS == ref.TS && r.Versions[n-1].Version.Write == ref.Write {
			continue // an older revision of the same version
		}
		row := slices.Clone(it.Value())
		v := Reported{Stable: a.unstable(ref) == nil}
		if v.Version, err = ondisk.DecodeVersion(ref, rev, row); err != nil {
			return r, nil, damaged(err)
		}
		if _, v.Row, err = ondisk.SplitVersionValue(row); err != nil {
			return r, nil, damaged(err)
		}
		batch = max(batch, v.Version.Batch)
		r.Versions = append(r.Versions, v)
		if v.Stable {
			break
		}
	}
	if err := it.Error(); err != nil {
		return r, nil, err
	}
	if r.Slot = a.set(req.Set).Slot; len(r.Versions) > 0 {
		r.Slot = r.Versions[0].Version.Slot
	}
	if err := a.gate.pass(ctx, batch, a.health.Failed()); err != nil {
		return r, nil, err
	}
	if !req.WithShard || len(r.Versions) == 0 {
		return r, nil, nil
	}
	switch v := &r.Versions[0].Version; {
	case len(v.Refs) == 0:
	case v.Parts > 0:
		r.Hold, shard = a.hold(v.Refs[0].OID)
	case v.Refs[0].Inline:
		r.Inline, shard = a.payload(v.At, v.Refs[0].OID)
		a.m.readBytes.index.Add(float64(len(r.Inline)))
	default:
		r.Shard, shard = a.openShard(v.Refs[0].OID)
	}
	return r, shard, nil
}

// readInline reads and verifies a D row, the shard of a small part.
func readInline(it *pebble.Iterator, oid object.OID) ([]byte, error) {
	if !it.SeekPrefixGE(ondisk.AppendInlineKey(make([]byte, 0, 32), oid)) {
		if err := it.Error(); err != nil {
			return nil, err
		}
		return nil, ErrNoShard
	}
	payload, err := ondisk.DecodeInline(it.Value())
	if err != nil {
		return nil, damaged(err)
	}
	return slices.Clone(payload), nil
}

// damaged marks rot found on the drive: what it says is unknown, never absent.
func damaged(err error) error {
	if errors.Is(err, ondisk.ErrCorrupt) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// Pending implements Reporter.
func (a *Actor) Pending(ctx context.Context, age time.Duration, limit int) ([]ondisk.Pending, error) {
	if err := a.usable(); err != nil {
		return nil, err
	}
	var old []*pending
	limitTime := a.o.Clock().Add(-age)
	a.mu.RLock()
	for _, p := range a.pending {
		if !p.since.After(limitTime) {
			old = append(old, p)
		}
	}
	a.mu.RUnlock()
	slices.SortFunc(old, func(x, y *pending) int {
		return cmp.Or(x.since.Compare(y.since), x.Ref.Compare(y.Ref))
	})
	out := make([]ondisk.Pending, 0, min(limit, len(old)))
	for _, p := range old[:min(limit, len(old))] {
		out = append(out, p.Pending)
	}
	return out, ctx.Err()
}

// Parts implements Reporter.
func (a *Actor) Parts(ctx context.Context, oid object.OID) ([]ondisk.Part, error) {
	if err := a.begin(ctx, a.readers); err != nil {
		return nil, err
	}
	defer a.end(a.readers)
	m, err := a.manifest(oid)
	if err != nil {
		return nil, a.wrap(fmt.Errorf("parts of %s: %w", oid, err))
	}
	return m.Parts, nil
}

// manifest reads the X rows of an oid.
func (a *Actor) manifest(oid object.OID) (ondisk.Manifest, error) { return readManifest(a.db, oid) }

func readManifest(db pebble.Reader, oid object.OID) (m ondisk.Manifest, err error) {
	prefix := ondisk.AppendManifestPrefix(nil, oid)
	var d ondisk.ManifestDecoder
	found := false
	err = eachRowIn(db, prefix, ondisk.AppendPrefixEnd(nil, prefix), func(key, value []byte) error {
		found = true
		_, chunk, err := ondisk.ParseManifestKey(key)
		if err == nil {
			err = d.Add(chunk, value)
		}
		return err
	})
	if err != nil {
		return m, damaged(err)
	}
	if !found {
		return m, ErrNoShard
	}
	m, err = d.Manifest()
	return m, damaged(err)
}
