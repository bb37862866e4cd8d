package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// nemesis does faults to the server, one after the other, some of them two at a time. What comes when
// follows from the seed.
type nemesis struct {
	p      *server
	at     *places
	rng    *rand.Rand
	rec    *recorder
	names  []string
	offset time.Duration // of the server's clock
}

// fault does something to the server, waits and undoes it. An error is one of the server, which cannot
// be tortured any more.
type fault struct {
	name string
	do   func(n *nemesis, ctx context.Context) (what string, err error)
}

// faults is everything that can be done.
func faults() []fault {
	return []fault{
		{"kill", (*nemesis).kill},
		{"pause", (*nemesis).pause},
		{"full", (*nemesis).full},
		{"error", (*nemesis).err},
		{"hang", (*nemesis).hang},
		{"halves", (*nemesis).halves},
		{"slow", (*nemesis).slow},
		{"absent", (*nemesis).absent},
		{"clock", (*nemesis).clock},
	}
}

func faultNames() (out []string) {
	for _, f := range faults() {
		out = append(out, f.name)
	}
	return out
}

// chosen reads --faults.
func chosen(words string) ([]string, error) {
	switch words {
	case "all":
		return faultNames(), nil
	case "none", "":
		return nil, nil
	}
	out := strings.Split(words, ",")
	for _, w := range out {
		if !slices.Contains(faultNames(), w) {
			return nil, fmt.Errorf("--faults %q: there is no %q, only %s", words, w, strings.Join(faultNames(), ","))
		}
	}
	return out, nil
}

// run works until ctx ends. It leaves the server running, with every fault undone.
func (n *nemesis) run(ctx context.Context) error {
	all := slices.DeleteFunc(faults(), func(f fault) bool { return !slices.Contains(n.names, f.name) })
	for len(all) > 0 && n.rest(ctx, 200*time.Millisecond, 1200*time.Millisecond) {
		f := all[n.rng.IntN(len(all))]
		from := n.rec.now()
		what, err := f.do(n, ctx)
		n.rec.fault(from, what)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

// rest waits a random time, most often closer to the least, and reports whether ctx still runs.
func (n *nemesis) rest(ctx context.Context, least, most time.Duration) bool {
	r := n.rng.Float64()
	timer := time.NewTimer(least + time.Duration(r*r*float64(most-least)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// restart starts the server that is down.
func (n *nemesis) restart() error { return n.p.start(n.offset, n.rng.IntN(2) == 0) }

func (n *nemesis) kill(ctx context.Context) (string, error) {
	n.p.Kill()
	n.rest(ctx, 0, 500*time.Millisecond)
	return "kill -9 and restart", n.restart()
}

func (n *nemesis) pause(ctx context.Context) (string, error) {
	n.p.Signal(syscall.SIGSTOP, false)
	n.rest(ctx, 50*time.Millisecond, 7*time.Second)
	n.p.Signal(syscall.SIGCONT, false)
	return "SIGSTOP and SIGCONT", nil
}

// drive picks one.
func (n *nemesis) drive() int { return n.rng.IntN(len(n.at.drives)) }

// sick makes one drive, or now and then two, behave as the words say for a while.
func (n *nemesis) sick(ctx context.Context, most time.Duration, words ...string) (string, []int, error) {
	drives := []int{n.drive()}
	if second := n.drive(); n.rng.IntN(6) == 0 && second != drives[0] {
		drives = append(drives, second)
	}
	what := strings.Join(words, " and ") + " on"
	for _, d := range drives {
		what += fmt.Sprintf(" drive%d", d+1)
		if err := n.p.order(append([]string{"drive", n.at.drives[d]}, words...)...); err != nil {
			return what, nil, err
		}
	}
	n.rest(ctx, 200*time.Millisecond, most)
	return what, drives, nil
}

func (n *nemesis) well(drives []int) error {
	for _, d := range drives {
		if err := n.p.order("drive", n.at.drives[d], "good"); err != nil {
			return err
		}
	}
	return nil
}

// err makes a drive err. One that failed stays out until the next start, which follows, in one of two
// cases while the drive is still at fault.
func (n *nemesis) err(ctx context.Context) (string, error) {
	words := [][]string{{"read-errors"}, {"write-errors"}, {"sync-errors"}, {"read-errors", "write-errors", "sync-errors"}}[n.rng.IntN(4)]
	what, drives, err := n.sick(ctx, 3*time.Second, words...)
	if err != nil {
		return what, err
	}
	if n.rng.IntN(2) == 0 {
		if err := n.well(drives); err != nil {
			return what, err
		}
		n.rest(ctx, 0, time.Second)
	}
	n.p.Kill()
	return what + ", then kill -9 and restart", n.restart()
}

// hang lets calls of a drive hang, for longer than the server has patience at times. It may be killed
// meanwhile.
func (n *nemesis) hang(ctx context.Context) (string, error) {
	what, drives, err := n.sick(ctx, 15*time.Second, "hang")
	if err != nil {
		return what, err
	}
	if n.rng.IntN(3) == 0 {
		n.p.Kill()
		return what + ", then kill -9 and restart", n.restart()
	}
	return what, n.well(drives)
}

// halves lets one half of the drives hang, then the other, then the first again: what one half took alone
// must not have been acknowledged, and what was acknowledged must be known to each half.
func (n *nemesis) halves(ctx context.Context) (string, error) {
	order := n.rng.Perm(len(n.at.drives))
	half := [2][]int{order[:len(order)/2], order[len(order)/2:]}
	what := fmt.Sprintf("halves hang in turn, drives %v first (of 0..%d)", half[0], len(order)-1)
	for turn := range 2 + n.rng.IntN(3) {
		for _, d := range half[turn%2] {
			if err := n.p.order("drive", n.at.drives[d], "hang"); err != nil {
				return what, err
			}
		}
		if err := n.well(half[(turn+1)%2]); err != nil {
			return what, err
		}
		n.rest(ctx, 50*time.Millisecond, 1500*time.Millisecond)
	}
	return what, n.well(order)
}

func (n *nemesis) slow(ctx context.Context) (string, error) {
	what, drives, err := n.sick(ctx, 3*time.Second, "slow")
	if err != nil {
		return what, err
	}
	return what, n.well(drives)
}

// full fills the small file system behind the server's back, or pretends a full drive.
func (n *nemesis) full(ctx context.Context) (string, error) {
	if n.at.small < 0 || n.rng.IntN(3) == 0 {
		what, drives, err := n.sick(ctx, 4*time.Second, "no-space")
		if err != nil {
			return what, err
		}
		return what, n.well(drives)
	}
	what := fmt.Sprintf("drive%d filled by others", n.at.small+1)
	if err := n.at.fill(); err != nil {
		return what, err
	}
	n.rest(ctx, 200*time.Millisecond, 4*time.Second)
	killed := n.rng.IntN(3) == 0
	if killed {
		what += ", kill -9 and restart while it was"
		n.p.Kill()
		if err := n.restart(); err != nil {
			return what, err
		}
		n.rest(ctx, 0, time.Second)
	}
	return what, n.at.free()
}

// absent takes a drive away, as an unmounted file system goes, and brings it back.
func (n *nemesis) absent(ctx context.Context) (string, error) {
	d := n.drive()
	what := fmt.Sprintf("drive%d taken away", d+1)
	if err := os.Rename(n.at.drives[d], n.at.away(d)); err != nil {
		return what, err
	}
	n.rest(ctx, 200*time.Millisecond, 5*time.Second)
	if n.rng.IntN(3) == 0 {
		what += ", kill -9 and restart while it was"
		n.p.Kill()
		if err := n.restart(); err != nil {
			return what, err
		}
		n.rest(ctx, 0, time.Second)
	}
	return what, os.Rename(n.at.away(d), n.at.drives[d])
}

// clock gives the server another wall clock, up to some minutes off, at once or by a restart.
func (n *nemesis) clock(ctx context.Context) (string, error) {
	n.offset = time.Duration(n.rng.Int64N(int64(10*time.Minute))) - 5*time.Minute
	what := fmt.Sprintf("clock offset %v", n.offset.Round(time.Millisecond))
	if n.rng.IntN(2) == 0 {
		return what, n.p.order("clock", n.offset.String())
	}
	n.p.Kill()
	return what + " by kill -9 and restart", n.restart()
}
