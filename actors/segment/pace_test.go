package segment

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// entered counts the writes that run when so many want to on each of the stores, and lets all of them go.
func entered(writers int, stores ...*Store) (n int) {
	in, done := make(chan struct{}, writers*len(stores)), make(chan struct{})
	for _, s := range stores {
		for range writers {
			go func() {
				t := s.enterDirect()
				in <- struct{}{}
				<-done
				s.leaveDirect(t)
			}()
		}
	}
	synctest.Wait()
	n = len(in)
	close(done)
	synctest.Wait()
	return n
}

func paced(p *Pace) *Store {
	return &Store{pace: p, turns: make(chan struct{}, directWrites), single: make(chan struct{}, 1)}
}

func TestDataKeepsBackBehindSmallObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		device := NewPace()
		one, two, three, other := paced(device), paced(device), paced(device), paced(NewPace())
		if n := entered(5, one, two); n != 2*directWrites {
			t.Fatalf("%d writes at a time on two drives, want %d", n, 2*directWrites)
		}
		one.SmallSynced()
		if n := entered(5, one, two, three); n != deviceWrites {
			t.Fatalf("%d writes at a time behind a sync of small objects, want %d", n, deviceWrites)
		}
		if n := entered(5, one); n != 1 {
			t.Fatalf("%d writes at a time on one drive behind a sync of small objects, want 1", n)
		}
		if n := entered(5, other); n != directWrites {
			t.Fatalf("%d writes at a time on another device, want %d", n, directWrites)
		}
		time.Sleep(courtesy)
		if n := entered(5, one, two); n != 2*directWrites {
			t.Fatalf("%d writes at a time when small objects have ceased, want %d", n, 2*directWrites)
		}
	})
}

// TestCourtesyEndsBehindWritesThatHang: drives that hang must not keep the others of their device waiting.
func TestCourtesyEndsBehindWritesThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		device := NewPace()
		well := paced(device)
		well.SmallSynced()
		for range deviceWrites {
			if !paced(device).enterDirect().device {
				t.Fatal("no turn on the device")
			}
		}
		start := time.Now()
		first := well.enterDirect()
		if took := time.Since(start); first.device || took != 2*courtesy {
			t.Fatalf("waited %v, turn %v", took, first.device)
		}
		well.leaveDirect(first)
		well.SmallSynced()
		start = time.Now()
		if well.enterDirect().device || time.Since(start) != 0 {
			t.Fatalf("waited %v for writes that are known to hang", time.Since(start))
		}
	})
}

func TestDrivesOfOneDeviceShareAPace(t *testing.T) {
	var ps Paces
	one, two := t.TempDir(), t.TempDir()
	if ps.On(one) != ps.On(two) {
		t.Error("two directories of one device")
	}
	if p := ps.On("/proc"); p == nil || p == ps.On(one) {
		t.Error("another device")
	}
	absent := filepath.Join(one, "absent")
	if p := ps.On(absent); p == nil || p == ps.On(absent) {
		t.Error("a directory that is not there has a pace of its own")
	}
	if (*Paces)(nil).On(one) == nil {
		t.Error("no paces, no pace")
	}
}
