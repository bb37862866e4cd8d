package quorum

import "testing"

// TestHintedLeavesWhatWasFoundDamaged: the word that a member was healed may come behind the news that its
// shard is damaged, and must not end that debt.
func TestHintedLeavesWhatWasFoundDamaged(t *testing.T) {
	d := Drive{}
	set := &SetState{Member: 0, Config: SetConfig{Shape: ShapeOf(4), Epoch: 1}}
	ver := Version{Ref: v(1), Rev: v(1).TS, Kind: Object, Data: true, Stable: true}
	key := &KeyState{Versions: []Version{ver}, Hints: []Hint{{Ref: ver.Ref, Rev: ver.Rev, Missed: Slot(2)}}}
	at := At{Key: key, Set: set, Bucket: &BucketState{}, Drive: &DriveState{}}
	healed := func(missed Slots) { d.hinted(at, &Request{Kind: ReqHinted, Version: ver, Missed: missed}) }

	if d.Spoilt(at, ver.Ref) == WriteNone || key.Hints[0].Missed != Slot(0)|Slot(2) {
		t.Fatalf("found damaged: hints %+v", key.Hints)
	}
	if healed(Slot(0) | Slot(2)); len(key.Hints) != 1 || key.Hints[0].Missed != Slot(0) {
		t.Fatalf("healed before: hints %+v, want that of slot 0", key.Hints)
	}
	key.Versions[0].Data = true
	if healed(Slot(0)); len(key.Hints) != 0 {
		t.Fatalf("healed since: hints %+v", key.Hints)
	}
}
