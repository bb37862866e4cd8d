package erasureset

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
)

// op carries one operation of actors/quorum to the drives of a key's set and its answers back. It
// steps the machine in the goroutine that runs it; what is left once the outcome is known goes on in
// the background. Ops are reused: one goes back to the pool when its runner and all its calls are done.
type op struct {
	s *Store
	t *target
	m machine

	update quorum.Update // what m is, mostly
	get    quorum.Get
	qt     quorum.Target
	id     object.WriteID // names its ballots, unless the intent has a name

	body      payload          // of the version that it writes itself
	edit      func(*Info)      // makes a revision of a version
	opened    []*ondisk.Upload // that it opens
	turn      *ticket          // of the key
	withShard bool             // reports bring shards

	reports [maxSlots]*call // the newest report of each slot, whose rows the machine's versions name
	asked   uint32          // the round of the last report request

	in       *inbox
	taken    []*call      // owned by the runner, as is all that follows: answers out of the inbox
	stepped  int          // how many of them had their step
	local    []answer     // known without asking
	done0    quorum.Reply // of what is done without asking
	ev       quorum.Event
	begun    int              // calls that drives have been handed
	lost     bool             // one of them was given up: it may come back at any time
	waiting  quorum.Slots     // whose drives have not answered
	last     [maxSlots]uint32 // the round they were asked in
	gen      uint32           // of the machine
	wake     time.Time
	told     bool // the outcome is known
	prepared bool // drives remember a ballot
	offered  bool // its version was offered to drives
	over     bool
	deadline time.Time
	ctx      context.Context // of all calls; nil until the first that needs one
	cancel   context.CancelFunc
	cleanup  func() // called once, when nothing uses the op any more
	timer    *time.Timer

	refs atomic.Int32 // the runner and the calls under way
}

// machine is an operation of actors/quorum.
type machine interface {
	Step(now time.Time, ev *quorum.Event) quorum.Effect
	Result() quorum.Result
}

// call is one request to one drive.
type call struct {
	op    *op
	slot  int
	id    uint32
	gen   uint32
	begun bool // handed to the drive, nobody waits in it
	req   drive.Request
	reply drive.Reply
	err   error
	at    time.Time // of the answer
}

// answer is an event that needs no drive.
type answer struct {
	slot   int
	id     uint32
	reason quorum.Reason // zero: the request is done
}

// newOp returns an op for a key. Its user calls finish.
func (s *Store) newOp(t *target) *op {
	o, _ := s.ops.Get().(*op)
	if o == nil {
		o = &op{s: s, in: &inbox{wake: make(chan struct{}, 1)}, timer: time.NewTimer(time.Hour), id: object.NewWriteID()}
	}
	for i := len(o.id) - 1; i >= 0; i-- { // another name than it had before
		if o.id[i]++; o.id[i] != 0 {
			break
		}
	}
	o.t = t
	o.qt = t.quorum()
	o.refs.Store(1)
	s.background.Add(1)
	return o
}

// quorum is the target as the machines see it.
func (t *target) quorum() quorum.Target {
	return quorum.Target{
		Key: t.key, Revision: t.bucket.Revision, Sealed: t.bucket.Sealing != 0,
		Config: drive.ConfigOf(t.id, &t.set),
	}
}

// change runs an Update until its outcome is known, by a deadline of its own: half a write helps nobody.
// ctx is for the time before it begins.
func (o *op) change(ctx context.Context, in *quorum.Intent, limit time.Duration) (quorum.Result, error) {
	if err := o.takeTurn(ctx); err != nil {
		return quorum.Result{}, err
	}
	o.update.Reset(&o.s.env, &o.qt, in)
	o.m = &o.update
	return o.run(limit), nil
}

// takeTurn waits until no other operation of this store changes the key. Nothing rests on it: it only
// spares those that would come in each other's way the rounds that sort them out.
func (o *op) takeTurn(ctx context.Context) (err error) {
	if o.turn == nil {
		o.turn, err = o.s.turns.take(ctx, o.t)
	}
	return err
}

func (o *op) giveTurn() {
	if o.turn != nil {
		o.s.turns.give(o.t, o.turn)
		o.turn = nil
	}
}

// run steps the machine until its outcome is known.
func (o *op) run(limit time.Duration) quorum.Result {
	now := time.Now()
	o.deadline = now.Add(limit)
	o.gen++
	o.told, o.over, o.local, o.waiting = false, false, o.local[:0], 0
	o.ev = quorum.Event{Kind: quorum.EvBegin}
	o.step(now)
	for !o.told && !o.over {
		o.next()
	}
	return o.m.Result()
}

// finish gives up the runner's use of the op, in the background if the operation is not over.
func (o *op) finish() {
	o.giveTurn()
	if o.prepared {
		o.s.tombs.addLater(o.t.key) // promise and decision
	}
	if o.m == nil || o.over && o.begun == 0 {
		o.done()
		return
	}
	o.in.await(0)
	o.s.background.Go(func() {
		for !o.over {
			o.next()
		}
		for o.begun > 0 && !o.lost {
			if c := o.wait(); c != nil {
				o.s.release(c)
			}
			o.local = o.local[:0]
		}
		o.done()
	})
}

// done gives up one use of the op; the last makes it ready for another.
func (o *op) done() {
	if o.refs.Add(-1) != 0 {
		return
	}
	if o.cancel != nil {
		o.cancel()
	}
	if o.cleanup != nil {
		o.cleanup()
	}
	s := o.s
	defer s.background.Done()
	if o.begun > 0 {
		return // a drive may yet answer
	}
	o.taken = o.in.take(o.taken)
	for _, c := range o.taken[o.stepped:] {
		s.release(c)
	}
	clear(o.taken[:cap(o.taken)])
	for i, c := range o.reports[:o.t.n()] {
		if c != nil {
			s.release(c)
			o.reports[i] = nil
		}
	}
	select {
	case <-o.in.wake:
	default:
	}
	o.timer.Stop()
	o.body.reset()
	o.t, o.m, o.edit, o.opened, o.withShard, o.prepared, o.offered, o.asked = nil, nil, nil, nil, false, false, false, 0
	o.taken, o.stepped, o.local = o.taken[:0], 0, o.local[:0]
	o.ctx, o.cancel, o.cleanup, o.wake = nil, nil, nil, time.Time{}
	s.ops.Put(o)
}

// newCall returns a call of the request to one slot.
func (o *op) newCall(slot int, s *quorum.Send) *call {
	c, _ := o.s.calls.Get().(*call)
	if c == nil {
		c = &call{}
	}
	c.op, c.slot, c.id, c.gen, c.begun, c.err = o, slot, s.ID, o.gen, false, nil
	c.req.Request = s.Req
	return c
}

// release ends a call whose answer nobody needs any more.
func (s *Store) release(c *call) {
	c.reply.Release()
	q := &c.req // of which newCall writes what is the protocol's
	q.Key, q.Versions, q.Dead, q.Uploads, q.Hints = object.Key{}, nil, nil, nil, nil
	q.Payload, q.Payloads, q.Opened = drive.Payload{}, nil, nil
	q.WithRows, q.WithShard, q.Synced, q.NoUploads = false, false, false, false
	c.op = nil
	s.calls.Put(c)
}

// step gives the machine the event in o.ev and carries out what it wants.
func (o *op) step(now time.Time) {
	eff := o.m.Step(now, &o.ev)
	o.wake = eff.Wake
	for i := range eff.Sends {
		o.dispatch(&eff.Sends[i])
	}
	o.told = o.told || eff.Done
	o.over = eff.Over
}

// next waits for the next event and hands it on.
func (o *op) next() {
	if n := len(o.local); n > 0 {
		a := o.local[0]
		o.local = o.local[:copy(o.local, o.local[1:])]
		o.ev = quorum.Event{Kind: quorum.EvLost, From: a.slot, ID: a.id, Reason: a.reason}
		if a.reason == 0 {
			o.done0.OK, o.done0.Judge = true, true
			o.ev.Kind, o.ev.Reply = quorum.EvReply, &o.done0
		}
		o.step(time.Now())
		return
	}
	c := o.wait()
	switch {
	case c == nil && len(o.local) > 0:
	case c == nil:
		o.ev = quorum.Event{Kind: quorum.EvTick}
		o.step(time.Now())
	case c.gen != o.gen:
		o.s.release(c)
	default:
		o.answered(c)
	}
}

// wait returns the next answer, nil when it is time for a tick or some answer was given up.
//
// The runner is not woken for answers that decide nothing. So that the one which made W still starts
// the time of the stragglers, which begins when it came, the runner looks at least that often.
func (o *op) wait() *call {
	slept := false
	for o.stepped == len(o.taken) {
		clear(o.taken)
		o.taken, o.stepped = o.in.take(o.taken[:0]), 0
		if len(o.taken) > 0 {
			break
		}
		now := time.Now()
		due := !o.wake.IsZero() && !now.Before(o.wake)
		if slept || due {
			o.giveUp(now)
		}
		if due || len(o.local) > 0 || o.lost && o.over {
			return nil
		}
		look := o.s.opt.StragglerLimit
		if !o.wake.IsZero() {
			look = o.wake.Sub(now)
		}
		o.timer.Reset(look)
		select {
		case <-o.in.wake:
			o.timer.Stop()
		case <-o.timer.C:
			slept = true
		}
	}
	c := o.taken[o.stepped]
	o.taken[o.stepped] = nil
	o.stepped++
	if c.begun {
		o.begun--
	}
	return c
}

// giveUp takes drives that went out of service for lost, and all once the time is up. A call into a
// drive that hangs may never come back; if it does nobody listens any more.
func (o *op) giveUp(now time.Time) {
	gone := o.waiting &^ o.t.online()
	if now.After(o.deadline) || o.ctx != nil && o.ctx.Err() != nil {
		gone = o.waiting
		o.lost = o.begun > 0
	}
	for i := range gone.All() {
		o.local = append(o.local, answer{slot: i, id: o.last[i], reason: quorum.ReasonUnknown})
	}
	o.waiting &^= gone
}

// answered hands a drive's answer to the machine.
func (o *op) answered(c *call) {
	o.ev = quorum.Event{Kind: quorum.EvReply, From: c.slot, ID: c.id, Reply: &c.reply.Reply}
	if c.begun && c.err == nil && c.reply.Refused == quorum.RefusedBehind {
		c.begun = false
		o.call(c) // which tells the drive what it has to know
		return
	}
	if c.id == o.last[c.slot] {
		o.waiting &^= quorum.Slot(c.slot)
	}
	keep := false
	switch {
	case c.err != nil:
		o.ev.Kind, o.ev.Reply, o.ev.Reason = quorum.EvLost, nil, reasonOf(c.err)
		o.warn(c)
	case c.req.Kind == quorum.ReqReport || c.req.Kind == quorum.ReqPrepare:
		keep = o.keep(c)
	case c.req.Kind == quorum.ReqCommit && c.reply.OK:
		o.s.watermarks.note(o.t.set.Members[c.slot], c.reply.Batch)
	}
	o.step(c.at)
	if !keep {
		o.s.release(c)
	}
}

func (o *op) warn(c *call) {
	if o.ev.Reason != quorum.ReasonUnknown || errors.Is(c.err, context.Canceled) {
		return
	}
	what := "request failed"
	switch c.req.Kind {
	case quorum.ReqReport:
		what = "report failed"
	case quorum.ReqCommit:
		what = "commit failed"
	}
	o.s.log.Warn(what, "drive", o.t.set.Members[c.slot], "set", o.t.id, "err", c.err)
}

// keep makes a report the newest of its slot, whose rows the machine's versions name by Body.
func (o *op) keep(c *call) bool {
	old := o.reports[c.slot]
	if old != nil && old.id > c.id && old.gen == c.gen {
		return false
	}
	if old != nil {
		o.s.release(old)
	}
	o.reports[c.slot] = c
	for i := range c.reply.Versions {
		c.reply.Versions[i].Body = uint64(c.slot+1)<<32 | uint64(i)
	}
	return true
}

// brought are the answers of the last round of reports that begin with a version.
func (o *op) brought(ref object.VersionRef) iter.Seq2[int, *call] {
	return func(yield func(int, *call) bool) {
		for i, c := range o.reports[:o.t.n()] {
			if c != nil && c.id == o.asked && len(c.reply.Versions) > 0 && c.reply.Versions[0].Ref == ref && !yield(i, c) {
				return
			}
		}
	}
}

// row is the row of a version that came with a report.
func (o *op) row(v *quorum.Version) []byte {
	slot, i := int(v.Body>>32)-1, int(uint32(v.Body))
	if slot < 0 || o.reports[slot] == nil || i >= len(o.reports[slot].reply.Rows) {
		return nil
	}
	return o.reports[slot].reply.Rows[i].Shared
}

// dispatch carries out one send.
func (o *op) dispatch(s *quorum.Send) {
	rows := false
	switch s.Req.Kind {
	case quorum.ReqMark:
		o.mark(s)
		return
	case quorum.ReqStage: // what there is, is in place
		for i := range s.To.All() {
			o.local = append(o.local, answer{slot: i, id: s.ID, reason: o.body.lacks(i)})
		}
		return
	case quorum.ReqCommit:
		o.commit(s)
		return
	case quorum.ReqHeal:
		o.heal(s)
		return
	case quorum.ReqReport:
		o.asked, rows = s.ID, true
	case quorum.ReqPrepare:
		rows, o.prepared = true, true
		if o.takeTurn(o.context()) != nil { // of a read that found something in doubt
			o.lack(s.To, s.ID, quorum.ReasonAbsent)
			return
		}
	}
	to := o.ready(s.To, s.ID)
	if s.Req.Kind == quorum.ReqReport {
		o.in.await(to.Len())
	}
	for i := range to.All() {
		c := o.newCall(i, s)
		c.req.Opened = o.opened
		c.req.WithRows, c.req.WithShard = rows, o.withShard && s.Req.Kind == quorum.ReqReport
		o.send(c)
	}
}

// ready are those of some slots whose drives are in service; it answers for the others.
func (o *op) ready(to quorum.Slots, id uint32) quorum.Slots {
	var on quorum.Slots
	for i := range to.All() {
		if o.t.drives[i].Health().State == drive.Online {
			on |= quorum.Slot(i)
		}
	}
	o.lack(to&^on, id, quorum.ReasonAbsent)
	return on
}

// lack books that a request was not sent.
func (o *op) lack(to quorum.Slots, id uint32, why quorum.Reason) {
	for i := range to.All() {
		if id != 0 {
			o.local = append(o.local, answer{slot: i, id: id, reason: why})
		}
	}
}

// context is that of all calls.
func (o *op) context() context.Context {
	if o.ctx == nil {
		o.ctx, o.cancel = context.WithDeadline(context.Background(), o.deadline)
	}
	return o.ctx
}

func (o *op) send(c *call) {
	if c.id != 0 {
		o.waiting |= quorum.Slot(c.slot)
		o.last[c.slot] = c.id
	}
	if c.req.Kind == quorum.ReqCommit && o.begin(c) {
		return
	}
	o.call(c)
}

// begin hands a commit to a drive that needs nobody to wait in it.
func (o *op) begin(c *call) bool {
	d, ok := o.t.drives[c.slot].(drive.Starter)
	if !ok {
		return false
	}
	c.begun = true
	started, err := d.Start(&c.req, c, 0)
	switch {
	case started:
		o.begun++
	case err != nil:
		c.begun, c.err, c.at = false, err, time.Now()
		o.in.push(c, false)
	default:
		c.begun = false
		return false
	}
	return true
}

// Answered implements drive.Receiver.
func (c *call) Answered(_ int, reply *drive.Reply, err error) {
	c.err, c.at = err, time.Now()
	q := &c.reply.Reply
	versions, dead, uploads, hints := q.Versions[:0], q.Dead[:0], q.Uploads[:0], q.Hints[:0] // a commit's answer has none
	*q = reply.Reply
	q.Versions, q.Dead, q.Uploads, q.Hints = versions, dead, uploads, hints
	c.reply.Batch = reply.Batch
	c.op.in.push(c, err == nil && reply.OK)
}

// call has a call made by a goroutine that waits in it.
func (o *op) call(c *call) {
	o.context()
	o.refs.Add(1)
	o.s.crew.run(c, 0)
}

// do implements doer: it makes the call.
func (c *call) do(int) {
	o := c.op
	d := o.t.drives[c.slot]
	c.err = d.Do(o.ctx, &c.req, &c.reply)
	if c.err == nil && c.reply.Refused == quorum.RefusedBehind {
		if c.err = catchUp(o.ctx, o.t, c.slot); c.err == nil {
			c.err = d.Do(o.ctx, &c.req, &c.reply)
		}
	}
	c.at = time.Now()
	if c.id == 0 { // nobody waits
		o.s.release(c)
	} else {
		o.in.push(c, c.err == nil && c.reply.Refused == quorum.RefusedNot && c.reply.OK)
	}
	o.done()
}

// catchUp tells a drive what it has not learnt yet: the epoch of the set, the revision of the bucket.
func catchUp(ctx context.Context, t *target, slot int) error {
	req := &drive.Request{Request: quorum.Request{Kind: quorum.ReqAdopt, Config: drive.ConfigOf(t.id, &t.set), Member: slot}}
	req.Set = t.id
	var reply drive.Reply
	if err := t.drives[slot].Do(ctx, req, &reply); err != nil {
		return err
	}
	return drive.Fence(ctx, t.drives[slot], t.bucket.ID, t.bucket.Revision, t.bucket.Sealing != 0, false)
}

// reasonOf says what a drive's error means.
func reasonOf(err error) quorum.Reason {
	switch {
	case errors.Is(err, drive.ErrOffline), errors.Is(err, drive.ErrNoShard), errors.Is(err, drive.ErrNotInSync), errors.Is(err, drive.ErrNoUpload):
		return quorum.ReasonAbsent
	case errors.Is(err, drive.ErrFull):
		return quorum.ReasonFull
	case errors.Is(err, drive.ErrBusy):
		return quorum.ReasonBusy
	case errors.Is(err, drive.ErrStale):
		return quorum.ReasonStale
	}
	return quorum.ReasonUnknown
}
