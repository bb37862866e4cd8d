package drive

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// collectMsg is a Collect in the mailbox, cut so that the loop is not held up for long.
type collectMsg struct {
	reply
	tombs []tomb
}

// tomb is a Tomb with its key encoded.
type tomb struct {
	Tomb
	prefix []byte
	held   bool // its row was found: one that is not held is passed over
}

// maxCollect is how many tombstones one message drops.
const maxCollect = 512

func (*collectMsg) isMsg()        {}
func (m *collectMsg) weight() int { return 128 * len(m.tombs) }

// Collect implements Committer.
func (a *Actor) Collect(ctx context.Context, tombs []Tomb) error {
	sorted := make([]tomb, len(tombs))
	for i, t := range tombs {
		sorted[i] = tomb{Tomb: t, prefix: ondisk.AppendVersionPrefix(nil, t.Key)}
	}
	slices.SortFunc(sorted, func(x, y tomb) int { return bytes.Compare(x.prefix, y.prefix) })
	for first := true; first || len(sorted) > 0; first = false {
		n := min(len(sorted), maxCollect)
		if _, err := a.do(ctx, &collectMsg{reply: newReply(), tombs: sorted[:n:n]}); err != nil {
			return err
		}
		sorted = sorted[n:]
	}
	return nil
}

// first says that the message goes before commits of its batch: a range deletion that came after
// them would take what they wrote.
func (*collectMsg) first() {}

// rangeRun is how many neighbouring tombstones go by one range deletion. Fewer go one by one: the
// index rebuilds its set of range deletions for the first reader after each change, so thousands
// of them, one per key, cost more than all they would save.
const rangeRun = 16

// apply implements message. A tombstone goes only if it is all that the key has left: anything
// newer makes it an older version, which that one's mark reclaims. Long runs of keys that have
// nothing else between them go by one range deletion, which a list then skips in one step however
// many there were.
func (m *collectMsg) apply(b *batch) error {
	floors := make(map[cluster.SetID]object.Stamp)
	for i := 0; i < len(m.tombs) && b.err == nil; {
		run := b.collectRun(m.tombs[i:])
		for _, t := range m.tombs[i : i+run.n] {
			if !t.held {
				continue
			}
			// The promise and the floor go with the row, so the set's floor takes their place (P4).
			state := b.a.keyState(t.Key)
			floors[t.Set] = max(floors[t.Set], t.Ref.TS, state.Promise, state.Floor)
			rows := b.keys[string(t.prefix)]
			if rows == nil {
				rows = b.note(t.prefix) // the run has seen that nothing else is left
			}
			rows.remove(t.Ref)
			if !state.Empty() {
				b.setKeyState(t.Key, ondisk.KeyState{})
			}
		}
		if run.n >= rangeRun {
			for _, t := range m.tombs[i : i+run.n] {
				b.touch(t.prefix)
			}
			b.fail(b.pb.DeleteRange(m.tombs[i].prefix, run.end, nil))
		} else {
			for _, key := range run.rows {
				b.delete(key)
			}
		}
		i += max(run.n, 1) // the first of them is in use: leave it
	}
	for id, ts := range floors {
		if row := b.a.set(id); ts > row.GCFloor {
			row.GCFloor = ts
			b.setRow(id, row)
		}
	}
	return b.err
}

// tombRun is a run of tombstones that may go and whose rows follow each other in the index with
// nothing between.
type tombRun struct {
	n    int
	end  []byte   // a key above them and not above any row that stays
	rows [][]byte // their rows, if the run is short
}

// collectRun finds the run at the head of tombs.
func (b *batch) collectRun(tombs []tomb) (run tombRun) {
	it := b.iterator()
	if it == nil {
		return run
	}
	ok := it.SeekGE(tombs[0].prefix)
	for ; run.n < len(tombs) && b.err == nil; run.n++ {
		t := &tombs[run.n]
		if ok && bytes.Compare(it.Key(), t.prefix) < 0 {
			break // something lies between
		}
		rows, kept := b.keys[string(t.prefix)], len(run.rows)
		for ; ok && bytes.HasPrefix(it.Key(), t.prefix); ok = it.Next() {
			if b.isGone(rows, it.Key()) {
				continue
			}
			if !b.collectable(t, it.Key(), it.Value()) {
				run.end, run.rows = t.prefix, run.rows[:kept]
				return run
			}
			t.held = true
			if run.n < rangeRun {
				run.rows = append(run.rows, slices.Clone(it.Key()))
			}
		}
	}
	b.fail(it.Error())
	if ok {
		run.end = slices.Clone(it.Key())
	} else {
		run.end = ondisk.AppendKindAfter(nil, ondisk.RowVersion)
	}
	return run
}

// isGone says whether a row was removed in this very batch, by the mark of a newer one.
func (b *batch) isGone(rows *keyRows, key []byte) bool {
	if rows == nil {
		return false
	}
	_, _, ref, _, err := ondisk.SplitVersionKey(key)
	b.fail(err)
	return err == nil && rows.isGone(ref)
}

// collectable says whether a row of a tombstone's key may go: the stable tombstone itself may.
func (b *batch) collectable(t *tomb, key, value []byte) bool {
	_, _, ref, _, err := ondisk.SplitVersionKey(key)
	if err != nil {
		b.fail(err)
		return false
	}
	if ref != t.Ref || b.a.unstable(ref) != nil {
		return false
	}
	_, shared, err := ondisk.SplitVersionValue(value)
	if err != nil {
		b.fail(err)
		return false
	}
	row, err := ondisk.ViewVersion(shared)
	b.fail(err)
	return err == nil && row.Kind == ondisk.KindTombstone
}

// dropMsg is a Drop in the mailbox.
type dropMsg struct {
	reply
	key object.Key
	set cluster.SetID
	ref object.VersionRef
}

func (*dropMsg) isMsg()      {}
func (*dropMsg) weight() int { return 256 }

// Drop implements Committer.
func (a *Actor) Drop(ctx context.Context, key object.Key, set cluster.SetID, ref object.VersionRef) error {
	_, err := a.do(ctx, &dropMsg{reply: newReply(), key: key, set: set, ref: ref})
	return err
}

// apply implements message. The V row that stays behind keeps the version from ever being accepted
// again; a version that the drive holds stable is never dropped.
func (m *dropMsg) apply(b *batch) error {
	a := b.a
	prefix := ondisk.AppendVersionPrefix(nil, m.key)
	rows := b.rows(prefix)
	if b.err != nil {
		return b.err
	}
	set := a.set(m.set)
	view := b.view(m.key, rows, &set, m.ref)
	verdict := quorum.Kill(&view, m.ref)
	if verdict == quorum.KillHeld || verdict == quorum.KillUnknown {
		return a.wrap(fmt.Errorf("drop: %w", ErrHeld))
	}
	if !view.Dead {
		state := a.keyState(m.key)
		state.Dead = append(slices.Clone(state.Dead), ondisk.Attempt{TS: m.ref.TS, Write: m.ref.Write, Epoch: set.Epoch})
		b.setKeyState(m.key, state)
	}
	if verdict != quorum.KillDrop {
		return nil
	}
	p := a.unstable(m.ref)
	key := ondisk.AppendVersionKey(nil, m.key, m.ref, p.Rev)
	if !p.data.OID.IsZero() {
		b.discard(p.data.Ref, p.data.at, p.data.parts)
	}
	b.delete(key)
	b.dropPending(m.ref, p)
	rows.remove(m.ref)
	return nil
}

// keyState is what the drive remembers of a key beside its versions.
func (a *Actor) keyState(key object.Key) ondisk.KeyState {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.states[key]
}

// setKeyState writes a key's V row, or removes it once there is nothing to say.
func (b *batch) setKeyState(key object.Key, state ondisk.KeyState) {
	b.buf = ondisk.AppendKeyStateKey(b.buf[:0], key)
	b.a.mu.Lock()
	defer b.a.mu.Unlock()
	if state.Empty() {
		b.delete(b.buf)
		delete(b.a.states, key)
		return
	}
	b.val = ondisk.AppendKeyState(b.val[:0], &state)
	b.set(b.buf, b.val)
	b.a.states[key] = state
}
