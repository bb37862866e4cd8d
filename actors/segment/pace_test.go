package segment

import (
	"testing"
	"testing/synctest"
	"time"
)

// entered counts the writes that run when so many want to, and lets all of them go.
func entered(p *pace, writers int) (n int) {
	in, done := make(chan struct{}, writers), make(chan struct{})
	for range writers {
		go func() {
			single := p.enter()
			in <- struct{}{}
			<-done
			p.leave(single)
		}()
	}
	synctest.Wait()
	n = len(in)
	close(done)
	synctest.Wait()
	return n
}

func TestDataKeepsBackBehindSmallObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{pace: newPace()}
		if n := entered(s.pace, 5); n != directWrites {
			t.Fatalf("%d writes at a time, want %d", n, directWrites)
		}
		s.SmallSynced()
		if n := entered(s.pace, 5); n != 1 {
			t.Fatalf("%d writes at a time behind a sync of small objects, want 1", n)
		}
		time.Sleep(courtesy)
		if n := entered(s.pace, 5); n != directWrites {
			t.Fatalf("%d writes at a time when small objects have ceased, want %d", n, directWrites)
		}
	})
}
