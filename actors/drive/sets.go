package drive

import (
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// set is what the drive knows of a set. Nobody changes it: a change is another value.
func (a *Actor) set(id cluster.SetID) *quorum.SetState {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if s := a.sets[id]; s != nil {
		return s
	}
	return &quorum.SetState{}
}

// setSet writes an E row and keeps it in memory.
func (b *batch) setSet(id cluster.SetID, s *quorum.SetState) {
	c := &s.Config
	row := ondisk.SetRow{
		Epoch: c.Epoch, N: uint8(c.N), Phase: uint8(c.Phase), Moving: uint8(c.Moving),
		Vacant: uint32(c.Vacant), Declared: uint32(c.Declared),
		Member: uint8(s.Member), State: ondisk.SetState(s.State), Joined: s.Joined, GCFloor: s.GCFloor,
	}
	b.val = ondisk.AppendSetRow(b.val[:0], &row)
	b.buf = ondisk.AppendSetKey(b.buf[:0], id)
	b.set(b.buf, b.val)
	kept := *s
	b.a.keepSet(id, &kept)
}

// keepSet keeps what the drive knows of a set in memory.
func (a *Actor) keepSet(id cluster.SetID, s *quorum.SetState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sets[id] = s
	for int(id)/64 >= len(a.sound) {
		a.sound = append(a.sound, 0)
	}
	if bit := uint64(1) << (id % 64); s.State == quorum.SlotInSync {
		a.sound[id/64] |= bit
	} else {
		a.sound[id/64] &^= bit
	}
}

func setOf(id cluster.SetID, row *ondisk.SetRow) *quorum.SetState {
	return &quorum.SetState{
		Config: quorum.SetConfig{
			ID: id, Epoch: row.Epoch, Shape: quorum.ShapeOf(int(row.N)), Phase: quorum.Phase(row.Phase),
			Moving: int(row.Moving), Vacant: quorum.Slots(row.Vacant), Declared: quorum.Slots(row.Declared),
		},
		Member: int(row.Member), State: quorum.SlotState(row.State), Joined: row.Joined, GCFloor: row.GCFloor,
	}
}

// setFence writes an F row and keeps it in memory. Whatever rows a removed bucket still has go in the
// background.
func (b *batch) setFence(bucket cluster.BucketID, f ondisk.Fence) {
	a := b.a
	b.val = ondisk.AppendFence(b.val[:0], &f)
	b.buf = ondisk.AppendFenceKey(b.buf[:0], bucket)
	b.set(b.buf, b.val)
	a.mu.Lock()
	a.fences[bucket] = f
	a.mu.Unlock()
	if f.Removed {
		b.durable = append(b.durable, a.reclaim.wakeUp)
	}
}

func (a *Actor) fence(bucket cluster.BucketID) ondisk.Fence {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.fences[bucket]
}
