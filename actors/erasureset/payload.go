package erasureset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"holdfast/actors/drive"
	"holdfast/actors/erasure"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
)

// payload is what an operation's own version carries to the drives.
type payload struct {
	drive.Payload                  // all but Inline
	shards        [maxSlots][]byte // inline shards
	parts         [][][]byte       // inline shards of parts: of each, by slot; nil for those that were staged
	slots         quorum.Slots     // that have their shard in place, or need none
	partial       quorum.Slots     // that lack a part
	row, buf      []byte           // memory of rows and inline shards, reused
}

func (p *payload) reset() { *p = payload{row: p.row[:0], buf: p.buf} }

// lacks says why a slot cannot take the version; zero: it can.
func (p *payload) lacks(slot int) quorum.Reason {
	if p.slots.Has(slot) {
		return 0
	}
	return quorum.ReasonAbsent
}

// encode makes the row of v.
func (p *payload) encode(v *Info) error {
	row, err := ondisk.AppendVersion(p.row[:0], v)
	if err != nil {
		return fmt.Errorf("encode version: %w", err)
	}
	p.row, p.Row, p.Size = row, row, v.Size
	if len(v.Refs) > 0 {
		p.OID = v.Refs[0].OID
	}
	return nil
}

// mark sends stable marks, in their own time.
func (o *op) mark(s *quorum.Send) {
	v, missed := &s.Req.Version, s.Req.Missed
	if o.m == &o.update && v.Ref == o.update.Written() {
		missed |= o.body.partial
	}
	o.s.marks.add(o.t, s.To, drive.Mark{Key: o.t.key, Set: o.t.id, Ref: v.Ref, Rev: v.Rev, Missed: missed})
	switch {
	case missed != 0:
		o.s.metrics.degraded.Inc()
	case v.Kind == quorum.Tombstone:
		o.s.tombs.add(o.t.key, v.Rev)
	}
}

// commit sends a version, or a revision of one, to drives with all that they store of it.
func (o *op) commit(s *quorum.Send) {
	v := &s.Req.Version
	switch own := s.Req.Ballot == v.Ref || s.Req.Decision.Ballot == s.Req.Ballot; {
	case !own:
		o.complete(s)
		return
	case v.Rev != v.Ref.TS:
		o.revise(s)
		return
	}
	o.body.Again = o.offered // what an attempt that came to nothing left behind is of use
	o.offered = true
	to := s.To & o.body.slots
	o.lack(s.To&^to, s.ID, quorum.ReasonAbsent)
	to = o.ready(to, s.ID)
	o.in.await(to.Len())
	for i := range to.All() {
		c := o.newCall(i, s)
		c.req.Payload, c.req.Inline = o.body.Payload, o.body.shards[i]
		c.req.Version.Data = v.Data && !o.body.partial.Has(i)
		o.send(c)
	}
}

// revise commits new metadata, or the end, of a version that a report brought.
func (o *op) revise(s *quorum.Send) {
	v := &s.Req.Version
	info := new(Info)
	err := ondisk.DecodeShared(info, v.Ref, v.Rev, o.row(v))
	if err == nil {
		if v.Kind == quorum.Purged {
			info.Kind, info.Refs = ondisk.KindPurged, nil
		} else {
			o.edit(info)
		}
		o.body.reset()
		err = o.body.encode(info)
	}
	if err != nil {
		o.s.log.Warn("a revision cannot be made", "set", o.t.id, "err", err)
		o.lack(s.To, s.ID, quorum.ReasonAbsent)
		return
	}
	to := o.ready(s.To, s.ID)
	o.in.await(to.Len())
	for i := range to.All() {
		c := o.newCall(i, s)
		c.req.Payload = o.body.Payload
		o.send(c)
	}
}

// complete brings a version that another operation left unfinished to drives: its row, and its
// shards as coded anew from k of them. Who holds it is only asked to repeat its word.
func (o *op) complete(s *quorum.Send) {
	v := s.Req.Version
	to := o.ready(s.To, s.ID)
	holders := o.holders(v.Ref) & to
	body, err := o.bodyOf(&v)
	if err != nil {
		o.s.log.Warn("a version cannot be finished", "set", o.t.id, "err", err)
		o.lack(to, s.ID, quorum.ReasonAbsent)
		return
	}
	o.in.await(0)
	send := func(slots quorum.Slots) {
		for i := range slots.All() {
			c := o.newCall(i, s)
			body.fill(&c.req.Payload, i)
			c.req.Version.Data = v.Kind == quorum.Object && (holders.Has(i) || body.slots.Has(i))
			o.send(c)
		}
	}
	send(holders)
	others := to &^ holders
	if v.Kind == quorum.Object && others != 0 {
		if err := o.recode(&v, body, others); err != nil {
			o.s.log.Warn("shards were not coded anew", "set", o.t.id, "err", err)
		}
		o.lack(others&^body.slots, s.ID, quorum.ReasonAbsent)
		others &= body.slots
	}
	send(others)
}

// holders are the slots that reported a version with its shard.
func (o *op) holders(ref object.VersionRef) (slots quorum.Slots) {
	for i, c := range o.reports[:o.t.n()] {
		if c == nil {
			continue
		}
		list := c.reply.Versions // newest first
		j := sort.Search(len(list), func(j int) bool { return list[j].Ref.Compare(ref) <= 0 })
		for ; j < len(list) && list[j].Ref == ref; j++ {
			if list[j].Data {
				slots |= quorum.Slot(i)
			}
		}
	}
	return slots
}

// remake is a version that is written again as it was.
type remake struct {
	payload
	info Info
}

// bodyOf is the row, and the part table, of a version that a report brought.
func (o *op) bodyOf(v *quorum.Version) (*remake, error) {
	b := &remake{}
	b.Again = true
	b.Row = slices.Clone(o.row(v)) // the report may go while a call still reads it
	if err := ondisk.DecodeShared(&b.info, v.Ref, v.Rev, b.Row); err != nil {
		return nil, err
	}
	b.Size = b.info.Size
	if len(b.info.Refs) > 0 {
		b.OID = b.info.Refs[0].OID
	}
	if b.info.Parts > 0 && v.Kind == quorum.Object {
		var err error
		b.Parts, err = o.s.loadParts(o.context(), o.t, &b.info, o.holders(v.Ref))
		return b, err
	}
	return b, nil
}

// recode reads an object and puts its shards in place on slots that lack them; body.slots are those
// that have theirs then.
func (o *op) recode(v *quorum.Version, body *remake, others quorum.Slots) error {
	holders, info := o.holders(v.Ref), &body.info
	switch {
	case info.Size == 0 || len(info.Refs) == 0:
		body.slots = others
		return nil
	case info.Parts > 0:
		return o.recodeParts(body, others)
	}
	src := o.s.newSource(o.t, info, holders)
	defer src.close()
	if err := src.valid(); err != nil {
		return err
	}
	if info.Refs[0].Inline {
		shards, err := src.inlineShards(o.context())
		if err != nil {
			return err
		}
		copy(body.shards[:], shards)
		body.slots = others
		return nil
	}
	staged, err := o.restage(src, info.Write, others)
	body.slots, body.Staged = staged, true
	return err
}

// recodeParts does the same for each part of a multipart object.
func (o *op) recodeParts(body *remake, others quorum.Slots) error {
	held := o.holders(object.VersionRef{TS: body.info.TS, Write: body.info.Write})
	body.parts = make([][][]byte, len(body.Parts))
	for i := range body.Parts {
		p := &body.Parts[i]
		if p.Stored == 0 {
			continue
		}
		src := o.s.partSource(o.t, p, erasure.ForSize(o.t.n(), o.t.shape.K, p.Stored), held)
		var err error
		if p.Ref.Inline {
			body.parts[i], err = src.inlineShards(o.context())
		} else {
			others, err = o.restage(src, p.Write, others)
		}
		src.close()
		if err != nil {
			return err
		}
	}
	body.slots, body.Staged = others, true
	return nil
}

// fill makes p what one slot's drive gets.
func (b *remake) fill(p *drive.Payload, slot int) {
	*p = b.Payload
	p.Inline = b.shards[slot]
	if !slices.ContainsFunc(b.parts, func(shards [][]byte) bool { return shards != nil }) {
		return
	}
	p.PartInline = make([][]byte, len(b.parts))
	for i, shards := range b.parts {
		if shards != nil {
			p.PartInline[i] = shards[slot]
		}
	}
}

// restage stages the shards of a source on slots; it returns those that took theirs.
func (o *op) restage(src *source, write object.WriteID, others quorum.Slots) (quorum.Slots, error) {
	ctx := o.context()
	body := src.stream(ctx, object.Range{End: src.size})
	defer body.Close()
	st := o.s.newStaging(o.t, src.geo, src.size, src.oid, write, others)
	h := &hasher{st: st}
	err := st.copy(ctx, body, h)
	st.end(err == nil)
	h.wait()
	staged, syncErr := st.finish(ctx, err == nil, min(1, others.Len()))
	o.atEnd(st.abort)
	if err = errors.Join(err, syncErr); err != nil {
		return 0, err
	}
	return staged, nil
}

// atEnd has fn called when nothing uses the op any more.
func (o *op) atEnd(fn func()) {
	if first := o.cleanup; first != nil {
		o.cleanup = func() { first(); fn() }
		return
	}
	o.cleanup = fn
}

// heal writes to one drive what the others hold.
func (o *op) heal(s *quorum.Send) {
	o.giveTurn() // whatever is written from now on ends the token
	to := o.ready(s.To, s.ID)
	for i := range to.All() {
		c := o.newCall(i, s)
		c.req.Versions = slices.Clone(s.Req.Versions)
		if err := o.fillHeal(c); err != nil {
			o.s.log.Warn("a key was not healed", "drive", o.t.set.Members[i], "set", o.t.id, "err", err)
			o.lack(to, s.ID, quorum.ReasonAbsent)
			o.s.release(c)
			continue
		}
		o.send(c)
	}
}

func (o *op) fillHeal(c *call) error {
	target := quorum.Slot(c.slot)
	for i := range c.req.Versions {
		v := &c.req.Versions[i]
		body, err := o.bodyOf(v)
		if err != nil {
			return err
		}
		if v.Data && !o.holders(v.Ref).Has(c.slot) {
			if err := o.recode(v, body, target); err != nil {
				return err
			}
			if body.slots != target {
				return fmt.Errorf("shard of %d bytes: %w", v.Ref.TS, drive.ErrNoShard)
			}
		}
		c.req.Payloads = append(c.req.Payloads, drive.Payload{})
		body.fill(&c.req.Payloads[i], c.slot)
	}
	for _, id := range c.req.Uploads {
		up, err := o.s.getUpload(o.context(), o.t, id)
		if err != nil {
			return err
		}
		c.req.Opened = append(c.req.Opened, up.up)
	}
	return nil
}

// judging makes a precondition of a function over rows. refusal gets what it says.
func (o *op) judging(cond Condition, refusal *error) quorum.Cond {
	if cond == nil {
		return quorum.Cond{}
	}
	return quorum.Cond{Kind: quorum.CondOwner, Judge: func(cur *quorum.Version) bool {
		var info *Info
		if cur != nil {
			info = new(Info)
			if *refusal = ondisk.DecodeShared(info, cur.Ref, cur.Rev, o.row(cur)); *refusal != nil {
				return false
			}
		}
		*refusal = cond(info)
		return *refusal == nil
	}}
}

// refresh looks the target's bucket up again; false if it has not changed, or is going.
func (o *op) refresh(ctx context.Context) bool {
	if o.s.opt.Bucket == nil || ctx.Err() != nil {
		return false
	}
	b, ok := o.s.opt.Bucket(o.t.bucket.ID)
	if !ok || b.Sealing != 0 || b.Revision == o.t.bucket.Revision {
		return false
	}
	o.t.bucket = b
	o.qt = o.t.quorum()
	return true
}
