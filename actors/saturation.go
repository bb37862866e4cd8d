package actors

import (
	"sync/atomic"
	"time"
)

// Saturation measures which part of its time a loop works and which it waits for mail: the vital
// sign of an actor. Working and Waiting are called by the loop alone, Fraction by anyone.
//
// The fraction is an exponential average with a half-life of about halfLife, so it follows load
// within seconds and needs no reset between scrapes.
type Saturation struct {
	since   time.Time // owned by loop: start of the current phase
	busy    time.Duration
	idle    time.Duration
	window  time.Time     // owned by loop: start of the current window
	average atomic.Uint64 // fraction * 1e6
}

// halfLife is how long a window is before it is folded into the average with weight one half.
const halfLife = time.Second

// NewSaturation starts measuring at now, in the waiting phase.
func NewSaturation(now time.Time) *Saturation {
	return &Saturation{since: now, window: now}
}

// Working ends a phase of waiting.
func (s *Saturation) Working(now time.Time) {
	s.idle += now.Sub(s.since)
	s.since = now
	s.fold(now)
}

// Waiting ends a phase of work.
func (s *Saturation) Waiting(now time.Time) {
	s.busy += now.Sub(s.since)
	s.since = now
	s.fold(now)
}

// Fraction is the part of recent time spent working, 0..1.
func (s *Saturation) Fraction() float64 { return float64(s.average.Load()) / 1e6 }

func (s *Saturation) fold(now time.Time) {
	if now.Sub(s.window) < halfLife {
		return
	}
	if total := s.busy + s.idle; total > 0 {
		recent := float64(s.busy) / float64(total)
		s.average.Store(uint64((s.Fraction() + recent) / 2 * 1e6))
	}
	s.busy, s.idle, s.window = 0, 0, now
}
