package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"holdfast/raftfsm/cluster"
)

var update = flag.Bool("update", false, "rewrite golden files")

var (
	id   = cluster.ID{1, 2, 3}
	root = Credentials{"admin", "a long enough password"}
)

// cheap is a root whose wrapping takes no time to undo.
func cheap() *Root { return stretch(id, root, 1, 8) }

func TestWrapUnwrapSealOpen(t *testing.T) {
	k := NewKey()
	wrapped := Stretch(id, root).Wrap(k)
	got, err := Unwrap(id, root, wrapped)
	if err != nil || got.raw != k.raw {
		t.Fatalf("unwrap: %v", err)
	}
	secret, err := got.Open("bob", k.Seal("bob", "hunter2"))
	if err != nil || secret != "hunter2" {
		t.Fatalf("open: %q, %v", secret, err)
	}
	if bytes.Equal(k.Seal("bob", "hunter2"), k.Seal("bob", "hunter2")) {
		t.Fatal("sealing twice gives the same bytes")
	}
}

func TestWrongRootIsNamed(t *testing.T) {
	wrapped := cheap().Wrap(NewKey())
	for name, c := range map[string]struct {
		id cluster.ID
		c  Credentials
	}{
		"password":       {id, Credentials{root.User, "another"}},
		"user":           {id, Credentials{"root", root.Password}},
		"shifted border": {id, Credentials{root.User + "a", root.Password[1:]}},
		"cluster":        {cluster.ID{9}, root},
	} {
		if _, err := Unwrap(c.id, c.c, wrapped); !errors.Is(err, ErrRootMismatch) {
			t.Errorf("wrong %s: %v", name, err)
		}
	}
}

func TestForeignSecretIsRefused(t *testing.T) {
	k := NewKey()
	sealed := k.Seal("bob", "hunter2")
	if _, err := k.Open("alice", sealed); !errors.Is(err, ErrForeign) {
		t.Errorf("another's secret: %v", err)
	}
	if _, err := NewKey().Open("bob", sealed); !errors.Is(err, ErrForeign) {
		t.Errorf("another key: %v", err)
	}
	for bit := range len(sealed) * 8 {
		b := bytes.Clone(sealed)
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := k.Open("bob", b); err == nil {
			t.Fatalf("bit %d flipped: opened", bit)
		}
	}
}

func TestDamagedWrappingIsRefused(t *testing.T) {
	wrapped := cheap().Wrap(NewKey())
	for bit := range len(wrapped) * 8 {
		if bit/8 >= 2 && bit/8 < wrapHeader && bit%8 > 3 {
			continue // asks for so much memory that the test would be slow
		}
		b := bytes.Clone(wrapped)
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := Unwrap(id, root, b); err == nil {
			t.Fatalf("bit %d flipped: unwrapped", bit)
		}
	}
	for n := range wrapped {
		if _, err := Unwrap(id, root, wrapped[:n]); err == nil {
			t.Fatalf("%d bytes: unwrapped", n)
		}
	}
	if _, err := Unwrap(id, root, []byte{version, 1, 0xff, 0xff, 0xff, 0xff}); !errors.Is(err, ErrMalformed) {
		t.Fatalf("4 TiB of memory asked for: %v", err)
	}
}

// TestGolden: what was wrapped and sealed once stays readable.
func TestGolden(t *testing.T) {
	const path = "testdata/sealed.golden"
	k := newKey([keySize]byte([]byte("the cluster key of the golden    ")[:keySize]))
	if *update {
		text := fmt.Sprintf("%x\n%x\n%x\n", cheap().Wrap(k), k.Seal("bob", "hunter2"), cheap().Key("purpose"))
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var parts [][]byte
	for line := range strings.Lines(string(text)) {
		b, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, b)
	}
	got, err := Unwrap(id, root, parts[0])
	if err != nil || got.raw != k.raw {
		t.Fatalf("unwrap: %v", err)
	}
	if secret, err := got.Open("bob", parts[1]); err != nil || secret != "hunter2" {
		t.Fatalf("open: %q, %v", secret, err)
	}
	if key := cheap().Key("purpose"); !bytes.Equal(key[:], parts[2]) {
		t.Fatal("derived keys changed")
	}
}

func TestNothingPrintsSecrets(t *testing.T) {
	k := NewKey()
	for _, v := range []any{root, &root, cheap(), k, struct{ C Credentials }{root}} {
		for _, f := range []string{"%v", "%+v", "%#v", "%s"} {
			text := fmt.Sprintf(f, v)
			if strings.Contains(text, root.Password) || strings.Contains(text, fmt.Sprint(k.raw[:8])) {
				t.Errorf("%s of %T shows %s", f, v, text)
			}
		}
	}
}

func BenchmarkStretch(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Stretch(id, root)
	}
}

func FuzzUnwrapOpen(f *testing.F) {
	k := NewKey()
	f.Add(cheap().Wrap(k))
	f.Add(k.Seal("bob", "hunter2"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= wrapHeader && (b[1] > 1 || b[3] != 0 || b[4] != 0 || b[5] != 0) {
			return // too dear to stretch
		}
		if _, err := Unwrap(id, root, b); err == nil {
			again := cheap().Wrap(k)
			if len(again) != len(b) {
				t.Fatal("unwrapped something of another length")
			}
		}
		k.Open("bob", b)
	})
}
