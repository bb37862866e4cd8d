package erasureset

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/drive"
	"holdfast/actors/ondisk"
	"holdfast/actors/placement"
	"holdfast/actors/slab"
	"holdfast/raftfsm/cluster"
)

// rack is a store over four drive actors on real files, with the memory and the processors that
// the daemon gives them: what a request costs below HTTP.
type rack struct {
	*Store
	b      testing.TB
	bucket cluster.Bucket
}

func newRack(b testing.TB) *rack {
	procs := runtime.GOMAXPROCS(runtime.NumCPU() + 4) // a blocking sync holds its P
	b.Cleanup(func() { runtime.GOMAXPROCS(procs) })
	cache := pebble.NewCache(44<<20 + 4*2*11<<20) // memtables are counted against it
	b.Cleanup(cache.Unref)
	dir := b.TempDir()
	actors := map[cluster.DriveID]*drive.Actor{}
	list := make([]cluster.Drive, 4)
	for i := range list {
		id := cluster.DriveID{byte(i + 1)}
		list[i].ID = id
		label := ondisk.Label{
			Cluster: cluster.ID{1}, Drive: id, Created: time.Now(),
			Capacity: 1 << 40, SegmentSize: 64 << 20, Inline: 2048, SetSize: 4,
		}
		path := filepath.Join(dir, fmt.Sprint("drive", i))
		if err := drive.Format(path, label); err != nil {
			b.Fatal(err)
		}
		a, err := drive.Open(context.Background(), drive.Options{Path: path, Label: label, Cache: cache, MemTable: 11 << 20})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { a.Close() })
		actors[id] = a
	}
	topo, err := placement.Birth([16]byte{1}, list, 0, 1024)
	if err != nil {
		b.Fatal(err)
	}
	for id, a := range actors {
		if err := drive.Adopt(context.Background(), a, id, topo.Sets); err != nil {
			b.Fatal(err)
		}
		if err := drive.Fence(context.Background(), a, 7, 3, false, false); err != nil {
			b.Fatal(err)
		}
	}
	slabs := slab.New(slab.Config{Budget: 64 << 20, Wait: time.Second})
	b.Cleanup(slabs.Close)
	bucket := cluster.Bucket{Name: "bucket", ID: 7, Revision: 3}
	s, err := New(Options{
		Drives:   func(id cluster.DriveID) drive.Drive { return actors[id] },
		Bucket:   func(cluster.BucketID) (cluster.Bucket, bool) { return bucket, true },
		Topology: func() *cluster.Topology { return topo },
		Slabs:    slabs,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return &rack{Store: s, b: b, bucket: bucket}
}

// each calls do n times from so many goroutines and reports what the process used for it,
// background work included.
func (r *rack) each(workers, n int, do func(i int) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					r.b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func (r *rack) measure(b *testing.B, do func(i int) error) {
	b.ReportAllocs()
	cpu := processTime(b)
	b.ResetTimer()
	r.each(16, b.N, do)
	b.StopTimer()
	b.ReportMetric(float64((processTime(b)-cpu).Microseconds())/float64(b.N), "cpu-us/op")
}

// processTime is the processor time that the process has used.
func processTime(b testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// name spreads keys as clients' names are spread: not in the order in which they are written.
func (r *rack) name(i int) string { return fmt.Sprintf("dir/%016x", uint64(i)*0x9e3779b97f4a7c15) }

func (r *rack) put(i int, data []byte) error {
	_, err := r.Put(context.Background(), &PutRequest{Bucket: r.bucket, Key: r.name(i), Body: bytes.NewReader(data), Size: int64(len(data))})
	return err
}

func (r *rack) get(i int) error {
	h, err := r.Open(context.Background(), &OpenRequest{Bucket: r.bucket, Key: r.name(i)})
	if err != nil {
		return err
	}
	defer h.Close()
	st, err := h.Read(context.Background(), rangeAll(h))
	if err != nil {
		return err
	}
	defer st.Close()
	_, err = st.WriteTo(io.Discard)
	return err
}

func (r *rack) stat(i int) error {
	h, err := r.Open(context.Background(), &OpenRequest{Bucket: r.bucket, Key: r.name(i), HeadOnly: true})
	if err != nil {
		return err
	}
	return h.Close()
}

func (r *rack) del(i int) error {
	_, err := r.Delete(context.Background(), &DeleteRequest{Bucket: r.bucket, Key: r.name(i)})
	return err
}

// BenchmarkDrives is each operation on 4 KiB objects, 16 at a time, on real drives.
func BenchmarkDrives(b *testing.B) {
	data := pattern(1, 4<<10)
	b.Run("put", func(b *testing.B) {
		r := newRack(b)
		r.measure(b, func(i int) error { return r.put(i, data) })
	})
	b.Run("delete", func(b *testing.B) {
		r := newRack(b)
		r.each(16, b.N, func(i int) error { return r.put(i, data) })
		r.measure(b, func(i int) error {
			if err := r.del(i); err != nil || i != b.N-1 {
				return err
			}
			r.CollectTombstones(context.Background()) // what it leaves is part of it
			return nil
		})
	})
	r := newRack(b)
	r.each(16, 2000, func(i int) error { return r.put(i, data) })
	b.Run("get", func(b *testing.B) { r.measure(b, func(i int) error { return r.get(i % 2000) }) })
	b.Run("stat", func(b *testing.B) { r.measure(b, func(i int) error { return r.stat(i % 2000) }) })
}
