package sim

import (
	"errors"
	"testing"

	"holdfast/actors/quorum"
)

// TestSchedules plays what is written down by hand: nothing breaks with all rules on, and what the
// schedule names breaks without its rule.
func TestSchedules(t *testing.T) {
	for _, s := range Schedules() {
		t.Run(s.Name, func(t *testing.T) {
			v, err := s.Play(0, nil)
			if err != nil {
				t.Error(err)
			}
			if v != nil {
				t.Errorf("with all rules on: %v", v)
			}
			if s.Rule == "" {
				return
			}
			if s.Off() == 0 {
				t.Fatalf("there is no rule %q", s.Rule)
			}
			if v, _ = s.Play(s.Off(), nil); v == nil {
				t.Errorf("nothing breaks without %s", s.Rule)
			} else if v.Rule != s.Breaks {
				t.Errorf("without %s this breaks: %v; want %s", s.Rule, v, s.Breaks)
			}
		})
	}
}

// TestEveryRuleHasASchedule keeps the table whole: seeds come and go with the drawing of plans.
func TestEveryRuleHasASchedule(t *testing.T) {
	has := map[string]bool{}
	for _, s := range Schedules() {
		has[s.Rule] = true
	}
	for _, r := range quorum.RuleNames() {
		if !has[r.Name] {
			t.Errorf("no schedule shows the need of %s", r.Name)
		}
	}
}

func TestABadScheduleIsToldOf(t *testing.T) {
	s := Schedule{Name: "bad", Steps: "n 4\nsend u commit 0"}
	_, err := s.Play(0, nil)
	if e := (*ScheduleError)(nil); !errors.As(err, &e) || e.Line != 2 {
		t.Errorf("%v", err)
	}
}
