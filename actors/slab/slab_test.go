package slab

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/actors/await"
	"holdfast/actors/object"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const one = HeaderRoom + 1<<20

func TestAcquireCountsAndReuses(t *testing.T) {
	p := New(Config{Budget: 4 * one})
	defer p.Close()
	var four [4]*Buf
	if err := p.AcquireN(t.Context(), four[:], 1<<20); err != nil {
		t.Fatal(err)
	}
	if s := p.Stats(); s.InUse != 4*one || s.Buffers != 4 {
		t.Fatalf("stats %+v", s)
	}
	first := &four[3].Data()[0]
	for _, b := range four {
		b.Release()
	}
	b, err := p.Acquire(t.Context(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if &b.Data()[0] != first {
		t.Error("the buffer released last was not used first")
	}
	if len(b.Frame(10)) != HeaderRoom+10 || len(b.All()) != one {
		t.Error("sizes")
	}
	b.Release()
	if s := p.Stats(); s.InUse != 0 || s.Buffers != 0 || s.Cached != 4*one {
		t.Fatalf("stats %+v", s)
	}
}

func TestBudgetTurnsAwayWithBusy(t *testing.T) {
	p := New(Config{Budget: 2 * one, Wait: time.Millisecond})
	defer p.Close()
	b, err := p.Acquire(t.Context(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var two [2]*Buf
	if err := p.AcquireN(t.Context(), two[:], 1<<20); !errors.Is(err, object.ErrBusy) {
		t.Fatalf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.AcquireN(ctx, two[:], 1<<20); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	var three [3]*Buf
	if err := p.AcquireN(t.Context(), three[:], 1<<20); err == nil || errors.Is(err, object.ErrBusy) {
		t.Fatalf("more than the budget: got %v", err)
	}
	b.Release()
	if s := p.Stats(); s.InUse != 0 || s.Waiting != 0 || s.Refused != 2 {
		t.Fatalf("stats %+v", s)
	}
}

func TestOtherClassesMakeRoom(t *testing.T) {
	p := New(Config{Budget: one})
	defer p.Close()
	b, err := p.Acquire(t.Context(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
	small, err := p.Acquire(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	if s := p.Stats(); s.Cached != 0 || s.InUse != HeaderRoom+16<<10 {
		t.Fatalf("stats %+v", s)
	}
	small.Release()
}

func TestManyWaitersNeverDeadlock(t *testing.T) {
	p := New(Config{Budget: 5 * one, Wait: time.Minute})
	defer p.Close()
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			bufs := make([]*Buf, 1+i%5)
			for range 50 {
				if err := p.AcquireN(t.Context(), bufs, 1<<20); err != nil {
					t.Error(err)
					return
				}
				for _, b := range bufs {
					b.Release()
				}
			}
		})
	}
	wg.Wait()
	if s := p.Stats(); s.InUse != 0 || s.Buffers != 0 {
		t.Fatalf("stats %+v", s)
	}
}

func TestIdleBuffersAreGivenBack(t *testing.T) {
	p := New(Config{Budget: one, Idle: time.Millisecond})
	defer p.Close()
	b, err := p.Acquire(t.Context(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
	await.True(t, "the sweep has run", func() bool { return p.Stats().Cached == 0 })
}

func TestDoubleReleasePanics(t *testing.T) {
	p := New(Config{Budget: one})
	defer p.Close()
	b, err := p.Acquire(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	b.Release()
}

func BenchmarkAcquireRelease(b *testing.B) {
	p := New(Config{Budget: 8 * one})
	defer p.Close()
	b.ReportAllocs()
	var bufs [4]*Buf
	for b.Loop() {
		if err := p.AcquireN(b.Context(), bufs[:], 1<<20); err != nil {
			b.Fatal(err)
		}
		for _, x := range bufs {
			x.Release()
		}
	}
}

// TestDisowned: a buffer that something stuck holds counts no more, and is given back when it is let go.
func TestDisowned(t *testing.T) {
	one := int64(HeaderRoom + 16<<10)
	p := New(Config{Budget: one})
	stuck, err := p.Acquire(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *Buf)
	go func() {
		b, err := p.Acquire(t.Context(), 1)
		if err != nil {
			t.Error(err)
		}
		got <- b
	}()
	<-p.Wanted()
	stuck.Disown()
	stuck.Disown()
	b := <-got
	stuck.Data()[0] = 1 // still its holder's
	if st := p.Stats(); st.InUse != one || st.Buffers != 2 {
		t.Errorf("%+v", st)
	}
	stuck.Release()
	b.Release()
	if st := p.Stats(); st.InUse != 0 || st.Buffers != 0 || st.Cached != one {
		t.Errorf("%+v", st)
	}
	p.Close()
}

// What the pool tells about its memory is never further from the truth than a sixteenth of the budget, and
// exact when nothing is mapped.
func TestMappedIsTold(t *testing.T) {
	var told int64
	const budget = 32 * one
	p := New(Config{Budget: budget, Idle: time.Millisecond, Mapped: func(n int64) { told = n }})
	bufs := make([]*Buf, 32)
	for i := range bufs {
		var err error
		if bufs[i], err = p.Acquire(t.Context(), 1<<20); err != nil {
			t.Fatal(err)
		}
		if off := int64(i+1)*one - told; off < 0 || off >= budget/16 {
			t.Fatalf("%d buffers: told of %d bytes", i+1, told)
		}
	}
	bufs[0].Disown()
	for _, b := range bufs {
		b.Release()
	}
	await.True(t, "idle buffers to be given back", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return told == 0
	})
	b, err := p.Acquire(t.Context(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	b.Release()
	if told != 0 || p.mapped != 0 {
		t.Errorf("told of %d bytes, %d mapped after the end", told, p.mapped)
	}
}
