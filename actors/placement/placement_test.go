package placement

import (
	"errors"
	"fmt"
	"testing"

	"holdfast/raftfsm/cluster"
)

func drives(n int) []cluster.Drive {
	ds := make([]cluster.Drive, n)
	for i := range ds {
		ds[i].ID[0] = byte(i + 1)
	}
	return ds
}

func TestSetOfGolden(t *testing.T) {
	topo := &cluster.Topology{Seed: [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, Sets: make([]cluster.Set, 1024)}
	for _, c := range []struct {
		bucket cluster.BucketID
		name   string
		want   cluster.SetID
	}{{1, "a", 109}, {2, "a", 161}, {1, "photos/2026/11/22.jpg", 759}, {1 << 40, "", 16}} {
		if got := SetOf(topo, c.bucket, c.name); got != c.want {
			t.Errorf("SetOf(%d, %q) = %d, want %d: stored objects would not be found", c.bucket, c.name, got, c.want)
		}
	}
}

func TestBirthIsEven(t *testing.T) {
	for _, n := range []int{1, 4, 5, 6, 7, 8, 15, 16, 17, 31, 64} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			topo, err := Birth([16]byte{9}, drives(n), 0, DefaultSets)
			if err != nil {
				t.Fatal(err)
			}
			size := SetSize(n)
			load := map[cluster.DriveID]int{}
			role := map[cluster.DriveID][]int{}
			for i, s := range topo.Sets {
				if s.N() != size || s.Epoch != 1 {
					t.Fatalf("set %d: %+v", i, s)
				}
				seen := map[cluster.DriveID]bool{}
				for slot, d := range s.Members {
					if seen[d] {
						t.Fatalf("set %d holds drive %s twice", i, d)
					}
					seen[d] = true
					load[d]++
					if role[d] == nil {
						role[d] = make([]int, size)
					}
					role[d][slot]++
				}
			}
			for _, d := range drives(n) {
				if got, want := load[d.ID], DefaultSets*size/n; got < want-size || got > want+size {
					t.Errorf("drive %s has %d slots, mean %d", d.ID, got, want)
				}
				for slot, c := range role[d.ID] {
					if want := DefaultSets / n; c < want || c > want+1 {
						t.Errorf("drive %s has slot %d %d times, mean %d", d.ID, slot, c, want)
					}
				}
			}
		})
	}
}

func TestBirthRefusesTwoAndThree(t *testing.T) {
	for _, n := range []int{0, 2, 3} {
		if _, err := Birth([16]byte{}, drives(n), 0, 8); !errors.Is(err, ErrDriveCount) {
			t.Errorf("%d drives: %v", n, err)
		}
	}
}

func BenchmarkSetOf(b *testing.B) {
	topo := &cluster.Topology{Sets: make([]cluster.Set, 1024)}
	b.ReportAllocs()
	for b.Loop() {
		SetOf(topo, 7, "photos/2026/11/22/some-object-name.jpg")
	}
}
