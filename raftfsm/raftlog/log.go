// Package raftlog keeps the log and the votes of one raft server: a raft-boltdb store behind a guard.
//
// bbolt, below raft-boltdb, has checksums on its meta pages only, believes what its mapping of the
// file says, and panics or reads past the end of it when that makes no sense. So:
//
//   - Before bbolt opens a file, the whole of it is read into memory and verified (walk.go): every page
//     is exactly as bbolt writes it, and each value carries a checksum over itself and its key
//     (seal.go). What is not as it was written is ErrDamaged. A single flipped bit or a cut is either
//     seen or lies where nobody reads.
//   - Reads are served from memory: a control plane's log is a few hundred kilobytes between two
//     snapshots. bbolt reads only what its own writes need.
//   - bbolt runs where a fault of its mapping, or a panic, becomes an error of the write.
//
// What the file cannot tell is that its last transactions are missing, both metas included. The owner
// compares Open's result with the copies of the state, which name the newest entry that was answered.
// See DESIGN.md of raftfsm for the reasons and figures.
//
// A write that finds no space changes nothing and may be tried again; any other that fails is final:
// the state of the file is unknown and nothing more is written. Log implements raft.LogStore,
// raft.StableStore and raft.MonotonicLogStore, and is safe for concurrent use.
package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

var (
	_ raft.LogStore          = (*Log)(nil)
	_ raft.StableStore       = (*Log)(nil)
	_ raft.MonotonicLogStore = (*Log)(nil)
)

// retryFull is the pause before a term that found no space is tried again.
const retryFull = time.Second

// Log is an open log.
type Log struct {
	path     string
	released chan struct{} // closed by Release
	failedCh chan struct{} // closed by the first failure

	mu      sync.Mutex
	store   *store  // nil after a write found no space; guarded by mu
	content content // guarded by mu
	err     error   // why it takes no more writes; guarded by mu
	free    bool    // released; guarded by mu
}

// Create makes an empty log that knows the given keys, replacing whatever is at path.
func Create(path string, pairs map[string]uint64) (*Log, error) {
	l := newLog(path)
	err := l.create(pairs)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("raft log %s: create: %w", path, err), l.Close())
	}
	return l, nil
}

func (l *Log) create(pairs map[string]uint64) error {
	f, err := openFile(l.path, os.O_CREATE)
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil { // not before it is locked
		f.Close()
		return err
	}
	if l.store, err = newStore(f); err != nil {
		return err
	}
	for k, v := range pairs {
		if err := l.Set([]byte(k), binary.BigEndian.AppendUint64(nil, v)); err != nil {
			return err
		}
	}
	// Last, so that a file that lacks a key does not open.
	if err := l.Set([]byte(formatKey), binary.BigEndian.AppendUint64(nil, format)); err != nil {
		return err
	}
	delete(l.content.pairs, formatKey)
	return syncDir(filepath.Dir(l.path))
}

// Open verifies and reads the log at path.
func Open(path string) (*Log, error) {
	l := newLog(path)
	var err error
	if l.store, l.content, err = readStore(path); err != nil {
		return nil, fmt.Errorf("raft log %s: open: %w", path, err)
	}
	return l, nil
}

func newLog(path string) *Log {
	return &Log{
		path: path, released: make(chan struct{}), failedCh: make(chan struct{}),
		content: content{pairs: map[string][]byte{}},
	}
}

// Failed is closed when a write has failed.
func (l *Log) Failed() <-chan struct{} { return l.failedCh }

// Err is why the log has failed or was closed.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Release lets a blocked SetUint64 return. Call it when raft was told to shut down, before
// waiting for it.
func (l *Log) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.free {
		l.free = true
		close(l.released)
	}
}

// Close releases the file. It is idempotent.
func (l *Log) Close() error {
	l.Release()
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(l.err, ErrClosed) {
		return nil
	}
	l.err = ErrClosed
	if l.store == nil {
		return nil
	}
	return l.store.release(nil)
}

// FirstIndex implements raft.LogStore.
func (l *Log) FirstIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.content.entries) == 0 {
		return 0, nil
	}
	return l.content.entries[0].Index, nil
}

// LastIndex implements raft.LogStore.
func (l *Log) LastIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.content.entries) == 0 {
		return 0, nil
	}
	return l.content.entries[len(l.content.entries)-1].Index, nil
}

// GetLog implements raft.LogStore.
func (l *Log) GetLog(index uint64, out *raft.Log) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.content.entries) == 0 || index < l.content.entries[0].Index || index > l.content.entries[len(l.content.entries)-1].Index {
		return raft.ErrLogNotFound
	}
	*out = *l.content.entries[index-l.content.entries[0].Index]
	return nil
}

// IsMonotonic implements raft.MonotonicLogStore: entries follow each other without a gap.
func (l *Log) IsMonotonic() bool { return true }

// StoreLog implements raft.LogStore.
func (l *Log) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

// StoreLogs implements raft.LogStore. The entries are durable, all of them or none, when it returns.
func (l *Log) StoreLogs(logs []*raft.Log) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := uint64(0)
	if n := len(l.content.entries); n > 0 {
		last = l.content.entries[n-1].Index
	}
	sealed := make([]*raft.Log, len(logs))
	for i, e := range logs {
		if e.Index == 0 || last != 0 && e.Index != last+1 {
			return fmt.Errorf("raft log %s: %w: %d after %d", l.path, ErrGap, e.Index, last)
		}
		last = e.Index
		sealed[i] = sealEntry(e)
	}
	if err := l.write(func(s *store) error { return s.StoreLogs(sealed) }); err != nil {
		return err
	}
	for _, e := range logs {
		own := *e // raft reuses what it passes
		l.content.entries = append(l.content.entries, &own)
	}
	return nil
}

// DeleteRange implements raft.LogStore: entries go from the end (a follower's conflict) or from the
// beginning (after a snapshot), in one transaction.
func (l *Log) DeleteRange(from, to uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.content.entries
	if len(all) == 0 || to < all[0].Index || from > all[len(all)-1].Index {
		return nil
	}
	first, last := all[0].Index, all[len(all)-1].Index
	var left []*raft.Log
	switch {
	case to >= last && from <= first: // all of them
	case from <= first:
		left = append(left, all[to-first+1:]...)
	case to >= last:
		left = append(left, all[:from-first]...)
	default:
		return fmt.Errorf("raft log %s: %w: entries %d to %d lie between %d and %d", l.path, ErrGap, from, to, first, last)
	}
	if err := l.write(func(s *store) error { return s.DeleteRange(from, to) }); err != nil {
		return err
	}
	l.content.entries = left
	return nil
}

// Set implements raft.StableStore.
func (l *Log) Set(key, val []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.write(func(s *store) error { return s.Set(key, sealPair(key, val)) }); err != nil {
		return err
	}
	l.content.pairs[string(key)] = append([]byte(nil), val...)
	return nil
}

// Get implements raft.StableStore.
func (l *Log) Get(key []byte) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, ok := l.content.pairs[string(key)]
	if !ok {
		return nil, errNotFound
	}
	return append([]byte(nil), v...), nil
}

// SetUint64 implements raft.StableStore. Raft ends the process when its term cannot be saved; a
// failed or full drive must not do that. So this returns when the number is saved, or after Release:
// till then the server neither votes nor leads, which is what a server that cannot remember owes the
// others.
func (l *Log) SetUint64(key []byte, val uint64) error {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-l.released:
			return nil
		}
		err := l.Set(key, binary.BigEndian.AppendUint64(nil, val))
		switch {
		case err == nil:
			return nil
		case noSpace(err):
			again.Reset(retryFull)
		}
	}
}

// GetUint64 implements raft.StableStore.
func (l *Log) GetUint64(key []byte) (uint64, error) {
	v, err := l.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("raft log %s: %w: %q has %d bytes", l.path, ErrDamaged, key, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}

// write makes one transaction durable. mu is held, or the log is not shared yet.
//
// After a failed write bbolt is not asked to go on, whatever it did about it: the file is let go, and
// read and verified anew when there may be space again.
func (l *Log) write(f func(*store) error) error {
	if l.err != nil {
		return l.err
	}
	if l.store == nil {
		if err := l.reopen(); err != nil {
			return l.failed(err)
		}
	}
	err := guarded(func() error { return f(l.store) })
	if err == nil {
		return nil
	}
	l.store.release(err) // the first error is the one that tells
	l.store = nil
	return l.failed(err)
}

// reopen puts the file in service again, if it is what it was before the write that found no space.
func (l *Log) reopen() error {
	s, c, err := readStore(l.path)
	if err != nil {
		return err
	}
	if !c.same(l.content) {
		err = damaged("it changed while the drive was full")
		s.release(err)
		return err
	}
	l.store = s
	return nil
}

// failed makes an error final unless the drive was full. mu is held.
func (l *Log) failed(err error) error {
	if noSpace(err) {
		return fmt.Errorf("raft log %s: %w", l.path, err)
	}
	l.err = fmt.Errorf("raft log %s: %w: %w", l.path, ErrFailed, err)
	close(l.failedCh)
	return l.err
}
