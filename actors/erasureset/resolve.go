package erasureset

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// resolve ends every unfinished version of a key, newest first, and returns what then stands. The
// caller holds the key's turn, so that no write of this store is under way for the key.
func (s *Store) resolve(ctx context.Context, t *target, withShard bool) (found, error) {
	s.metrics.resolves.Inc()
	r := s.newReports(t, withShard)
	if err := r.all(ctx); err != nil {
		r.close(0)
		return found{}, err
	}
	answered := r.mach.Answered()
	if answered.Len() < t.shape.K {
		r.close(0)
		return found{}, t.readQuorum(answered, "")
	}
	keep := func(ref object.VersionRef) bool { // a completed upload took its parts' rows along
		v, _ := r.version(ref, answered)
		return v != nil && v.Parts > 0
	}
	for _, act := range r.mach.Plan(keep) {
		info, row := r.version(act.Ref, act.Holders)
		standing := found{info: info, row: row, holders: act.Holders, rep: r}
		switch act.Kind {
		case quorum.ActDrop:
			// Those that never had it first: k marks prove its death before a holder forgets it (I7).
			if s.drop(ctx, t, answered&^act.Holders, act.Ref) >= t.shape.K {
				s.drop(ctx, t, act.Holders, act.Ref)
			}
			continue
		case quorum.ActMark:
			s.markResolved(t, act, info, quorum.AllSlots(t.n())&^act.Holders)
			return standing, nil
		case quorum.ActFinish:
			if err := s.finish(ctx, t, r, act, answered); err != nil {
				r.close(0)
				return found{}, fmt.Errorf("finish an unacknowledged version: %w: %w", t.readQuorum(answered, ""), err)
			}
			return standing, nil
		case quorum.ActStuck:
			r.close(0)
			return found{}, t.readQuorum(answered, " and more to tell whether the newest version was acknowledged")
		}
	}
	return found{rep: r}, nil
}

// all asks every slot and waits for all, or for the hedge limit once there is evidence enough.
func (r *reports) all(ctx context.Context) error {
	limit := time.NewTimer(10 * r.s.opt.HedgeAfter)
	defer limit.Stop()
	asked := r.mach.AskAll()
	r.ask(ctx, asked)
	for range asked.Len() {
		select {
		case slot := <-r.arrived:
			r.mach.Step(r.event(slot))
		case <-limit.C:
			return nil // whoever is silent still counts as unknown
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", r.t.readQuorum(r.mach.Answered(), ""), ctx.Err())
		}
	}
	return nil
}

// drop tells slots that an attempt is dead and returns how many left a mark.
func (s *Store) drop(ctx context.Context, t *target, slots quorum.Slots, ref object.VersionRef) int {
	s.doom(ref)
	var wg sync.WaitGroup
	var marked atomic.Int32
	for i := range slots.All() {
		wg.Go(func() {
			if err := t.drives[i].Drop(ctx, t.key, t.id, ref); err != nil {
				s.log.Warn("a dead version was not dropped", "drive", t.set.Members[i], "set", t.id, "err", err)
				return
			}
			marked.Add(1)
		})
	}
	wg.Wait()
	return int(marked.Load())
}

func (s *Store) markResolved(t *target, act quorum.Action, info *Info, missed quorum.Slots) {
	s.marks.add(t, act.Holders, drive.Mark{
		Key: t.key, Set: t.id, Ref: act.Ref, Rev: act.Ref.TS, Missed: missed,
	})
	if missed == 0 && info.Kind == ondisk.KindTombstone {
		s.tombs.add(t, drive.Tomb{Key: t.key, Set: t.id, Ref: act.Ref})
	}
}

// finish brings a version that may have been acknowledged to W slots: its row, and its shards as
// coded anew from k of them.
func (s *Store) finish(ctx context.Context, t *target, rep *reports, act quorum.Action, answered quorum.Slots) error {
	info, row := rep.version(act.Ref, act.Holders)
	rd := s.newRound(t)
	rd.base = drive.Commit{
		Set: t.id, Epoch: t.set.Epoch, BucketRev: t.bucket.Revision, Key: t.key,
		Row: row, Kind: info.Kind, Size: info.Size, Versioned: t.bucket.Versioned(),
	}
	others := answered &^ act.Holders
	switch {
	case info.Parts > 0:
		parts, err := s.loadParts(ctx, t, info, act.Holders)
		if err != nil {
			rd.done()
			return err
		}
		rd.base.OID, rd.base.Parts, rd.base.Upload = info.Refs[0].OID, parts, info.Write
	case len(info.Refs) > 0:
		rd.base.OID = info.Refs[0].OID
		slots, err := s.recode(ctx, t, info, act.Holders, others, rd)
		if err != nil {
			rd.done()
			return err
		}
		others = slots
	}
	return rd.finish(info, act.Holders, others)
}

// recode reads an object and stages its shards on the slots that lack them; it returns those that
// took theirs.
func (s *Store) recode(ctx context.Context, t *target, info *Info, holders, others quorum.Slots, rd *round) (quorum.Slots, error) {
	src := s.newSource(t, info, holders)
	defer src.close()
	if info.Refs[0].Inline {
		shards, err := src.inlineShards(ctx)
		if err != nil {
			return 0, err
		}
		copy(rd.shards[:], shards)
		return others, nil
	}
	body := src.stream(ctx, object.Range{Start: 0, End: info.Size})
	defer body.Close()
	st := s.newStaging(t, src.geo, info.Size, info.Refs[0].OID, info.Write, others)
	h := &hasher{st: st}
	err := st.copy(ctx, body, h)
	st.end(err == nil)
	h.wait()
	staged, syncErr := st.finish(ctx, err == nil, min(1, others.Len()))
	rd.cleanup = st.abort
	if err = errors.Join(err, syncErr); err != nil {
		return 0, err
	}
	rd.base.Staged = true
	return staged, nil
}

// resolveLoop looks every few seconds for versions that a dead coordinator, or a dead drive, left
// unfinished.
func (s *Store) resolveLoop() {
	tick := time.NewTicker(s.opt.ResolveEvery)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(s.closing, time.Minute)
		s.ResolvePending(ctx)
		cancel()
		select {
		case <-tick.C:
		case <-s.closing.Done():
			return
		}
	}
}

// ResolvePending resolves what the drives report as unfinished for Options.ResolveAge, and returns
// how many keys it settled.
func (s *Store) ResolvePending(ctx context.Context) int {
	topo := s.opt.Topology()
	keys := map[object.Key]cluster.SetID{}
	for _, d := range s.drives(topo) {
		list, err := d.Pending(ctx, s.opt.ResolveAge, 1024)
		if err != nil {
			continue // it has no say now
		}
		for _, p := range list {
			keys[p.Key] = 0
		}
	}
	settled, stuck := 0, error(nil)
	for key := range keys {
		t := s.target(&cluster.Bucket{ID: key.Bucket, Revision: ^uint64(0)}, key.Name)
		if err := s.resolveKey(ctx, t); err != nil {
			stuck = err
			continue
		}
		settled++
	}
	if stuck != nil && ctx.Err() == nil {
		s.log.Warn("versions stay unfinished until more drives answer", "count", len(keys)-settled, "err", stuck)
	}
	return settled
}

func (s *Store) resolveKey(ctx context.Context, t *target) error {
	tk, err := s.locks.lock(ctx, t)
	if err != nil {
		return err
	}
	defer s.locks.unlock(t, tk)
	f, err := s.resolve(ctx, t, false)
	if err != nil {
		return err
	}
	f.rep.close(0)
	return nil
}

// drives are the members of any set that are in service, each once.
func (s *Store) drives(topo *cluster.Topology) []drive.Drive {
	var out []drive.Drive
	for _, d := range topo.Drives {
		if dr := s.opt.Drives(d.ID); dr.Health().State == drive.Online {
			out = append(out, dr)
		}
	}
	return out
}

// maxDoomed bounds the memory of killed attempts. It holds those of the last minutes even when
// every write fails; a kill that was given up arrives within its deadline or not at all.
const maxDoomed = 64 << 10

// doomed remembers the attempts that this store has begun to kill.
type doomed struct {
	mu   sync.Mutex
	refs map[object.VersionRef]struct{} // guarded by mu
	ring []object.VersionRef            // guarded by mu: the same in order of arrival
}

func (s *Store) doom(ref object.VersionRef) {
	d := &s.doomed
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refs == nil {
		d.refs = map[object.VersionRef]struct{}{}
	}
	if _, ok := d.refs[ref]; ok {
		return
	}
	if len(d.ring) >= maxDoomed {
		delete(d.refs, d.ring[0])
		d.ring = d.ring[1:]
	}
	d.refs[ref] = struct{}{}
	d.ring = append(d.ring, ref)
}

// isDoomed is quorum.Read's Condemned.
func (s *Store) isDoomed(ref object.VersionRef) bool {
	s.doomed.mu.Lock()
	defer s.doomed.mu.Unlock()
	_, ok := s.doomed.refs[ref]
	return ok
}
