package drive

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// commitMsg is a Commit in the mailbox. Its rows are encoded by the sender, outside the loop, into
// one buffer of its own.
type commitMsg struct {
	reply      // without done: to and tag stand for it
	to         CommitReceiver
	tag        int
	req        Commit // Row, Inline and Parts are not used from here
	out        CommitReply
	buf        []byte // backing of what follows
	prefix     []byte // of the key's M rows
	key        []byte // of the M row
	row        []byte // shared part
	pendingKey []byte // of the P row
	pending    []byte // value of the P row
	inline     []byte // inline shard as it lies in the journal, nil if none
	at         ondisk.Location
	parts      [][]byte      // values of the X rows of a part table
	keep       []ondisk.Part // the part table
}

func (*commitMsg) isMsg() {}

func (m *commitMsg) weight() int { return len(m.buf) + 256 }

// commitPool recycles messages that the loop has answered, and those who wait for them.
type commitPool struct{ messages, waits sync.Pool }

func (p *commitPool) get() *commitMsg {
	if m, ok := p.messages.Get().(*commitMsg); ok {
		return m
	}
	return &commitMsg{}
}

func (p *commitPool) wait() *commitWait {
	if w, ok := p.waits.Get().(*commitWait); ok {
		return w
	}
	return &commitWait{got: make(chan committed, 1)}
}

func (m *commitMsg) recycle(a *Actor) {
	if cap(m.buf) > 64<<10 {
		m.buf = nil
	}
	*m = commitMsg{buf: m.buf[:0]}
	a.commits.messages.Put(m)
}

// encode copies what the loop needs of req.
func (m *commitMsg) encode(a *Actor, req *Commit) error {
	m.req = *req
	m.req.Row, m.req.Inline, m.req.Parts = nil, nil, nil
	buf := ondisk.AppendVersionKey(m.buf[:0], req.Key, req.Ref, req.Rev)
	key := len(buf)
	buf = append(buf, req.Row...)
	row := len(buf)
	buf = ondisk.AppendPendingKey(buf, req.Set, req.Ref, req.Rev)
	pendKey := len(buf)
	buf = ondisk.AppendPending(buf, &ondisk.Pending{
		Key: req.Key, Ref: req.Ref, Rev: req.Rev, Epoch: req.Epoch, Bytes: int64(len(req.Inline)),
	})
	pend := len(buf)
	if req.Inline != nil {
		buf = ondisk.AppendPayload(buf, a.tag, req.OID, req.Inline)
	}
	m.buf = buf
	m.key, m.row = buf[:key:key], buf[key:row:row]
	m.pendingKey, m.pending = buf[row:pendKey:pendKey], buf[pendKey:pend:pend]
	m.prefix = m.key[:ondisk.Split(m.key)]
	if req.Inline != nil {
		m.inline = buf[pend:]
	}
	if len(req.Parts) > 0 {
		m.keep = slices.Clone(req.Parts)
		var err error
		if m.parts, err = ondisk.EncodeManifest(&ondisk.Manifest{Parts: req.Parts}); err != nil {
			return err
		}
	}
	return nil
}

// apply implements message.
func (m *commitMsg) apply(b *batch) error {
	a, req := b.a, &m.req
	if err := a.fenced(req.Key.Bucket, req.BucketRev); err != nil {
		return err
	}
	set, err := b.enter(req.Set, req.Epoch)
	if err != nil {
		return err
	}
	if set.Slot != req.Slot { // uploads do not say it, so their E row has it from the first commit
		set.Slot = req.Slot
		b.setRow(req.Set, set)
	}
	rows := b.rows(m.prefix)
	if b.err != nil {
		return b.err
	}
	view := b.view(req.Key, rows, &set, req.Ref)
	view.Holds = rows.holds(req.Ref, req.Rev)
	v := quorum.Accept(&view, quorum.Plain(req.Ref))
	m.out = CommitReply{Accepted: v.Accepted, Highest: v.Highest, Batch: b.num}
	if !v.Accepted || v.Repeat {
		return nil
	}
	a.saw(max(req.Ref.TS, req.Rev))
	fresh := len(rows.heads) == 0
	old := rows.sole
	if err := m.write(b); err != nil {
		m.out = CommitReply{}
		return err
	}
	for _, h := range rows.heads {
		if p := a.unstable(h.ref); p != nil {
			p.old, old = nil, nil // they are no longer two, so the mark must look
		}
	}
	rows.add(rowHead{req.Ref, req.Rev})
	a.accepted(req.Ref, &pending{
		Pending: ondisk.Pending{
			Key: req.Key, Ref: req.Ref, Rev: req.Rev, Epoch: req.Epoch, Bytes: max(0, int64(len(m.inline))-ondisk.PayloadHeaderSize),
		},
		set: req.Set, since: a.o.Clock(), fresh: fresh, old: old, kind: req.Kind, size: req.Size,
		data: data{Ref: ondisk.Ref{Set: req.Set, OID: req.OID, Inline: !m.at.IsZero()}, parts: m.parts != nil, at: m.at},
	})
	return nil
}

// view is what the drive knows of a key when it decides over a version of it.
func (b *batch) view(key object.Key, rows *keyRows, set *ondisk.SetRow, ref object.VersionRef) quorum.KeyView {
	a := b.a
	a.mu.RLock()
	defer a.mu.RUnlock()
	state := a.states[key]
	_, pending := a.pending[ref]
	return quorum.KeyView{
		Newest:     rows.newest(),
		Holds:      rows.has(ref),
		Stable:     !pending,
		Older:      rows.newest() != object.VersionRef{},
		Promise:    quorum.Ballot{TS: state.Promise},
		GCFloor:    set.GCFloor,
		Dead:       quorum.IsAttempt(state.Dead, ref),
		Superseded: quorum.IsAttempt(state.Superseded, ref),
		Highest:    object.Stamp(a.clocks.Load()),
		Now:        object.StampAt(a.o.Clock()),
	}
}

// write puts the version's rows into the batch.
func (m *commitMsg) write(b *batch) error {
	req := &m.req
	var parts uploadDrop
	if req.Upload != (object.WriteID{}) {
		parts = b.planDrop(req.Key, req.Upload, completeParts)
		if parts.next != nil || parts.u.dropping {
			return fmt.Errorf("upload of %q: more than %d parts were sent to it, or it is being dropped", req.Key.Name, completeParts)
		}
	}
	if req.Staged {
		if err := b.take(req.OID); err != nil {
			return err
		}
	}
	switch {
	case m.inline != nil:
		m.at = b.keep(m.inline)
	case !req.OID.IsZero() && !req.Staged && m.parts == nil:
		m.at = b.shared(m.prefix, req.OID)
	}
	b.setVersion(m.key, ondisk.Own{Batch: b.num, Slot: req.Slot, At: m.at}, m.row)
	b.setLate(m.pendingKey, m.pending)
	b.setManifest(req.OID, m.parts)
	if parts.u != nil {
		b.dropAll(&parts, m.keep)
	}
	return nil
}

// shared is where an older version of the key has the payload that a new one refers to as well.
func (b *batch) shared(prefix []byte, oid object.OID) ondisk.Location {
	it := b.iteratorOf(prefix)
	if it == nil {
		return ondisk.Location{}
	}
	at, err := placeOf(it, prefix, oid)
	b.fail(err)
	if to, ok := b.journal.moved[at]; ok {
		return to
	}
	return at
}

// accepted notes an unstable version. It is called before its row can be seen, so that no reader
// takes the version for a stable one.
func (a *Actor) accepted(ref object.VersionRef, p *pending) {
	a.mu.Lock()
	a.pending[ref] = p
	a.mu.Unlock()
}

// saw remembers the highest stamp. Called by the loop alone.
func (a *Actor) saw(ts object.Stamp) { a.clocks.Store(max(a.clocks.Load(), uint64(ts))) }

// unstable returns what is pending of a version, nil if it is stable.
func (a *Actor) unstable(ref object.VersionRef) *pending {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.pending[ref]
}

// settle forgets that a version is pending.
func (a *Actor) settle(ref object.VersionRef) {
	a.mu.Lock()
	delete(a.pending, ref)
	a.mu.Unlock()
}

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
