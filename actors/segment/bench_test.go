package segment

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/ondisk"
)

// benchRig is a store on the file system of TMPDIR.
func benchRig(b *testing.B) *rig {
	dir := b.TempDir()
	return newRig(b, vfs.Default, func(o *Options) {
		o.Dir = filepath.Join(dir, "seg")
		o.SegmentSize = SizeFor(16 << 30)
		o.Limit = 12
	})
}

// BenchmarkWrite writes, syncs and commits shards; what is full is emptied and recycled, so that
// long runs measure recycled segments.
func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{4 << 10, 512 << 10, 4 << 20} {
		for _, writers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dKiB/%dwriters", size>>10, writers), func(b *testing.B) {
				r := benchRig(b)
				var seed, done atomic.Uint64
				frame := min(size, 1<<20)
				b.SetBytes(int64(size))
				b.ResetTimer()
				var wg sync.WaitGroup
				for range writers {
					wg.Go(func() {
						buf := make([]byte, ondisk.FrameHeaderRoom+frame)
						for id := seed.Add(1); id <= uint64(b.N); id = seed.Add(1) {
							for !r.benchPut(b, id, size, buf) {
								if old := done.Add(1); old < id {
									r.removeOnce(old)
								}
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

// benchPut reports false if there is no space.
func (r *rig) benchPut(b *testing.B, id uint64, size int, buf []byte) bool {
	w, err := r.s.Writer(Shard{OID: oidOf(id), Frame: len(buf) - ondisk.FrameHeaderRoom, Size: int64(size)})
	for n := 0; n < size && err == nil; n += len(buf) - ondisk.FrameHeaderRoom {
		err = w.WriteFrame(buf)
	}
	if err == nil {
		err = w.Sync(context.Background())
	}
	if errors.Is(err, ErrNoSpace) {
		w.Abort()
		return false
	}
	if err != nil {
		b.Error(err)
		return true
	}
	r.commit(id, size, len(buf)-ondisk.FrameHeaderRoom, w)
	return true
}

func BenchmarkReadFrame(b *testing.B) {
	for _, size := range []int{4 << 10, 512 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			r := benchRig(b)
			if err := r.put(1, size, size, int64(size)); err != nil {
				b.Fatal(err)
			}
			dst := [][]byte{make([]byte, ondisk.FrameHeaderRoom+size)}
			b.SetBytes(int64(size))
			for b.Loop() {
				g := r.s.Enter()
				rd, err := g.Open(oidOf(1), r.shards[oidOf(1)].extents, 0)
				g.Leave()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := rd.ReadFrames(0, dst); err != nil {
					b.Fatal(err)
				}
				rd.Close()
			}
		})
	}
}

// BenchmarkReadRange reads 4 KiB of a shard of 1 MiB.
func BenchmarkReadRange(b *testing.B) {
	r := benchRig(b)
	r.mustPut(1, 1<<20)
	p := make([]byte, 4096)
	g := r.s.Enter()
	rd, err := g.Open(oidOf(1), r.shards[oidOf(1)].extents, 0)
	g.Leave()
	if err != nil {
		b.Fatal(err)
	}
	defer rd.Close()
	for i := 0; b.Loop(); i++ {
		if err := rd.ReadAt(p, int64(i*70_000)%(1<<20-4096)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWriteBeside writes, syncs and commits 4 KiB shards while streams write 32 MiB shards as
// fast as the store lets them: what small writes wait for the device behind big ones.
func BenchmarkWriteBeside(b *testing.B) {
	for _, streams := range []int{0, 4} {
		b.Run(fmt.Sprintf("%dstreams", streams), func(b *testing.B) {
			r := benchRig(b)
			var stop atomic.Bool
			var wg sync.WaitGroup
			for i := range uint64(streams) {
				wg.Go(func() {
					buf := aligned(ondisk.FrameHeaderRoom + 1<<20)
					for n := range uint64(1 << 20) {
						if stop.Load() {
							return
						}
						id := 1<<40 | i<<32 | n
						if r.benchPut(b, id, 32<<20, buf) {
							r.removeOnce(id)
						}
					}
				})
			}
			buf := make([]byte, ondisk.FrameHeaderRoom+4<<10)
			for id := uint64(1); b.Loop(); id++ {
				if !r.benchPut(b, id, 4<<10, buf) {
					b.Fatal("no space")
				}
				r.removeOnce(id)
			}
			stop.Store(true)
			wg.Wait()
		})
	}
}

// aligned returns memory that can be written past the page cache.
func aligned(n int) []byte {
	b := make([]byte, n+page)
	off := -uintptr(unsafe.Pointer(&b[0])) & (page - 1)
	return b[off : int(off)+n]
}
