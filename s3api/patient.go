package s3api

import (
	"bytes"
	"context"
	"io"
	"time"

	"holdfast/s3api/s3err"
	"holdfast/s3api/s3xml"
)

// patiently runs work, which may take longer than a client waits for a first byte. What is done
// within Limits.Patience is answered as ever. After that the answer begins with 200 and the XML
// declaration, goes on with a blank now and then, and ends with the document, or, as in S3, with an
// error document if work failed after all. The context of work ends when the client goes away.
func (c *call) patiently(work func(context.Context) (document, error)) error {
	ctx, stop := c.whileConnected()
	w := &waiting{c: c, stop: stop, done: make(chan outcome, 1)}
	go func() {
		var out outcome
		defer func() { w.done <- out }()
		defer c.srv.recovered(&out.err)
		out.document, out.err = work(ctx)
	}()
	timer := time.NewTimer(c.srv.limits.Patience)
	defer timer.Stop()
	select {
	case out := <-w.done:
		stop()
		if out.err != nil {
			return out.err
		}
		if out.version != "" {
			c.header("x-amz-version-id", out.version)
		}
		return c.xml(out.body)
	case <-timer.C:
	}
	c.rc.SetStatusCode(200)
	c.rc.Response.Header.SetContentType("application/xml")
	c.rc.SetWriteDeadline(time.Now().Add(c.srv.limits.Write)) // from here on the deadline is ours
	c.streamed = true
	c.rc.Response.ImmediateHeaderFlush = true
	c.rc.Response.SetBodyStream(w, -1)
	return nil
}

// document is what patient work makes.
type document struct {
	body    []byte
	version string // x-amz-version-id, if there is one: an answer that has begun cannot say it any more
}

type outcome struct {
	document
	err error
}

// waiting is an answer whose document is not there yet.
type waiting struct {
	c      *call
	stop   func()
	done   chan outcome
	opened bool
	ended  bool
	rest   []byte
}

// Read gives the declaration, then blanks, then the document.
func (w *waiting) Read(p []byte) (int, error) {
	w.c.rc.Conn().SetWriteDeadline(time.Now().Add(w.c.srv.limits.Write))
	if !w.opened {
		w.opened, w.rest = true, []byte(s3xml.Declaration)
	}
	if len(w.rest) == 0 {
		if w.ended {
			return 0, io.EOF
		}
		tick := time.NewTimer(w.c.srv.limits.Patience)
		defer tick.Stop()
		select {
		case out := <-w.done:
			w.end(out)
		case <-tick.C:
			w.rest = []byte{' '}
		}
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	w.c.sent += int64(n)
	return n, nil
}

func (w *waiting) end(out outcome) {
	w.ended = true
	if out.err != nil {
		w.c.err = w.c.srv.errs.find(out.err)
		out.body = w.c.err.AppendXML(nil, w.c.req.Path, w.c.id, w.c.srv.hostID)
	}
	w.rest = bytes.TrimPrefix(out.body, []byte(s3xml.Declaration))
}

// Close waits for the work, cutting it short if its result is not wanted any more, and ends the call.
func (w *waiting) Close() error {
	w.stop()
	if !w.ended {
		w.end(<-w.done)
		w.c.err = &s3err.Error{Code: s3err.RequestTimeout} // the client went away
	}
	if w.c.streamed {
		w.c.finish()
	}
	return nil
}
