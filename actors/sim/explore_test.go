package sim

import (
	"testing"
	"time"

	"holdfast/actors/quorum"
)

// TestEveryOrder explores two writers, a reader and a crash on four drives: every order within the bound.
func TestEveryOrder(t *testing.T) {
	bound := 2
	if testing.Short() {
		bound = 1
	}
	for _, x := range Explorations() {
		x.Bound, x.Time = bound, 10*time.Minute
		if v, path := x.Run(); v != nil {
			t.Errorf("%v and %v: %v\n\t%s", x.Writers[0], x.Writers[1], v, path)
		}
		t.Log(x.String())
		if !x.Complete {
			t.Error("it took too long")
		}
	}
}

// TestExplorationFindsHoles switches rules off that four drives and two writers suffice to miss.
func TestExplorationFindsHoles(t *testing.T) {
	for _, x := range []Explore{
		{Rules: quorum.NoStableOrW, Writers: [2]callKind{callPut, callPut}, Crash: true},
		{Rules: quorum.NoWriteQuorum, Writers: [2]callKind{callPut, callPut}},
		{Rules: quorum.NoPromiseClause, Writers: [2]callKind{callPutIfAbsent, callPutIfAbsent}},
	} {
		x.Bound, x.Time = 3, 10*time.Minute
		if v, _ := x.Run(); v == nil {
			t.Errorf("rules %b off: nothing found in %d states", x.Rules, x.States)
		}
	}
}
