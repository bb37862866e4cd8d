package drive

import (
	"holdfast/actors/object"
	"holdfast/actors/quorum"
)

// maxEnded is how many deleted keys a drive knows by heart until they are collected: those of about
// a second. The rows of those beyond are looked up.
const maxEnded = 8192

// ended is the state of a deleted key: a stable tombstone and nothing else, neither a row of the key
// itself nor another version. The loop notes it when the tombstone's mark comes and forgets it with any
// other change of the key, so that its collection need not look anything up.
type ended struct {
	ref   object.VersionRef
	epoch uint64
	batch uint64
	null  bool
	slot  uint8
}

// version is the only one.
func (e *ended) version() quorum.Version {
	return quorum.Version{Ref: e.ref, Rev: e.ref.TS, Ballot: e.ref, Kind: quorum.Tombstone, Null: e.null, Epoch: e.epoch, Stable: true}
}

// noteEnd notes whether a key has ended with the present step.
func (a *Actor) noteEnd(c *cell) {
	list := c.state.Versions
	if len(list) != 1 || list[0].Kind != quorum.Tombstone || !c.whole || c.older || c.stored {
		a.forgetEnd(c.key)
		return
	}
	v := &list[0]
	e := ended{v.Ref, v.Epoch, c.batch, v.Null, c.rows[0].slot}
	known := e.version()
	if !v.Stable || v.Rev != known.Rev || v.Ballot != known.Ballot || v.Data || v.Upload != known.Upload || len(a.ends) >= maxEnded {
		a.forgetEnd(c.key)
		return
	}
	a.mu.Lock()
	a.ends[c.key] = e
	a.mu.Unlock()
	a.endsTop = max(a.endsTop, len(a.ends))
}

// forgetEnd says that a key has not ended, or not any more.
func (a *Actor) forgetEnd(key object.Key) {
	if len(a.ends) == 0 {
		return
	}
	if _, ok := a.ends[key]; !ok { // which the loop alone changes
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.ends, key)
	if len(a.ends) == 0 && a.endsTop > maxEnded/8 { // maps do not shrink
		a.ends, a.endsTop = map[object.Key]ended{}, 0
	}
}

// endOf is what is known of a key that has ended.
func (a *Actor) endOf(key object.Key) (e ended, ok bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if len(a.ends) > 0 {
		e, ok = a.ends[key]
	}
	return e, ok
}

// ends fills the cell of a key that has ended.
func (c *cell) ends(e *ended) {
	c.state.Versions, c.rows = append(c.state.Versions, e.version()), append(c.rows, row{slot: e.slot})
	c.whole, c.batch = true, e.batch
}
