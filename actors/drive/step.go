package drive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
)

// stepMsg is a request of the protocol in the mailbox. What it writes is encoded by the sender,
// outside of the loop, into a buffer of the message's own.
type stepMsg struct {
	reply   // without done if to stands for it
	to      Receiver
	tag     int
	req     quorum.Request // its slices are the message's own
	out     Reply
	rows    bool // rows are asked for
	buf     []byte
	prefix  []byte // of the key's M rows
	load    payload
	heal    []payload
	brought map[revision]int // places in heal
	opened  []ondisk.Upload
}

func (*stepMsg) isMsg() {}

func (m *stepMsg) weight() int { return len(m.buf) + 256 }

// stepPool recycles messages that the loop has answered.
type stepPool struct{ sync.Pool }

func (p *stepPool) get() *stepMsg {
	if m, ok := p.Get().(*stepMsg); ok {
		return m
	}
	return &stepMsg{reply: newReply()}
}

// put takes back a message that nobody uses any more: the loop has answered it, and nobody else.
func (p *stepPool) put(m *stepMsg) {
	if cap(m.buf) > 64<<10 {
		m.buf = nil
	}
	q := &m.req // which encode writes, as apply does out
	q.Key, q.Versions, q.Dead, q.Uploads, q.Hints = object.Key{}, nil, nil, nil, nil
	m.err, m.to, m.tag, m.rows, m.buf, m.prefix = nil, nil, 0, false, m.buf[:0], nil
	m.load, m.heal, m.brought, m.opened = payload{takes: m.load.takes[:0]}, nil, nil, nil
	p.Put(m)
}

// deliver implements message. A repetition wrote nothing: the number of a batch that was never
// written must not become somebody's watermark of this drive.
func (m *stepMsg) deliver(a *Actor) {
	m.out.Batch = min(m.out.Batch, a.gate.durable.Load())
	if m.to == nil {
		m.done <- m.err
		return
	}
	m.to.Answered(m.tag, &m.out, m.err)
	a.steps.put(m)
}

// refuse implements message. The loop may still be working on m, so it is not used again.
func (m *stepMsg) refuse(err error) {
	if m.to == nil {
		m.done <- err
		return
	}
	m.to.Answered(m.tag, &Reply{}, err)
}

// encode copies what the loop needs of a request.
func (m *stepMsg) encode(a *Actor, req *Request) (err error) {
	q := &m.req
	*q = req.Request
	q.Versions, q.Dead, q.Uploads = slices.Clone(q.Versions), slices.Clone(q.Dead), slices.Clone(q.Uploads)
	m.rows = req.WithRows
	m.buf = ondisk.AppendVersionPrefix(m.buf[:0], req.Key)
	n := len(m.buf)
	if req.Kind == quorum.ReqCommit {
		p := &req.Payload
		m.buf = append(m.buf, p.Row...)
		row := len(m.buf)
		m.buf = ondisk.AppendPendingKey(m.buf, req.Set, q.Version.Ref, q.Version.Rev)
		key := len(m.buf)
		m.buf = ondisk.AppendPending(m.buf, &ondisk.Pending{
			Key: req.Key, Ref: q.Version.Ref, Rev: q.Version.Rev, Epoch: q.Version.Epoch, Bytes: int64(len(p.Inline)),
		})
		pend := len(m.buf)
		if p.Inline != nil {
			m.buf = ondisk.AppendPayload(m.buf, a.tag, p.OID, p.Inline)
			m.load.inline = m.buf[pend:]
		}
		m.load.shared = m.buf[n:row:row]
		m.load.pendKey, m.load.pend = m.buf[row:key:key], m.buf[key:pend:pend]
		err = m.load.fill(p)
	}
	m.prefix = m.buf[:n:n]
	for i := range req.Payloads {
		p := &req.Payloads[i]
		x := payload{shared: bytes.Clone(p.Row)}
		if p.Inline != nil {
			x.inline = ondisk.AppendPayload(nil, a.tag, p.OID, p.Inline)
		}
		err = errors.Join(err, x.fill(p))
		x.again = true
		m.heal = append(m.heal, x)
	}
	if n := min(len(m.heal), len(q.Versions)); n > 0 {
		m.brought = make(map[revision]int, n)
		for i := n - 1; i >= 0; i-- {
			m.brought[revision{q.Versions[i].Ref, q.Versions[i].Rev}] = i
		}
	}
	for _, up := range req.Opened {
		m.opened = append(m.opened, *up)
	}
	return err
}

// fill copies what rows need of p beside those that it brings itself.
func (x *payload) fill(p *Payload) (err error) {
	x.size, x.oid, x.staged, x.again = p.Size, p.OID, p.Staged, p.Again
	if len(p.Parts) == 0 {
		return nil
	}
	x.parts = slices.Clone(p.Parts)
	for _, b := range p.PartInline {
		if b != nil {
			b = ondisk.AppendInline(nil, b)
		}
		x.inlets = append(x.inlets, b)
	}
	x.tables, err = ondisk.EncodeManifest(&ondisk.Manifest{Parts: x.parts})
	return err
}

// payload is what the message brought for a version.
func (m *stepMsg) payload(v *quorum.Version) *payload {
	if m.req.Kind == quorum.ReqCommit {
		if v.Is(m.req.Version.Ref, m.req.Version.Rev) {
			return &m.load
		}
		return nil
	}
	if i, ok := m.brought[revision{v.Ref, v.Rev}]; ok {
		return &m.heal[i]
	}
	return nil
}

// apply implements message.
func (m *stepMsg) apply(b *batch) error {
	req := &m.req
	if req.Key.Name == "" { // of a set or a bucket
		c := b.newCell(req.Key, nil)
		defer b.spare(c)
		ans, err := b.step(c, req, nil)
		m.out.CopyFrom(&ans.Reply)
		return err
	}
	n := needOf(req)
	n.all = n.all || m.load.again || req.Kind == quorum.ReqCommit && req.Version.Data && m.load.refers()
	n.rows = m.rows && (req.Kind == quorum.ReqPrepare)
	c := b.cell(req.Key, m.prefix, n)
	if b.err != nil {
		return b.err
	}
	if err := m.ready(b, c); err != nil {
		return err
	}
	b.opening = m.opened
	ans, err := b.step(c, req, m.payload)
	b.opening = nil
	if err != nil {
		return err
	}
	b.answer(c, m, &ans)
	return b.err
}

// ready makes sure that all shards are there that the message offers.
func (m *stepMsg) ready(b *batch, c *cell) error {
	if m.req.Kind == quorum.ReqCommit {
		if id := m.req.Version.Upload; id != (object.WriteID{}) && b.planDrop(c.key, id, completeParts).next != nil {
			return b.a.wrap(fmt.Errorf("upload of %q: more than %d parts were sent to it", c.key.Name, completeParts))
		}
		return b.ready(c, &m.req.Version, &m.load)
	}
	for i := range min(len(m.heal), len(m.req.Versions)) {
		if err := b.ready(c, &m.req.Versions[i], &m.heal[i]); err != nil {
			return err
		}
	}
	return nil
}

// answer copies what the step says, beside what the drive adds, into the message.
func (b *batch) answer(c *cell, m *stepMsg, ans *quorum.Answer) {
	out, req := &m.out, &m.req
	out.CopyFrom(&ans.Reply)
	if !c.whole && !req.All && !req.At.Named {
		out.Complete = false
	}
	if !givesUploads(req) {
		out.Uploads = out.Uploads[:0]
	}
	if out.OK && req.Kind == quorum.ReqCommit {
		out.Batch = b.num
	}
	if m.rows {
		for i := range out.Versions {
			v := &out.Versions[i]
			if j := c.index(v.Ref, v.Rev); j >= 0 {
				out.addRow(b.sharedOf(c, j), c.rows[j].slot)
			}
		}
	}
}

// needsUploads says whether a step looks at the uploads of the key.
func needsUploads(c *cell, req *quorum.Request) bool {
	switch req.Kind {
	case quorum.ReqHeal, quorum.ReqUpload, quorum.ReqDecide:
		return true
	case quorum.ReqMark:
		for i := range c.state.Versions {
			if c.state.Versions[i].Upload != (object.WriteID{}) { // stable ones too: it may have been opened late
				return true
			}
		}
	}
	return givesUploads(req)
}

// givesUploads says whether the answer lists uploads: what is asked once per operation of uploads
// must not cost every report a look.
func givesUploads(req *quorum.Request) bool {
	return req.All && (req.Kind == quorum.ReqReport || req.Kind == quorum.ReqPrepare)
}

// Do implements Doer.
func (a *Actor) Do(ctx context.Context, req *Request, reply *Reply) error {
	reply.Reset()
	switch req.Kind {
	case quorum.ReqReport, quorum.ReqStage:
		return a.report(ctx, req, reply)
	case quorum.ReqFetch, quorum.ReqUnpin:
		return a.pinned(req, reply)
	case quorum.ReqMark:
		reply.Kind, reply.OK = req.Kind, true
		return a.Mark([]Mark{{Key: req.Key, Set: req.Set, Ref: req.Version.Ref, Rev: req.Version.Rev, Missed: req.Missed}})
	}
	if req.Kind == quorum.ReqHeal || a.needsRoom(req) {
		if err := a.awaitRoom(ctx); err != nil {
			return err
		}
	}
	for {
		m, err := a.prepare(req)
		if err != nil {
			return err
		}
		answered, err := a.do(ctx, m)
		if errors.Is(err, errPieces) {
			continue
		}
		if !answered || err != nil {
			return err // the loop may still hold the message
		}
		m.out, *reply = *reply, m.out // each keeps the other's memory
		a.steps.put(m)
		return nil
	}
}

// Start implements Starter.
func (a *Actor) Start(req *Request, to Receiver, tag int) (started bool, err error) {
	if req.Kind != quorum.ReqCommit {
		return false, nil
	}
	if a.needsRoom(req) {
		if full, inDoubt := a.space.seems(); full || inDoubt {
			return false, nil // it may have to wait for room, or for the file system to tell
		}
	}
	m, err := a.prepare(req)
	if err != nil {
		return false, err
	}
	m.to, m.tag = to, tag
	if err := a.put(m); err != nil {
		a.steps.put(m)
		return false, err
	}
	return true, nil
}

// prepare makes the message of a request.
func (a *Actor) prepare(req *Request) (*stepMsg, error) {
	if req.Kind == quorum.ReqCommit && req.Version.Kind != quorum.Object && a.space.wasFull.Load() {
		a.space.hope.raise()
	}
	m := a.steps.get()
	if err := m.encode(a, req); err != nil {
		return nil, a.wrap(fmt.Errorf("encode: %w", err))
	}
	return m, nil
}

// needsRoom says whether a request brings data that is not here yet.
func (a *Actor) needsRoom(req *Request) bool {
	return req.Kind == quorum.ReqCommit && req.Version.Kind == quorum.Object && !req.Staged
}

// flushMsg is a barrier: it takes all marks with it.
type flushMsg struct{ reply }

func (*flushMsg) isMsg()             {}
func (*flushMsg) first()             {}
func (*flushMsg) weight() int        { return 0 }
func (*flushMsg) apply(*batch) error { return nil }

// flushMarks makes durable all marks that were queued before.
func (a *Actor) flushMarks(ctx context.Context) error {
	_, err := a.do(ctx, &flushMsg{newReply()})
	return err
}
