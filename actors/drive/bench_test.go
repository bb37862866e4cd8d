package drive_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

// A blocking sync holds its P: the daemon gives each drive one more.
func moreProcs(b *testing.B) {
	old := runtime.GOMAXPROCS(runtime.NumCPU() + 4)
	b.Cleanup(func() { runtime.GOMAXPROCS(old) })
}

// BenchmarkCommit is one inline version of 2 KiB on one drive on the file system of the temporary
// directory, durable, with so many writers at a time; the versions' marks ride along.
func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			moreProcs(b)
			r := newBenchRig(b, vfs.Default, b.TempDir()+"/d")
			tmpl := r.version("template", randomText(2048))
			var n atomic.Uint64
			var wg sync.WaitGroup
			cpu := cpuTime(b)
			b.ReportAllocs()
			b.ResetTimer()
			for range writers {
				wg.Go(func() {
					for i := n.Add(1); i <= uint64(b.N); i = n.Add(1) {
						c, err := vary(tmpl, fmt.Sprintf("bench/%016x", i*0x9e3779b97f4a7c15), i)
						if err != nil {
							b.Error(err)
							return
						}
						if reply, err := r.a.Commit(context.Background(), c); err != nil || !reply.Accepted {
							b.Errorf("%+v %v", reply, err)
							return
						}
						if err := r.a.Mark([]drive.Mark{{Key: c.Key, Set: c.Set, Ref: c.Ref}}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "cpu-us/op")
			b.ReportMetric(float64(r.a.Health().Durable)/float64(b.N), "syncs/op")
		})
	}
}

// newBenchRig is a drive with the memory that the daemon gives one of four by default.
func newBenchRig(b *testing.B, fs vfs.FS, dir string) *rig {
	r := newRig(b, fs, dir)
	if err := r.a.Close(); err != nil {
		b.Fatal(err)
	}
	cache := pebble.NewCache(128 << 20)
	b.Cleanup(cache.Unref)
	r.o.Cache, r.o.MemTable = cache, 16<<20
	r.open()
	return r
}

// cpuTime is what the process has used so far, flushes and compactions included.
func cpuTime(b testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// vary makes another version of a template, n stamps later.
func vary(tmpl *drivetest.Commit, name string, n uint64) (*drivetest.Commit, error) {
	c := *tmpl
	c.Key.Name = name
	c.Ref = object.VersionRef{TS: tmpl.Ref.TS + object.Stamp(n), Write: object.NewWriteID()}
	c.Rev, c.OID = c.Ref.TS, object.NewOID(c.Ref.TS)
	var v ondisk.Version
	err := ondisk.DecodeShared(&v, c.Ref, c.Rev, tmpl.Row)
	if err == nil {
		v.Refs[0].OID = c.OID
		c.Row, err = ondisk.AppendVersion(nil, &v)
	}
	return &c, err
}

// randomText cannot be compressed, as most shards cannot.
func randomText(n int) string {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(p)
	return string(p)
}

// fill commits n stable keys.
func fill(b testing.TB, r *rig, n int) {
	tmpl := r.version("template", string(pattern(1024, 1)))
	var i atomic.Uint64
	done := make(chan error, 64)
	for range cap(done) {
		go func() {
			for {
				k := i.Add(1)
				if k > uint64(n) {
					done <- nil
					return
				}
				c, err := vary(tmpl, fmt.Sprintf("key/%09d", k), k)
				if err != nil {
					done <- err
					return
				}
				if _, err := r.a.Commit(context.Background(), c); err != nil {
					done <- err
					return
				}
				if err := r.a.Mark([]drive.Mark{{Key: c.Key, Set: c.Set, Ref: c.Ref}}); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	if err := r.a.Collect(context.Background(), nil); err != nil {
		b.Fatal(err)
	}
	r.last = tmpl.Ref.TS + object.Stamp(n)
}

// BenchmarkReport is one warm report of a stable key, with and without its inline shard.
func BenchmarkReport(b *testing.B) {
	r := newBenchRig(b, vfs.NewMem(), "/d")
	fill(b, r, 20000)
	for _, shard := range []bool{false, true} {
		b.Run(fmt.Sprintf("shard=%t", shard), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				req := drivetest.ReportRequest{Set: testSet, Epoch: 1, Key: key(fmt.Sprintf("key/%09d", i*7919%20000+1)), WithShard: shard}
				rep, err := r.a.Report(context.Background(), &req)
				if err != nil || len(rep.Versions) != 1 || shard && rep.Inline == nil {
					b.Fatalf("%+v %v", rep, err)
				}
			}
		})
	}
	b.Run("absent", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			req := drivetest.ReportRequest{Set: testSet, Epoch: 1, Key: key(fmt.Sprintf("none/%09d", i))}
			if _, err := r.a.Report(context.Background(), &req); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkScan is one page of 1000 keys with their rows.
func BenchmarkScan(b *testing.B) {
	r := newBenchRig(b, vfs.NewMem(), "/d")
	fill(b, r, 20000)
	b.ReportAllocs()
	for i := range b.N {
		reply, err := r.a.Scan(context.Background(), &drive.ScanRequest{
			Bucket: testBucket, Start: fmt.Sprintf("key/%09d", i*7919%19000+1), Limit: 1000,
			Full: allSets(), Sets: func(string) cluster.SetID { return testSet },
		})
		if err != nil || len(reply.Entries) != 1000 {
			b.Fatal(err)
		}
	}
}

// BenchmarkScanBehindDeletes is the first page of a list when so many keys before it were put,
// deleted and collected a moment ago. -deletes sets how many.
func BenchmarkScanBehindDeletes(b *testing.B) {
	r := newBenchRig(b, vfs.NewMem(), "/d")
	fill(b, r, *deletes)
	live := r.version("live", "x")
	r.commit(live)
	r.mark(live)
	for from := 1; from <= *deletes; from += 1000 {
		deleteRun(b, r, from, min(from+999, *deletes))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if names := r.scan(drive.ScanRequest{}); len(names) != 1 || names[0] != "live" {
			b.Fatalf("%d names", len(names))
		}
	}
}

var deletes = flag.Int("deletes", 20_000, "keys of BenchmarkScanBehindDeletes")

// deleteRun deletes and collects keys as a client's multi-delete does. Collection takes them in two
// goes, as when some members are late.
func deleteRun(b *testing.B, r *rig, from, to int) {
	tombs := make([][]drivetest.Tomb, 2)
	var marks []drive.Mark
	var wg sync.WaitGroup
	for i := from; i <= to; i++ {
		c := r.tombstone(fmt.Sprintf("key/%09d", i))
		late := i * 7919 % 2
		tombs[late] = append(tombs[late], drivetest.Tomb{Key: c.Key, Set: c.Set, Ref: c.Ref})
		marks = append(marks, drive.Mark{Key: c.Key, Set: c.Set, Ref: c.Ref})
		wg.Go(func() {
			if reply, err := r.a.Commit(context.Background(), c); err != nil || !reply.Accepted {
				b.Errorf("%+v %v", reply, err)
			}
		})
	}
	wg.Wait()
	if err := r.a.Mark(marks); err != nil {
		b.Fatal(err)
	}
	for _, t := range tombs {
		if err := r.a.Collect(context.Background(), t); err != nil {
			b.Fatal(err)
		}
	}
}
