package sim

import (
	"math/rand/v2"
	"slices"
	"testing"

	"holdfast/actors/object"
	"holdfast/actors/quorum"
)

func put(d *disk, key int, ts object.Stamp) {
	d.ram.keys[key].Versions = append(d.ram.keys[key].Versions, quorum.Version{Ref: object.VersionRef{TS: ts}})
	d.wrote(dirt{keys: 1 << key}, true)
}

func holds(m *image, key int) int { return len(m.keys[key].Versions) }

func TestPowerCutKeepsAPrefixOfWhatWasWritten(t *testing.T) {
	for mode, want := range []int{1, 2, 3} {
		var d disk
		d.reset()
		put(&d, 0, 1)
		d.start()
		d.finish()
		put(&d, 0, 2)
		d.start()
		put(&d, 0, 3)
		d.crash(mode)
		if got := holds(&d.ram, 0); got != want {
			t.Errorf("mode %d: %d versions survive, want %d", mode, got, want)
		}
		if d.told != d.ram.batch || d.old.any() || d.next.any() {
			t.Errorf("mode %d: batch %d told %d, dirt %+v %+v", mode, d.ram.batch, d.told, d.old, d.next)
		}
	}
}

func TestPowerCutKeepsAPartOfWhatNoSyncHasSeen(t *testing.T) {
	var d disk
	d.reset()
	put(&d, 0, 1)
	d.start()
	for ts := range object.Stamp(3) {
		put(&d, 0, 2+ts)
	}
	d.crash(3)
	if got := holds(&d.ram, 0); got != 3 {
		t.Errorf("%d versions survive, want what was in flight and two of three behind it", got)
	}
}

func TestLyingDiskForgetsAndItsBatchNumberShowsIt(t *testing.T) {
	var d disk
	d.reset()
	put(&d, 0, 1)
	d.start()
	d.finish()
	d.lying = true
	put(&d, 0, 2)
	d.start()
	d.finish()
	told := d.told
	d.crash(0)
	if holds(&d.ram, 0) != 1 || d.safe.batch >= told {
		t.Errorf("%d versions, batch %d, told %d", holds(&d.ram, 0), d.safe.batch, told)
	}
}

func TestTheEndOfALieEndsNoSync(t *testing.T) {
	var d disk
	d.reset()
	put(&d, 0, 1)
	d.start()
	d.lying = true
	d.repent()
	if d.safe.batch != 0 {
		t.Errorf("batch %d is durable before its sync has ended", d.safe.batch)
	}
	d.lying = true
	d.finish()
	put(&d, 0, 2)
	d.start()
	d.repent()
	if d.safe.batch != d.told || holds(&d.safe, 0) == 0 {
		t.Errorf("batch %d, told %d, %d versions", d.safe.batch, d.told, holds(&d.safe, 0))
	}
}

func TestMarkIsSyncedOnlyByTheSyncThatCarriedIt(t *testing.T) {
	var d disk
	d.reset()
	put(&d, 0, 1)
	d.start()
	d.ram.keys[0].Versions[0].Stable = true // too late for the sync under way
	d.wrote(dirt{keys: 1}, false)
	d.finish()
	if d.ram.keys[0].Versions[0].Synced {
		t.Error("synced too early")
	}
	d.start()
	d.finish()
	if !d.ram.keys[0].Versions[0].Synced {
		t.Error("not synced")
	}
}

func TestQueueIsInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var q queue
	var want, got []int64
	for range 1000 {
		if r.IntN(3) > 0 || len(q.heap) == 0 {
			at := int64(r.IntN(100))
			if len(got) > 0 {
				at += got[len(got)-1]
			}
			q.push(event{at: at})
			want = append(want, at)
		} else {
			got = append(got, q.pop().at)
		}
	}
	for len(q.heap) > 0 {
		got = append(got, q.pop().at)
	}
	if !slices.IsSorted(got) || len(got) != len(want) {
		t.Errorf("%d in, %d out, sorted %v", len(want), len(got), slices.IsSorted(got))
	}
	var same queue
	for i := range 50 {
		same.push(event{at: 7, arg: int32(i)})
	}
	for i := range 50 {
		if e := same.pop(); e.arg != int32(i) {
			t.Fatalf("event %d came as number %d", e.arg, i)
		}
	}
}
