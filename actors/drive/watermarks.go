package drive

import (
	"maps"

	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
)

// Heard implements Watermarker.
func (a *Actor) Heard(peers map[cluster.DriveID]uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, n := range peers {
		if n > a.peers[id] && id != a.id {
			a.peers[id] = n
		}
	}
}

// Watermarks returns the drive's last durable batch and the highest batches of other drives that
// were acknowledged to clients, as far as this drive was told. A drive whose own number lies below
// what others recorded of it has lost acknowledged writes.
func (a *Actor) Watermarks() (own uint64, peers map[cluster.DriveID]uint64) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.gate.durable.Load(), maps.Clone(a.peers)
}

// Highest is the highest stamp the drive has ever seen: a coordinator's clock starts above it.
func (a *Actor) Highest() object.Stamp { return object.Stamp(a.clocks.Load()) }

// saw remembers the highest stamp. Called by the loop alone.
func (a *Actor) saw(ts object.Stamp) {
	a.state.Highest = max(a.state.Highest, ts)
	a.clocks.Store(uint64(a.state.Highest))
}
