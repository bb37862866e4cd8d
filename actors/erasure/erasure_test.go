package erasure

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestGoldenParity(t *testing.T) {
	c := &Codec{encoders: map[shape]*encoders{}}
	for i, want := range golden {
		if got := c.patternSum(i + 1); got != want {
			t.Errorf("k=%d: parity sum %#08x, golden %#08x", i+1, got, want)
		}
	}
}

// shapes are all sizes of sets that a cluster may have.
var shapes = []struct{ n, k int }{{1, 1}, {4, 2}, {6, 3}, {8, 4}, {10, 5}, {12, 6}, {14, 7}, {16, 8}}

// split lays an object out as the coordinator does, by Pieces alone.
func split(t *testing.T, c *Codec, g Geometry, data []byte) [][]byte {
	t.Helper()
	size := int64(len(data))
	shards := make([][]byte, g.N)
	for row := range g.Rows(size) {
		frames := make([][]byte, g.N)
		for i := range frames {
			frames[i] = make([]byte, g.RowLen(size, row))
		}
		at := g.RowStart(row)
		for _, p := range g.Pieces(nil, size, row, 0, size) {
			at += int64(copy(frames[p.Shard][p.Off:p.Off+p.Len], data[at:]))
		}
		if at != g.RowStart(row)+g.RowBytes(size, row) {
			t.Fatalf("%+v size %d row %d: pieces cover up to %d", g, size, row, at)
		}
		if err := c.Encode(g.K, frames); err != nil {
			t.Fatal(err)
		}
		for i := range frames {
			shards[i] = append(shards[i], frames[i]...)
		}
	}
	return shards
}

func TestAnyKShardsGiveTheObject(t *testing.T) {
	c, err := NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, s := range shapes {
		stripe := int64(s.k) * Unit
		for _, size := range []int64{1, 2, 17, 4096, 65537, stripe - 1, stripe, stripe + 1, 3*stripe + 12345, 9*stripe - 3} {
			g := ForSize(s.n, s.k, size)
			if !g.Valid() {
				t.Fatalf("invalid %+v", g)
			}
			data := make([]byte, size)
			for i := range data {
				data[i] = byte(rng.Uint32())
			}
			shards := split(t, c, g, data)
			for i := range shards {
				if int64(len(shards[i])) != g.ShardSize(size) {
					t.Fatalf("%+v size %d: shard %d has %d bytes, want %d", g, size, i, len(shards[i]), g.ShardSize(size))
				}
			}
			want := make([]bool, s.n)
			for _, i := range rng.Perm(s.n)[:s.n-s.k] {
				shards[i] = nil
				want[i] = i < s.k
			}
			if err := c.Reconstruct(s.k, shards, want); err != nil {
				t.Fatal(err)
			}
			checkRange(t, g, shards, data, 0, size)
			for range 5 {
				from := rng.Int64N(size)
				checkRange(t, g, shards, data, from, from+1+rng.Int64N(size-from))
			}
		}
	}
}

func checkRange(t *testing.T, g Geometry, shards [][]byte, data []byte, from, to int64) {
	t.Helper()
	var got []byte
	for row := g.RowOf(from); row <= g.RowOf(to-1); row++ {
		needs := make([]Interval, g.N)
		pieces := g.Pieces(nil, int64(len(data)), row, from, to)
		Needs(needs, pieces)
		for _, p := range pieces {
			if needs[p.Shard].From > p.Off || needs[p.Shard].To < p.Off+p.Len {
				t.Fatalf("piece %+v outside of %+v", p, needs[p.Shard])
			}
			frame := shards[p.Shard][row*g.FrameBytes():]
			got = append(got, frame[p.Off:p.Off+p.Len]...)
		}
	}
	if !bytes.Equal(got, data[from:to]) {
		t.Fatalf("%+v size %d: range [%d,%d) differs", g, len(data), from, to)
	}
}

func TestReconstructNeedsK(t *testing.T) {
	c, err := NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Reconstruct(2, [][]byte{{1}, nil, nil, nil}, make([]bool, 4)); err == nil {
		t.Error("one shard of two was enough")
	}
}

func BenchmarkEncode(b *testing.B) {
	c, err := NewCodec()
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range shapes[1:] {
		for _, size := range []int{2 << 10, FrameSize(s.n)} {
			shards := make([][]byte, s.n)
			for i := range shards {
				shards[i] = make([]byte, size)
			}
			b.Run(fmt.Sprintf("%d+%d/%dKiB", s.k, s.n-s.k, size>>10), func(b *testing.B) {
				b.SetBytes(int64(s.k * size))
				b.ReportAllocs()
				for b.Loop() {
					if err := c.Encode(s.k, shards); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkReconstruct(b *testing.B) {
	c, err := NewCodec()
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range shapes[1:] {
		shards := make([][]byte, s.n)
		for i := range shards {
			shards[i] = make([]byte, FrameSize(s.n))
		}
		want := make([]bool, s.n)
		for i := range s.n - s.k {
			want[i] = i < s.k
		}
		b.Run(fmt.Sprintf("%d+%d", s.k, s.n-s.k), func(b *testing.B) {
			b.SetBytes(int64(s.k * FrameSize(s.n)))
			b.ReportAllocs()
			for b.Loop() {
				for i := range s.n - s.k {
					shards[i] = shards[i][:0]
				}
				if err := c.Reconstruct(s.k, shards, want); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestForSizeIsAFormat(t *testing.T) {
	for _, c := range []struct {
		n, k int
		size int64
		want Geometry
	}{
		{1, 1, 0, Geometry{1, 1, 1, 1 << 20}},
		{1, 1, 300 << 10, Geometry{1, 1, 256 << 10, 1 << 20}},
		{4, 2, 5, Geometry{4, 2, 3, 1 << 20}},
		{4, 2, 512<<10 - 1, Geometry{4, 2, 256 << 10, 1 << 20}},
		{6, 3, 1000, Geometry{6, 3, 334, 512 << 10}},
		{8, 4, 1 << 30, Geometry{8, 4, 256 << 10, 512 << 10}},
		{16, 8, 1 << 20, Geometry{16, 8, 128 << 10, 256 << 10}},
		{16, 8, 5 << 40, Geometry{16, 8, 256 << 10, 256 << 10}},
	} {
		if got := ForSize(c.n, c.k, c.size); got != c.want {
			t.Errorf("ForSize(%d, %d, %d) = %+v, stored parts have %+v", c.n, c.k, c.size, got, c.want)
		}
	}
}
