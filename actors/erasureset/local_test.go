package erasureset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/placement"
	"holdfast/actors/segment"
	"holdfast/actors/slab"
	"holdfast/raftfsm/cluster"
)

// newLocalFixture is a store over real drives in temporary directories.
func newLocalFixture(t testing.TB, n int) *fixture { return newLocalFixtureOf(t, n, 1<<30, nil) }

// newLocalFixtureOf is one over drives of so many bytes each, whose options change may change.
func newLocalFixtureOf(t testing.TB, n int, capacity int64, change func(*drive.Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, bucket: cluster.Bucket{Name: "bucket", ID: 7, Revision: 3}}
	drives := make([]cluster.Drive, n)
	actors := map[cluster.DriveID]drive.Drive{}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	for i := range drives {
		drives[i].ID[0] = byte(i + 1)
		label := ondisk.Label{
			Cluster: cluster.ID{1}, Drive: drives[i].ID, Created: time.Unix(1_700_000_000, 0),
			Capacity: capacity, SegmentSize: segment.SizeFor(capacity), Inline: 2048, SetSize: placement.SetSize(n),
		}
		o := drive.Options{Path: filepath.Join(dir, fmt.Sprint(i)), FS: vfs.Default, Label: label, MemTable: 1 << 20}
		if change != nil {
			change(&o)
		}
		if err := drive.FormatOn(o.FS, o.Path, label); err != nil {
			t.Fatal(err)
		}
		a, err := drive.Open(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { a.Close() })
		actors[drives[i].ID] = a
	}
	var err error
	if f.topo, err = placement.Birth([16]byte{1}, drives, 0, 32); err != nil {
		t.Fatal(err)
	}
	for id, a := range actors {
		if err := drive.Adopt(ctx, a, id, f.topo.Sets); err != nil {
			t.Fatal(err)
		}
		if err := drive.Fence(ctx, a, f.bucket.ID, f.bucket.Revision, false, false); err != nil {
			t.Fatal(err)
		}
	}
	f.slabs = slab.New(slab.Config{Budget: 128 << 20, Wait: 2 * time.Second})
	f.opt = Options{
		Drives: func(id cluster.DriveID) drive.Drive {
			if off, _ := f.off.Load(id); off == true {
				return drive.NewOffline(id, errors.New("unplugged"))
			}
			return actors[id]
		},
		Bucket:   func(id cluster.BucketID) (cluster.Bucket, bool) { return f.bucket, id == f.bucket.ID },
		Topology: func() *cluster.Topology { return f.topo }, Slabs: f.slabs, ResolveEvery: -1, CollectEvery: -1,
	}
	f.open()
	t.Cleanup(f.check)
	return f
}

func TestLocalDrivesAnswerLikeAMap(t *testing.T) {
	for _, n := range []int{1, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) { playModel(newLocalFixture(t, n), 1, 200) })
	}
}

// TestDeleteThenPutOnFullDrives: what a delete is about to give back is waited for.
func TestDeleteThenPutOnFullDrives(t *testing.T) {
	const capacity, size = 256 << 20, 8 << 20
	f := newLocalFixtureOf(t, 4, capacity, func(o *drive.Options) {
		dir := o.Path
		o.Usage = func() (int64, int64, error) {
			free := int64(capacity)
			err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
				if info, e := d.Info(); err == nil && e == nil {
					free -= info.Sys().(*syscall.Stat_t).Blocks * 512
				}
				return nil
			})
			return capacity, free, err
		}
	})
	data := pattern(1, size)
	n := 0
	for ; ; n++ {
		if _, err := f.put(fmt.Sprint(n), data); errors.Is(err, object.ErrStorageFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for i := range n / 2 {
		if err := f.del(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	f.mustPut("streamed", data)
	f.mustPut("inline", data[:3000])
	t.Logf("of %d objects half were deleted; the next two were taken after %v", n, time.Since(start))
}

func BenchmarkLocalPut(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		for _, writers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dKiB/writers=%d", size>>10, writers), func(b *testing.B) {
				f := newLocalFixture(b, 4)
				data := pattern(1, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.SetParallelism(max(1, writers/2))
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i++ {
						key := fmt.Sprintf("k%p-%d", pb, i%100)
						if _, err := f.Put(b.Context(), &PutRequest{Bucket: f.bucket, Key: key, Body: bytes.NewReader(data), Size: int64(size)}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}
