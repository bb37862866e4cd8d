package sim

import (
	"slices"
	"testing"
)

// TestHistoriesAreHandedOut: what others are given is judged as it was in the world, says of each operation
// whether it was answered, and costs the run nothing.
func TestHistoriesAreHandedOut(t *testing.T) {
	seen := map[Spec]int{}
	w, plain := NewWorld(Standard()), NewWorld(Standard())
	answered, open := 0, 0
	w.Histories(func(h History) {
		seen[h.Spec]++
		if got := h.Judge(); got != h.Verdict {
			t.Errorf("key %d: the world says %s, Judge %s", h.Key, h.Verdict, got)
		}
		for i := range h.Ops {
			switch o := &h.Ops[i]; {
			case o.Return == Never:
				open++
			case o.Return < o.Invoke || o.Kind == 0:
				t.Fatalf("key %d: %+v", h.Key, *o)
			default:
				answered++
			}
		}
	})
	for _, first := range []uint64{1, BucketSeeds + 1, DenseSeeds + 1, SkewedSeeds + 1} {
		for seed := first; seed < first+100; seed++ {
			if a, b := w.Run(Cut{Seed: seed}), plain.Run(Cut{Seed: seed}); a != nil || b != nil {
				t.Errorf("seed %d: %v, %v", seed, a, b)
			}
		}
	}
	if w.Stats != plain.Stats {
		t.Errorf("with histories taken %+v, else %+v", w.Stats, plain.Stats)
	}
	for _, s := range []Spec{SpecRegister, SpecVersions, SpecBucket} {
		if seen[s] < 10 {
			t.Errorf("%d histories of %s", seen[s], s)
		}
	}
	if answered < 100 || open < 10 {
		t.Errorf("%d operations were answered, %d were not", answered, open)
	}
}

// TestWrongHistoriesAreHandedOut: those of schedules without their rule, also where another invariant broke first.
func TestWrongHistoriesAreHandedOut(t *testing.T) {
	for _, s := range Schedules() {
		if s.Breaks != "linearizable" {
			continue
		}
		var verdicts []Verdict
		if err := s.Histories(s.Off(), func(h History) { verdicts = append(verdicts, h.Verdict) }); err != nil {
			t.Error(err)
		}
		if !slices.Contains(verdicts, NotLinearizable) {
			t.Errorf("%s without %s: %v", s.Name, s.Rule, verdicts)
		}
	}
}
