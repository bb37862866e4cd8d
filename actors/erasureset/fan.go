package erasureset

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// fanned is what a fan-out came to.
type fanned struct {
	ok   quorum.Slots
	errs [maxSlots]error
}

// fan calls fn for each slot at once and returns when all have answered or, once need succeeded,
// after the straggler limit. The calls have a deadline of their own and outlive a client that goes
// away; cleanup, if any, runs when the last has returned.
func (s *Store) fan(slots quorum.Slots, need int, cleanup func(), fn func(ctx context.Context, slot int) error) fanned {
	type answer struct {
		slot int
		err  error
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.opt.CommitLimit)
	answers := make(chan answer, slots.Len())
	for i := range slots.All() {
		go func() { answers <- answer{i, fn(ctx, i)} }()
	}
	var f fanned
	var late <-chan time.Time
	left := slots.Len()
	for left > 0 {
		if late == nil && f.ok.Len() >= need {
			timer := time.NewTimer(s.opt.StragglerLimit)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case a := <-answers:
			left--
			if f.errs[a.slot] = a.err; a.err == nil {
				f.ok |= quorum.Slot(a.slot)
			}
			continue
		case <-late:
		}
		break
	}
	end := func() {
		for range left {
			<-answers
		}
		cancel()
		if cleanup != nil {
			cleanup()
		}
	}
	if left == 0 {
		end()
	} else {
		s.background.Go(end)
	}
	return f
}

// failure puts it into words that fewer than W slots did something.
func (f *fanned) failure(t *target) error {
	var full, busy, stale, none int
	var errs []error
	for i, err := range f.errs[:t.n()] {
		switch {
		case err == nil:
			continue
		case errors.Is(err, drive.ErrFull):
			full++
		case errors.Is(err, drive.ErrBusy):
			busy++
		case errors.Is(err, drive.ErrStale):
			stale++
		case errors.Is(err, drive.ErrNoUpload):
			none++
		}
		errs = append(errs, fmt.Errorf("slot %d: %w", i, err))
	}
	switch have := f.ok.Len(); {
	case stale > 0:
		return fmt.Errorf("set %d: bucket %q has changed: %w", t.id, t.bucket.Name, cluster.ErrBucketSealed)
	case none > t.n()-t.shape.K:
		return fmt.Errorf("set %d: %w", t.id, object.ErrNoUpload)
	case full > 0 && have+full >= t.shape.W:
		return fmt.Errorf("set %d: %d of %d drives are full: %w", t.id, full, t.n(), object.ErrStorageFull)
	case busy > 0 && have+full+busy >= t.shape.W:
		return fmt.Errorf("set %d: %d of %d drives have a full mailbox: %w", t.id, busy, t.n(), object.ErrBusy)
	}
	return fmt.Errorf("%w: %w", t.writeQuorum(f.ok, "; the outcome is unknown"), errors.Join(errs...))
}

// Fence makes every drive in service learn a bucket's revision. It fails unless, in every set, k
// slots have (I23): no write of an older revision can then be acknowledged any more.
func (s *Store) Fence(ctx context.Context, bucket cluster.BucketID, revision uint64, sealed, removed bool) error {
	topo := s.opt.Topology()
	type answer struct {
		id  cluster.DriveID
		err error
	}
	answers := make(chan answer, len(topo.Drives))
	for _, d := range topo.Drives {
		go func() {
			answers <- answer{d.ID, drive.Fence(ctx, s.opt.Drives(d.ID), bucket, revision, sealed, removed)}
		}()
	}
	done := map[cluster.DriveID]bool{}
	var errs []error
	for range topo.Drives {
		a := <-answers
		done[a.id] = a.err == nil
		if a.err != nil {
			errs = append(errs, fmt.Errorf("drive %s: %w", a.id, a.err))
		}
	}
	for id, set := range topo.Sets {
		have := 0
		for _, m := range set.Members {
			if done[m] {
				have++
			}
		}
		// W - 1 slots without it are too few for a write; that is n - W + 1 = k or more with it.
		if need := set.N() - set.W() + 1; have < need {
			return fmt.Errorf("fence: set %d: %d of %d drives know revision %d, %d are needed: %w: %w",
				id, have, set.N(), revision, need, object.ErrReadQuorum, errors.Join(errs...))
		}
	}
	return nil
}

// BucketEmpty says whether a bucket has no object. Open uploads do not keep it, as in S3: the drives
// drop them with the removed bucket. It is asked while the bucket is sealed.
func (s *Store) BucketEmpty(ctx context.Context, bucket cluster.Bucket) (bool, error) {
	page, err := s.List(ctx, &ListRequest{Bucket: bucket, Limit: 1})
	if err != nil {
		return false, err
	}
	return len(page.Entries) == 0, nil
}
