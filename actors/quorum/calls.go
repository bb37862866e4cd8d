package quorum

import (
	"time"

	"holdfast/actors/object"
)

// calls keeps the requests of an operation apart: each round has an id, and a reply to an earlier
// round does not count in a later one.
type calls struct {
	round uint32
	out   Slots // members that have not answered the present round
	sends []Send
}

// begin starts a step: effects of the last one are gone.
func (c *calls) begin() { c.sends = c.sends[:0] }

// start begins a round of one request to several members.
func (c *calls) start(to Slots, t *Target, req *Request) {
	c.round++
	c.out = to
	c.post(to, c.round, t, req)
}

// more asks further members in the present round.
func (c *calls) more(to Slots, t *Target, req *Request) {
	c.out |= to
	c.post(to, c.round, t, req)
}

// tell sends what is not waited for.
func (c *calls) tell(to Slots, t *Target, req *Request) { c.post(to, 0, t, req) }

func (c *calls) post(to Slots, id uint32, t *Target, req *Request) {
	if to == 0 {
		return
	}
	r := *req
	r.Fence, r.Key, r.Sealed = t.fence(), t.Key, t.Sealed
	c.sends = append(c.sends, Send{To: to, ID: id, Req: r})
}

// take says whether an event belongs to the present round.
func (c *calls) take(ev *Event) bool {
	if ev.Kind != EvReply && ev.Kind != EvLost || ev.ID != c.round || !c.out.Has(ev.From) {
		return false
	}
	c.out &^= Slot(ev.From)
	return true
}

// stamp gives an operation its next stamp, above all it has met.
func (e *Env) stamp(now time.Time, above object.Stamp) (object.Stamp, bool) {
	e.Clock.Observe(above)
	return e.Clock.Take(now)
}
