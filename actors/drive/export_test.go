package drive

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/journal"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

// Place is where byte off of a shard lies: the segment's file and the offset in it.
func (a *Actor) Place(oid object.OID, off int64) (file string, at int64, err error) {
	m, err := a.manifest(oid)
	if err != nil {
		return "", 0, err
	}
	for _, e := range m.Extents {
		if off >= e.Data {
			off -= e.Data
			continue
		}
		// Frames of a run are padded to pages, and so is the whole extent.
		run := e.Length%ondisk.FrameHeaderRoom == 0
		frame := int64(ondisk.MaxFrameData)
		if e.Frames > 1 {
			for frame/2*int64(e.Frames) >= e.Data {
				frame /= 2
			}
		}
		n := off / frame
		size := min(frame, e.Data-n*frame)
		at = e.Offset + n*int64(ondisk.FrameSize(int(frame), run)) + int64(ondisk.FrameHeaderSize(int(size), run)) + off%frame
		name := strconv.Itoa(int(e.Segment))
		return path.Join(a.path, segmentDir, "00000000"[len(name):]+name+".seg"), at, nil
	}
	return "", 0, ErrNoShard
}

// Flush writes the memtable to a table.
func (a *Actor) Flush() error { return a.db.Flush() }

// Merge compacts all tables.
func (a *Actor) Merge() error {
	return a.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false)
}

// panicMsg is an assertion that fails in the loop.
type panicMsg struct{ reply }

func (*panicMsg) isMsg()             {}
func (*panicMsg) weight() int        { return 0 }
func (*panicMsg) apply(*batch) error { panic("assertion") }

// Panic lets the loop panic.
func (a *Actor) Panic(ctx context.Context) error {
	_, err := a.do(ctx, &panicMsg{reply: newReply()})
	return err
}

// CanCloseIndex is asked by Close when the actor's goroutines have ended because of err.
func (a *Actor) CanCloseIndex(err error) bool {
	ended := make(chan error, 1)
	ended <- err
	return a.rests(ended)
}

// holdMsg keeps the loop until it is let go.
type holdMsg struct {
	reply
	held, free chan struct{}
}

func (*holdMsg) isMsg()      {}
func (*holdMsg) weight() int { return 0 }
func (m *holdMsg) apply(*batch) error {
	close(m.held)
	<-m.free
	return nil
}

// HoldLoop keeps the loop from taking messages until waiting of them are there.
func (a *Actor) HoldLoop(waiting int) (release func(), err error) {
	m := &holdMsg{reply: newReply(), held: make(chan struct{}), free: make(chan struct{})}
	if err := a.put(m); err != nil {
		return nil, err
	}
	<-m.held
	return func() {
		for a.mail.Depth() < waiting {
			runtime.Gosched()
		}
		close(m.free)
	}, nil
}

// Forge writes rows behind the actor's back; they count from the next open on. Tests make drives
// with it that are larger than any machine they run on.
func (a *Actor) Forge(write func(set func(key, value []byte))) error {
	b := a.db.NewBatch()
	defer b.Close()
	var first error
	write(func(key, value []byte) {
		if err := b.Set(key, value, nil); err != nil && first == nil {
			first = err
		}
	})
	if first != nil {
		return first
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return err
	}
	return a.db.Flush() // the journal knows nothing of them
}

// checkMsg looks at the journal's account between two batches, when it is that of the rows.
type checkMsg struct{ reply }

func (*checkMsg) isMsg()               {}
func (*checkMsg) weight() int          { return 0 }
func (*checkMsg) apply(b *batch) error { return b.a.checkJournal() }

// CheckJournal compares what the journal takes for live with what version rows refer to.
func (a *Actor) CheckJournal() error {
	_, err := a.do(context.Background(), &checkMsg{reply: newReply()})
	return err
}

func (a *Actor) checkJournal() error {
	want := map[uint32]ondisk.JournalRow{}
	seen := map[ondisk.Location]bool{}
	var own ondisk.VersionOwn
	err := a.each(ondisk.RowVersion, func(key, value []byte) error {
		if ondisk.IsKeyStateKey(key) {
			return nil
		}
		_, err := ondisk.DecodeVersionOwn(&own, value)
		if err != nil || own.At.IsZero() || seen[own.At] {
			return err
		}
		seen[own.At] = true
		row := want[own.At.File]
		row.Live += int64(own.At.Length)
		row.Payloads++
		want[own.At.File] = row
		return nil
	})
	if err != nil {
		return err
	}
	for _, f := range a.journal.Files() {
		w := want[f.Number]
		delete(want, f.Number)
		if f.Row.Live != w.Live || f.Row.Payloads != w.Payloads {
			return fmt.Errorf("journal file %d: account %+v, rows say %+v", f.Number, f.Row, w)
		}
	}
	if len(want) > 0 {
		return fmt.Errorf("rows refer to journal files that are not known: %v", want)
	}
	return nil
}

// Places are where the rows of a key, newest first, have their inline shards.
func (a *Actor) Places(key object.Key) (list []ondisk.Location, err error) {
	prefix := ondisk.AppendVersionPrefix(nil, key)
	err = eachRowIn(a.db, prefix, ondisk.AppendPrefixEnd(nil, prefix), func(key, value []byte) error {
		if ondisk.IsKeyStateKey(key) {
			return nil
		}
		var own ondisk.VersionOwn
		_, err := ondisk.DecodeVersionOwn(&own, value)
		list = append(list, own.At)
		return err
	})
	return list, err
}

// StartRehome asks for all small shards of some keys to be moved, as the loop is asked when their file is
// emptied, and returns what waits for it.
func (a *Actor) StartRehome(keys ...object.Key) (wait func() error, err error) {
	m := &rehomeMsg{reply: newReply()}
	for _, k := range keys {
		prefix := ondisk.AppendVersionPrefix(nil, k)
		seen := map[ondisk.Location]bool{}
		err := eachRowIn(a.db, prefix, ondisk.AppendPrefixEnd(nil, prefix), func(key, value []byte) error {
			if ondisk.IsKeyStateKey(key) {
				return nil
			}
			var own ondisk.VersionOwn
			shared, err := ondisk.DecodeVersionOwn(&own, value)
			if err != nil || own.At.IsZero() || seen[own.At] {
				return err
			}
			seen[own.At] = true
			row, err := ondisk.ViewVersion(shared)
			if err != nil {
				return err
			}
			whole, err := a.journal.ReadWhole(own.At, row.OID())
			m.list = append(m.list, homeless{key: k, prefix: prefix, at: own.At, whole: whole})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if err := a.put(m); err != nil {
		return nil, err
	}
	return func() error { return <-m.done }, nil
}

// Known implements drivetest.Subject.
func (a *Actor) Known(set cluster.SetID, bucket cluster.BucketID) (epoch, revision uint64) {
	return a.set(set).Config.Epoch, a.fence(bucket).Revision
}

// FlushMarks implements drivetest.Subject.
func (a *Actor) FlushMarks(ctx context.Context) error { return a.flushMarks(ctx) }

// JournalStats is what the journal takes and holds.
func (a *Actor) JournalStats() journal.Stats { return a.journal.Stats() }

// Empty asks for a turn of emptying files of the journal at once.
func (a *Actor) Empty() { a.emptying.wakeUp() }

// Look asks the file system for its free bytes now.
func (a *Actor) Look() { a.space.look() }

// ReferSteps asks for each payload of a key, and for one more of each row that is nowhere, whether rows refer to
// it, and returns how many of them are found and the steps through the index that it took.
func (a *Actor) ReferSteps(k object.Key) (found, steps int, err error) {
	it, err := a.db.NewIter(&pebble.IterOptions{UseL6Filters: true})
	if err != nil {
		return 0, 0, err
	}
	rows, prefix := places{it: it}, ondisk.AppendVersionPrefix(nil, k)
	err = eachRowIn(a.db, prefix, ondisk.AppendPrefixEnd(nil, prefix), func(key, value []byte) error {
		if ondisk.IsKeyStateKey(key) {
			return nil
		}
		var own ondisk.VersionOwn
		if _, err := ondisk.DecodeVersionOwn(&own, value); err != nil {
			return err
		}
		gone := own.At
		gone.File += 1 << 20
		for _, at := range []ondisk.Location{own.At, gone} {
			live, err := rows.refer(key, prefix, at)
			if err != nil {
				return err
			}
			if live {
				found++
			}
		}
		return nil
	})
	s := it.Stats()
	return found, s.ForwardStepCount[pebble.InterfaceCall] + s.ForwardSeekCount[pebble.InterfaceCall], errors.Join(err, it.Close())
}
