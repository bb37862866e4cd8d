package actors

import (
	"errors"
	"testing"
	"time"
)

func TestMailboxRefusesAndCountsWhenFull(t *testing.T) {
	m := NewMailbox[int](2)
	for i := range 2 {
		if err := m.Put(i); err != nil {
			t.Fatalf("put %d: %v", i, err)
		}
	}
	if err := m.Put(2); !errors.Is(err, ErrFull) {
		t.Fatalf("put into a full mailbox: %v, want ErrFull", err)
	}
	if m.Refused() != 1 || m.Depth() != 2 || m.Limit() != 2 {
		t.Fatalf("refused %d depth %d limit %d", m.Refused(), m.Depth(), m.Limit())
	}
	m.Shut()
	if err := m.Put(3); !errors.Is(err, ErrStopped) {
		t.Fatalf("put after shut: %v, want ErrStopped", err)
	}
	if got := m.Drain(nil, 10, nil); len(got) != 2 {
		t.Fatalf("a shut mailbox lost its mail: %v", got)
	}
}

func TestDrainIsBoundedAndNeverWaits(t *testing.T) {
	m := NewMailbox[int](16)
	if got := m.Drain(nil, 4, nil); len(got) != 0 {
		t.Fatalf("drained %v from an empty mailbox", got)
	}
	for i := range 10 {
		if err := m.Put(i); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.Drain(nil, 4, nil); len(got) != 4 || got[3] != 3 {
		t.Fatalf("drained %v, want 0..3", got)
	}
	sum := 0
	got := m.Drain(nil, 16, func(v int) bool { sum += v; return sum < 9 })
	if len(got) != 2 || got[1] != 5 {
		t.Fatalf("drained %v, want 4 and 5: the weight limit is 9", got)
	}
}

func TestActorStopsAllOnFirstFailure(t *testing.T) {
	a := New("test")
	boom := errors.New("boom")
	a.Go("waits", func() error { <-a.Stopping(); return nil })
	a.Go("fails", func() error { return boom })
	if err := a.Wait(); !errors.Is(err, boom) {
		t.Fatalf("ended with %v, want boom", err)
	}
}

func TestActorTurnsPanicIntoError(t *testing.T) {
	a := New("test")
	a.Go("loop", func() error { panic("assertion") })
	if err := a.Wait(); !errors.Is(err, ErrPanic) {
		t.Fatalf("ended with %v, want ErrPanic", err)
	}
}

func TestSaturationFollowsLoad(t *testing.T) {
	now := time.Unix(0, 0)
	s := NewSaturation(now)
	for range 20 { // three quarters of the time working
		now = now.Add(250 * time.Millisecond)
		s.Working(now)
		now = now.Add(750 * time.Millisecond)
		s.Waiting(now)
	}
	if f := s.Fraction(); f < 0.74 || f > 0.76 {
		t.Fatalf("fraction %v, want 0.75", f)
	}
}

// BenchmarkMailboxHop is one message through a mailbox and its answer back.
func BenchmarkMailboxHop(b *testing.B) {
	type message struct{ reply chan int }
	m := NewMailbox[*message](4096)
	a := New("bench")
	a.Go("loop", func() error {
		for {
			select {
			case msg := <-m.C():
				msg.reply <- 1
			case <-a.Stopping():
				return nil
			}
		}
	})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		msg := &message{reply: make(chan int, 1)}
		for pb.Next() {
			if m.Put(msg) == nil {
				<-msg.reply
			}
		}
	})
	a.Stop()
	if err := a.Wait(); err != nil {
		b.Fatal(err)
	}
}
