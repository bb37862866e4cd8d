package erasureset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/ondisk"
	"holdfast/actors/placement"
	"holdfast/actors/slab"
	"holdfast/raftfsm/cluster"
)

// newLocalFixture is a store over real drives in temporary directories.
func newLocalFixture(t testing.TB, n int) *fixture {
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
			Capacity: 1 << 30, SegmentSize: 16 << 20, Inline: 2048, SetSize: placement.SetSize(n),
		}
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := drive.Format(path, label); err != nil {
			t.Fatal(err)
		}
		a, err := drive.Open(ctx, drive.Options{Path: path, Label: label, MemTable: 1 << 20})
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
	f.slabs = slab.New(slab.Config{Budget: 128 << 20, Wait: 2 * time.Second})
	f.opt = Options{
		Drives: func(id cluster.DriveID) drive.Drive {
			if off, _ := f.off.Load(id); off == true {
				return drive.NewOffline(id, errors.New("unplugged"))
			}
			return actors[id]
		},
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
