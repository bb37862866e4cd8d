package erasureset

import (
	"context"
	"fmt"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
)

const (
	debtPage  = 256
	healPause = 2 * time.Millisecond // between keys: redundancy comes back gently
)

// healLoop brings drives that missed something up to the others, one key at a time.
func (s *Store) healLoop() {
	tick := time.NewTicker(s.opt.HealEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.closing.Done():
			return
		}
		s.HealDebts(s.closing, healPause)
	}
}

// HealDebts heals, once, everything that a drive in service is known to lack, pausing between keys, and
// returns how many shards and rows it brought back. What is left is the redundancy debt.
func (s *Store) HealDebts(ctx context.Context, pause time.Duration) (healed int) {
	var objects, bytes int64
	var stuck error
	for _, d := range s.drives(s.opt.Topology()) {
		for from, more := []byte(nil), true; more && ctx.Err() == nil; {
			list, next, err := d.Debts(ctx, from, debtPage)
			if err != nil {
				break // others know of it too
			}
			done := map[object.Key]quorum.Slots{} // a heal brings back all that a slot lacks of a key
			for i := range list {
				t, ok := s.targetOf(list[i].Key)
				if !ok {
					continue // of a bucket that is gone
				}
				n, err := s.healDebt(ctx, t, &list[i], done, pause)
				if healed += n; err != nil {
					stuck = err
				}
				if left := quorum.Slots(list[i].Slots).Len() - n; left > 0 && s.speaksFor(d, t, &list[i]) {
					objects++
					bytes += int64(left) * list[i].Bytes
				}
			}
			from, more = next, next != nil
		}
	}
	if stuck != nil && ctx.Err() == nil {
		s.log.Warn("redundancy is not back yet", "objects", objects, "bytes", bytes, "err", stuck)
	}
	s.metrics.debtObjects.Set(float64(objects))
	s.metrics.debtBytes.Set(float64(bytes))
	return healed
}

// speaksFor says whether a drive is the one whose word counts, of several that know of one debt.
func (s *Store) speaksFor(d drive.Drive, t *target, p *ondisk.Pending) bool {
	for i := range (t.online() &^ quorum.Slots(p.Slots)).All() {
		return t.set.Members[i] == d.ID()
	}
	return false
}

// healDebt heals the slots that lack one key and whose drives are there, but for those that were healed already,
// which done says and learns.
func (s *Store) healDebt(
	ctx context.Context, t *target, p *ondisk.Pending, done map[object.Key]quorum.Slots, pause time.Duration,
) (healed int, err error) {
	for i := range (quorum.Slots(p.Slots) & t.online()).All() {
		if done[t.key].Has(i) {
			healed++
			continue
		}
		if e := s.healKey(ctx, t, i); e != nil {
			err = e
			continue
		}
		healed++
		done[t.key] |= quorum.Slot(i)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return healed, ctx.Err()
		}
	}
	return healed, err
}

// healKey brings one slot's drive up to the others for one key.
func (s *Store) healKey(ctx context.Context, t *target, slot int) error {
	o := s.newOp(t)
	defer o.finish()
	o.ctx = ctx
	o.m = quorum.NewHeal(&s.env, o.qt, o.id, slot)
	res := o.run(s.opt.HealLimit)
	switch res.Status {
	case quorum.StatusOK:
		s.metrics.healed.Inc()
		s.tombs.add(t.key, 0)
		return nil
	case quorum.StatusStale:
		return t.changed()
	}
	return fmt.Errorf("heal slot %d of set %d: %w", slot, t.id, object.ErrReadQuorum)
}
