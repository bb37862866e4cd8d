package sim

import (
	"context"
	"fmt"

	"holdfast/actors/quorum"
)

// Mutation is what happened when one rule was switched off.
type Mutation struct {
	Rule  quorum.RuleName
	Seeds uint64   // that were run until it was noticed, or all
	Found *Failure // nil: not noticed by random seeds
}

// Mutate switches one rule off, runs up to limit seeds, and says what broke.
func Mutate(ctx context.Context, rule quorum.RuleName, limit uint64, workers int) Mutation {
	m := Mutation{Rule: rule}
	t := Standard()
	t.Rules = rule.Rule
	b := Batch{Tuning: t, First: 1, Count: limit, Workers: workers}
	stats, failures := b.Run(ctx)
	m.Seeds = stats.Seeds
	for i := range failures {
		if m.Found == nil || failures[i].Seed < m.Found.Seed {
			m.Found = &failures[i]
		}
	}
	return m
}

// Noticed says whether the rule's absence broke anything.
func (m *Mutation) Noticed() bool { return m.Found != nil }

// Row is the mutation's row of the table in DESIGN.md.
func (m *Mutation) Row() string {
	seed, hole := "not found", ""
	if m.Found != nil {
		seed, hole = "`"+m.Found.Cut.String()+"`", m.Found.Rule
	}
	return fmt.Sprintf("| %s | %s | %s |", m.Rule.Name, seed, hole)
}
