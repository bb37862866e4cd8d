package sim

import (
	"fmt"

	"holdfast/actors/quorum"
)

// Tuning says what kind of worlds seeds draw.
type Tuning struct {
	Rules          quorum.Rules // switched off
	Sizes          []int        // of erasure sets
	Calls          uint32       // bit per callKind
	Faults         uint32       // bit per faultKind
	MinOps, MaxOps int
	Versioned      bool
}

// Standard has everything in it.
func Standard() Tuning {
	return Tuning{
		Sizes: []int{1, 2, 4, 4, 4, 6, 6, 8, 16},
		Calls: 1<<callKinds - 2, Faults: 1<<faultKinds - 2,
		MinOps: 4, MaxOps: 60, Versioned: true,
	}
}

func (k callKind) String() string {
	return [...]string{"none", "GET", "PUT", "DELETE", "PUT if absent", "PUT if match", "DELETE if match", "tag",
		"upload", "complete", "abort", "PUT null", "purge", "list versions", "", "list", "create bucket", "delete bucket", "freeze", "listed", "GET version", "tag version", "DELETE null", "list pages", "listed version"}[k]
}

func (k faultKind) String() string {
	return [...]string{"none", "crash", "pause", "cut", "clock jump", "drive failure", "lying syncs", "rot",
		"old image", "wipe", "move", "cancel", "split", "late", "lost", "island", "blackout"}[k]
}

func (f *faultPlan) String() string {
	return fmt.Sprintf("a=%d b=%d amount=%d until %d ms", f.a, f.b, f.amount, f.end/ms)
}
