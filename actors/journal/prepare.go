package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/guardfs"
	"holdfast/actors/ondisk"
)

// writeStep is how much is zeroed at a time: what a sync of a record may have to wait behind.
const writeStep = 256 << 10

// retryAfter is how long Run waits after a failure, most likely for want of space.
const retryAfter = time.Second

// Run prepares files ahead of the writer until stop is closed. Where it cannot the current file grows,
// which costs a sync more time, but no record.
func (j *Journal) Run(stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		case <-j.want:
		}
		if len(j.ready) > 0 {
			continue
		}
		j.mu.Lock()
		size := min(j.o.Size, growth*j.cur.size)
		j.mu.Unlock()
		f, err := j.prepare(size)
		if err != nil {
			if errors.Is(err, guardfs.ErrFailed) {
				return nil // the drive knows
			}
			j.o.Log.Warn("preparing a file of the journal", "err", err)
			select {
			case <-stop:
				return nil
			case <-time.After(retryAfter):
				continue
			}
		}
		j.ready <- f
		if s := j.Stats(); j.o.Behind != nil && s.Log > j.o.MaxLog {
			j.o.Behind()
		}
	}
}

// prepare makes a file ready to be written to: a dead one, or a new one of size bytes. Its blocks are
// written, so that a sync of records has no metadata to write. One that could not be announced is kept, and
// is the next one's.
func (j *Journal) prepare(size int64) (*file, error) {
	f := j.half
	if f == nil {
		made, err := j.make(size)
		if err != nil {
			return nil, fmt.Errorf("prepare %s: %w", made.name, err)
		}
		f, j.half = made, made
	}
	err := syncDir(j.o.FS, j.o.Dir)
	if err == nil && f.write == nil {
		f.write, err = j.o.FS.OpenReadWrite(f.name, vfs.WriteCategoryUnspecified)
	}
	if err == nil {
		err = j.announce(f.no)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", f.name, err)
	}
	j.half = nil
	j.mu.Lock()
	j.tail = f.no
	j.mu.Unlock()
	return f, nil
}

// make makes a file with its first page. It gets its name when it is whole: a short one was cut.
func (j *Journal) make(size int64) (*file, error) {
	var nonce [8]byte
	_, _ = rand.Read(nonce[:]) // it never fails
	j.mu.Lock()
	f := &file{no: j.nextNo, name: j.path(j.nextNo), size: size, prev: j.tail, nonce: binary.BigEndian.Uint64(nonce[:])}
	j.nextNo++
	j.mu.Unlock()
	name := f.name + unready
	var err error
	if old := j.takeDead(func(old *file) bool { return old.size >= size/growth }); old != nil {
		f.size = old.size
		if err = j.o.FS.Rename(old.name, name); err != nil {
			j.giveBack(old)
			return f, err
		}
		err = j.renew(name, f)
	} else {
		err = j.fill(name, f)
	}
	if err == nil {
		err = j.o.FS.Rename(name, f.name)
	}
	if err != nil {
		if rerr := j.o.FS.Remove(name); !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return f, err
}

// renew makes the first page of a file that is used again. Its old name must be gone for good before that.
func (j *Journal) renew(name string, f *file) error {
	if err := syncDir(j.o.FS, j.o.Dir); err != nil {
		return err
	}
	w, err := j.o.FS.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if _, err = w.WriteAt(j.firstPage(f), 0); err == nil {
		err = w.SyncData()
	}
	return errors.Join(err, w.Close())
}

func (j *Journal) firstPage(f *file) []byte {
	return ondisk.AppendJournalFile(nil, &ondisk.JournalFile{Drive: j.o.Drive, File: f.no, Prev: f.prev, Nonce: f.nonce, Size: f.size})
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// fill makes a file of zeros behind its first page.
func (j *Journal) fill(name string, f *file) error {
	w, err := j.o.FS.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if err = j.zero(w, f); err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}

// zero writes zeros, past the page cache if the file system can: records will overwrite whole pages,
// and nobody reads what they do not.
func (j *Journal) zero(w vfs.File, f *file) error {
	page := make([]byte, writeStep+ondisk.JournalPage)
	page = page[-uintptr(unsafe.Pointer(unsafe.SliceData(page)))%ondisk.JournalPage:][:writeStep]
	copy(page, j.firstPage(f))
	direct := j.o.Change != nil && guardfs.SetDirect(w)
	for off := int64(0); off < f.size; {
		n := min(int64(writeStep), f.size-off)
		if !direct {
			return j.zeroCached(w, f, off)
		}
		err := j.o.Change("write", f.name, refused, func() error { return pwrite(w, page[:n], off) })
		if guardfs.IsUnsupported(err) || errors.Is(err, unix.EINVAL) {
			return errors.Join(guardfs.SetCached(w), j.zeroCached(w, f, off))
		}
		if err != nil {
			return err
		}
		off += n
		clear(page[:ondisk.JournalPage])
	}
	return nil
}

// refused names outcomes of a direct write that are no fault of the drive.
func refused(err error) bool {
	return guardfs.IsNoSpace(err) || guardfs.IsUnsupported(err) || errors.Is(err, unix.EINVAL)
}

func (j *Journal) zeroCached(w vfs.File, f *file, off int64) error {
	buf := make([]byte, min(writeStep, f.size-off))
	for ; off < f.size; off += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), f.size-off)]
		clear(buf) // Write may change its argument, by the contract of vfs.File
		if off == 0 {
			copy(buf, j.firstPage(f))
		}
		if _, err := w.WriteAt(buf, off); err != nil {
			return err
		}
	}
	return nil
}

func pwrite(w vfs.File, b []byte, off int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(int(w.Fd()), b, off)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return unix.EIO
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}
