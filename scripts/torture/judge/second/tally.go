package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"holdfast/actors/sim"
)

// count is what came of the histories of one source.
type count struct {
	runs, histories, operations, open int
	right, wrong                      int // by both
	slow                              int // porcupine was stopped
	unknown                           int // the simulator's own search was given up, or no schedule: nothing to compare
	differ                            int
}

// tally counts verdicts, and tells at once of what does not agree.
type tally struct {
	mu     sync.Mutex
	of     [sources]count // guarded by mu
	failed int            // guarded by mu: schedules that could not be played
	widest time.Duration  // guarded by mu: that porcupine took for a history it decided
	out    io.Writer      // guarded by mu
	start  time.Time
	took   time.Duration
}

func (t *tally) ran(from source) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of[from].runs++
}

func (t *tally) fail(j *job, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed++
	fmt.Fprintf(t.out, "%s: %v\n", j, err)
}

func (t *tally) add(j *job, from source, h *sim.History, second sim.Verdict, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &t.of[from]
	c.histories++
	c.operations += len(h.Ops)
	open := 0
	for i := range h.Ops {
		if h.Ops[i].Return == sim.Never {
			open++
		}
	}
	c.open += open
	switch {
	case second == sim.Undecided:
		c.slow++
		fmt.Fprintf(t.out, "%s, %s, key %d (%s): porcupine takes longer than it may: %d operations, %d of them unanswered; the simulator says %s\n",
			j, from, h.Key, h.Spec, len(h.Ops), open, h.Verdict)
		return
	case h.Verdict == sim.Undecided:
		c.unknown++
	case h.Verdict != second:
		c.differ++
		fmt.Fprintf(t.out, "%s, %s, key %d (%s): the simulator says %s, porcupine %s\n", j, from, h.Key, h.Spec, h.Verdict, second)
		for i := range h.Ops {
			fmt.Fprintf(t.out, "  %s %+v\n", h.Ops[i].Kind, h.Ops[i])
		}
	case second == sim.Linearizable:
		c.right++
	default:
		c.wrong++
	}
	t.widest = max(t.widest, took)
}

// differ is how many verdicts do not agree, or could not be asked for.
func (t *tally) differ() int {
	n := t.failed
	for i := range t.of {
		n += t.of[i].differ
	}
	return n
}

func (t *tally) print(w io.Writer) {
	fmt.Fprintf(w, "%-20s %6s %10s %10s %10s %12s %8s %12s %10s %8s\n", "", "runs", "histories", "operations", "unanswered",
		"linearizable", "not", "porcupine >", "ours open", "differ")
	for s := range sources {
		c := &t.of[s]
		fmt.Fprintf(w, "%-20s %6d %10d %10d %10d %12d %8d %12d %10d %8d\n", s, c.runs, c.histories, c.operations, c.open, c.right, c.wrong, c.slow, c.unknown, c.differ)
	}
	fmt.Fprintf(w, "porcupine took %v at most for a history that it decided; %v in all\n", t.widest.Round(time.Millisecond), t.took.Round(time.Millisecond))
}
