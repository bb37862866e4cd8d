package drive

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/ondisk"
)

// load fills the actor's memory from the index: everything that is looked up for each change and
// is small. What Open has replayed is durable, so all rows found may be shown.
func (a *Actor) load() error {
	marks, err := readMarks(a.db)
	if err != nil {
		return err
	}
	a.clocks.Store(uint64(max(marks.Highest, marks.ClockCeiling)))
	a.batchNo = marks.Batch
	for id, n := range marks.Peers {
		a.peers[id] = n
	}
	a.gate.advance(a.batchNo)
	for _, l := range []struct {
		kind ondisk.RowKind
		add  func(key, value []byte) error
	}{
		{ondisk.RowPending, a.loadPending},
		{ondisk.RowSet, a.loadSet},
		{ondisk.RowFence, a.loadFence},
		{ondisk.RowKeyState, a.loadKeyState},
		{ondisk.RowGarbage, a.loadGarbage},
		{ondisk.RowJournal, a.loadJournal},
	} {
		if err := a.each(l.kind, l.add); err != nil {
			return fmt.Errorf("rows %c: %w", l.kind, err)
		}
	}
	return nil
}

// each calls f for every row of a kind. key and value are valid during the call.
func (a *Actor) each(kind ondisk.RowKind, f func(key, value []byte) error) error {
	return eachRow(a.db, kind, f)
}

func eachRow(db pebble.Reader, kind ondisk.RowKind, f func(key, value []byte) error) error {
	return eachRowIn(db, []byte{byte(kind)}, ondisk.AppendKindAfter(nil, kind), f)
}

// eachRowIn calls f for every row with lower <= key < upper; nil bounds are none.
func eachRowIn(db pebble.Reader, lower, upper []byte, f func(key, value []byte) error) (err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		if err := f(it.Key(), it.Value()); err != nil {
			return err
		}
	}
	return it.Error()
}

func (a *Actor) loadPending(key, value []byte) error {
	k, err := ondisk.ParsePendingKey(key)
	if err != nil {
		return err
	}
	row, err := ondisk.DecodePending(value)
	if err != nil {
		return err
	}
	p := &pending{Pending: row, set: k.Set, since: row.Ref.TS.Time()}
	vkey := ondisk.AppendVersionKey(nil, row.Key, row.Ref, row.Rev)
	version, closer, err := a.db.Get(vkey)
	if errors.Is(err, pebble.ErrNotFound) {
		// Both are written and removed in one batch, so this is damage. It concerns one version only.
		a.log.Error("pending row without its version", "write", row.Ref.Write.String())
		return nil
	}
	if err != nil {
		return fmt.Errorf("version row of pending %s: %w", row.Ref.Write, err)
	}
	defer closer.Close()
	own, shared, err := ondisk.SplitVersionValue(version)
	if err != nil {
		return err
	}
	v, err := ondisk.ViewVersion(shared)
	if err != nil {
		return err
	}
	p.kind, p.size, p.data = v.Kind, v.Size, data{Ref: v.Ref, parts: v.Parts > 0, at: own.At}
	a.pending[row.Ref] = p
	return nil
}

func (a *Actor) loadSet(key, value []byte) error {
	id, err := ondisk.ParseSetKey(key)
	if err != nil {
		return err
	}
	a.sets[id], err = ondisk.DecodeSetRow(value)
	return err
}

func (a *Actor) loadFence(key, value []byte) error {
	bucket, err := ondisk.ParseFenceKey(key)
	if err != nil {
		return err
	}
	a.fences[bucket], err = ondisk.DecodeFence(value)
	return err
}

func (a *Actor) loadKeyState(key, value []byte) error {
	name, err := ondisk.ParseKeyStateKey(key)
	if err != nil {
		return err
	}
	a.states[name], err = ondisk.DecodeKeyState(value)
	return err
}

func (a *Actor) loadGarbage(key, _ []byte) error {
	seq, err := ondisk.ParseGarbageKey(key)
	a.garbage = max(a.garbage, seq)
	return err
}
