package drive

import (
	"time"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
)

// knowledge is what the loop knows of a key by heart while a version of it is not stable, so that its
// mark need not look anything up.
type knowledge uint8

const (
	knowsNothing knowledge = iota
	knowsAlone             // the key had no other row when the version came; any that came since is newer
	knowsTwo               // it had pending.old besides, stable, and nothing has come since
)

// oldVersion is the only other version of a key.
type oldVersion struct {
	version quorum.Version
	row     row
}

// maxCells is how many cells, and pending versions, the loop keeps for use again.
const maxCells = 256

// newCell returns a cell for a key.
func (b *batch) newCell(key object.Key, prefix []byte) *cell {
	a := b.a
	var c *cell
	if n := len(a.cells); n > 0 {
		c, a.cells = a.cells[n-1], a.cells[:n-1]
	} else {
		c = &cell{loop: true}
	}
	c.reset(key, prefix)
	return c
}

// spare takes a cell back.
func (b *batch) spare(c *cell) {
	if a := b.a; len(a.cells) < maxCells && cap(c.state.Versions) <= 64 && cap(c.shared) <= 64<<10 {
		c.key = object.Key{} // lets go of the name
		a.cells = append(a.cells, c)
	}
}

// register keeps a cell for the rest of the batch.
func (b *batch) register(c *cell) {
	b.known(c.prefix, c)
}

// known notes the cell of a key's prefix.
func (b *batch) known(prefix []byte, c *cell) {
	if b.keys == nil {
		b.keys = make(map[string]*cell)
	}
	b.keys[string(prefix)] = c
}

// cell returns what the key's rows will say after the batch so far, as far as n wants it. prefix is
// that of its M rows.
func (b *batch) cell(key object.Key, prefix []byte, n need) *cell {
	c := b.keys[string(prefix)]
	if c != nil && c != b.none() {
		if it := b.iteratorOf(prefix); it != nil {
			b.fail(c.extend(b.a, it, n))
		}
		return c
	}
	gone := c != nil // nothing is left of it
	c = b.newCell(key, prefix)
	if gone {
		c.whole = true
	} else if e, ok := b.endOf(key); ok {
		c.ends(&e)
	} else if it := b.iteratorOf(prefix); it != nil {
		b.fail(c.load(b.a, it, n))
	}
	b.register(c)
	return c
}

// none stands for the cells of keys of which the batch leaves nothing.
func (b *batch) none() *cell { return &b.a.none }

// empty says whether the batch leaves nothing of a key. Its cell is then given back.
func (b *batch) empty(prefix []byte) bool {
	c := b.keys[string(prefix)]
	switch {
	case c == nil:
		return false
	case c == b.none():
		return true
	case !c.whole || len(c.state.Versions) > 0 || c.stored || c.opened:
		return false
	}
	b.keys[string(prefix)] = b.none()
	b.spare(c)
	return true
}

// recall makes up a key's cell from what is known of it by heart.
func (b *batch) recall(p *pending, prefix []byte) *cell {
	c := b.newCell(p.Key, prefix)
	c.whole, c.older = true, p.known == knowsAlone
	c.state.Versions = append(c.state.Versions, p.version)
	c.rows = append(c.rows, p.row)
	if p.known == knowsTwo {
		c.state.Versions = append(c.state.Versions, p.old.version)
		c.rows = append(c.rows, p.old.row)
	}
	return c
}

// learn notes what is known of a key that has just got a newest version.
func (b *batch) learn(c *cell, j int) {
	a, list := b.a, c.state.Versions
	for i := range list {
		if list[i].Stable || i == j {
			continue
		}
		q := a.pendingOf(revision{list[i].Ref, list[i].Rev})
		if q != nil && !(q.known == knowsAlone && q.version.Null && list[j].Null) {
			q.known, q.old = knowsNothing, nil
		}
	}
	p := a.pendingOf(revision{list[j].Ref, list[j].Rev})
	if j > 0 || p == nil || !c.whole || c.stored {
		return
	}
	switch {
	case len(list) == 1:
		p.known = knowsAlone
	case len(list) == 2 && list[1].Stable:
		if p.spare == nil {
			p.spare = &oldVersion{}
		}
		p.known, p.old = knowsTwo, p.spare
		*p.old = oldVersion{list[1], c.rows[1]}
		p.old.row.shared, p.old.version.Seats = nil, nil
	}
}

// unlearn says that what is known of a key holds no longer.
func (b *batch) unlearn(c *cell) {
	for i := range c.state.Versions {
		v := &c.state.Versions[i]
		if v.Stable {
			continue
		}
		if p := b.a.pendingOf(revision{v.Ref, v.Rev}); p != nil {
			p.known, p.old = knowsNothing, nil
		}
	}
}

// setPending writes a version's P row and notes it as unstable, before its row can be seen, so that no
// reader takes it for a stable one.
func (b *batch) setPending(p *pending, with *payload) {
	if with.pendKey == nil {
		with.pendKey = ondisk.AppendPendingKey(nil, p.set, p.Ref, p.Rev)
		with.pend = ondisk.AppendPending(nil, &p.Pending)
	}
	b.setLate(with.pendKey, with.pend)
	a := b.a
	a.mu.Lock()
	a.unsettled(p)
	a.mu.Unlock()
}

// unsettled notes an unstable version. a.mu is held, or nobody else sees a yet.
func (a *Actor) unsettled(p *pending) {
	a.pending[revision{p.Ref, p.Rev}] = p
	if p.version.Upload != (object.WriteID{}) {
		a.completing[p.version.Upload]++
	}
}

// endPending removes a version's P row. The upload that it completed is shown again, if it is still
// there, when the batch is.
func (b *batch) endPending(p *pending) {
	b.deletePending(p)
	if id := p.version.Upload; id != (object.WriteID{}) {
		b.durable = append(b.durable, func() {
			b.a.mu.Lock()
			defer b.a.mu.Unlock()
			if b.a.completing[id]--; b.a.completing[id] == 0 {
				delete(b.a.completing, id)
			}
		})
	}
}

// completes says whether a version that is held and not settled completes an upload.
func (a *Actor) completes(id object.WriteID) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.completing[id] > 0
}

// unstable returns what is pending of a revision, nil if it is stable.
func (a *Actor) unstable(r revision) *pending {
	a.mu.RLock()
	p := a.pending[r]
	a.mu.RUnlock()
	return p
}

// pendingOf is unstable for the loop, which alone changes what is guarded by mu.
func (a *Actor) pendingOf(r revision) *pending { return a.pending[r] }

// newPending returns memory for one more unstable version.
func (a *Actor) newPending() *pending {
	if n := len(a.settled); n > 0 {
		p := a.settled[n-1]
		a.settled = a.settled[:n-1]
		return p
	}
	return &pending{}
}

// recycle takes back what nobody can find any more.
func (a *Actor) recycle(p *pending) {
	if len(a.settled) < maxCells {
		*p = pending{spare: p.spare} // lets go of the name
		a.settled = append(a.settled, p)
	}
}

// settle forgets that a revision is pending.
func (a *Actor) settle(p *pending) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := (revision{p.Ref, p.Rev}); a.pending[r] == p { // it may have come again
		delete(a.pending, r)
	}
}

// setToken keeps a key's live heal token. A token that is lost only makes a healer begin anew.
func (a *Actor) setToken(key object.Key, token uint64) {
	if token == 0 {
		delete(a.live, key)
		return
	}
	if len(a.live) >= maxTokens {
		clear(a.live)
	}
	a.live[key] = token
}

// maxTokens is how many heal tokens may be live.
const maxTokens = 1 << 14

// clock is the drive's time, one for a batch.
func (b *batch) clock() time.Time {
	if b.time.IsZero() {
		b.time = b.a.o.Clock()
	}
	return b.time
}

// now is clock in stamps.
func (b *batch) now() object.Stamp { return object.StampAt(b.clock()) }

// deleteRow removes a row of a key, at once or, in a collection, together with its neighbours'.
func (b *batch) deleteRow(key []byte) {
	if b.deferred != nil {
		b.deferred.add(key)
		return
	}
	b.delete(key)
}

// mark makes one revision stable.
func (b *batch) mark(m *Mark) {
	a := b.a
	at := m.revision()
	p := a.pendingOf(at)
	if p != nil && p.gone {
		p = nil
	}
	if p == nil && m.Missed == 0 {
		return // old news, or of a version that this drive missed
	}
	req := &b.req
	*req = quorum.Request{Kind: quorum.ReqMark, Fence: quorum.Fence{Set: m.Set}, Key: m.Key, Missed: m.Missed}
	req.Version.Ref, req.Version.Rev = at.ref, at.rev
	simple := p != nil && p.known == knowsAlone && m.Missed == 0 && len(b.keys) == 0
	if simple { // no other row changes: nobody else in this batch need know
		c := b.recall(p, nil)
		b.marking = p
		_, err := b.step(c, req, nil)
		b.marking = nil
		b.fail(err)
		b.spare(c)
		return
	}
	prefix := ondisk.AppendVersionPrefix(b.name[:0], m.Key)
	b.name = prefix
	c := b.keys[string(prefix)]
	if c == b.none() {
		return // it was superseded and collected
	}
	switch {
	case c == nil && p != nil && p.known == knowsTwo:
		c = b.recall(p, prefix)
		defer func() {
			if c.ended { // which says all that there is to know
				b.spare(c)
			} else {
				b.register(c)
			}
		}()
	case c == nil && p != nil && p.known == knowsAlone && m.Missed == 0:
		c = b.recall(p, prefix) // nobody else may see it: newer rows may have come
		defer b.spare(c)
	default:
		n := need{until: m.Ref}
		if p == nil || p.version.Null {
			n = need{all: true} // what it supersedes may lie anywhere
		}
		c = b.cell(m.Key, prefix, n)
	}
	if b.err != nil {
		return
	}
	_, err := b.step(c, req, nil)
	b.fail(err)
}
