package drive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
)

// reportTries is how often a report starts anew because the version it was about to hand out was
// superseded and reclaimed meanwhile.
const reportTries = 4

// readPool holds the cells of readers.
type readPool struct{ sync.Pool }

func (p *readPool) get() *cell {
	if c, ok := p.Get().(*cell); ok {
		return c
	}
	return &cell{}
}

func (p *readPool) put(c *cell) {
	if cap(c.state.Versions) <= 64 && cap(c.shared) <= 64<<10 {
		c.key = object.Key{} // lets go of the name
		p.Put(c)
	}
}

// report answers what only looks at a key, in its caller's goroutine.
func (a *Actor) report(ctx context.Context, req *Request, reply *Reply) error {
	if req.Synced {
		if err := a.flushMarks(ctx); err != nil {
			return err
		}
	}
	if err := a.begin(ctx, a.readers); err != nil {
		return err
	}
	defer a.end(a.readers)
	c := a.reads.get()
	defer a.reads.put(c)
	for try := 1; ; try++ {
		shard, err := a.reportOnce(ctx, c, req, reply)
		if errors.Is(err, errMoved) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			reply.Release()
			return a.wrap(fmt.Errorf("report %q: %w", req.Key.Name, err))
		}
		if errors.Is(shard, ErrNoShard) && try < reportTries {
			continue // superseded and reclaimed meanwhile, if it is not missing
		}
		if shard != nil {
			// The row is evidence all the same; whoever asks goes to other drives for the shard.
			a.m.error("shard")
			a.log.Warn("shard cannot be read", "oid", c.rows[0].data.OID.String(), "err", shard)
		}
		break
	}
	if req.Synced && a.marked.Load() > a.gate.durable.Load() {
		if err := a.flushMarks(ctx); err != nil {
			return err
		}
	}
	for i := range reply.Versions {
		reply.Versions[i].Synced = req.Synced && reply.Versions[i].Stable
	}
	return nil
}

// errMoved says that versions were taken away while a report looked at them.
var errMoved = errors.New("versions were dropped meanwhile")

// reportOnce reads one key once. shard says why there is none although one was asked for.
func (a *Actor) reportOnce(ctx context.Context, c *cell, req *Request, reply *Reply) (shard, err error) {
	drops := a.drops.Load() // before the view of the index is taken
	it, err := a.db.NewIter(&pebble.IterOptions{UseL6Filters: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if err := a.fill(c, it, req); err != nil {
		return nil, damaged(err)
	}
	if a.drops.Load() != drops {
		return nil, errMoved // one of them may have looked stable
	}
	a.look(c, object.StampAt(a.o.Clock()), req, reply)
	if err := a.gate.pass(ctx, c.batch, a.health.Failed()); err != nil {
		return nil, err
	}
	if !req.WithShard || len(reply.Versions) == 0 || !reply.Versions[0].Data {
		return nil, nil
	}
	return a.addShard(c, req, reply), nil
}

// fill makes c the cell of what a report is about.
func (a *Actor) fill(c *cell, it *pebble.Iterator, req *Request) error {
	c.prefix = ondisk.AppendVersionPrefix(c.prefix[:0], req.Key)
	c.reset(req.Key, c.prefix)
	n := needOf(&req.Request)
	n.rows = req.WithRows
	if err := c.load(a, it, n); err != nil {
		return err
	}
	if givesUploads(&req.Request) && !req.NoUploads {
		return a.openUploads(c)
	}
	return nil
}

// look lets the protocol answer from a reader's cell, which nothing else sees.
func (a *Actor) look(c *cell, now object.Stamp, req *Request, reply *Reply) {
	q := &req.Request
	if q.Pin != (quorum.PinID{}) { // pins are kept beside
		bare := *q
		bare.Pin = quorum.PinID{}
		q = &bare
	}
	bucket := quorum.BucketState(a.fence(req.Key.Bucket))
	state := quorum.DriveState{
		Highest: object.Stamp(a.clocks.Load()), Horizon: object.Stamp(a.horizon.Load()), Since: object.Stamp(a.since.Load()),
	}
	ans := a.machine.Step(now, quorum.At{Key: &c.state, Set: a.set(req.Set), Bucket: &bucket, Drive: &state}, q)
	reply.CopyFrom(&ans.Reply)
	if !c.whole && !req.All && !req.At.Named {
		reply.Complete = false
	}
	if !req.WithRows {
		return
	}
	for i := range reply.Versions {
		v := &reply.Versions[i]
		j := c.index(v.Ref, v.Rev)
		reply.addRow(c.rows[j].shared, c.rows[j].slot)
	}
}

// addShard adds the newest reported version's shard, and says why if it cannot.
func (a *Actor) addShard(c *cell, req *Request, reply *Reply) (err error) {
	v := &reply.Versions[0]
	r := &c.rows[c.index(v.Ref, v.Rev)]
	switch {
	case r.data.OID.IsZero():
	case r.parts:
		reply.Hold, err = a.hold(r.data.OID)
	case r.data.Inline:
		reply.Inline, err = a.payload(r.at, r.data.OID)
		a.m.readBytes.index.Add(float64(len(reply.Inline)))
	default:
		reply.Shard, err = a.openShard(r.data.OID)
	}
	if err == nil && reply.Shard != nil && req.Pin != (quorum.PinID{}) {
		reply.Shard = a.pins.add(req.Pin, v.Ref, reply.Shard)
	}
	return err
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
	type late struct {
		ondisk.Pending
		since time.Time
	}
	var old []late
	limitTime := a.o.Clock().Add(-age)
	a.mu.RLock()
	for _, p := range a.pending {
		if !p.since.After(limitTime) {
			old = append(old, late{p.Pending, p.since})
		}
	}
	a.mu.RUnlock()
	slices.SortFunc(old, func(x, y late) int {
		return cmp.Or(x.since.Compare(y.since), x.Ref.Compare(y.Ref))
	})
	out := make([]ondisk.Pending, 0, min(limit, len(old)))
	for _, p := range old[:min(limit, len(old))] {
		out = append(out, p.Pending)
	}
	return out, ctx.Err()
}

// Debts implements Reporter: it reads H rows.
func (a *Actor) Debts(ctx context.Context, from []byte, limit int) (list []ondisk.Pending, next []byte, err error) {
	if err := a.begin(ctx, a.readers); err != nil {
		return nil, nil, err
	}
	defer a.end(a.readers)
	if from == nil {
		from = []byte{byte(ondisk.RowHint)}
	}
	it, err := a.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: ondisk.AppendKindAfter(nil, ondisk.RowHint)})
	if err != nil {
		return nil, nil, a.wrap(err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		if len(list) == limit {
			return list, slices.Clone(it.Key()), nil
		}
		p, err := ondisk.DecodePending(it.Value())
		if err != nil {
			return nil, nil, a.wrap(damaged(err))
		}
		list = append(list, p)
	}
	return list, nil, a.wrap(it.Error())
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
