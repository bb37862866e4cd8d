package drive

import (
	"bytes"
	"errors"
	"fmt"
	"path"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/guardfs"
	"holdfast/actors/journal"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

const (
	minJournal = 1 << 20
	maxJournal = 64 << 20
	// logFiles is how many files of full size may be needed as log before the index is told to flush.
	logFiles = 3
)

// journalSize fits the files of the journal to the drive.
func journalSize(capacity int64) int64 {
	return max(minJournal, min(capacity/256, maxJournal)) / ondisk.JournalPage * ondisk.JournalPage
}

// openJournal puts what the index had not flushed when the drive stopped back into it. The Z row tells
// how far that is: each batch overwrites it, and memtables are flushed in order.
func (a *Actor) openJournal() error {
	var err error
	a.journal, err = journal.Open(journal.Options{
		FS: guardfs.Checked(a.o.FS, a.health), Dir: path.Join(a.path, journalDir), End: path.Join(a.path, journalEnd), Drive: a.id, Log: a.log,
		Size: a.space.journal, MaxLog: logFiles * a.space.journal, Behind: a.flushIndex, Change: a.health.Change,
	})
	if err != nil {
		return err
	}
	marks, err := readMarks(a.db)
	if err != nil {
		return err
	}
	last, err := a.journal.Replay(marks.Batch, func(_ uint64, rows []byte) error {
		b := a.db.NewBatch()
		if err := b.SetRepr(bytes.Clone(rows)); err != nil {
			return errors.Join(err, b.Close())
		}
		return errors.Join(a.db.Apply(b, pebble.NoSync), b.Close())
	})
	if err != nil {
		return err
	}
	if marks, err = readMarks(a.db); err == nil && marks.Batch != last {
		err = fmt.Errorf("%w: the index is at batch %d after batch %d", ondisk.ErrCorrupt, marks.Batch, last)
	}
	return err
}

// readMarks reads the Z row; a drive that never wrote has none.
func readMarks(db pebble.Reader) (ondisk.Marks, error) {
	value, closer, err := db.Get(ondisk.AppendMarksKey(nil))
	if errors.Is(err, pebble.ErrNotFound) {
		return ondisk.Marks{}, nil
	}
	if err != nil {
		return ondisk.Marks{}, fmt.Errorf("watermark row: %w", err)
	}
	defer closer.Close()
	marks, err := ondisk.DecodeMarks(value)
	if err != nil {
		return ondisk.Marks{}, fmt.Errorf("watermark row: %w", err)
	}
	return marks, nil
}

func (a *Actor) loadJournal(key, value []byte) error {
	no, err := ondisk.ParseJournalKey(key)
	if err != nil {
		return err
	}
	row, err := ondisk.DecodeJournalRow(value)
	if err == nil && !a.journal.SetLive(no, row) {
		a.log.Error("file of the journal is missing: its small shards are damaged", "file", no, "shards", row.Payloads)
	}
	return err
}

// flushIndex makes the index flush soon, so that files of the journal are no log any more.
func (a *Actor) flushIndex() {
	if _, err := a.db.AsyncFlush(); err != nil {
		a.log.Warn("asking the index to flush", "err", err)
	}
}

// flushAll puts what only the journal has into tables, so that a drive that was closed can do without its
// log. A drive without the room for it leaves that to the replay.
func (a *Actor) flushAll() error {
	if err := a.space.look(); err != nil || a.space.left() < a.space.needed() {
		return err
	}
	return a.db.Flush()
}

// noteFlush tells the journal how far the index is flushed.
func (a *Actor) noteFlush() (err error) {
	it, err := a.db.NewIter(&pebble.IterOptions{
		OnlyReadGuaranteedDurable: true,
		LowerBound:                ondisk.AppendMarksKey(nil), UpperBound: ondisk.AppendKindAfter(nil, ondisk.RowMarks),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if !it.First() {
		return it.Error()
	}
	marks, err := ondisk.DecodeMarks(it.Value())
	if err == nil {
		a.journal.Flushed(marks.Batch)
	}
	return err
}

// payload reads the inline shard of a version.
func (a *Actor) payload(at ondisk.Location, oid object.OID) ([]byte, error) {
	if at.IsZero() {
		return nil, ErrNoShard
	}
	p, err := a.journal.Read(at, oid)
	if errors.Is(err, journal.ErrGone) {
		return nil, fmt.Errorf("%w: %w", ErrNoShard, err) // the row has changed since it was read
	}
	return p, damaged(err)
}

// payloadOf finds and reads the inline shard of a version of a key.
func (a *Actor) payloadOf(key object.Key, oid object.OID) (p []byte, err error) {
	for range reportTries {
		var at ondisk.Location
		if at, err = a.findPayload(key, oid); err == nil {
			p, err = a.payload(at, oid)
		}
		if !errors.Is(err, journal.ErrGone) {
			break
		}
	}
	return p, err
}

// findPayload looks through the rows of a key for the place of a shard.
func (a *Actor) findPayload(key object.Key, oid object.OID) (at ondisk.Location, err error) {
	it, err := a.db.NewIter(&pebble.IterOptions{UseL6Filters: true})
	if err != nil {
		return at, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	return placeOf(it, ondisk.AppendVersionPrefix(nil, key), oid)
}

// placeOf returns where the payload of a shard lies according to the rows with a prefix.
func placeOf(it *pebble.Iterator, prefix []byte, oid object.OID) (ondisk.Location, error) {
	return findRow(it, prefix, func(at ondisk.Location, shared []byte) (bool, error) {
		row, err := ondisk.ViewVersion(shared)
		return row.OID() == oid, err
	})
}

// findRow returns the place of the first payload of the rows with a prefix that is the one.
func findRow(it *pebble.Iterator, prefix []byte, isIt func(at ondisk.Location, shared []byte) (bool, error)) (ondisk.Location, error) {
	var own ondisk.VersionOwn
	for ok := it.SeekPrefixGE(prefix); ok; ok = it.Next() {
		if len(it.Key()) == len(prefix) { // of the key itself
			continue
		}
		shared, err := ondisk.DecodeVersionOwn(&own, it.Value())
		if err == nil && own.At.IsZero() {
			continue
		}
		found := false
		if err == nil {
			found, err = isIt(own.At, shared)
		}
		if err != nil {
			return ondisk.Location{}, damaged(err)
		}
		if found {
			return own.At, nil
		}
	}
	return ondisk.Location{}, it.Error()
}

// journaled is what a batch changes in the journal's account of live payloads.
type journaled struct {
	kept  bool                                // payloads are in the batch's record
	files map[uint32]ondisk.JournalRow        // by file: what comes and goes
	moved map[ondisk.Location]ondisk.Location // by where the payload was before the batch
}

// addPayload puts a payload into the batch's record.
func (b *batch) addPayload(payload []byte) ondisk.Location {
	at := b.a.journal.Add(payload)
	b.journal.kept = true
	b.account(at, 1)
	return at
}

// dropPayload says that no row refers to a payload any more.
func (b *batch) dropPayload(at ondisk.Location) {
	if !at.IsZero() {
		b.account(at, -1)
	}
}

func (b *batch) account(at ondisk.Location, sign int64) {
	if b.journal.files == nil {
		b.journal.files = make(map[uint32]ondisk.JournalRow)
	}
	row := b.journal.files[at.File]
	row.Live += sign * int64(at.Length)
	row.Payloads += sign
	b.journal.files[at.File] = row
}

// setJournal writes the J rows of the files that the batch changes, and tells those who remember where
// a payload lies that it was moved.
func (b *batch) setJournal() {
	for no, change := range b.journal.files {
		row := b.a.journal.Account(no, b.num, change.Live, change.Payloads)
		key := ondisk.AppendJournalKey(b.buf[:0], no)
		if row.Payloads == 0 {
			b.delete(key)
			continue
		}
		b.val = ondisk.AppendJournalRow(b.val[:0], &row)
		b.set(key, b.val)
	}
	if len(b.journal.moved) == 0 {
		return
	}
	b.a.mu.Lock()
	defer b.a.mu.Unlock()
	for _, p := range b.a.pending {
		if to, ok := b.journal.moved[p.row.at]; ok {
			p.row.at = to
		}
		if p.old == nil {
			continue
		}
		if to, ok := b.journal.moved[p.old.row.at]; ok {
			p.old.row.at = to
		}
	}
}
