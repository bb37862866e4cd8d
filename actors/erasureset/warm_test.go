package erasureset

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"holdfast/actors/await"
	"holdfast/actors/drive"
	"holdfast/actors/object"
)

// body begins a body of the fixture's bucket, which is closed with the test.
func (f *fixture) body(key string, from, to int) *stream {
	f.t.Helper()
	h, err := f.Open(f.ctx(), &OpenRequest{Bucket: f.bucket, Key: key})
	if err != nil {
		f.t.Fatal(err)
	}
	st, err := h.Read(f.ctx(), object.Range{Start: int64(from), End: int64(to)})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		st.Close()
		h.Close()
	})
	return st.(*stream)
}

// newWarmFixture has four drives on real files and takes its cores for crowded.
func newWarmFixture(t *testing.T) *fixture {
	f := newLocalFixtureOf(t, 4, 1<<30, nil)
	f.brisk.cores = 0
	return f
}

// TestBodiesComeFromMemory: long bodies, and ranges of them with odd ends, are sent from memory once
// they were read, by a lead that holds one buffer.
func TestBodiesComeFromMemory(t *testing.T) {
	f := newWarmFixture(t)
	const size = 17<<20 + 77
	want := pattern(1, size)
	f.mustPut("k", want)
	parts := f.putParts("parts", 2, 9<<20+5)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 12 {
		key, all := "k", want
		if i%3 == 2 {
			key, all = "parts", parts
		}
		from, to := 0, len(all)
		if i > 2 {
			from, to = rng.IntN(len(all)/2), len(all)/2+rng.IntN(len(all)/2)
		}
		st := f.body(key, from, to)
		var got bytes.Buffer
		warm := int64(0)
		for got.Len() < to-from {
			if st.cur == nil {
				st.cold = 0
				n, err := st.sendWarm(&got)
				if warm += n; err != nil {
					t.Fatal(err)
				}
				if err := st.fill(waitLong); err != nil && err != io.EOF {
					t.Fatal(err)
				}
			}
			for st.cur != nil {
				n, _ := got.Write(st.cur.pieces[0])
				if st.took(n); len(st.cur.pieces) == 0 {
					st.cur.release()
					st.cur = nil
				}
			}
		}
		if i > 2 && warm < int64(to-from)/4 {
			t.Errorf("%s from %d to %d: %d bytes came from memory", key, from, to, warm)
		}
		if !bytes.Equal(got.Bytes(), all[from:to]) {
			t.Fatalf("%s from %d to %d: other bytes came", key, from, to)
		}
		st.Close()
		if in := f.slabs.Stats().InUse; in != 0 {
			t.Fatalf("%d bytes of buffers are held", in)
		}
	}
}

// TestWarmBodiesPause: a body from memory that is paused anywhere goes on with what was not taken.
func TestWarmBodiesPause(t *testing.T) {
	f := newWarmFixture(t)
	want := pattern(1, 13<<20)
	f.mustPut("k", want)
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 1))
		st := f.body("k", 0, len(want))
		var got bytes.Buffer
		for got.Len() < len(want) {
			w := &pausing{left: rng.IntN(9 << 20), err: object.ErrPaused}
			_, err := st.WriteTo(w)
			if err != nil && err != object.ErrPaused {
				t.Fatal(err)
			}
			got.Write(w.Bytes())
			if in := f.slabs.Stats().InUse; in != 0 {
				t.Fatalf("%d bytes of buffers are held in a pause", in)
			}
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Fatal("other bytes came")
		}
	}
}

// stuck is a shard whose reads from memory hang.
type stuck struct {
	drive.WarmReader
	after   int
	in, out chan struct{}
}

func (s *stuck) ReadWarm(buf []byte, off int64, n int) ([]byte, bool) {
	if s.after--; s.after < 0 {
		s.in <- struct{}{}
		<-s.out
		clear(buf) // as late as ever, into memory that is nobody else's
	}
	return s.WarmReader.ReadWarm(buf, off, n)
}

// TestStuckLeadIsLeftBehind: a read from memory that hangs after all takes no more than a hedge; its
// buffer counts no more, and goes when it comes back.
func TestStuckLeadIsLeftBehind(t *testing.T) {
	f := newWarmFixture(t)
	want := pattern(1, 13<<20)
	f.mustPut("k", want)
	f.body("k", 0, len(want)).WriteTo(&bytes.Buffer{})
	for after := range 3 {
		st := f.body("k", 0, len(want))
		src := st.all[0].src
		s := &stuck{after: after, in: make(chan struct{}, 1), out: make(chan struct{})}
		for i := range src.slots {
			if rd, ok := src.slots[i].rd.(drive.WarmReader); ok {
				s.WarmReader = rd
				src.slots[i].rd = s
				break
			}
		}
		var got bytes.Buffer
		if _, err := st.WriteTo(&got); err != nil {
			t.Fatal(err)
		}
		<-s.in
		if !bytes.Equal(got.Bytes(), want) {
			t.Fatal("other bytes came")
		}
		st.Close()
		if in := f.slabs.Stats(); in.InUse != 0 || in.Buffers != 1 {
			t.Fatalf("%+v: the lead alone holds a buffer, which does not count", in)
		}
		close(s.out)
		await.True(t, "the lead's buffer is back", func() bool { return f.slabs.Stats().Buffers == 0 })
	}
}

// TestRotInMemoryIsReadAround: bytes that do not fit their checksums are not sent from memory either.
func TestRotInMemoryIsReadAround(t *testing.T) {
	f := newWarmFixture(t)
	want := pattern(1, 13<<20)
	f.mustPut("k", want)
	st := f.body("k", 0, len(want))
	path := f.opt.Drives(f.topo.Drives[0].ID).(*drive.Actor).Path()
	segs, err := filepath.Glob(filepath.Join(path, "seg", "*"))
	if err != nil || len(segs) == 0 {
		t.Fatal(segs, err)
	}
	for _, name := range segs {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		for at := 1 << 20; at < len(data); at += 3 << 20 {
			if _, err := file.WriteAt([]byte{^data[at]}, int64(at)); err != nil {
				t.Fatal(err)
			}
		}
		file.Close()
	}
	var got bytes.Buffer
	if _, err := st.WriteTo(&got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Fatal("other bytes came")
	}
}
