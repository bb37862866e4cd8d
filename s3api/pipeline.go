package s3api

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"

	"holdfast/s3api/s3err"
)

// stash is the key under which the Expect handler leaves the call for the handler.
type stash struct{}

// serve is fasthttp's Handler: every request that was read passes here once, except those that
// expect has refused.
func (s *Server) serve(rc *fasthttp.RequestCtx) {
	defer s.survive(rc)
	c, ok := rc.UserValue(stash{}).(*call)
	if ok {
		rc.RemoveUserValue(stash{})
		if c.load != nil { // the body begins only now
			c.load.wire.attach(rc, c.req.length, s.pace, s.relief, time.Now())
		}
	} else {
		c = s.begin(rc)
		if c.guard(c.prepare); c.err != nil || c.route == &s.routes.own {
			c.end()
			return
		}
	}
	c.guard(c.run)
	c.end()
}

// expect is fasthttp's ExpectHandler: it decides about the body of a request before the client
// sends it. Everything that can be refused from the head alone is refused here, by prepare and foresee.
func (s *Server) expect(rc *fasthttp.RequestCtx) (status int) {
	status = 500
	defer s.survive(rc)
	c := s.begin(rc)
	c.guard(c.prepare)
	if c.err == nil && c.route != &s.routes.own {
		c.guard(c.foresee)
	}
	if c.err == nil && c.route != &s.routes.own {
		rc.SetUserValue(stash{}, c)
		return fasthttp.StatusContinue
	}
	if t := transport(rc.Conn()); t != nil {
		t.unread.Store(true) // the client may have begun to send all the same
	}
	status = rc.Response.StatusCode()
	c.end()
	return status
}

// malformed is fasthttp's ErrorHandler: the message could not be read as HTTP. Nothing of it is
// shown or logged, for it may hold credentials.
func (s *Server) malformed(rc *fasthttp.RequestCtx, err error) {
	defer s.survive(rc)
	s.metrics.parse.Inc()
	e := s3err.BadRequest.Because(nil)
	var small *fasthttp.ErrSmallBuffer
	var op net.Error
	switch {
	case errors.As(err, &small):
		e = s3err.RequestHeaderSectionTooLarge.Because(nil)
	case errors.As(err, &op) && op.Timeout():
		e = s3err.RequestTimeout.Because(nil)
	case err == io.ErrUnexpectedEOF: // as it is: of the body that is read ahead; a head that ends early comes wrapped
		e = s3err.IncompleteBody.Because(nil)
	}
	if t := transport(rc.Conn()); t != nil {
		t.unread.Store(true)
	}
	h := &rc.Response.Header
	h.DisableNormalizing()
	id := newRequestID()
	h.Set("x-amz-request-id", id)
	h.SetContentType("application/xml")
	rc.SetStatusCode(e.Status())
	rc.Response.SetBodyRaw(e.AppendXML(nil, "", id, s.hostID))
}

// begin makes the call of a request.
func (s *Server) begin(rc *fasthttp.RequestCtx) *call {
	c := s.calls.Get().(*call)
	c.srv, c.rc, c.ctx = s, rc, s.base
	c.start, c.id = time.Now(), newRequestID()
	c.route = &s.routes.none
	s.metrics.inFlight.Add(1)
	if t := transport(rc.Conn()); t != nil {
		t.unread.Store(false)
		c.lost = !t.busy()
	}
	c.plainHeaders()
	return c
}

// prepare does everything that needs only the head of the request: it copies it, finds out who
// asks for what, and whether that is allowed. Nothing is looked up in the store.
func (c *call) prepare() error {
	s := c.srv
	if c.lost {
		return errOverload // nobody would hear the answer, so nothing is begun
	}
	if err := c.req.parse(&c.rc.Request.Header); err != nil {
		c.rc.SetConnectionClose()
		return err
	}
	var err error
	if c.addr, err = splitAddress(c.req.Path, c.req.Host, s.opts.Domains); err != nil {
		return err
	}
	if !c.addr.vhost && s.ownPage(c) {
		return nil
	}
	if c.who, err = s.authenticate(&c.req); err != nil {
		return err
	}
	if c.who.auth.Presigned {
		if err := c.req.hoist(); err != nil {
			return err
		}
	}
	l := levelService
	switch {
	case c.addr.key != "":
		l = levelObject
	case c.addr.bucket != "":
		l = levelBucket
	}
	if c.route, err = s.routes.find(&c.req, l); err != nil {
		return err
	}
	if c.route.handler == nil {
		return s3err.NotImplemented.With("Operation", c.route.op)
	}
	if err := s.authorize(&c.who, c.route); err != nil {
		return err
	}
	if err := c.refuseHeaders(); err != nil {
		return err
	}
	return c.openPayload()
}

// foresee finds out what would make the handler refuse the request whatever its body says: what the
// head shows and what is in local memory. Objects and uploads are not looked up.
func (c *call) foresee() error {
	if c.srv.slots.full() {
		c.srv.metrics.rejected.Inc()
		return errOverload
	}
	var err error
	switch {
	case c.addr.key != "":
		_, _, err = c.object()
	case c.route.op != "CreateBucket":
		_, err = c.bucket()
	}
	if err != nil || c.route.early == nil {
		return err
	}
	return c.route.early(c)
}

// run takes a slot and calls the handler.
func (c *call) run() error {
	if !c.srv.slots.take(c.srv.base) {
		c.srv.metrics.rejected.Inc()
		return errOverload
	}
	c.counted = true
	return c.route.handler(c)
}

// guard runs one step of the pipeline; a panic in it costs this request only.
func (c *call) guard(step func() error) {
	defer func() {
		if p := recover(); p != nil {
			c.srv.metrics.panics.Inc()
			c.srv.log.Error("request panicked", "request", c.id, "operation", c.route.op, "panic", p, "stack", string(debug.Stack()))
			c.rc.SetConnectionClose()
			c.fail(s3err.InternalError)
		}
	}()
	if err := step(); err != nil {
		c.fail(err)
	}
}

// fail replaces whatever was prepared as the answer by an error. Of the headers only those in
// c.errHeaders go with it.
func (c *call) fail(err error) {
	c.err = c.srv.errs.find(err)
	c.dropAnswer()
	status, h := c.err.Status(), &c.rc.Response.Header
	closing := h.ConnectionClose()
	h.Reset()
	c.plainHeaders()
	if closing {
		h.SetConnectionClose()
	}
	for _, f := range c.errHeaders {
		h.Set(f.Name, f.Value)
	}
	c.rc.SetStatusCode(status)
	if status == 304 {
		return
	}
	h.SetContentType("application/xml")
	if c.err.Code == s3err.SlowDown || c.err.Code == s3err.ServiceUnavailable {
		h.Set(headRetry, retrySeconds)
	}
	if c.req.Method == "HEAD" {
		return
	}
	body := c.err.AppendXML(make([]byte, 0, 512), c.req.Path, c.id, c.srv.hostID)
	c.rc.Response.SetBodyRaw(body)
	c.sent = int64(len(body))
}

// plainHeaders sets what every answer has.
func (c *call) plainHeaders() {
	h := &c.rc.Response.Header
	h.DisableNormalizing() // before the first Set: names go out as written
	h.SetNoDefaultContentType(true)
	h.Set("x-amz-request-id", c.id)
	h.Set("x-amz-id-2", c.srv.hostID)
}

// dropAnswer forgets the answer that was prepared and gives back what it holds.
func (c *call) dropAnswer() {
	c.streamed, c.sent = false, 0 // first: closing a streamed answer would end the call
	c.rc.Response.ResetBody()
	c.answer.drop()
}

// end finishes the call, now or, for a streamed answer, when that has been sent.
func (c *call) end() {
	unread := c.rc.RequestBodyStream() != nil && c.req.length != 0
	if c.load != nil {
		unread = c.load.wire.detach()
		c.received = c.load.wire.got
		if c.load.wire.failed {
			c.rc.SetConnectionClose()
		}
	}
	if unread {
		if t := transport(c.rc.Conn()); t != nil {
			t.unread.Store(true)
		}
	}
	c.status = c.rc.Response.StatusCode()
	if !c.streamed {
		c.finish()
	}
}

// releaseSlot gives the request's slot back, if it has one.
func (c *call) releaseSlot() {
	if c.counted {
		c.counted = false
		c.srv.slots.release()
	}
}

// finish gives back what the call holds and counts it.
func (c *call) finish() {
	s := c.srv
	c.releaseSlot()
	if c.load != nil && c.load.big {
		s.documents.release()
	}
	took := time.Since(c.start)
	s.metrics.inFlight.Add(-1)
	s.metrics.answered(c.route.index, c.status, took, c.received, c.sent)
	if c.err != nil {
		s.metrics.errors.WithLabelValues(c.err.Code.String()).Inc()
	}
	s.logCall(c, took)
	c.reset()
	s.calls.Put(c)
}

// Close gives the call back when fasthttp drops a request between Expect and its body.
func (c *call) Close() error {
	c.status = 400
	c.end()
	return nil
}

// reset makes the call ready for another request.
func (c *call) reset() {
	c.req.reset()
	c.load = nil
	c.rc, c.ctx, c.route, c.id = nil, nil, nil, ""
	c.addr, c.who, c.errHeaders = address{}, Principal{}, nil
	c.counted, c.lost, c.streamed, c.status, c.sent, c.received, c.err = false, false, false, 0, 0, 0, nil
	c.answer = answer{}
}

// newRequestID returns 16 hex digits. The generator is seeded by the runtime from the system's
// source; an id is no secret.
func newRequestID() string {
	const digits = "0123456789ABCDEF"
	var b [16]byte
	for i, n := 0, rand.Uint64(); i < len(b); i++ {
		b[i] = digits[n&15]
		n >>= 4
	}
	return string(b[:])
}

// survive keeps a panic of the pipeline itself from ending the process: fasthttp recovers none.
func (s *Server) survive(rc *fasthttp.RequestCtx) {
	if p := recover(); p != nil {
		s.metrics.panics.Inc()
		s.log.Error("pipeline panicked", "panic", p, "stack", string(debug.Stack()))
		rc.Response.Reset()
		rc.SetStatusCode(500)
		rc.SetConnectionClose()
	}
}

// recovered turns a panic of a goroutine into an error.
func (s *Server) recovered(err *error) {
	if p := recover(); p != nil {
		s.metrics.panics.Inc()
		s.log.Error("request panicked", "panic", p, "stack", string(debug.Stack()))
		*err = s3err.InternalError
	}
}
