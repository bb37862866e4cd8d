// Command second asks porcupine for a second opinion on the simulator's histories. The simulator
// (actors/sim) judges them with a checker of its own; here another search with models written apart from
// it judges the same ones, key by key, and the two verdicts must agree.
//
//	second --seeds 1000     so many seeds of each kind of world
//
// It takes the histories of these seeds; each of them once more with one answer changed, which makes most of them
// wrong; those of seeds that are run without one of the protocol's rules, a few for each rule; and all hand-written
// schedules with and without their rule. An unanswered call may take effect at any time, so nothing ends it. A
// history on which porcupine takes longer than --limit is not decided: it is counted and printed, and no failure.
//
// It ends with status 1 if a verdict differs, and prints the history.
package main

import (
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"holdfast/actors/quorum"
	"holdfast/actors/sim"
)

func main() {
	var o options
	flag.Uint64Var(&o.seeds, "seeds", 400, "seeds of each of the four kinds of worlds")
	flag.Uint64Var(&o.from, "from", 1, "the first seed of each kind")
	flag.Uint64Var(&o.off, "off", 10, "seeds of each kind of world without each of the rules")
	flag.DurationVar(&o.limit, "limit", time.Second, "of porcupine, for one history")
	flag.Parse()
	t := o.run(os.Stdout)
	t.print(os.Stdout)
	if t.differ() > 0 {
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	seeds, from, off uint64
	limit            time.Duration
}

// source is where histories come from.
type source int

const (
	fromSeeds source = iota
	fromChanges
	fromRules
	fromSchedules
	sources
)

func (s source) String() string {
	return [...]string{"seeds", "one answer changed", "without a rule", "schedules"}[s]
}

// job is one run of the simulator: a seed, or a schedule.
type job struct {
	source   source
	rule     quorum.RuleName // that is off
	seed     uint64
	schedule *sim.Schedule
}

func (j *job) String() string {
	name := ""
	if j.schedule != nil {
		name = "schedule " + j.schedule.Name
	} else {
		cut := sim.Cut{Seed: j.seed}
		name = "seed " + cut.String()
	}
	if j.rule.Name != "" {
		name += " without " + j.rule.Name
	}
	return name
}

// jobs are all runs.
func (o *options) jobs() (all []job) {
	kinds := []uint64{0, sim.BucketSeeds, sim.DenseSeeds, sim.SkewedSeeds}
	for i := range o.seeds {
		for _, k := range kinds {
			all = append(all, job{source: fromSeeds, seed: k + o.from + i})
		}
	}
	rules := quorum.RuleNames()
	for _, r := range rules {
		for i := range o.off {
			for _, k := range kinds {
				all = append(all, job{source: fromRules, seed: k + o.from + i, rule: r})
			}
		}
	}
	for _, s := range sim.Schedules() {
		all = append(all, job{source: fromSchedules, schedule: &s})
		for _, r := range rules {
			if r.Name == s.Rule {
				all = append(all, job{source: fromSchedules, schedule: &s, rule: r})
			}
		}
	}
	return all
}

// run does all jobs, as many at a time as there are processors, and tells of what does not agree.
func (o *options) run(w io.Writer) *tally {
	t := &tally{start: time.Now(), out: w}
	jobs := make(chan job)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			c := court{limit: o.limit, models: models(), tally: t}
			for j := range jobs {
				c.try(&j)
			}
		})
	}
	for _, j := range o.jobs() {
		jobs <- j
	}
	close(jobs)
	wg.Wait()
	t.took = time.Since(t.start)
	return t
}

// court runs jobs one after the other and has their histories judged.
type court struct {
	limit  time.Duration
	models map[sim.Spec]porcupine.Model
	tally  *tally
}

func (c *court) try(j *job) {
	c.tally.ran(j.source)
	r := rand.New(rand.NewPCG(j.seed, 0))
	take := func(h sim.History) {
		c.hear(j, j.source, &h)
		if j.source != fromSeeds {
			return
		}
		if wrong, ok := spoil(&h, r); ok {
			wrong.Verdict = wrong.Judge()
			c.hear(j, fromChanges, &wrong)
		}
	}
	if j.schedule != nil {
		if err := j.schedule.Histories(j.rule.Rule, take); err != nil {
			c.tally.fail(j, err)
		}
		return
	}
	t := sim.Standard()
	t.Rules = j.rule.Rule
	w := sim.NewWorld(t)
	w.Histories(take)
	w.Run(sim.Cut{Seed: j.seed})
}

// hear asks porcupine and notes both verdicts.
func (c *court) hear(j *job, from source, h *sim.History) {
	start := time.Now()
	verdict := judge(c.models[h.Spec], h, c.limit)
	c.tally.add(j, from, h, verdict, time.Since(start))
}
