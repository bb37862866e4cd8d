package journal

import (
	"errors"
	"fmt"
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
// written, so that a sync of records has no metadata to write.
func (j *Journal) prepare(size int64) (*file, error) {
	j.mu.Lock()
	no := j.nextNo
	j.nextNo++
	j.mu.Unlock()
	f := &file{no: no, name: j.path(no), size: size}
	var err error
	if old := j.takeDead(func(old *file) bool { return old.size >= size/growth }); old != nil {
		f.size = old.size
		err = j.o.FS.Rename(old.name, f.name)
	} else {
		err = j.fill(f)
	}
	if err == nil {
		err = syncDir(j.o.FS, j.o.Dir)
	}
	f.least = f.size
	if err == nil {
		f.write, err = j.o.FS.OpenReadWrite(f.name, vfs.WriteCategoryUnspecified)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", f.name, err)
	}
	return f, nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// fill makes a file of zeros. It gets its name when it is whole: a short one was cut.
func (j *Journal) fill(f *file) error {
	name := f.name + unready
	w, err := j.o.FS.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	err = j.zero(w, f)
	if err == nil {
		err = w.Sync()
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return errors.Join(err, j.o.FS.Remove(name))
	}
	return j.o.FS.Rename(name, f.name)
}

// zero writes zeros, past the page cache if the file system can: records will overwrite whole pages,
// and nobody reads what they do not.
func (j *Journal) zero(w vfs.File, f *file) error {
	page := make([]byte, writeStep+ondisk.JournalPage)
	page = page[-uintptr(unsafe.Pointer(unsafe.SliceData(page)))%ondisk.JournalPage:][:writeStep]
	direct := j.o.Change != nil && guardfs.SetDirect(w)
	for off := int64(0); off < f.size; {
		n := min(int64(writeStep), f.size-off)
		if direct {
			err := j.o.Change("write", f.name, refused, func() error { return pwrite(w, page[:n], off) })
			if guardfs.IsUnsupported(err) || errors.Is(err, unix.EINVAL) {
				return errors.Join(guardfs.SetCached(w), j.zeroCached(w, off, f.size))
			}
			if err != nil {
				return err
			}
			off += n
			continue
		}
		return j.zeroCached(w, off, f.size)
	}
	return nil
}

// refused names outcomes of a direct write that are no fault of the drive.
func refused(err error) bool {
	return guardfs.IsNoSpace(err) || guardfs.IsUnsupported(err) || errors.Is(err, unix.EINVAL)
}

func (j *Journal) zeroCached(w vfs.File, off, size int64) error {
	buf := make([]byte, min(writeStep, size-off)) // Write may change its argument, by the contract of vfs.File
	for ; off < size; off += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), size-off)]
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
