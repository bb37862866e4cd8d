package sim

import (
	"context"
	"fmt"
	"strings"

	"holdfast/actors/quorum"
)

// Mutation is what happened when one rule was switched off.
type Mutation struct {
	Rule  quorum.RuleName
	Seeds uint64   // that were run until it was noticed, or all
	Found *Failure // nil: not noticed by random seeds
	// Schedules are those that break without the rule, as their tests prove.
	Schedules []string
}

// Mutate switches one rule off, runs up to limit seeds, and says what broke: a few of the first
// two kinds, which most rules do not outlast, and then dense and skewed ones.
func Mutate(ctx context.Context, rule quorum.RuleName, limit uint64, workers int) Mutation {
	m := Mutation{Rule: rule}
	t := Standard()
	t.Rules = rule.Rule
	few := min(limit/3, 2000)
	rest := limit - 2*few
	dense := min(rest/2, 20_000)
	for _, b := range []Batch{{First: 1, Count: few}, {First: BucketSeeds + 1, Count: few}, {First: DenseSeeds + 1, Count: dense}, {First: SkewedSeeds + 1, Count: rest - dense}} {
		b.Tuning, b.Workers = t, workers
		stats, failures := b.Run(ctx)
		m.Seeds += stats.Seeds
		for i := range failures {
			if m.Found == nil || failures[i].Seed < m.Found.Seed {
				m.Found = &failures[i]
			}
		}
		if m.Found != nil {
			break
		}
	}
	for _, s := range Schedules() {
		if s.Rule == rule.Name {
			m.Schedules = append(m.Schedules, s.Name)
		}
	}
	return m
}

// Noticed says whether the rule's absence broke anything.
func (m *Mutation) Noticed() bool { return m.Found != nil || len(m.Schedules) > 0 }

// Row is the mutation's row of the table in DESIGN.md.
func (m *Mutation) Row() string {
	seed, hole := fmt.Sprintf("not in %d", m.Seeds), ""
	if m.Found != nil {
		seed, hole = "`"+m.Found.Cut.String()+"`", m.Found.Rule
	}
	return fmt.Sprintf("| %s | %s | %s | %s |", m.Rule.Name, seed, hole, strings.Join(m.Schedules, ", "))
}
