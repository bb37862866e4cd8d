package erasureset

import (
	"sync"
	"sync/atomic"
	"testing"
)

type tally struct {
	wg   sync.WaitGroup
	sum  atomic.Int64
	hold chan struct{} // nil: do not wait
}

func (t *tally) do(arg int) {
	if t.hold != nil {
		<-t.hold
	}
	t.sum.Add(int64(arg))
	t.wg.Done()
}

// Nobody waits for another's work: whatever is handed over runs at once, however much is stuck.
func TestCrewRunsAllAtOnceAndEnds(t *testing.T) {
	var c crew
	stuck := &tally{hold: make(chan struct{})}
	const many = 2 * maxIdle
	stuck.wg.Add(many)
	for range many {
		c.run(stuck, 1)
	}
	free := &tally{}
	free.wg.Add(1000)
	for i := range 1000 {
		c.run(free, i)
	}
	free.wg.Wait()
	if got := free.sum.Load(); got != 999*1000/2 {
		t.Fatalf("sum %d", got)
	}
	close(stuck.hold)
	stuck.wg.Wait()
	c.mu.Lock()
	idle := len(c.idle)
	c.mu.Unlock()
	if idle > maxIdle {
		t.Fatalf("%d goroutines wait for work, at most %d should", idle, maxIdle)
	}
	c.close() // goleak finds those that stay
}

func BenchmarkCrew(b *testing.B) {
	var c crew
	defer c.close()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		t := &tally{}
		for pb.Next() {
			t.wg.Add(1)
			c.run(t, 1)
			t.wg.Wait()
		}
	})
}
