package drive

import (
	"slices"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
)

// payloads finds what a message brought for a version that a step has taken in, nil if nothing.
type payloads func(v *quorum.Version) *payload

// payload is a Payload in the form that rows need, owned by a message.
type payload struct {
	shared []byte
	size   int64
	oid    object.OID
	inline []byte // inline shard as it lies in the journal, nil if none
	staged bool
	again  bool
	tables [][]byte // values of the X rows of a part table
	parts  []ondisk.Part
	inlets [][]byte // values of the D rows of parts, nil for those without

	takes []object.OID // staged shards that its row needs
	late  []lateRow    // D rows that its row needs

	pendKey, pend []byte // the P row, if the version comes unstable
}

// refers says that nothing was brought of a shard: it is that of an older row of the key.
func (p *payload) refers() bool {
	return p.inline == nil && !p.staged && len(p.parts) == 0 && !p.oid.IsZero()
}

// shard is the length of the inline shard.
func (p *payload) shard() int64 { return max(0, int64(len(p.inline))-ondisk.PayloadHeaderSize) }

// step lets the protocol decide over one request and writes what it changed. An error means that the
// step was not taken.
func (b *batch) step(c *cell, req *quorum.Request, with payloads) (quorum.Answer, error) {
	a := b.a
	set, fence := b.meet(req)
	if !c.opened && needsUploads(c, req) {
		b.loadUploads(c)
	}
	c.note(a, req)
	ans := a.machine.Step(b.now(), quorum.At{Key: &c.state, Set: &b.member, Bucket: &b.bucket, Drive: &a.state}, req)
	if err := b.settle(c, req, with); err != nil {
		return quorum.Answer{}, err
	}
	if req.Key.Name != "" {
		a.noteEnd(c)
	}
	b.leave(req, set, fence)
	return ans, b.err
}

// meet looks up what a step meets beside the key, of which it may change the batch's copies.
func (b *batch) meet(req *quorum.Request) (set *quorum.SetState, fence ondisk.Fence) {
	set, fence = b.a.sets[req.Set], b.a.fences[req.Key.Bucket] // which the loop alone changes
	if set == nil {
		set = &quorum.SetState{}
	}
	b.member, b.bucket = *set, quorum.BucketState(fence)
	return set, fence
}

// leave keeps what a step made of that.
func (b *batch) leave(req *quorum.Request, set *quorum.SetState, fence ondisk.Fence) {
	a := b.a
	if b.member != *set {
		b.setSet(req.Set, &b.member)
	}
	if next := ondisk.Fence(b.bucket); next != fence {
		b.setFence(req.Key.Bucket, next)
	}
	a.clocks.Store(uint64(a.state.Highest))
	if horizon := uint64(a.state.Horizon); horizon != a.horizon.Load() {
		a.horizon.Store(horizon)
		b.aged = true // it never falls, so it is written
	}
}

// reclaimed remembers attempts that a step has reclaimed.
func (b *batch) reclaimed(list []quorum.Reclaimed) {
	a := b.a
	for i := range list {
		if since := a.past.add(&list[i]); since > a.state.Since {
			a.state.Since = since
			a.since.Store(uint64(since))
		}
	}
}

// note keeps what a step may change, and fills in what lies outside of rows.
func (c *cell) note(a *Actor, req *quorum.Request) {
	s, w := &c.state, &c.was
	w.versions, w.seats = append(w.versions[:0], s.Versions...), w.seats[:0]
	for i := range w.versions { // a step may change seats in place
		if v := &w.versions[i]; len(v.Seats) > 0 {
			n := len(w.seats)
			w.seats = append(w.seats, v.Seats...)
			v.Seats = w.seats[n:len(w.seats):len(w.seats)]
		}
	}
	w.promise, w.decision, w.revised = s.Promise, s.Decision, c.ks.Revised
	w.dead, w.hints = append(w.dead[:0], s.Dead...), append(w.hints[:0], s.Hints...)
	w.uploads = append(w.uploads[:0], s.Uploads...)
	s.Superseded = s.Superseded[:0]
	var past quorum.Reclaimed
	var ok bool
	switch req.Kind {
	case quorum.ReqCommit:
		past, ok = a.past.find(req.Version.Ref, req.Version.Rev)
	case quorum.ReqKill, quorum.ReqDrop:
		past, ok = a.past.find(req.Attempt.Ref, req.Attempt.Rev)
	}
	if ok {
		s.Superseded = append(s.Superseded, past)
	}
	w.known = len(s.Superseded)
	s.Token, s.Tokens = 0, a.tokens
	if len(a.live) > 0 {
		s.Token = a.live[c.key]
	}
	w.token = s.Token
}

// settle brings the rows up to what a step made of the key.
func (b *batch) settle(c *cell, req *quorum.Request, with payloads) error {
	a, s, w := b.a, &c.state, &c.was
	err := b.piecemeal(c, req)
	if err == nil { // shards are taken first: if one cannot be the step was not taken
		err = b.takeNew(c, with)
	}
	if err != nil {
		c.undo()
		return err
	}
	before := tally(w.versions, c.rows)
	w.rows, c.rows = append(w.rows[:0], c.rows...), c.rows[:0]
	i, inserted, changed := 0, -1, false
	for j := range s.Versions {
		v := &s.Versions[j]
		for i < len(w.versions) && newer(&w.versions[i], v) {
			i++
		}
		if i < len(w.versions) && w.versions[i].Is(v.Ref, v.Rev) {
			c.rows = append(c.rows, w.rows[i])
			changed = b.keep(c, req, &w.versions[i], j, with) || changed
			i++
			continue
		}
		b.insert(c, req, j, with)
		inserted, changed = j, true
	}
	n := len(s.Versions)
	if len(w.versions) > 0 && b.drop(c) {
		changed = true
	}
	b.reclaimed(s.Superseded[w.known:])
	if changed {
		after := tally(s.Versions[:n], c.rows[:n])
		if after != before {
			b.usageOf(c.key, &before, &after)
		}
	}
	b.settleUploads(c, req)
	b.settleState(c, req)
	switch req.Kind {
	case quorum.ReqCommit:
		if inserted >= 0 {
			b.learn(c, inserted)
		}
	case quorum.ReqMark:
	default:
		if changed {
			b.unlearn(c)
		}
	}
	if a.tokens = s.Tokens; s.Token != w.token {
		a.setToken(c.key, s.Token)
	}
	return b.err
}

// undo takes back what a step made of the key.
func (c *cell) undo() {
	s, w := &c.state, &c.was
	s.Versions = append(s.Versions[:0], w.versions...)
	for i := range s.Versions {
		s.Versions[i].Seats = slices.Clone(s.Versions[i].Seats)
	}
	s.Promise, s.Decision, s.Token = w.promise, w.decision, w.token
	s.Dead, s.Hints = append(s.Dead[:0], w.dead...), append(s.Hints[:0], w.hints...)
	s.Uploads, s.Superseded = append(s.Uploads[:0], w.uploads...), s.Superseded[:w.known]
}

// newer orders the revisions of a key's versions.
func newer(x, y *quorum.Version) bool {
	c := x.Ref.Compare(y.Ref)
	return c > 0 || c == 0 && x.Rev > y.Rev
}

// takeNew makes staged shards of new rows, and of held ones that had none, part of the batch.
func (b *batch) takeNew(c *cell, with payloads) error {
	if with == nil {
		return nil
	}
	was, i := c.was.versions, 0
	for j := range c.state.Versions {
		v := &c.state.Versions[j]
		for i < len(was) && newer(&was[i], v) {
			i++
		}
		if i < len(was) && was[i].Is(v.Ref, v.Rev) && (was[i].Data || !v.Data) {
			continue
		}
		p := with(v)
		if p == nil {
			continue
		}
		for n, oid := range p.takes {
			if err := b.take(oid); err != nil {
				for _, taken := range p.takes[:n] {
					b.addGarbage(&ondisk.Garbage{OID: taken})
				}
				return err
			}
		}
		b.late = append(b.late, p.late...)
	}
	return nil
}

// insert writes a row that a step has taken in.
func (b *batch) insert(c *cell, req *quorum.Request, j int, with payloads) {
	v := &c.state.Versions[j]
	var p *payload
	if with != nil {
		p = with(v)
	}
	if p == nil {
		p = &payload{}
	}
	r := row{slot: slotOf(&b.member), size: p.size, parts: len(p.tables) > 0, shared: p.shared}
	if v.Rev != v.Ref.TS { // a revision's data is its version's
		for i := range c.was.versions {
			if old := &c.was.rows[i]; c.was.versions[i].Ref == v.Ref && old.data.OID == p.oid && v.Kind == quorum.Object {
				r.slot, r.data, r.at, r.parts = old.slot, old.data, old.at, old.parts
			}
		}
		c.ks.Revised = max(c.ks.Revised, v.Rev)
	}
	if !p.oid.IsZero() && r.data.OID.IsZero() {
		b.place(c, v, &r, req, p)
	}
	c.rows = append(c.rows, r)
	b.writeRow(c, j, p.shared)
	b.writeData(p)
	if v.Stable {
		return
	}
	x := b.a.newPending()
	*x = pending{
		Pending: ondisk.Pending{Key: c.key, Ref: v.Ref, Rev: v.Rev, Epoch: v.Epoch, Bytes: p.shard()},
		set:     req.Set, since: b.clock(), version: *v, row: r, spare: x.spare,
	}
	x.row.shared, x.version.Seats = nil, nil
	b.setPending(x, p)
}

// place says in a row where the data is that came with it, or before.
func (b *batch) place(c *cell, v *quorum.Version, r *row, req *quorum.Request, p *payload) {
	switch {
	case !v.Data:
	case p.inline != nil:
		r.at = b.addPayload(p.inline)
	case p.refers():
		r.at = c.place(p.oid)
	}
	r.data = ondisk.Ref{Set: req.Set, OID: p.oid, Inline: !r.at.IsZero()}
}

// writeData puts the data of a new row into the batch that does not lie in the journal.
func (b *batch) writeData(p *payload) {
	b.setManifest(p.oid, p.tables)
	if len(p.parts) > 0 {
		b.written(p.oid, ondisk.Manifest{Parts: p.parts})
	}
}

// writeRow writes the M row of version j.
func (b *batch) writeRow(c *cell, j int, shared []byte) {
	v, r := &c.state.Versions[j], &c.rows[j]
	own := &c.own
	*own = ondisk.VersionOwn{
		Batch: b.num, Slot: r.slot, Data: v.Data, Null: v.Null, Epoch: v.Epoch, Upload: v.Upload, Seats: own.Seats[:0], At: r.at,
	}
	if v.Ballot != v.Ref {
		own.Ballot = v.Ballot
	}
	for _, s := range v.Seats {
		if s.Ballot == v.Ref {
			s.Ballot = quorum.Ballot{}
		}
		own.Seats = append(own.Seats, ondisk.Seat(s))
	}
	b.val = ondisk.AppendVersionValue(b.val[:0], own, shared)
	b.buf = ondisk.AppendVersionSuffix(append(b.buf[:0], c.prefix...), v.Ref, v.Rev)
	b.set(b.buf, b.val)
}

// keep follows what a step changed about a row that stays. It reports whether the usage changes.
func (b *batch) keep(c *cell, req *quorum.Request, old *quorum.Version, j int, with payloads) bool {
	v, r := &c.state.Versions[j], &c.rows[j]
	if v.Data && !old.Data && with != nil { // healed
		if p := with(v); p != nil {
			b.place(c, v, r, req, p)
			r.parts = len(p.tables) > 0
			b.writeData(p)
			b.unlearn(c)
		}
	}
	if v.Data != old.Data || v.Upload != old.Upload || v.Ballot != old.Ballot || v.Epoch != old.Epoch || v.Null != old.Null ||
		!v.Stable && !slices.Equal(v.Seats, old.Seats) {
		b.writeRow(c, j, b.sharedOf(c, j))
	}
	if v.Stable == old.Stable {
		return false
	}
	p := b.marking
	if p == nil {
		p = b.a.pendingOf(revision{v.Ref, v.Rev})
	}
	if p != nil {
		b.endPending(p)
		b.a.settle(p)
		b.a.recycle(p)
	}
	return true
}

// sharedOf is the shared part of version j's row.
func (b *batch) sharedOf(c *cell, j int) []byte {
	if s := c.rows[j].shared; s != nil {
		return s
	}
	v := &c.state.Versions[j]
	value, closer, err := b.a.db.Get(ondisk.AppendVersionSuffix(slices.Clone(c.prefix), v.Ref, v.Rev))
	if err != nil {
		b.fail(err)
		return nil
	}
	_, _, shared, err := ondisk.SplitVersionValue(value)
	b.fail(err)
	c.rows[j].shared = slices.Clone(shared)
	b.fail(closer.Close())
	return c.rows[j].shared
}

// drop deletes the rows that a step has taken away and gives their data back.
func (b *batch) drop(c *cell) (any bool) {
	w := &c.was
	gone := w.gone[:0]
	list, j := c.state.Versions, 0
	for i := range w.versions {
		v := &w.versions[i]
		for j < len(list) && newer(&list[j], v) {
			j++
		}
		if j < len(list) && list[j].Is(v.Ref, v.Rev) {
			continue
		}
		any = true
		b.buf = ondisk.AppendVersionSuffix(append(b.buf[:0], c.prefix...), v.Ref, v.Rev)
		b.deleteRow(b.buf)
		if !v.Stable {
			b.forgetPending(v)
		}
		if !w.rows[i].data.OID.IsZero() {
			gone = append(gone, i)
		}
	}
	w.gone = gone
	if len(gone) == 0 {
		return any
	}
	if !c.whole { // an older version may share the data
		if it := b.iterator(); it != nil {
			b.fail(c.extend(b.a, it, need{all: true}))
		}
	}
	for n, i := range gone {
		v, r := &w.versions[i], &w.rows[i]
		same := func(x row) bool { return x.data.OID == r.data.OID && x.at == r.at }
		switch {
		case slices.ContainsFunc(c.rows, same), slices.ContainsFunc(gone[:n], func(j int) bool { return same(w.rows[j]) }):
		case r.parts && !v.Stable && b.sharesParts(c, v):
			b.deleteManifest(r.data.OID)
		default:
			b.discard(r.data, r.at, r.parts)
		}
	}
	return any
}

// sharesParts says that the parts of a completion that was never settled are not its own: they go or
// stay with the upload, if that is still open, or with another completion of it.
func (b *batch) sharesParts(c *cell, v *quorum.Version) bool {
	if v.Upload == (object.WriteID{}) {
		return false
	}
	for i := range c.state.Versions {
		if c.state.Versions[i].Upload == v.Upload && c.rows[i].parts {
			return true
		}
	}
	return b.upload(c.key, v.Upload).there
}

// forgetPending ends the P row of a version that is taken away.
func (b *batch) forgetPending(v *quorum.Version) {
	if p := b.a.pendingOf(revision{v.Ref, v.Rev}); p != nil {
		b.endPending(p)
		p.gone = true
		// Readers hold older views of the index, in which the row still is: it must not look stable.
		b.durable = append(b.durable, func() {
			b.a.drops.Store(b.a.vanished.add(revision{p.Ref, p.Rev}))
			b.a.settle(p)
		})
	}
}

// settleState writes the key's own row, and the H rows, if a step changed what they say.
func (b *batch) settleState(c *cell, req *quorum.Request) {
	s, w := &c.state, &c.was
	revised := c.ks.Revised
	if revised != 0 && c.whole && !slices.ContainsFunc(s.Versions, func(v quorum.Version) bool { return v.Rev != v.Ref.TS }) {
		revised = 0
	}
	if revised == w.revised && s.Promise == w.promise && s.Decision == w.decision &&
		slices.Equal(s.Dead, w.dead) && slices.Equal(s.Hints, w.hints) {
		return
	}
	b.settleHints(c, req)
	ks := &c.ks
	*ks = ondisk.KeyState{
		Batch: b.num, Promise: s.Promise, Dead: ks.Dead[:0], Hints: ks.Hints[:0], Revised: revised, Unknown: ks.Unknown,
		Decision: ondisk.Decision{Ballot: s.Decision.Ballot, Ref: s.Decision.Ref, Rev: s.Decision.Rev},
	}
	for i := range s.Dead {
		d := &s.Dead[i]
		ks.Dead = append(ks.Dead, ondisk.DeadMark{Ref: d.Ref, Rev: d.Rev, Epoch: d.Epoch, Null: d.Null, Proven: d.Proven, Ballot: d.Ballot})
	}
	for i := range s.Hints {
		h := &s.Hints[i]
		ks.Hints = append(ks.Hints, ondisk.Hint{Ref: h.Ref, Rev: h.Rev, Slots: uint32(h.Missed)})
	}
	b.unlearn(c)
	if ks.Empty() {
		if c.stored {
			b.deleteRow(c.prefix)
		}
		c.stored = false
		return
	}
	b.val = ondisk.AppendKeyState(b.val[:0], ks)
	b.set(c.prefix, b.val)
	c.stored = true
}

// settleHints brings the H rows, one for each slot, up to the hints.
func (b *batch) settleHints(c *cell, req *quorum.Request) {
	was, is := c.was.hints, c.state.Hints
	for len(was) > 0 && len(is) > 0 && was[0] == is[0] { // of a key that is often written there are many
		was, is = was[1:], is[1:]
	}
	missed := func(list []quorum.Hint) map[revision]quorum.Slots {
		if len(list) == 0 {
			return nil
		}
		m := make(map[revision]quorum.Slots, len(list))
		for i := range list {
			m[revision{list[i].Ref, list[i].Rev}] = list[i].Missed
		}
		return m
	}
	before, after := missed(was), missed(is)
	for i := range was {
		h := &was[i]
		for slot := range (h.Missed &^ after[revision{h.Ref, h.Rev}]).All() {
			b.buf = ondisk.AppendHintKey(b.buf[:0], req.Set, uint8(slot), h.Ref, h.Rev)
			b.delete(b.buf)
		}
	}
	for i := range is {
		h := &is[i]
		p := ondisk.Pending{Key: c.key, Ref: h.Ref, Rev: h.Rev}
		if j := c.index(h.Ref, h.Rev); j >= 0 {
			p.Epoch, p.Bytes = c.state.Versions[j].Epoch, c.rows[j].size
		}
		for slot := range (h.Missed &^ before[revision{h.Ref, h.Rev}]).All() {
			p.Slots = 1 << slot
			b.val = ondisk.AppendPending(b.val[:0], &p)
			b.buf = ondisk.AppendHintKey(b.buf[:0], req.Set, uint8(slot), h.Ref, h.Rev)
			b.set(b.buf, b.val)
		}
	}
}

// slotOf is the slot of the coding matrix that a drive's new shards of a set belong to.
func slotOf(set *quorum.SetState) uint8 {
	return uint8(set.Config.SlotsOf(quorum.Slot(set.Member)).Lowest())
}

// tally counts what a bucket's usage says of a key: the newest stable revision of each version.
func tally(list []quorum.Version, rows []row) (u ondisk.Usage) {
	var last object.VersionRef
	current := false // the newest version that stands was met
	for i := range list {
		v := &list[i]
		if !v.Stable || v.Ref == last {
			continue
		}
		last = v.Ref
		switch v.Kind {
		case quorum.Purged:
			continue
		case quorum.Object:
			u.Versions++
			u.Bytes += rows[i].size
			if !current {
				u.Objects++
			}
		case quorum.Marker:
			u.Markers++
		}
		current = true
	}
	return u
}

// usageOf adds the difference of two tallies to the bucket's usage.
func (b *batch) usageOf(key object.Key, before, after *ondisk.Usage) {
	u := b.count(key.Bucket)
	u.Objects += after.Objects - before.Objects
	u.Versions += after.Versions - before.Versions
	u.Bytes += after.Bytes - before.Bytes
	u.Markers += after.Markers - before.Markers
}
