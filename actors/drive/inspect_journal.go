package drive

import (
	"bytes"
	"errors"
	"fmt"
	"path"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/journal"
	"holdfast/actors/ondisk"
)

// JournalReport is one file of the journal.
type JournalReport struct {
	Number uint32
	Row    ondisk.JournalRow // what rows refer to in it
	File   int64             // bytes, -1 if the file is missing
	Log    bool              // the index had not flushed all of its batches
}

// openJournal lays the rows that the index had not flushed over it, in memory, and reads through them
// from then on.
func (in *inspector) openJournal() error {
	var err error
	in.journal, err = journal.Open(journal.Options{
		FS: in.fs, Dir: path.Join(in.dir, journalDir), End: path.Join(in.dir, journalEnd), Drive: in.Label.Drive, ReadOnly: true,
	})
	if err != nil {
		return err
	}
	in.JournalEnd = in.journal.End()
	marks, err := readMarks(in.db)
	if err != nil {
		in.damage("index: %v", err)
		return nil
	}
	over := in.db.NewIndexedBatch()
	in.rows = over
	_, err = in.journal.Replay(marks.Batch, func(_ uint64, rows []byte) error {
		b := in.db.NewBatch()
		if err := b.SetRepr(bytes.Clone(rows)); err != nil {
			return errors.Join(err, b.Close())
		}
		return errors.Join(over.Apply(b, nil), b.Close(), in.ctx.Err())
	})
	if err != nil {
		in.damage("journal: %v", err)
	}
	return nil
}

// close closes what was opened, in the order of who refers to whom.
func (in *inspector) close() (err error) {
	if over, ok := in.rows.(*pebble.Batch); ok {
		err = over.Close()
	}
	if in.journal != nil {
		err = errors.Join(err, in.journal.Close())
	}
	return errors.Join(err, in.db.Close())
}

// journalFiles looks at the files of the journal.
func (in *inspector) journalFiles() {
	for _, f := range in.journal.Files() {
		r := JournalReport{Number: f.Number, Row: f.Row, File: f.Size, Log: f.Log}
		if f.Missing {
			r.File = -1
			in.damage("journal file %d holds %d small shards and is missing", f.Number, f.Row.Payloads)
		}
		in.Journal = append(in.Journal, r)
	}
}

func (in *inspector) journalRow(key, value []byte) error {
	no, err := ondisk.ParseJournalKey(key)
	if err != nil {
		return err
	}
	row, err := ondisk.DecodeJournalRow(value)
	in.journal.SetLive(no, row)
	return err
}

// versionRow checks an M row and, if everything is to be verified, its payload.
func (in *inspector) versionRow(key, value []byte) error {
	k, err := ondisk.ParseVersionKey(key)
	if err != nil {
		return err
	}
	v, err := ondisk.DecodeVersion(k.Ref, k.Rev, value)
	if err != nil {
		return err
	}
	var own ondisk.VersionOwn
	if _, err = ondisk.DecodeVersionOwn(&own, value); err != nil || !in.q.Verify || own.At.IsZero() || len(v.Refs) == 0 {
		return err
	}
	_, err = in.journal.Read(own.At, v.Refs[0].OID)
	return err
}

// inlineShard verifies a small shard: of a version, at a place in the journal, or of a part, in a D row.
func (in *inspector) inlineShard(ref ondisk.Ref, at ondisk.Location) ShardReport {
	s := ShardReport{OID: ref.OID, Inline: true, At: at}
	payload, err := func() ([]byte, error) {
		if !at.IsZero() {
			return in.journal.Read(at, ref.OID)
		}
		value, closer, err := in.rows.Get(ondisk.AppendInlineKey(nil, ref.OID))
		if errors.Is(err, pebble.ErrNotFound) {
			return nil, fmt.Errorf("%w: it never came here", ErrNoShard)
		}
		if err != nil {
			return nil, err
		}
		defer closer.Close()
		return ondisk.DecodeInline(value)
	}()
	s.Size = int64(len(payload))
	if err != nil {
		s.Damage = err.Error()
	}
	return s
}
