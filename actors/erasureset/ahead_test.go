package erasureset

import (
	"testing"
	"time"

	"holdfast/actors/object"
)

func TestStreamsThatWaitDoNotCrowd(t *testing.T) {
	b := brisk{cores: 2}
	var slow, fast pace
	now := time.Unix(1, 0)
	slow.begin(&b)
	fast.begin(&b)
	if !b.crowded() {
		t.Error("two streams on two cores begin")
	}
	slow.row(now)
	fast.row(now)
	fast.row(now.Add(briskRow / 2))
	slow.row(now.Add(2 * briskRow))
	if b.crowded() || b.streams.Load() != 1 {
		t.Errorf("%d streams of two, one of which waits", b.streams.Load())
	}
	slow.row(now.Add(2*briskRow + 1))
	if !b.crowded() {
		t.Error("it waits no more")
	}
	for range 2 {
		slow.end()
		fast.end()
	}
	slow.row(now.Add(3 * briskRow))
	if b.streams.Load() != 0 {
		t.Errorf("%d streams after the last", b.streams.Load())
	}
}

// TestBodiesAreReadAheadWhileThereAreCores: with and without reading ahead, paused or not, the same
// bytes come, and no stream stays counted.
func TestBodiesAreReadAheadWhileThereAreCores(t *testing.T) {
	for _, cores := range []int32{0, 1 << 20} {
		f := newFixture(t, 4, nil)
		f.brisk.cores = cores
		want := pattern(1, 9<<20)
		f.mustPut("k", want)
		h, err := f.Open(f.ctx(), &OpenRequest{Bucket: f.bucket, Key: "k"})
		if err != nil {
			t.Fatal(err)
		}
		st, err := h.Read(f.ctx(), object.Range{Start: 0, End: int64(len(want))})
		if err != nil {
			t.Fatal(err)
		}
		if ahead := st.(*stream).ahead != nil; ahead != (cores > 0) {
			t.Errorf("%d cores: read ahead: %t", cores, ahead)
		}
		st.Close()
		h.Close()
		f.mustGet("k", want)
		if n := f.brisk.streams.Load(); n != 0 {
			t.Errorf("%d streams are still counted", n)
		}
	}
}
