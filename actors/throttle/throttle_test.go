package throttle

import (
	"testing"
	"time"
)

func TestBurstThenOnePerRefill(t *testing.T) {
	var th Throttle
	now := time.Unix(1_700_000_000, 0)
	passed := 0
	for range 1000 {
		if _, ok := th.Admit(now); ok {
			passed++
		}
	}
	if passed != Burst {
		t.Fatalf("%d lines passed at once, want %d", passed, Burst)
	}
	dropped, ok := th.Admit(now.Add(refill))
	if !ok || dropped != 1000-Burst {
		t.Fatalf("after a refill: passed %v, %d left out, want %d", ok, dropped, 1000-Burst)
	}
	if _, ok := th.Admit(now.Add(refill + refill/2)); ok {
		t.Fatal("a second line passed within one refill")
	}
	passed = 0
	for range 1000 {
		if _, ok := th.Admit(now.Add(time.Hour)); ok {
			passed++
		}
	}
	if passed != Burst {
		t.Fatalf("%d lines passed after a rest, want %d", passed, Burst)
	}
}
