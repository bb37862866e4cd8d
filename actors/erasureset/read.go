package erasureset

import (
	"context"
	"fmt"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// found is the version a reader may see, and what came with it.
type found struct {
	info    *Info // nil: absent
	marker  *Info // the delete marker that makes it so, if one does
	holders quorum.Slots
	o       *op // its reports; to be finished
}

// read finds what a reader of a key may see: the current version, or the one named.
func (s *Store) read(ctx context.Context, t *target, at object.VersionID, withShard bool) (found, error) {
	o := s.newOp(t)
	o.ctx, o.withShard, o.m = ctx, withShard, &o.get
	for {
		o.get.Reset(&s.env, &o.qt, o.id, at, t.online())
		res := o.run(s.opt.HealLimit)
		if res.Status == quorum.StatusStale && o.refresh(ctx) {
			continue
		}
		f, err := o.found(ctx, &res)
		if err != nil {
			o.finish()
		}
		return f, err
	}
}

// found turns what a read came to into rows.
func (o *op) found(ctx context.Context, res *quorum.Result) (found, error) {
	f := found{o: o, holders: o.get.Holders()}
	decode := func() (*Info, error) {
		v, info := &res.Version, new(Info)
		if err := ondisk.DecodeShared(info, v.Ref, v.Rev, o.row(v)); err != nil {
			return nil, fmt.Errorf("set %d: %w: %w", o.t.id, object.ErrDamaged, err)
		}
		return info, nil
	}
	var err error
	switch {
	case res.Status == quorum.StatusOK:
		f.info, err = decode()
	case res.Status == quorum.StatusAbsent:
		if res.Version.Kind == quorum.Marker {
			f.marker, err = decode()
		}
	case res.Status == quorum.StatusStale:
		err = o.t.changed()
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", o.t.readQuorum(o.get.Answered(), ""), ctx.Err())
	case o.get.Answered().Len() >= o.t.shape.K:
		err = o.t.readQuorum(o.get.Answered(), " and more to tell whether the newest version was acknowledged")
	default:
		err = o.t.readQuorum(o.get.Answered(), "")
	}
	return f, err
}

// close gives up what came with the version.
func (f *found) close() { f.o.finish() }

// changed says that the bucket is not what it was when the operation began.
func (t *target) changed() error {
	return fmt.Errorf("set %d: bucket %q has changed: %w", t.id, t.bucket.Name, cluster.ErrBucketSealed)
}

// failure puts a change that was not made into words; refusal is what its condition said.
func (o *op) failure(res *quorum.Result, refusal error) error {
	t, u := o.t, &o.update
	switch res.Status {
	case quorum.StatusOK:
		return nil
	case quorum.StatusFailed:
		return refusal
	case quorum.StatusAbsent:
		return fmt.Errorf("set %d: %w", t.id, object.ErrNotFound)
	case quorum.StatusNoUpload:
		return fmt.Errorf("set %d: %w", t.id, object.ErrNoUpload)
	case quorum.StatusStale:
		return t.changed()
	case quorum.StatusAhead:
		return fmt.Errorf("set %d: the drives refuse the stamps of this node, whose clock runs ahead of theirs: %w", t.id, object.ErrWriteQuorum)
	}
	if o.s.clock.isHalted() {
		return fmt.Errorf("set %d: nothing is written while the clock of this node runs ahead of the drives': %w", t.id, object.ErrWriteQuorum)
	}
	w := u.Write()
	have, more := w.Accepted(), ""
	if w.N == 0 { // nothing was offered
		have = u.Heard()
	}
	full, busy := w.Failed(quorum.ReasonFull).Len(), w.Failed(quorum.ReasonBusy).Len()
	switch {
	case res.Status == quorum.StatusUnknown:
		more = "; the outcome is unknown"
	case full > 0 && have.Len()+full >= t.shape.W:
		return fmt.Errorf("set %d: %d of %d drives are full: %w", t.id, full, t.n(), object.ErrStorageFull)
	case busy > 0 && have.Len()+full+busy >= t.shape.W:
		return fmt.Errorf("set %d: %d of %d drives have a full mailbox: %w", t.id, busy, t.n(), object.ErrBusy)
	}
	if r := w.Refused(); r != 0 {
		more = fmt.Sprintf(", %d refused its stamp", r.Len()) + more
	}
	return t.writeQuorum(have, more)
}

// settle resolves whatever of a key is in doubt and returns what stands then.
func (s *Store) settle(ctx context.Context, t *target) ([]quorum.Version, error) {
	o := s.newOp(t)
	defer o.finish()
	o.ctx = ctx
	s.metrics.resolves.Inc()
	res, err := o.change(ctx, &quorum.Intent{Kind: quorum.Settle, Write: o.id}, s.opt.HealLimit)
	if err != nil {
		return nil, err
	}
	if err := o.failure(&res, nil); err != nil {
		return nil, fmt.Errorf("finish an unacknowledged version: %w", err)
	}
	return res.Versions, nil
}
