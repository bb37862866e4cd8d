package raftlog

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
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
	l, err := Create(filepath.Join(t.TempDir(), "raft.db"), map[string]uint64{"CurrentTerm": 1})
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
	again, err := Open(l.path)
	if err != nil {
		t.Fatalf("open again: %v", err)
	}
	t.Cleanup(func() { again.Close() })
	return again
}

// holds is everything a log holds, as raft sees it.
func holds(t testing.TB, l *Log) (all []raft.Log, pairs map[string][]byte) {
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
	return all, l.content.pairs
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

// fileOf is what the file of a log holds.
func fileOf(t fataler, path string) content {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fataler is what *testing.T and *rapid.T share.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// wantFile compares the file with what is in memory.
func wantFile(t fataler, l *Log) {
	t.Helper()
	if !fileOf(t, l.path).same(l.content) {
		t.Fatal("the file does not hold what is in memory")
	}
}

// TestGoldenFile opens a file that the first version of the format wrote.
func TestGoldenFile(t *testing.T) {
	const golden = "testdata/raft.db.golden"
	l := create(t)
	fill(t, l)
	want := l.content
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if *update {
		b, err := os.ReadFile(l.path)
		if err == nil {
			err = os.WriteFile(golden, b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(golden)
	if err == nil {
		err = os.WriteFile(l.path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(l.path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if !again.content.same(want) {
		t.Fatalf("the golden file holds %+v", again.content)
	}
	all, pairs := holds(t, again)
	if len(all) != 5 || string(all[4].Data) != "entry 9" || string(pairs["LastVoteCand"]) != "me" || all[0].Index != 5 {
		t.Fatalf("read back %+v, %+v", all, pairs)
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
		l, err := Create(filepath.Join(t.TempDir(), "raft.db"), nil)
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
				l, err = Open(l.path)
			}
			if err != nil {
				rt.Fatal(err)
			}
			wantFile(rt, l)
		}
		all, pairs := holds(t, l)
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
