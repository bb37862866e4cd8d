package raftlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// maxFile bounds what is read into memory; a control plane's log is a thousand times smaller.
const maxFile = 1 << 30

// store is a raft-boltdb store in service.
type store struct {
	*raftboltdb.BoltStore
	file *os.File // bbolt's own
}

// openFile opens the file and takes the lock that bbolt will take once more, so that what is verified
// is what bbolt gets.
func openFile(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, err
	}
	return f, nil
}

// readStore verifies the file at path and puts it in service.
func readStore(path string) (*store, content, error) {
	f, err := openFile(path, 0)
	if err != nil {
		return nil, content{}, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = damaged("file of more than %d bytes", maxFile)
	}
	var c content
	if err == nil {
		c, err = parse(b)
	}
	if err != nil {
		f.Close()
		return nil, content{}, err
	}
	s, err := newStore(f)
	if err != nil {
		return nil, content{}, err
	}
	if err := s.agrees(c); err != nil {
		s.release(err)
		return nil, content{}, err
	}
	return s, c, nil
}

// newStore hands a file that is empty or verified to bbolt, which closes it.
//
// The freelist is synced: against it every page can be accounted for, and without it bbolt finds the
// free pages in a goroutine of its own, when it opens a file and when a write has failed; there, on a
// drive that errs, a fault ends the process. It costs one more page in a write of three or four.
func newStore(f *os.File) (*store, error) {
	s := &store{file: f}
	err := guarded(func() (err error) {
		s.BoltStore, err = raftboltdb.New(raftboltdb.Options{
			Path: f.Name(), MsgpackUseNewTimeFormat: true,
			BoltOptions: &bbolt.Options{
				Timeout: time.Second, FreelistType: bbolt.FreelistMapType, PageSize: pageSize, NoStatistics: true,
				OpenFile: func(string, int, os.FileMode) (*os.File, error) { return f, nil },
			},
		})
		return err
	})
	if errors.Is(err, errPanic) {
		s.abandon()
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// agrees asks bbolt for the ends of the log that was verified.
func (s *store) agrees(c content) error {
	return guarded(func() error {
		first, err := s.FirstIndex()
		if err != nil {
			return err
		}
		last, err := s.LastIndex()
		if err != nil {
			return err
		}
		if n := len(c.entries); n == 0 && first+last != 0 || n > 0 && (first != c.entries[0].Index || last != c.entries[n-1].Index) {
			return damaged("bbolt reads entries %d to %d of %d", first, last, n)
		}
		return nil
	})
}

// release closes a store; why is the error that made it necessary, or nil.
func (s *store) release(why error) error {
	if errors.Is(why, errPanic) {
		s.abandon()
		return nil
	}
	err := guarded(s.Close)
	if errors.Is(err, errPanic) {
		s.abandon()
	}
	return err
}

// abandon gives the file back after a panic: bbolt may still hold its locks, on which its Close would
// wait for ever. What is left behind is a mapping of some hundred kilobytes.
func (s *store) abandon() {
	unix.Flock(int(s.file.Fd()), unix.LOCK_UN) // closing is not enough while the mapping is there
	s.file.Close()
}

// guarded runs what reads bbolt's mapping of the file. A drive that does not give a page of it is a
// fault, which ends the process unless it is asked to be a panic; and a page that comes back as
// something else makes bbolt panic.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	return f()
}

// noSpace reports whether a write failed only because the drive is full. The same error of a sync
// says that something is lost.
func noSpace(err error) bool {
	var at *fs.PathError
	return errors.As(err, &at) && at.Op == "write" && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
