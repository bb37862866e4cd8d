package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

// Create writes, at the birth of a drive, that its journal has no file yet.
func Create(fsys vfs.FS, end string, drive cluster.DriveID) error {
	return putEnd(fsys, end, &ondisk.JournalEnd{Drive: drive, Sealed: true})
}

func putEnd(fsys vfs.FS, name string, e *ondisk.JournalEnd) error {
	return ondisk.WriteFileAtomic(fsys, name, ondisk.AppendJournalEnd(nil, e), 0o600)
}

// readEnd reads where the journal ends. One bit of that may have rotted.
func readEnd(o *Options) (e ondisk.JournalEnd, err error) {
	name := path.Base(o.End)
	b, err := ondisk.ReadFile(o.FS, o.End, ondisk.JournalEndSize)
	if errors.Is(err, fs.ErrNotExist) {
		return e, fmt.Errorf("%w: %s, which says where the journal ends, is missing", ErrGap, name)
	}
	if err != nil {
		return e, err
	}
	if e, err = ondisk.DecodeJournalEnd(b); errors.Is(err, ondisk.ErrCorrupt) && ondisk.MendSum64(b) {
		if e, err = ondisk.DecodeJournalEnd(b); err == nil {
			o.Log.Error("a bit of the journal's end has rotted and was set right", "path", o.End)
		}
	}
	if err == nil && e.Drive != o.Drive {
		err = fmt.Errorf("%w: it is that of drive %s", ondisk.ErrCorrupt, e.Drive)
	}
	if err != nil {
		return ondisk.JournalEnd{}, fmt.Errorf("%s: %w", name, err)
	}
	return e, nil
}

// announce says that a file is there, before a record is written to it.
func (j *Journal) announce(no uint32) error {
	j.mu.Lock()
	safe := j.safe
	j.mu.Unlock()
	j.announcing.Lock()
	defer j.announcing.Unlock()
	return j.setEnd(ondisk.JournalEnd{File: max(no, j.end.File), Batch: max(safe, j.end.Batch)})
}

// setEnd replaces the end. j.announcing is held.
func (j *Journal) setEnd(e ondisk.JournalEnd) error {
	e.Drive = j.o.Drive
	if err := putEnd(j.o.FS, j.o.End, &e); err != nil {
		return err
	}
	j.end, j.endErr = e, nil
	return nil
}

// End is what is known outside of the journal's files of where it ends.
func (j *Journal) End() ondisk.JournalEnd {
	j.announcing.Lock()
	defer j.announcing.Unlock()
	return j.end
}

// Seal writes that the journal ends, before Close: batch is the last one. A record without rows says that
// all before it was durable: what is damaged there afterwards is known to be rot, and not a write that was
// torn.
func (j *Journal) Seal(batch uint64) error {
	if batch > 0 {
		if err := j.Sync(); err != nil {
			return err
		}
		if _, err := j.Append(batch, nil, true); err != nil {
			return err
		}
	}
	j.announcing.Lock()
	defer j.announcing.Unlock()
	return j.setEnd(ondisk.JournalEnd{File: j.end.File, Batch: batch, Sealed: true})
}
