package erasureset

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

// The whole coordinator part of requests over drives in memory: what is left of a request's cost
// when disks and the network are free.

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20, 16 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			f := newFixture(b, 4, nil)
			data := pattern(1, size)
			keys := make([]string, 64)
			for i := range keys {
				keys[i] = fmt.Sprintf("bench/key-%d", i)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			i := 0
			ctx := f.ctx()
			for b.Loop() {
				i++
				if _, err := f.Put(ctx, &PutRequest{Bucket: f.bucket, Key: keys[i%64], Body: bytes.NewReader(data), Size: int64(size)}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20, 16 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			f := newFixture(b, 4, nil)
			f.mustPut("k", pattern(1, size))
			f.marks.flush()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			ctx := f.ctx()
			for b.Loop() {
				h, err := f.Open(ctx, &OpenRequest{Bucket: f.bucket, Key: "k"})
				if err != nil {
					b.Fatal(err)
				}
				st, err := h.Read(ctx, rangeAll(h))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := st.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
				st.Close()
				h.Close()
			}
		})
	}
}

func BenchmarkStat(b *testing.B) {
	f := newFixture(b, 4, nil)
	f.mustPut("k", pattern(1, 4096))
	f.marks.flush()
	b.ReportAllocs()
	ctx := f.ctx()
	for b.Loop() {
		h, err := f.Open(ctx, &OpenRequest{Bucket: f.bucket, Key: "k", HeadOnly: true})
		if err != nil {
			b.Fatal(err)
		}
		h.Close()
	}
}

func BenchmarkDelete(b *testing.B) {
	f := newFixture(b, 4, nil)
	b.ReportAllocs()
	ctx := f.ctx()
	for b.Loop() {
		if _, err := f.Delete(ctx, &DeleteRequest{Bucket: f.bucket, Key: "k"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkList1000(b *testing.B) {
	f := newFixture(b, 4, nil)
	for i := range 5000 {
		f.mustPut(fmt.Sprintf("dir/%06d", i), []byte("x"))
	}
	f.marks.flush()
	b.ReportAllocs()
	ctx := f.ctx()
	for b.Loop() {
		page, err := f.List(ctx, &ListRequest{Bucket: f.bucket, Limit: 1000})
		if err != nil || len(page.Entries) != 1000 {
			b.Fatal(err)
		}
	}
}
