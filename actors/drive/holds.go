package drive

import (
	"errors"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

// holds are the multipart objects that somebody reads. One with a hold keeps its part table and all
// its parts, however many they are: the reclaimer passes over its G row until the last reader left.
type holds struct {
	mu    sync.Mutex
	held  map[object.OID]*held    // guarded by mu
	going map[object.OID]struct{} // guarded by mu: objects whose parts are being given back
}

type held struct {
	readers int
	waits   bool // the reclaimer passed over it
}

func (h *holds) init() {
	h.held, h.going = make(map[object.OID]*held), make(map[object.OID]struct{})
}

// take adds a reader, unless the object's parts are being given back.
func (h *holds) take(oid object.OID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, gone := h.going[oid]; gone {
		return false
	}
	x := h.held[oid]
	if x == nil {
		x = &held{}
		h.held[oid] = x
	}
	x.readers++
	return true
}

// leave ends a reader and reports whether the reclaimer waits for that.
func (h *holds) leave(oid object.OID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.held[oid]
	if x.readers--; x.readers > 0 {
		return false
	}
	delete(h.held, oid)
	return x.waits
}

// begin keeps new readers out before an object's parts are given back; false: it has some. An object
// stays begun when its row could not be worked off: a part of it may be gone.
func (h *holds) begin(oid object.OID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x := h.held[oid]; x != nil {
		x.waits = true
		return false
	}
	h.going[oid] = struct{}{}
	return true
}

// end says that neither parts nor part table are there any more: who looks them up finds that.
func (h *holds) end(oid object.OID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.going, oid)
}

// hold keeps a multipart object until the result is closed, or returns ErrNoShard if it is gone.
func (a *Actor) hold(oid object.OID) (io.Closer, error) {
	if !a.holds.take(oid) {
		return nil, ErrNoShard
	}
	h := &holding{a: a, oid: oid}
	_, table, err := a.db.Get(ondisk.AppendManifestKey(nil, oid, 0))
	if err == nil {
		err = table.Close()
	}
	if err == nil {
		return h, nil
	}
	if errors.Is(err, pebble.ErrNotFound) {
		err = ErrNoShard
	}
	return nil, errors.Join(err, h.Close())
}

// holding is one reader's hold.
type holding struct {
	a    *Actor
	oid  object.OID
	once sync.Once
}

// Close is idempotent.
func (h *holding) Close() error {
	h.once.Do(func() {
		if h.a.holds.leave(h.oid) {
			h.a.reclaim.again()
		}
	})
	return nil
}
