package ondisk

import (
	"fmt"
	"testing"

	"holdfast/actors/object"
)

func BenchmarkAppendVersion(b *testing.B) {
	v := smallVersion()
	dst := make([]byte, 0, MaxVersionRow)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = AppendVersion(dst[:0], &v); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(dst)), "row-bytes")
}

func BenchmarkDecodeVersion(b *testing.B) {
	v := smallVersion()
	value := mustVersion(b, &v)
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodeVersion(ref7, 1, value); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("into", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := DecodeVersionInto(&v, ref7, 1, value); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("view", func(b *testing.B) {
		var etag [64]byte
		b.ReportAllocs()
		for b.Loop() {
			_, shared, err := SplitVersionValue(value)
			if err != nil {
				b.Fatal(err)
			}
			view, err := ViewVersion(shared)
			if err != nil || len(view.AppendETag(etag[:0])) != 32 {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkVersionKey(b *testing.B) {
	key := object.Key{Bucket: 1, Name: "photos/2026/07/08/IMG_0123456789.jpeg"}
	k := AppendVersionKey(nil, key, ref7, 1)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			k = AppendVersionKey(k[:0], key, ref7, 1)
		}
	})
	b.Run("split", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, _, _, err := SplitVersionKey(k); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseVersionKey(k); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("pebble split", func(b *testing.B) {
		for b.Loop() {
			Split(k)
		}
	})
}

func BenchmarkFrame(b *testing.B) {
	for _, n := range []int{4 << 10, 256 << 10, 1 << 20} {
		buf := frameBuffer(n)
		h := FrameHeader{Run: true}
		b.Run(fmt.Sprintf("put/%dKiB", n>>10), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := PutFrame(buf, &h); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("verify/%dKiB", n>>10), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if err := DecodeFrameHeader(&h, buf); err != nil {
					b.Fatal(err)
				}
				if err := h.VerifyData(buf[FrameHeaderRoom:]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
