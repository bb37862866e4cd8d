package sim

import (
	"runtime"
	"testing"
	"time"

	"holdfast/actors/quorum"
)

// TestSeeds is the proof in small: the same worlds as the command scripts/sim, 10,000 of them.
func TestSeeds(t *testing.T) {
	b := Batch{Tuning: Standard(), First: 1, Count: 10_000, Stop: 5}
	if testing.Short() {
		b.Count = 500
	}
	start := time.Now()
	stats, failures := b.Run(t.Context())
	for i := range failures {
		t.Errorf("seed %d: %v\n\tgo run ./scripts/sim --replay %s", failures[i].Seed, failures[i].Violation, failures[i].Cut.String())
	}
	t.Logf("%d seeds, %d events, %.0f seeds/s on %d processors, the widest search %d states", stats.Seeds, stats.Events,
		float64(stats.Seeds)/time.Since(start).Seconds(), runtime.GOMAXPROCS(0), stats.Widest)
}

// TestBucketSeeds is the same for worlds whose bucket comes and goes, and is listed.
func TestBucketSeeds(t *testing.T) {
	b := Batch{Tuning: Standard(), First: BucketSeeds + 1, Count: 4000, Stop: 5}
	if testing.Short() {
		b.Count = 200
	}
	_, failures := b.Run(t.Context())
	for i := range failures {
		t.Errorf("%v\n\tgo run ./scripts/sim --replay %s", failures[i].Violation, failures[i].Cut.String())
	}
}

// TestDenseSeeds is the same for small worlds where few kinds of things go wrong, but often.
func TestDenseSeeds(t *testing.T) {
	b := Batch{Tuning: Standard(), First: DenseSeeds + 1, Count: 4000, Stop: 5}
	if testing.Short() {
		b.Count = 200
	}
	_, failures := b.Run(t.Context())
	for i := range failures {
		t.Errorf("%v\n\tgo run ./scripts/sim --replay %s", failures[i].Violation, failures[i].Cut.String())
	}
}

// TestSkewedSeeds is the same for small worlds whose bad luck is skewed.
func TestSkewedSeeds(t *testing.T) {
	b := Batch{Tuning: Standard(), First: SkewedSeeds + 1, Count: 8000, Stop: 5}
	if testing.Short() {
		b.Count = 400
	}
	_, failures := b.Run(t.Context())
	for i := range failures {
		t.Errorf("%v\n\tgo run ./scripts/sim --replay %s", failures[i].Violation, failures[i].Cut.String())
	}
}

// TestMutationsAreNoticed switches some rules off: the simulator is only as good as what it misses. The
// command's --mutate does it for all, and longer.
func TestMutationsAreNoticed(t *testing.T) {
	for _, name := range []string{"accept-promise", "write-quorum", "evidence", "stable-or-w", "skip-bound", "kill-proof", "mark-exclusion", "same-write-id", "flip-wait", "watermark", "resolve-first"} {
		for _, r := range quorum.RuleNames() {
			if r.Name != name {
				continue
			}
			if m := Mutate(t.Context(), r, 2000, 0); m.Found == nil {
				t.Errorf("without %s %d seeds are clean", name, m.Seeds)
			} else if v := NewWorld(Standard()).Run(m.Found.Cut); v != nil {
				t.Errorf("%s: the seed found fails with the rule on as well: %v", name, v)
			}
		}
	}
}
