package digest

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"math/rand/v2"
	"sync"
	"testing"
)

func fill(b []byte, seed uint64) {
	c := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = c.Read(b)
}

// variants are what there is to make, and the same for processors that can less.
func variants() map[string]*engine {
	p, plain, two := New(), New(), New()
	plain.md5.k, plain.both.k = kernels{width: 1}, kernels{width: 1}
	if two.md5.k.two != nil {
		two.md5.k.width, two.md5.k.eight = 2, nil
	}
	return map[string]*engine{
		"md5": &p.md5, "both": &p.both, "md5 plain": &plain.md5, "both plain": &plain.both, "md5 by twos": &two.md5,
	}
}

// check compares a stream with the standard library.
func check(t *testing.T, h *Hash, data []byte) {
	t.Helper()
	if got, want := h.MD5(), md5.Sum(data); got != want {
		t.Fatalf("MD5 of %d bytes: got %x, want %x", len(data), got, want)
	}
	if len(h.e.forms) < 2 {
		return
	}
	if got, want := h.SHA256(), sha256.Sum256(data); got != want {
		t.Fatalf("SHA-256 of %d bytes: got %x, want %x", len(data), got, want)
	}
}

// Every kernel agrees with the standard library, for each number of streams and of blocks.
func TestKernels(t *testing.T) {
	for name, e := range variants() {
		t.Run(name, func(t *testing.T) {
			for width := 1; width <= e.k.width; width++ {
				for _, blocks := range []int{1, 2, 3, 17, 64} {
					streams := make([]*Hash, width)
					jobs := make([]*job, width)
					data := make([][]byte, width)
					for i := range jobs {
						data[i] = make([]byte, blocks*blockSize+i)[i:] // not aligned
						fill(data[i], uint64(width*100+i))
						streams[i] = e.stream()
						streams[i].length = uint64(len(data[i]))
						jobs[i] = &streams[i].job
						jobs[i].data = data[i]
					}
					e.run(jobs, blocks*blockSize)
					for i := range streams {
						check(t, streams[i], data[i])
					}
				}
			}
		})
	}
}

// Any way of cutting a stream into writes gives the same digest, and asking for it disturbs nothing.
func TestWritesOfAnyLength(t *testing.T) {
	data := make([]byte, 100_000)
	fill(data, 1)
	for name, e := range variants() {
		t.Run(name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, 2))
			for range 100 {
				h, size := e.stream(), rnd.IntN(len(data))
				for at := 0; at < size; {
					n := min(size-at, 1+rnd.IntN(1<<rnd.IntN(16)))
					if k, err := h.Write(data[at : at+n]); k != n || err != nil {
						t.Fatal(k, err)
					}
					at += n
					if rnd.IntN(4) == 0 {
						check(t, h, data[:at])
					}
				}
				check(t, h, data[:size])
			}
		})
	}
}

// Streams that come, go and differ in length at the same time each get their own digest.
func TestStreamsAtOnce(t *testing.T) {
	for _, leaders := range []int{1, 3} {
		for name, e := range variants() {
			e.max = leaders
			var wg sync.WaitGroup
			for i := range uint64(40) {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(i, 3))
					data := make([]byte, rnd.IntN(300_000))
					fill(data, i)
					h := e.stream()
					for rest := data; len(rest) > 0; {
						n := min(len(rest), 1+rnd.IntN(100_000))
						_, _ = h.Write(rest[:n])
						rest = rest[n:]
					}
					got, want := h.MD5(), md5.Sum(data)
					if len(e.forms) > 1 && h.SHA256() != sha256.Sum256(data) {
						t.Errorf("%s: stream %d has another SHA-256", name, i)
					}
					if !bytes.Equal(got[:], want[:]) {
						t.Errorf("%s: stream %d has another MD5", name, i)
					}
				})
			}
			wg.Wait()
			if e.leaders != 0 || len(e.waiting) != 0 {
				t.Errorf("%s: %d leaders and %d waiting when all are done", name, e.leaders, len(e.waiting))
			}
		}
	}
}
