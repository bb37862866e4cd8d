package erasureset

import (
	"maps"
	"sync"

	"holdfast/raftfsm/cluster"
)

// watermarks remembers the last batch of each drive that was part of an answered write. Each drive
// is told of the others' with the next marks, so that one which comes back with an older image, or
// without the tail of its log, is found out (I15).
type watermarks struct {
	mu      sync.Mutex
	batches map[cluster.DriveID]uint64 // guarded by mu
	news    bool                       // guarded by mu: something rose since take
}

// note raises one drive's watermark.
func (w *watermarks) note(id cluster.DriveID, batch uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if batch <= w.batches[id] {
		return
	}
	if w.batches == nil {
		w.batches = make(map[cluster.DriveID]uint64)
	}
	w.batches[id] = batch
	w.news = true
}

// take returns a copy of all watermarks, nil when none rose since the last time.
func (w *watermarks) take() map[cluster.DriveID]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.news {
		return nil
	}
	w.news = false
	return maps.Clone(w.batches)
}
