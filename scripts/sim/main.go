// Command sim runs the protocol simulator over many seeds, replays one, or switches each rule of the
// protocol off and looks for the seed that shows why it is there.
//
//	sim --seeds 1000000              run that many seeds; progress and rate once a second
//	sim --replay 4711                run one seed and print what happened
//	sim --replay 4711/0ff8/01/1f     the same, cut down as a failure was printed
//	sim --schedule H7                play a schedule that was written by hand
//	sim --every 2                    four drives, two writers, a reader and a crash in every order that differs
//	                                 from first come, first served in at most two places
//	sim --mutate                     print the table rule -> seed -> hole
//
// It ends with status 1 if a seed fails (or, with --mutate, if a rule's removal is not noticed).
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"holdfast/actors/quorum"
	"holdfast/actors/sim"
)

// options are the flags.
type options struct {
	seeds, from, limit  uint64
	workers             int
	replay, only        string
	stop, every         int
	raw, buckets, dense bool
	skewed              bool
	schedule            string
	mutate              bool
}

func main() {
	var o options
	flag.Uint64Var(&o.seeds, "seeds", 10_000, "how many seeds to run")
	flag.Uint64Var(&o.from, "from", 1, "the first seed")
	flag.Uint64Var(&o.limit, "limit", 100_000, "of --mutate: seeds per rule")
	flag.IntVar(&o.workers, "workers", 0, "seeds at a time; 0 = one per processor")
	flag.StringVar(&o.replay, "replay", "", "a seed, or a failure as it was printed")
	flag.StringVar(&o.only, "only", "", "of --mutate: this rule alone; else: with this rule off")
	flag.StringVar(&o.schedule, "schedule", "", "play this hand-written schedule, e.g. H7, and print what happens; with --only without that rule")
	flag.IntVar(&o.stop, "stop", 10, "stop after so many failures")
	flag.IntVar(&o.every, "every", 0, "try every order of a small world that differs from first come, first served in at most so many places")
	flag.BoolVar(&o.raw, "raw", false, "do not cut failures down")
	flag.BoolVar(&o.mutate, "mutate", false, "switch each rule off in turn")
	flag.BoolVar(&o.buckets, "buckets", false, "seeds of worlds whose bucket comes and goes, and is listed; they are written b1, b2 ..")
	flag.BoolVar(&o.dense, "dense", false, "seeds of small worlds where few kinds of things go wrong, but often; they are written d1, d2 ..")
	flag.BoolVar(&o.skewed, "skewed", false, "seeds of small worlds whose bad luck strikes some kinds of messages, and nodes together; they are written s1, s2 ..")
	flag.Parse()
	if o.buckets {
		o.from += sim.BucketSeeds
	} else if o.dense {
		o.from += sim.DenseSeeds
	} else if o.skewed {
		o.from += sim.SkewedSeeds
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, &o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) error {
	switch {
	case o.replay != "":
		return replay(o)
	case o.schedule != "":
		return play(o)
	case o.mutate:
		return mutate(ctx, o)
	case o.every > 0:
		return every(ctx, o)
	}
	b := sim.Batch{Tuning: sim.Standard(), First: o.from, Count: o.seeds, Workers: o.workers, Stop: o.stop, Raw: o.raw, Progress: progress}
	b.Tuning.Rules = ruleNamed(o.only)
	start := time.Now()
	stats, failures := b.Run(ctx)
	progress(stats, time.Since(start))
	for i := range failures {
		fmt.Printf("seed %d: %s\n  sim --replay %s\n", failures[i].Seed, failures[i].Violation, failures[i].Cut.String())
	}
	if len(failures) > 0 {
		return fmt.Errorf("%d seeds failed", len(failures))
	}
	return ctx.Err()
}

func progress(s sim.Stats, d time.Duration) {
	rate := float64(s.Seeds) / d.Seconds()
	fmt.Printf("%9d seeds  %7.0f/s  %d events, %d calls, %d of them unknown, %d failed, %d histories undecided, the widest search %d states\n",
		s.Seeds, rate, s.Events, s.Calls, s.Unknown, s.Failed, s.Undecided, s.Widest)
}

// every explores small worlds exhaustively within the bound.
func every(ctx context.Context, o *options) error {
	for _, x := range sim.Explorations() {
		x.Bound, x.Rules = o.every, ruleNamed(o.only)
		v, path := x.Run()
		fmt.Println(x.String())
		if v != nil {
			return fmt.Errorf("%w\n  %s", v, path)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// replay runs one seed and prints what happens in it.
func replay(o *options) error {
	c, err := sim.ParseCut(o.replay)
	if err != nil {
		return err
	}
	t := sim.Standard()
	t.Rules = ruleNamed(o.only)
	w := sim.NewWorld(t)
	w.Trace(func(format string, args ...any) { fmt.Printf(format+"\n", args...) })
	if v := w.Run(c); v != nil {
		return v
	}
	fmt.Println("no rule is broken")
	return nil
}

// play plays one schedule and prints what happens in it.
func play(o *options) error {
	for _, s := range sim.Schedules() {
		if s.Name != o.schedule {
			continue
		}
		v, err := s.Play(ruleNamed(o.only), func(format string, args ...any) { fmt.Printf(format+"\n", args...) })
		if v != nil {
			return v
		}
		return err
	}
	return fmt.Errorf("there is no schedule %q", o.schedule)
}

func ruleNamed(name string) quorum.Rules {
	for _, r := range quorum.RuleNames() {
		if r.Name == name {
			return r.Rule
		}
	}
	return 0
}

// mutate prints what each rule's absence breaks.
func mutate(ctx context.Context, o *options) error {
	missed := 0
	fmt.Println("| rule off | found by seed | breaks | schedules |\n|---|---|---|---|")
	for _, r := range quorum.RuleNames() {
		if o.only != "" && o.only != r.Name || ctx.Err() != nil {
			continue
		}
		m := sim.Mutate(ctx, r, o.limit, o.workers)
		fmt.Println(m.Row())
		if !m.Noticed() {
			missed++
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d rules can be switched off unnoticed", missed)
	}
	return ctx.Err()
}
