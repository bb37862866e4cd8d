package raftlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
)

// image is the content of a closed log's file and what it holds.
type image struct {
	b    []byte
	want content
}

// takeImage makes a log whose entries lie in the root (few) or in a tree of several pages (many), with
// free pages of older transactions between them.
func takeImage(t testing.TB, n uint64) image {
	t.Helper()
	l := create(t)
	fill(t, l)
	for i := uint64(10); i <= n; i++ {
		e := &raft.Log{Index: i, Term: 3, Type: raft.LogCommand, Data: fmt.Appendf(nil, "%0250d", i), Extensions: []byte{1}}
		if err := l.StoreLog(e); err != nil {
			t.Fatal(err)
		}
	}
	im := image{want: l.content}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if im.b, err = os.ReadFile(l.path); err != nil {
		t.Fatal(err)
	}
	return im
}

// try opens what is left of an image, without bbolt. It reports whether the damage was seen.
func (im image) try(t testing.TB, what string, b []byte) bool {
	t.Helper()
	c, err := parse(b)
	switch {
	case err == nil && !c.same(im.want):
		t.Fatalf("%s: opened as something it never was", what)
	case err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion):
		t.Fatalf("%s: %v", what, err)
	}
	return err != nil
}

// open opens what is left of an image, with bbolt, writes to it and opens it again.
func (im image) open(t testing.TB, path, what string, b []byte) bool {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	seen := im.try(t, what, b)
	l, err := Open(path)
	if seen != (err != nil) {
		t.Fatalf("%s: seen %v, open: %v", what, seen, err)
	}
	if err != nil {
		return true
	}
	e := *l.content.entries[len(l.content.entries)-1]
	e.Index++
	if err := errors.Join(l.StoreLog(&e), l.DeleteRange(1, e.Index-2), l.SetUint64([]byte("CurrentTerm"), 9), l.Close()); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if !fileOf(t, path).same(l.content) {
		t.Fatalf("%s: the file does not hold what was written", what)
	}
	return false
}

// empty reports whether a byte lies where nothing is written, or just zeros.
func (im image) empty(at int) bool {
	return len(bytes.Trim(im.b[max(0, at-64):min(len(im.b), at+64)], "\x00")) == 0
}

// TestEveryBit flips every bit of a small file (sampling where nothing is), and a sample of those of a larger one. It is seen, or
// the file holds exactly what it did; and what is not seen, bbolt can live with.
func TestEveryBit(t *testing.T) {
	for name, c := range map[string]struct {
		entries uint64
		step    int
	}{"in the root": {9, 1}, "tree": {60, 32}} {
		t.Run(name, func(t *testing.T) {
			im := takeImage(t, c.entries)
			path := filepath.Join(t.TempDir(), "raft.db")
			rnd := newRand(t)
			seen, harmless := 0, 0
			for bit := 0; bit < len(im.b)*8; bit += 1 + rnd.IntN(2*c.step-1) {
				if im.empty(bit/8) && rnd.IntN(16) != 0 {
					continue
				}
				im.b[bit/8] ^= 1 << (bit % 8)
				what := fmt.Sprintf("bit %d", bit)
				if im.try(t, what, im.b) {
					seen++
				} else {
					harmless++
				}
				if rnd.IntN(len(im.b)*8/c.step) < 500 {
					im.open(t, path, what, im.b)
				}
				im.b[bit/8] ^= 1 << (bit % 8)
			}
			t.Logf("%d bytes: %d bits seen, %d harmless", len(im.b), seen, harmless)
			if seen == 0 || harmless == 0 {
				t.Fatal("this is not the file that was meant")
			}
		})
	}
}

// TestEveryTruncation cuts at every byte.
func TestEveryTruncation(t *testing.T) {
	im := takeImage(t, 60)
	path := filepath.Join(t.TempDir(), "raft.db")
	for size := range im.b {
		what := fmt.Sprintf("first %d bytes", size)
		if !im.try(t, what, im.b[:size]) || size%997 == 0 {
			im.open(t, path, what, im.b[:size])
		}
	}
}

// TestTwistedStructure damages more than a bit, everywhere but in the metas, which bbolt itself checks.
func TestTwistedStructure(t *testing.T) {
	im := takeImage(t, 60)
	path := filepath.Join(t.TempDir(), "raft.db")
	rnd := newRand(t)
	opened := 0
	for i := range 5000 {
		b := slices.Clone(im.b)
		for range 1 + rnd.IntN(3) {
			page := 2 + rnd.IntN(len(b)/pageSize-2)
			at := page*pageSize + rnd.IntN([]int{16, 96, 400}[rnd.IntN(3)])
			switch rnd.IntN(4) {
			case 0:
				b[at] ^= 1 << rnd.IntN(8)
			case 1:
				b[at] = byte(rnd.IntN(8))
			case 2: // a page in the place of another
				from := rnd.IntN(len(b) / pageSize)
				copy(b[page*pageSize:(page+1)*pageSize], b[from*pageSize:])
			case 3:
				binary.NativeEndian.PutUint32(b[at/4*4:], rnd.Uint32())
			}
		}
		what := fmt.Sprintf("round %d", i)
		if im.try(t, what, b) {
			continue
		}
		if opened++; opened%20 == 0 {
			im.open(t, path, what, b)
		}
	}
	t.Logf("%d opened", opened)
}

// fixMetas makes the checksums of both metas right.
func fixMetas(b []byte) {
	for i := range 2 {
		if len(b) < (i+1)*pageSize {
			return
		}
		m := b[i*pageSize+pageHeader:][:metaSize]
		h := fnv.New64a()
		h.Write(m[:metaSize-8])
		binary.NativeEndian.PutUint64(m[metaSize-8:], h.Sum64())
	}
}

func newRand(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// used cuts the pages off that the file has in reserve.
func used(t testing.TB, b []byte) []byte {
	t.Helper()
	m, err := newestMeta(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:m.end*pageSize]
}

// FuzzParse: whatever a file holds, reading it ends, and what is accepted bbolt can read and write.
func FuzzParse(f *testing.F) {
	golden, err := os.ReadFile("testdata/raft.db.golden")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(used(f, golden))
	f.Add(used(f, takeImage(f, 30).b))
	f.Add(golden[:4*pageSize])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		fixMetas(b)
		want, err := parse(b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
				t.Fatal(err)
			}
			return
		}
		path := filepath.Join(t.TempDir(), "raft.db")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if !l.content.same(want) {
			t.Fatal("bbolt and the guard differ")
		}
		next := uint64(1)
		if n := len(want.entries); n > 0 {
			next = want.entries[n-1].Index + 1
		}
		err = errors.Join(l.StoreLogs(entries(next, next+20)), l.DeleteRange(0, next), l.Set([]byte("a"), nil), l.Close())
		if err != nil {
			t.Fatal(err)
		}
		wantFile(t, l)
	})
}
