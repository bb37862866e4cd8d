package main

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"holdfast/actors/quorum"
	"holdfast/actors/sim"
)

// TestVerdictsAgree is the command in small. The comparison says something only if both kinds of histories
// are among them, of each source that has both.
func TestVerdictsAgree(t *testing.T) {
	var out bytes.Buffer
	o := options{seeds: 50, from: 1, off: 1, limit: 10 * time.Second}
	got := o.run(&out)
	if got.differ() > 0 || out.Len() > 0 {
		t.Errorf("%d verdicts differ:\n%s", got.differ(), &out)
	}
	got.print(&out)
	for s, least := range map[source]struct{ right, wrong int }{
		fromSeeds: {200, 0}, fromChanges: {10, 100}, fromSchedules: {50, 30}, fromRules: {200, 0},
	} {
		if c := got.of[s]; c.right < least.right || c.wrong < least.wrong || s == fromSeeds && c.wrong > 0 {
			t.Errorf("%s: %d histories are linearizable, %d are not\n%s", s, c.right, c.wrong, &out)
		}
	}
}

// TestSchedulesWithoutTheirRuleAreWrong: porcupine finds what the simulator found.
func TestSchedulesWithoutTheirRuleAreWrong(t *testing.T) {
	all := models()
	for _, s := range sim.Schedules() {
		for _, off := range []quorum.Rules{0, s.Off()} {
			wrong := 0
			if err := s.Histories(off, func(h sim.History) {
				if judge(all[h.Spec], &h, time.Minute) == sim.NotLinearizable {
					wrong++
				}
			}); err != nil {
				t.Error(err)
			}
			if broken := off != 0 && s.Breaks == "linearizable"; broken && wrong == 0 || off == 0 && wrong > 0 {
				t.Errorf("%s, rules off %v: %d histories are wrong", s.Name, off != 0, wrong)
			}
		}
	}
}

// do makes operations one behind the other.
func do(ops ...sim.Operation) []sim.Operation {
	for i := range ops {
		ops[i].Invoke = int64(2 * i)
		if ops[i].Return == 0 {
			ops[i].Return = ops[i].Invoke + 1
		}
	}
	return ops
}

func TestModels(t *testing.T) {
	type o = sim.Operation
	put := func(v uint16) o { return o{Kind: sim.Put, Value: v} }
	get := func(v uint16) o { return o{Kind: sim.Get, Value: v, Tag: v} }
	lost := func(x o) o { x.Return = sim.Never; return x }
	row := func(v uint16) sim.Row { return sim.Row{Value: v, Tag: v} }
	list := func(rows ...sim.Row) o { return o{Kind: sim.Versions, List: rows} }
	create, upload := o{Kind: sim.Create}, o{Kind: sim.Upload, Value: 5}
	complete := o{Kind: sim.Complete, Want: 5}
	refused := func(x o) o { x.Refused = true; return x }
	const reg, ver, buc = sim.SpecRegister, sim.SpecVersions, sim.SpecBucket
	for _, c := range []struct {
		name string
		spec sim.Spec
		ok   bool
		ops  []o
	}{
		{"a lost write", reg, false, do(put(1), get(0))},
		{"unanswered, seen late", reg, true, do(lost(put(1)), get(0), get(1))},
		{"unanswered, seen and gone again", reg, false, do(lost(put(1)), get(1), get(0))},
		{"unanswered, its condition false", reg, false, do(put(1), lost(o{Kind: sim.PutIfAbsent, Value: 2}), get(2))},
		{"refused for nothing", reg, false, do(refused(o{Kind: sim.PutIfAbsent, Value: 2}))},
		{"a tag goes with its object", reg, false, do(put(1), o{Kind: sim.Tag, Tag: 3}, put(2), o{Kind: sim.Get, Value: 2, Tag: 3})},
		{"completed again while it stands", reg, true, do(upload, complete, complete, get(5))},
		{"completed twice", reg, false, do(upload, complete, put(6), complete)},
		{"aborted behind its completion", reg, false, do(upload, complete, o{Kind: sim.Abort, Want: 5})},
		{"gone with another completion", reg, true, do(upload, lost(complete), refused(complete), get(0))},
		{"gone with nobody", reg, false, do(upload, refused(complete), get(0))},
		{"a marker hides and a purge of it shows", ver, true, do(put(1), o{Kind: sim.Delete, Value: 2}, get(0), o{Kind: sim.Purge, Want: 2}, get(1))},
		{"a null version takes the other's place", ver, true, do(o{Kind: sim.PutNull, Value: 1}, put(2), o{Kind: sim.PutNull, Value: 3}, list(row(2), sim.Row{Value: 3, Tag: 3, Null: true}))},
		{"versions changed places", ver, false, do(put(1), put(2), list(row(2), row(1)))},
		{"the unanswered lie anywhere in a list", ver, true, do(put(1), lost(put(2)), put(3), list(row(2), row(1), row(3)))},
		{"a held version is purged", ver, false, do(put(1), o{Kind: sim.Purge, Want: 1, Locked: true})},
		{"a held version is spared", ver, true, do(put(1), o{Kind: sim.Purge, Want: 1, Locked: true, Refused: true, Held: true}, get(1))},
		{"a page leaves a version out", ver, false, do(put(1), o{Kind: sim.ListedAt, Want: 1})},
		{"tagged by id and not on top", ver, true, do(put(1), put(2), o{Kind: sim.TagAt, Want: 1, Tag: 7}, get(2), o{Kind: sim.GetAt, Want: 1, Value: 1, Tag: 7})},
		{"a bucket with something is deleted", buc, false, do(create, put(1), o{Kind: sim.Drop})},
		{"nothing leaks into the next", buc, false, do(create, put(1), o{Kind: sim.Delete}, o{Kind: sim.Drop}, create, o{Kind: sim.Listed, Value: 1})},
		{"a write behind a freeze", buc, false, do(create, o{Kind: sim.Freeze, Value: 1}, put(1))},
		{"gone though it is there", buc, false, do(create, o{Kind: sim.Get, Gone: true})},
	} {
		h := sim.History{Spec: c.spec, Ops: c.ops}
		if got := judge(models()[c.spec], &h, time.Minute); (got == sim.Linearizable) != c.ok {
			t.Errorf("%s: %s", c.name, got)
		}
		if got := h.Judge(); (got == sim.Linearizable) != c.ok {
			t.Errorf("%s: the simulator's checker says %s", c.name, got)
		}
	}
}

// TestADifferenceIsTold: verdicts that differ are counted and shown with their history; a history that
// takes too long is counted as such.
func TestADifferenceIsTold(t *testing.T) {
	var out bytes.Buffer
	tally := tally{out: &out}
	c := court{limit: time.Minute, models: models(), tally: &tally}
	h := sim.History{Spec: sim.SpecRegister, Verdict: sim.Linearizable, Ops: do(sim.Operation{Kind: sim.Get, Value: 9})}
	c.hear(&job{seed: sim.DenseSeeds + 7}, fromSeeds, &h)
	if tally.differ() != 1 || !strings.Contains(out.String(), "seed d7, seeds, key 0 (register): the simulator says linearizable, porcupine not linearizable") {
		t.Errorf("%d verdicts differ: %s", tally.differ(), &out)
	}
	tally.add(&job{}, fromSeeds, &h, sim.Undecided, time.Second)
	if tally.differ() != 1 || tally.of[fromSeeds].slow != 1 || !strings.Contains(out.String(), "takes longer") {
		t.Errorf("%+v: %s", tally.of[fromSeeds], &out)
	}
}

// TestSpoilChangesACopy: one answer is another, and the history that it was taken from is what it was.
func TestSpoilChangesACopy(t *testing.T) {
	h := sim.History{Spec: sim.SpecVersions, Ops: do(sim.Operation{Kind: sim.Put, Value: 1}, sim.Operation{Kind: sim.Versions, List: []sim.Row{{Value: 1, Tag: 1}}})}
	got, ok := spoil(&h, rand.New(rand.NewPCG(1, 2)))
	if !ok || len(got.Ops[1].List) != 0 || len(h.Ops[1].List) != 1 {
		t.Errorf("%v, %+v of %+v", ok, got, h)
	}
}
