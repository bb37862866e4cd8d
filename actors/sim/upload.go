package sim

import (
	"time"

	"holdfast/actors/object"
	"holdfast/actors/quorum"
)

// opener opens a multipart upload on all members, W of which must say so. Nothing orders uploads among
// each other, so the protocol has no operation for it.
type opener struct {
	target  quorum.Target
	upload  object.WriteID
	rules   quorum.Rules
	took    quorum.Slots
	out     quorum.Slots
	status  quorum.Status
	waiting bool
}

// Step takes one event.
func (o *opener) Step(_ time.Time, ev *quorum.Event) quorum.Effect {
	c := &o.target.Config
	switch {
	case ev.Kind == quorum.EvBegin:
		o.out, o.waiting = c.Members(), true
		req := quorum.Request{Kind: quorum.ReqUpload, Key: o.target.Key, Upload: o.upload}
		req.Fence = quorum.Fence{Set: c.ID, Epoch: c.Epoch, Revision: o.target.Revision}
		return quorum.Effect{Sends: []quorum.Send{{To: o.out, ID: 1, Req: req}}}
	case ev.Kind == quorum.EvReply && ev.Reply.OK && ev.Reply.Refused == quorum.RefusedNot:
		o.took |= quorum.Slot(ev.From)
		fallthrough
	case ev.Kind == quorum.EvReply, ev.Kind == quorum.EvLost:
		o.out &^= quorum.Slot(ev.From)
	}
	switch {
	case !o.waiting:
		return quorum.Effect{}
	case c.Acks(o.took, o.rules):
		o.status = quorum.StatusOK
	case o.out == 0:
		o.status = quorum.StatusUnknown
	default:
		return quorum.Effect{}
	}
	o.waiting = false
	return quorum.Effect{Done: true, Over: true}
}

// Result is what it came to.
func (o *opener) Result() quorum.Result { return quorum.Result{Status: o.status} }
