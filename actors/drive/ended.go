package drive

import (
	"slices"

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

// ending is a key that has ended in the present batch.
type ending struct {
	key object.Key
	end ended
}

// maxEnding is how many of them are noted at once.
const maxEnding = 64

// noteEnd notes whether a key has ended with the present step.
func (a *Actor) noteEnd(c *cell) {
	if e, ok := c.end(); ok && len(a.ends)+len(a.ending) < maxEnded {
		a.ending = append(a.ending, ending{c.key, e})
		c.ended = true
		if len(a.ending) == maxEnding {
			a.noteEnds()
		}
	} else if c.ended { // else no cell was made of it: that of a key with a version in doubt never is
		a.noteEnds()
		a.forgetEnd(c.key)
		c.ended = false
	}
}

// noteEnds tells readers, and later batches, of the keys that have ended.
func (a *Actor) noteEnds() {
	if len(a.ending) == 0 {
		return
	}
	a.mu.Lock()
	for i := range a.ending {
		a.ends[a.ending[i].key] = a.ending[i].end
	}
	a.mu.Unlock()
	clear(a.ending) // lets go of the names
	a.ending = a.ending[:0]
	a.endsTop = max(a.endsTop, len(a.ends))
}

// end is what is left of a key that has ended.
func (c *cell) end() (e ended, ok bool) {
	list := c.state.Versions
	if len(list) != 1 || list[0].Kind != quorum.Tombstone || !list[0].Stable || !c.whole || c.older || c.stored {
		return e, false
	}
	v := &list[0]
	e = ended{v.Ref, v.Epoch, c.batch, v.Null, c.rows[0].slot}
	return e, v.Rev == v.Ref.TS && v.Ballot == v.Ref && !v.Data && v.Upload == object.WriteID{}
}

// forgetEnds says that keys have not ended, or not any more.
func (a *Actor) forgetEnds(keys []object.Key) {
	if len(keys) == 0 || len(a.ends) == 0 { // which the loop alone changes
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range keys {
		delete(a.ends, keys[i])
	}
	if len(a.ends) == 0 && a.endsTop > maxEnded/8 { // maps do not shrink
		a.ends, a.endsTop = map[object.Key]ended{}, 0
	}
}

// forgetEnd is forgetEnds for one key.
func (a *Actor) forgetEnd(key object.Key) {
	if len(a.ends) == 0 {
		return
	}
	if _, ok := a.ends[key]; ok {
		a.forgetEnds([]object.Key{key})
	}
}

// endOf is what is known of a key that has ended.
func (b *batch) endOf(key object.Key) (e ended, ok bool) {
	b.a.noteEnds()
	e, ok = b.a.ends[key]
	return e, ok
}

// endsOf appends what is known of the keys of some reports that have ended, zero for others.
func (a *Actor) endsOf(dst []ended, calls []*Call) []ended {
	for some := range slices.Chunk(calls, maxEnding) {
		a.mu.RLock()
		for _, x := range some {
			e := ended{}
			if x.Req.NoUploads && !x.Req.WithRows {
				e = a.ends[x.Req.Key]
			}
			dst = append(dst, e)
		}
		a.mu.RUnlock()
	}
	return dst
}

// ends fills the cell of a key that has ended.
func (c *cell) ends(e *ended) {
	c.state.Versions, c.rows = append(c.state.Versions, e.version()), append(c.rows, row{slot: e.slot})
	c.whole, c.ended, c.batch = true, true, e.batch
}
