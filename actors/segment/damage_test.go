package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/ondisk"
)

// Every bit that belongs to a shard, header or data, is covered: flipping any of them is noticed by
// both ways of reading. Padding is not.
func TestBitFlipsAreNoticed(t *testing.T) {
	for _, size := range []int{100, 70_000, 1<<20 + 300_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			mem := vfs.NewMem()
			r := newRig(t, mem, nil)
			if err := r.put(1, size, 256<<10, int64(size)); err != nil {
				t.Fatal(err)
			}
			st := r.shards[oidOf(1)]
			raw, err := mem.UnsafeGetFileDataBuffer(path2(r, st.extents[0].Segment))
			if err != nil {
				t.Fatal(err)
			}
			e := st.extents[0]
			wide := size >= wideFrame
			used := map[int64]bool{} // offsets that carry meaning, header padding included
			for n, left := 0, size; left > 0; n++ {
				data := min(left, 256<<10)
				off := e.Offset + int64(n*ondisk.FrameSize(256<<10, wide))
				for i := range ondisk.FrameHeaderSize(data, wide) + data {
					used[off+int64(i)] = true
				}
				left -= data
			}
			step := max(1, len(used)/400) // every byte of the small one, a sample of the others
			for off := e.Offset; off < min(e.Offset+e.Length, int64(len(raw))); off += 1 + int64(rand.IntN(2*step-1)) {
				raw[off] ^= 1 << (off % 8)
				_, err := r.read(1)
				if used[off] != errors.Is(err, ondisk.ErrCorrupt) && !(errors.Is(err, ondisk.ErrNewer) && used[off]) {
					t.Fatalf("flip at %d (meaningful: %v): %v", off, used[off], err)
				}
				raw[off] ^= 1 << (off % 8)
			}
			r.check()
		})
	}
}

// A frame of the right shard in the wrong place is damage too.
func TestMisplacedFramesAreNoticed(t *testing.T) {
	mem := vfs.NewMem()
	r := newRig(t, mem, nil)
	if err := r.put(1, 3*256<<10, 256<<10, 3*256<<10); err != nil {
		t.Fatal(err)
	}
	e := r.shards[oidOf(1)].extents[0]
	raw, err := mem.UnsafeGetFileDataBuffer(path2(r, e.Segment))
	if err != nil {
		t.Fatal(err)
	}
	n := int64(ondisk.FrameSize(256<<10, true))
	copy(raw[e.Offset:e.Offset+n], bytes.Clone(raw[e.Offset+n:e.Offset+2*n]))
	if _, err := r.read(1); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("frame 1 in the place of frame 0: %v", err)
	}
}

func TestManifestThatLiesIsRefused(t *testing.T) {
	r := newRig(t, vfs.NewMem(), nil)
	if err := r.put(1, 3<<20, 1<<20, 3<<20); err != nil {
		t.Fatal(err)
	}
	good := r.shards[oidOf(1)].extents[0]
	for name, change := range map[string]func(*ondisk.Extent){
		"generation":    func(e *ondisk.Extent) { e.Generation++ },
		"segment":       func(e *ondisk.Extent) { e.Segment += 7 },
		"first":         func(e *ondisk.Extent) { e.First = 1 },
		"no frames":     func(e *ondisk.Extent) { e.Frames = 0 },
		"more data":     func(e *ondisk.Extent) { e.Data = 100 << 20 },
		"less data":     func(e *ondisk.Extent) { e.Data = 5 },
		"negative data": func(e *ondisk.Extent) { e.Data = -5 },
		"offset":        func(e *ondisk.Extent) { e.Offset += 4096 },
		"far offset":    func(e *ondisk.Extent) { e.Offset = 1 << 50 },
		"length":        func(e *ondisk.Extent) { e.Length = 10 },
	} {
		e := good
		change(&e)
		g := r.s.Enter()
		rd, err := g.Open(oidOf(1), []ondisk.Extent{e}, 1<<20)
		if err == nil {
			err = rd.ReadAt(make([]byte, 10), min(1<<20, max(0, rd.Size()-10)))
			rd.Close()
		}
		g.Leave()
		if !errors.Is(err, ondisk.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInspect(t *testing.T) {
	mem := vfs.NewMem()
	r := newRig(t, mem, func(o *Options) { o.Limit = 3 + 1 })
	// An older generation of the same file lies below.
	r.fill(1, 300_000)
	for seed := range r.shards {
		_ = seed
	}
	for len(r.shards) > 0 {
		for _, st := range r.shards {
			r.remove(st.seed)
			break
		}
	}
	r.open(mem)
	want := map[string]int64{}
	for i, size := range []int{100, 2000, 70_000, 900_000, 50, 4096} {
		if err := r.put(uint64(500+i), size, 256<<10, int64(size)); err != nil {
			t.Fatal(err)
		}
		want[oidOf(uint64(500+i)).String()] = int64(size)
	}
	no := r.shards[oidOf(500)].extents[0].Segment
	walk := func() (got map[string]int64, damage int) {
		t.Helper()
		got = map[string]int64{}
		_, err := Inspect(mem, path2(r, no), func(f Found) error {
			if f.Damage != nil {
				damage++
			} else {
				got[f.Header.OID.String()] += int64(f.Header.Data)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return got, damage
	}
	got, damage := walk()
	if damage != 0 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d damaged, found %v, want %v", damage, got, want)
	}
	raw, err := mem.UnsafeGetFileDataBuffer(path2(r, no))
	if err != nil {
		t.Fatal(err)
	}
	raw[r.shards[oidOf(502)].extents[0].Offset+1000] ^= 1 // data
	raw[r.shards[oidOf(503)].extents[0].Offset+20] ^= 1   // header of the first of several frames
	got, damage = walk()
	if damage != 2 || got[oidOf(502).String()] != 0 || got[oidOf(505).String()] != 4096 {
		t.Errorf("%d damaged, found %v", damage, got)
	}
}

func FuzzWalk(f *testing.F) {
	seed := func(class ondisk.SegmentClass, frames ...int) []byte {
		b := make([]byte, page)
		for i, n := range frames {
			h := ondisk.FrameHeader{Run: class == ondisk.SegmentRun, Segment: 3, Generation: 7, Number: uint32(i)}
			buf := append(make([]byte, ondisk.FrameHeaderRoom), content(uint64(i), n)...)
			start, err := ondisk.PutFrame(buf, &h)
			if err != nil {
				f.Fatal(err)
			}
			b = append(b, buf[start:]...)
			if h.Run || i%2 == 0 {
				b = append(b, make([]byte, alignUp(int64(len(b)))-int64(len(b)))...)
			}
		}
		return b
	}
	f.Add(seed(ondisk.SegmentPack, 10, 20, 500, 1))
	f.Add(seed(ondisk.SegmentRun, 1, 2))
	f.Add(make([]byte, page+100))
	f.Fuzz(func(t *testing.T, b []byte) {
		w := &walker{f: bytes.NewReader(b), no: 3, gen: 7, end: int64(len(b)), verify: true}
		last := int64(0)
		err := w.walk(page, func(x Found) error {
			if x.Off < max(page, last) || x.Off >= int64(len(b)) {
				t.Fatalf("found at %d after %d in %d bytes", x.Off, last, len(b))
			}
			last = x.Off + 1
			if x.Damage == nil {
				last = x.Off + x.Size
				data := b[x.Off+int64(x.Header.Size()):][:x.Header.Data]
				if err := x.Header.VerifyData(data); err != nil {
					t.Fatal(err)
				}
			} else if !errors.Is(x.Damage, ondisk.ErrCorrupt) && !errors.Is(x.Damage, ondisk.ErrNewer) {
				t.Fatal(x.Damage)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
