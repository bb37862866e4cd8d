package quorum

import (
	"slices"
	"testing"
	"time"

	"holdfast/actors/object"
)

// A key with many versions must not hold up its writers: what resolves, heals or collects it steps in the
// goroutine that has the key's turn, so its work may not grow with the square of the versions.
func TestManyVersionsOfOneKey(t *testing.T) {
	measure := func(n int, run func(w *world)) time.Duration {
		w := newWorld(t, 4, 0)
		for _, d := range w.drives {
			for i := n; i > 0; i-- {
				ts := object.StampAt(t0.Add(-time.Hour).Add(time.Duration(i) * time.Millisecond))
				ref := object.VersionRef{TS: ts, Write: object.WriteID{1: byte(i), 2: byte(i >> 8), 3: byte(i >> 16), 4: 1}}
				d.key.Versions = append(d.key.Versions, Version{
					Ref: ref, Rev: ts, Ballot: ref, Kind: Object, Data: true, Epoch: 1, Stable: true, Synced: true,
				})
			}
		}
		w.now = w.now.Add(time.Second)
		start := time.Now()
		run(w)
		return time.Since(start)
	}
	for name, run := range map[string]func(w *world){
		"settle": func(w *world) {
			u := NewUpdate(w.env, w.target, Intent{Kind: Settle, Write: w.id()})
			w.run(u)
			w.want("settle", u.Result().Status, StatusOK)
		},
		"heal": func(w *world) {
			lacks := &w.drives[3].key
			held := len(lacks.Versions)
			i := 0
			lacks.Versions = slices.DeleteFunc(lacks.Versions, func(Version) bool { i++; return i%2 == 0 })
			lack := held - len(lacks.Versions)
			for _, d := range w.drives[:3] { // whoever wrote them has booked it
				for i := 1; i < held; i += 2 {
					d.key.Hints = append(d.key.Hints, Hint{Ref: d.key.Versions[i].Ref, Rev: d.key.Versions[i].Rev, Missed: Slot(3)})
				}
			}
			w.lose = func(_ int, r *Request) bool {
				if n := len(r.Versions); r.Kind == ReqHeal && n != lack {
					w.t.Errorf("%d versions travel to a drive that lacks %d", n, lack)
				}
				return false
			}
			h := NewHeal(w.env, w.target, w.id(), 3)
			w.run(h)
			w.want("heal", h.Result().Status, StatusOK)
			if n := len(lacks.Versions); n != held {
				w.t.Errorf("healed, it holds %d versions of %d", n, held)
			}
		},
		"collect": func(w *world) { w.run(NewCollect(w.env, w.target)) },
	} {
		t.Run(name, func(t *testing.T) {
			small, large := measure(1_000, run), measure(8_000, run)
			for range 2 { // the machine may be busy
				small, large = min(small, measure(1_000, run)), min(large, measure(8_000, run))
			}
			t.Logf("1,000 versions: %v; 8,000: %v", small, large)
			if large > 24*small { // 8 times as many; the square would be 64
				t.Errorf("8,000 versions take %v, 1,000 take %v: %.0f times as long", large, small, float64(large)/float64(small))
			}
		})
	}
}
