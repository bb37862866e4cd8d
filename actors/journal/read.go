package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

// Read returns the payload at a location, verified: it is the one of oid that this drive wrote. ErrGone:
// its file was given up, so its row has changed. ondisk.ErrCorrupt: it is damaged.
func (j *Journal) Read(at ondisk.Location, oid object.OID) ([]byte, error) {
	b, err := j.ReadWhole(at, oid)
	if err != nil {
		return nil, err
	}
	return b[ondisk.PayloadHeaderSize:], nil
}

// ReadWhole is Read with the payload's header before it, as Add takes it.
func (j *Journal) ReadWhole(at ondisk.Location, oid object.OID) ([]byte, error) {
	f, err := j.acquire(at.File)
	if err != nil {
		return nil, err
	}
	defer j.release(f)
	if at.Length > ondisk.MaxJournalRecord {
		return nil, fmt.Errorf("%w: payload of %d bytes", ondisk.ErrCorrupt, at.Length)
	}
	b := make([]byte, at.Length)
	if _, err := f.read.ReadAt(b, int64(at.Offset)); err != nil {
		return nil, j.readError(at, err)
	}
	drive, got, _, err := ondisk.DecodePayload(b)
	if err == nil && (drive != j.tag || got != oid) {
		err = fmt.Errorf("%w: it is one of shard %s on another place", ondisk.ErrCorrupt, got)
	}
	if err != nil {
		return nil, j.readError(at, err)
	}
	return b, nil
}

// readError names the place, and takes what is not there for damage: rows are written behind payloads.
func (j *Journal) readError(at ondisk.Location, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: %w", ondisk.ErrCorrupt, err)
	}
	return fmt.Errorf("journal file %d, %d bytes at %d: %w", at.File, at.Length, at.Offset, err)
}

// acquire returns a file that is open for reading; release gives it back.
func (j *Journal) acquire(no uint32) (*file, error) {
	j.mu.Lock()
	f := j.files[no]
	if f == nil {
		j.mu.Unlock()
		return nil, fmt.Errorf("journal file %d: %w", no, ErrGone)
	}
	f.refs++
	j.tick++
	f.used = j.tick
	open, missing := f.read != nil, f.missing
	j.mu.Unlock()
	if open {
		return f, nil
	}
	err := fmt.Errorf("%w: journal file %d is missing", ondisk.ErrCorrupt, no)
	if !missing {
		err = j.openForRead(f)
	}
	if err != nil {
		j.release(f)
		return nil, err
	}
	return f, nil
}

// openForRead opens a file that the caller has booked.
func (j *Journal) openForRead(f *file) error {
	f.open.Lock()
	defer f.open.Unlock()
	j.mu.Lock()
	open := f.read != nil
	j.mu.Unlock()
	if open {
		return nil
	}
	h, err := j.o.FS.Open(f.name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: journal file %d is missing: %w", ondisk.ErrCorrupt, f.no, err)
	}
	if err != nil {
		return err
	}
	j.mu.Lock()
	f.read = h
	j.opened++
	j.mu.Unlock()
	return nil
}

// release gives a file back, and closes one that was not read for long if too many are open.
func (j *Journal) release(f *file) {
	var done []vfs.File
	j.mu.Lock()
	if f.refs--; f.refs == 0 && f.sealed && f.write != nil {
		done = append(done, f.write)
		f.write = nil
	}
	if j.opened > maxOpen {
		var oldest *file
		for _, g := range j.files {
			if g.read != nil && g.refs == 0 && (oldest == nil || g.used < oldest.used) {
				oldest = g
			}
		}
		if oldest != nil {
			done = append(done, oldest.read)
			oldest.read = nil
			j.opened--
		}
	}
	j.mu.Unlock()
	for _, h := range done {
		if err := h.Close(); err != nil {
			j.o.Log.Warn("closing a file of the journal", "err", err)
		}
	}
}
