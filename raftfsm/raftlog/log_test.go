package raftlog

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"holdfast/raftfsm/fields"
)

var update = flag.Bool("update", false, "rewrite golden files")

func entries(from, to uint64) []*raft.Log {
	var all []*raft.Log
	for i := from; i <= to; i++ {
		all = append(all, &raft.Log{Index: i, Term: 2, Type: raft.LogCommand, Data: fmt.Appendf(nil, "entry %d", i), AppendedAt: time.Unix(1700000000, int64(i))})
	}
	return all
}

func create(t testing.TB) *Log {
	t.Helper()
	l, err := Create(filepath.Join(t.TempDir(), "raft.log"), map[string]uint64{"CurrentTerm": 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func reopen(t testing.TB, l *Log) *Log {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, torn, err := Open(l.path)
	if err != nil || torn {
		t.Fatalf("open again: torn %v, %v", torn, err)
	}
	t.Cleanup(func() { again.Close() })
	return again
}

// content is everything a log holds.
func content(t testing.TB, l *Log) (all []raft.Log, pairs map[string][]byte) {
	t.Helper()
	first, _ := l.FirstIndex()
	last, _ := l.LastIndex()
	for i := first; i != 0 && i <= last; i++ {
		var e raft.Log
		if err := l.GetLog(i, &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all, l.pairs
}

// fill writes what the goldens and the damage tests look at.
func fill(t testing.TB, l *Log) {
	t.Helper()
	for _, err := range []error{
		l.StoreLogs(entries(5, 7)), l.SetUint64([]byte("CurrentTerm"), 2), l.Set([]byte("LastVoteCand"), []byte("me")),
		l.StoreLogs(entries(8, 9)), l.DeleteRange(9, 9), l.StoreLog(entries(9, 9)[0]),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestGoldenFile(t *testing.T) {
	const path = "testdata/raft.log.golden"
	l := create(t)
	fill(t, l)
	got, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the format changed: %x", got)
	}
	all, pairs := content(t, reopen(t, l))
	if len(all) != 5 || string(all[4].Data) != "entry 9" || string(pairs["LastVoteCand"]) != "me" || all[0].Index != 5 {
		t.Fatalf("read back %+v, %+v", all, pairs)
	}
}

func TestTornTailIsCutOff(t *testing.T) {
	l := create(t)
	fill(t, l)
	l.Close()
	st, err := os.Stat(l.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(l.path, st.Size()-5); err != nil {
		t.Fatal(err)
	}
	l, torn, err := Open(l.path)
	if err != nil || !torn {
		t.Fatalf("torn %v, %v", torn, err)
	}
	if err := l.StoreLogs(entries(9, 10)); err != nil {
		t.Fatal(err)
	}
	if all, _ := content(t, reopen(t, l)); len(all) != 6 || string(all[5].Data) != "entry 10" {
		t.Fatalf("read back %+v", all)
	}
}

func TestMissingKeyAndEntry(t *testing.T) {
	l := create(t)
	if _, err := l.Get([]byte("absent")); err == nil || err.Error() != "not found" {
		t.Fatalf("absent key: %v", err) // raft compares the text
	}
	var e raft.Log
	if err := l.GetLog(1, &e); !errors.Is(err, raft.ErrLogNotFound) {
		t.Fatalf("absent entry: %v", err)
	}
	if err := l.StoreLogs(entries(5, 6)); err != nil {
		t.Fatal(err)
	}
	if err := l.StoreLogs(entries(8, 8)); !errors.Is(err, ErrGap) {
		t.Fatalf("gap: %v", err)
	}
	if err := l.DeleteRange(1, 4); err != nil {
		t.Fatal(err)
	}
}

// TestAgainstModel compares with a map under any sequence of operations and restarts.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l, err := Create(filepath.Join(t.TempDir(), "raft.log"), nil)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { l.Close() }()
		model := map[uint64]string{}
		first, last := uint64(1), uint64(0)
		keys := map[string]uint64{}
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			var err error
			switch rapid.SampledFrom([]string{"store", "prefix", "suffix", "set", "reopen"}).Draw(rt, "step") {
			case "store":
				n := rapid.Uint64Range(1, 4).Draw(rt, "n")
				err = l.StoreLogs(entries(last+1, last+n))
				for range n {
					last++
					model[last] = fmt.Sprintf("entry %d", last)
				}
			case "prefix":
				to := rapid.Uint64Range(0, last).Draw(rt, "to")
				err = l.DeleteRange(first, to)
				for ; first <= to; first++ {
					delete(model, first)
				}
			case "suffix":
				from := rapid.Uint64Range(first, last+1).Draw(rt, "from")
				err = l.DeleteRange(from, last)
				for ; last >= from && last >= first; last-- {
					delete(model, last)
				}
			case "set":
				k, v := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "key"), rapid.Uint64().Draw(rt, "value")
				err = l.SetUint64([]byte(k), v)
				keys[k] = v
			case "reopen":
				l.Close()
				l, _, err = Open(l.path)
			}
			if err != nil {
				rt.Fatal(err)
			}
		}
		all, pairs := content(t, l)
		if len(all) != len(model) || len(pairs) != len(keys) {
			rt.Fatalf("%d entries, want %d", len(all), len(model))
		}
		for _, e := range all {
			if model[e.Index] != string(e.Data) {
				rt.Fatalf("entry %d is %q", e.Index, e.Data)
			}
		}
		for k, v := range keys {
			if got, err := l.GetUint64([]byte(k)); got != v || err != nil {
				rt.Fatalf("key %s is %d, %v", k, got, err)
			}
		}
	})
}

// TestDamage flips every bit and cuts at every byte: what opens is a state the log was once in.
func TestDamage(t *testing.T) {
	l := create(t)
	var past [][]raft.Log
	var sizes []int64
	for i := uint64(1); i <= 4; i++ {
		if err := l.StoreLogs(entries(i, i)); err != nil {
			t.Fatal(err)
		}
		all, _ := content(t, l)
		past = append(past, all)
		st, _ := os.Stat(l.path)
		sizes = append(sizes, st.Size())
	}
	whole, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(b []byte) (int, error) {
		l := newLog("")
		if _, _, err := l.parse(b); err != nil {
			return 0, err
		}
		all, _ := content(t, l)
		for i, p := range past {
			if reflect.DeepEqual(all, p) {
				return i + 1, nil
			}
		}
		if len(all) == 0 {
			return 0, nil
		}
		t.Fatalf("opened as something it never was: %+v", all)
		return 0, nil
	}
	for bit := range len(whole) * 8 {
		b := bytes.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		n, err := try(b)
		last := int64(bit/8) >= sizes[2] // in the record that a crash could have torn
		if last && (err != nil || n != 3) || !last && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
			t.Fatalf("bit %d flipped: %d entries, %v", bit, n, err)
		}
	}
	for size := range whole {
		n, err := try(whole[:size])
		if err == nil && n < 4 && int64(size) >= sizes[0] && n == 0 {
			t.Fatalf("cut at %d: nothing left", size)
		}
		if err != nil && int64(size) >= sizes[0] {
			t.Fatalf("cut at %d: %v", size, err)
		}
	}
}

// TestFailedWriteIsFinal: raft's term cannot be saved, and raft is made to wait instead of ending the process.
func TestFailedWriteIsFinal(t *testing.T) {
	l := create(t)
	released, failed := l.released, l.failedCh // channels of the bubble must not leave it
	synctest.Test(t, func(t *testing.T) {
		defer func() { l.released, l.failedCh, l.free = released, failed, false }()
		l.released, l.failedCh = make(chan struct{}), make(chan struct{})
		l.file.Close() // every write fails from now on
		err := l.StoreLogs(entries(1, 1))
		if !errors.Is(err, ErrFailed) {
			t.Fatalf("store: %v", err)
		}
		select {
		case <-l.Failed():
		default:
			t.Fatal("nobody was told")
		}
		returned := false
		go func() {
			l.SetUint64([]byte("CurrentTerm"), 3)
			returned = true
		}()
		synctest.Wait()
		if returned {
			t.Fatal("raft was told that its term is saved")
		}
		l.Release()
		synctest.Wait()
		if !returned {
			t.Fatal("raft still waits after the release")
		}
		if n, _ := l.LastIndex(); n != 0 {
			t.Fatalf("an entry that was not stored is there: %d", n)
		}
	})
}

// fullFile finds no space for writes while it is full, and may have written a part.
type fullFile struct {
	file
	full bool
}

func (f *fullFile) WriteAt(b []byte, off int64) (int, error) {
	if !f.full {
		return f.file.WriteAt(b, off)
	}
	n, _ := f.file.WriteAt(b[:len(b)/2], off)
	return n, syscall.ENOSPC
}

// TestFullDriveIsWaitedFor: a write that found no space leaves nothing behind, and a term waits for room.
func TestFullDriveIsWaitedFor(t *testing.T) {
	l := create(t)
	if err := l.StoreLogs(entries(1, 2)); err != nil {
		t.Fatal(err)
	}
	f := &fullFile{file: l.file, full: true}
	l.file = f
	if err := l.StoreLogs(entries(3, 3)); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrFailed) {
		t.Fatalf("store on a full drive: %v", err)
	}
	outside := l.released // a channel of the bubble must not leave it
	synctest.Test(t, func(t *testing.T) {
		l.released = make(chan struct{})
		var saved atomic.Bool
		go func() {
			l.SetUint64([]byte("CurrentTerm"), 7)
			saved.Store(true)
		}()
		time.Sleep(10 * retryFull)
		if saved.Load() {
			t.Fatal("raft was told that its term is saved")
		}
		l.mu.Lock()
		f.full = false
		l.mu.Unlock()
		time.Sleep(2 * retryFull)
		if !saved.Load() {
			t.Fatal("raft still waits though there is room")
		}
	})
	l.released = outside
	if err := l.StoreLogs(entries(3, 3)); err != nil {
		t.Fatal(err)
	}
	again := reopen(t, l)
	all, _ := content(t, again)
	if term, err := again.GetUint64([]byte("CurrentTerm")); len(all) != 3 || term != 7 || err != nil {
		t.Fatalf("%d entries, term %d, %v", len(all), term, err)
	}
}

func FuzzParse(f *testing.F) {
	whole, err := os.ReadFile("testdata/raft.log.golden")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(appendRecord(appendFileHeader(nil), 1, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := newLog("")
		if end, torn, err := l.parse(b); err == nil {
			if torn == (end == int64(len(b))) {
				t.Fatalf("torn %v, %d of %d bytes", torn, end, len(b))
			}
			content(t, l)
		}
	})
}

// FuzzPayload: a payload with a good checksum never makes its decoder panic.
func FuzzPayload(f *testing.F) {
	f.Add(appendEntry(nil, entries(1, 1)[0]))
	f.Add(appendCut(appendPair(nil, "key", []byte("value")), 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := newLog("")
		if err := l.apply(b); err != nil && !errors.Is(err, fields.ErrMalformed) {
			t.Fatal(err)
		}
	})
}
