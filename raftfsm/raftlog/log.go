// Package raftlog keeps the log and the votes of one raft server in one append-only file.
//
//	+--------------------- file header, 16 bytes ----------------------+
//	| magic "HFRAFTLG" 8 | version 4 | CRC32C of the 12 bytes before 4 |
//	+------------------------ records, each ---------------------------+
//	| magic 4 | length 4 | number 8 | CRC32C of payload and padding 4  |
//	| CRC32C of the 20 bytes before 4 | payload | zeros to 8           |
//	+------------------------------------------------------------------+
//
// Integers are little endian. Records are numbered from 1; a payload holds tagged fields: log
// entries, keys with values, or the index from which on entries are gone. Everything is in memory
// too: a control plane's log is a few hundred kilobytes between two snapshots. Compaction writes the
// rest into a new file and renames it into place.
//
// A record that a crash tore is the last one and is cut off when the log is opened. A bad record with
// anything behind it is damage: ErrDamaged. A tail that was cut off cleanly cannot be told from one
// that was never written; the owner compares Open's result with the copies of the state, which name
// the newest entry that was answered. See DESIGN.md of raftfsm for why this is not bbolt.
//
// A write that finds no space is taken back and may be tried again; any other that fails is final: the
// state of the file is unknown and nothing more is written. Log implements raft.LogStore, raft.StableStore and raft.MonotonicLogStore, and is safe for concurrent
// use.
package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"syscall"
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

// file is what a log needs of its *os.File.
type file interface {
	io.Reader
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// Log is an open log.
type Log struct {
	path     string
	released chan struct{} // closed by Release
	failedCh chan struct{} // closed by the first failure

	mu      sync.Mutex
	file    file              // guarded by mu
	seq     uint64            // number of the last record; guarded by mu
	end     int64             // where it ends; guarded by mu
	entries []*raft.Log       // guarded by mu; entries themselves are immutable
	pairs   map[string][]byte // guarded by mu
	err     error             // why it takes no more writes; guarded by mu
	free    bool              // released; guarded by mu
}

// Create makes an empty log that knows the given keys, replacing whatever is at path.
func Create(path string, pairs map[string]uint64) (*Log, error) {
	l := newLog(path)
	for k, v := range pairs {
		l.pairs[k] = binary.BigEndian.AppendUint64(nil, v)
	}
	if err := l.rewrite(); err != nil {
		return nil, fmt.Errorf("raft log %s: create: %w", path, err)
	}
	return l, nil
}

// Open reads the log at path. torn says that an unfinished last record was cut off.
func Open(path string) (l *Log, torn bool, err error) {
	l = newLog(path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, false, fmt.Errorf("raft log: open: %w", err)
	}
	l.file = f
	l.end, torn, err = l.read()
	if err == nil && torn {
		if err = l.file.Truncate(l.end); err == nil {
			err = l.file.Sync()
		}
	}
	if err != nil {
		l.file.Close()
		return nil, false, fmt.Errorf("raft log %s: open: %w", path, err)
	}
	return l, torn, nil
}

func newLog(path string) *Log {
	return &Log{path: path, pairs: map[string][]byte{}, released: make(chan struct{}), failedCh: make(chan struct{})}
}

func (l *Log) read() (end int64, torn bool, err error) {
	b, err := io.ReadAll(l.file)
	if err != nil {
		return 0, false, err
	}
	return l.parse(b)
}

// parse replays the content of a file. end is where the last whole record ends.
func (l *Log) parse(b []byte) (end int64, torn bool, err error) {
	if err = checkFileHeader(b); err != nil {
		return 0, false, err
	}
	off := fileHeader
	for off < len(b) {
		payload, size, ok := readRecord(b[off:], l.seq+1)
		if !ok {
			if l.seq == 0 || laterRecord(b[off:], l.seq+1) {
				return 0, false, fmt.Errorf("%w: record %d at offset %d", ErrDamaged, l.seq+1, off)
			}
			return int64(off), true, nil
		}
		if err := l.apply(payload); err != nil {
			return 0, false, fmt.Errorf("%w: record %d at offset %d: %w", ErrDamaged, l.seq+1, off, err)
		}
		off += size
		l.seq++
	}
	if l.seq == 0 { // the first record is in place before the file gets its name
		return 0, false, fmt.Errorf("%w: no records", ErrDamaged)
	}
	return int64(off), false, nil
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
	return l.file.Close()
}

// FirstIndex implements raft.LogStore.
func (l *Log) FirstIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) == 0 {
		return 0, nil
	}
	return l.entries[0].Index, nil
}

// LastIndex implements raft.LogStore.
func (l *Log) LastIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) == 0 {
		return 0, nil
	}
	return l.entries[len(l.entries)-1].Index, nil
}

// GetLog implements raft.LogStore.
func (l *Log) GetLog(index uint64, out *raft.Log) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) == 0 || index < l.entries[0].Index || index > l.entries[len(l.entries)-1].Index {
		return raft.ErrLogNotFound
	}
	*out = *l.entries[index-l.entries[0].Index]
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
	var payload []byte
	last := uint64(0)
	if n := len(l.entries); n > 0 {
		last = l.entries[n-1].Index
	}
	for _, e := range logs {
		if last != 0 && e.Index != last+1 {
			return fmt.Errorf("raft log %s: %w: %d after %d", l.path, ErrGap, e.Index, last)
		}
		last = e.Index
		payload = appendEntry(payload, e)
	}
	if err := l.append(payload); err != nil {
		return err
	}
	for _, e := range logs {
		own := *e // raft reuses what it passes
		l.entries = append(l.entries, &own)
	}
	return nil
}

// DeleteRange implements raft.LogStore: entries go from the end (a follower's conflict) by a
// record, from the beginning (after a snapshot) by a new file.
func (l *Log) DeleteRange(from, to uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) == 0 || to < l.entries[0].Index || from > l.entries[len(l.entries)-1].Index {
		return nil
	}
	first, last := l.entries[0].Index, l.entries[len(l.entries)-1].Index
	switch {
	case from <= first:
		if l.err != nil {
			return l.err
		}
		all, gone := l.entries, min(to-first+1, uint64(len(l.entries)))
		l.entries = append([]*raft.Log(nil), all[gone:]...)
		err := l.rewrite()
		if noSpace(err) { // the old file is as it was; raft tries again after its next snapshot
			l.entries = all
			return fmt.Errorf("raft log %s: compact: %w", l.path, err)
		}
		return l.fail(err)
	case to >= last:
		if err := l.append(appendCut(nil, from)); err != nil {
			return err
		}
		l.cut(from)
		return nil
	}
	return fmt.Errorf("raft log %s: %w: entries %d to %d lie between %d and %d", l.path, ErrGap, from, to, first, last)
}

// Set implements raft.StableStore.
func (l *Log) Set(key, val []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.append(appendPair(nil, string(key), val)); err != nil {
		return err
	}
	l.pairs[string(key)] = append([]byte(nil), val...)
	return nil
}

// Get implements raft.StableStore.
func (l *Log) Get(key []byte) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, ok := l.pairs[string(key)]
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

// append makes one record durable. mu is held.
func (l *Log) append(payload []byte) error {
	if l.err != nil {
		return l.err
	}
	if len(payload) > maxRecord {
		return fmt.Errorf("raft log %s: record of %d bytes is above the limit of %d", l.path, len(payload), maxRecord)
	}
	rec := appendRecord(nil, l.seq+1, payload)
	if _, err := l.file.WriteAt(rec, l.end); err != nil {
		if noSpace(err) && l.file.Truncate(l.end) == nil {
			return fmt.Errorf("raft log %s: %w", l.path, err)
		}
		return l.fail(err)
	}
	if err := l.file.Sync(); err != nil {
		return l.fail(err)
	}
	l.seq++
	l.end += int64(len(rec))
	return nil
}

// noSpace reports whether a write failed only because the drive is full.
func noSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// fail remembers the first failure. mu is held.
func (l *Log) fail(err error) error {
	if err == nil || l.err != nil {
		return err
	}
	l.err = fmt.Errorf("raft log %s: %w: %w", l.path, ErrFailed, err)
	close(l.failedCh)
	return l.err
}

// cut forgets the entries from index on. mu is held, or the log is not shared yet.
func (l *Log) cut(index uint64) {
	for n := len(l.entries); n > 0 && l.entries[n-1].Index >= index; n-- {
		l.entries[n-1] = nil
		l.entries = l.entries[:n-1]
	}
}

// rewrite puts what is in memory into a new file. mu is held, or the log is not shared yet.
func (l *Log) rewrite() error {
	var payload []byte
	keys := make([]string, 0, len(l.pairs))
	for k := range l.pairs {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		payload = appendPair(payload, k, l.pairs[k])
	}
	for _, e := range l.entries {
		payload = appendEntry(payload, e)
	}
	tmp := l.path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	content := appendRecord(appendFileHeader(nil), 1, payload)
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, l.path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(l.path))
	}
	if err != nil {
		f.Close()
		return err
	}
	if l.file != nil {
		l.file.Close()
	}
	l.file, l.seq, l.end = f, 1, int64(len(content))
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
