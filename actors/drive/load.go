package drive

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
)

// load fills the actor's memory from the index: everything that is looked up for each change and
// is small. What Open has replayed is durable, so all rows found may be shown.
func (a *Actor) load() error {
	marks, err := readMarks(a.db)
	if err != nil {
		return err
	}
	if marks.Batch > 0 {
		a.state = quorum.DriveState{Highest: max(marks.Highest, marks.ClockCeiling), Horizon: marks.Horizon}
		a.state.Restarted()
		a.batchNo = marks.Batch
		for id, n := range marks.Peers {
			a.peers[id] = n
		}
	}
	a.clocks.Store(uint64(a.state.Highest))
	a.horizon.Store(uint64(a.state.Horizon))
	a.since.Store(uint64(a.state.Since))
	a.gate.advance(a.batchNo)
	for _, l := range []struct {
		kind ondisk.RowKind
		add  func(key, value []byte) error
	}{
		{ondisk.RowPending, a.loadPending},
		{ondisk.RowSet, a.loadSet},
		{ondisk.RowFence, a.loadFence},
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
	var c cell
	if err := c.readRow(a, vkey, version, need{}); err != nil {
		return err
	}
	p.version, p.row = c.state.Versions[0], c.rows[0]
	p.version.Stable = false
	a.unsettled(p)
	return nil
}

func (a *Actor) loadSet(key, value []byte) error {
	id, err := ondisk.ParseSetKey(key)
	if err != nil {
		return err
	}
	row, err := ondisk.DecodeSetRow(value)
	a.keepSet(id, setOf(id, &row))
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

func (a *Actor) loadGarbage(key, _ []byte) error {
	seq, err := ondisk.ParseGarbageKey(key)
	a.garbage = max(a.garbage, seq)
	return err
}
