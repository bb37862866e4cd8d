package s3api

import (
	"errors"
	"io"
	"net"
	"time"

	"holdfast/actors/erasureset"
	"holdfast/actors/object"
)

// writeRearm is how often, in bytes, the write deadline of a streamed answer is moved.
const writeRearm = 1 << 20

// directSize is the size from which on an answer's body goes to the connection past fasthttp's
// buffer, so that a client that does not take it can be left for a while. A shorter one fits into
// the system's buffers.
const directSize = 16 << 10

// answer is the body of an object on its way out. fasthttp calls WriteTo and then Close, whatever
// happened; an error of WriteTo cuts the connection, so that a broken read never looks complete.
type answer struct {
	c      *call
	stream erasureset.Stream
	handle erasureset.Handle
	conn   net.Conn
	idle   time.Duration

	transport *conn // nil: the body goes through fasthttp's buffer
	size      int64
}

// send answers with size bytes of stream. Both handle and stream belong to the answer from now on.
func (c *call) send(h erasureset.Handle, s erasureset.Stream, size int64) {
	c.answer = answer{c: c, stream: s, handle: h, conn: c.rc.Conn(), idle: c.srv.limits.Write}
	if t := transport(c.answer.conn); t != nil && size > directSize {
		c.answer.transport, c.answer.size = t, size
		c.rc.Response.ImmediateHeaderFlush = true // the body does not follow in the same buffer
	}
	if size > writeRearm {
		c.rc.SetWriteDeadline(time.Now().Add(c.answer.idle)) // from here on the deadline is ours
	}
	c.streamed = true
	c.rc.Response.SetBodyStream(&c.answer, int(size))
}

// Read is there for the interface; fasthttp uses WriteTo.
func (a *answer) Read(p []byte) (int, error) { return a.stream.Read(p) }

// WriteTo sends the body.
func (a *answer) WriteTo(w io.Writer) (int64, error) {
	out := pacedWriter{w: w, conn: a.conn, idle: a.idle}
	var n int64
	var err error
	if a.transport != nil {
		n, err = a.direct(&out)
	} else {
		n, err = a.stream.WriteTo(&out)
	}
	a.c.sent += n
	if err != nil && !out.failed {
		a.c.srv.metrics.broken.Inc()
		a.c.srv.log.Error("answer was cut: stored data could not be read to its end", "request", a.c.id,
			"bucket", a.c.addr.bucket, "sent", n, "err", err)
	}
	return n, err
}

// direct sends the body past fasthttp's buffer, which is empty. While others wait for what the
// answer holds and its client takes nothing, it holds nothing: neither buffers nor a request's slot.
func (a *answer) direct(out *pacedWriter) (sent int64, err error) {
	relief := a.c.srv.relief
	s := &sender{conn: a.transport, w: a.conn, left: a.size}
	out.w = s
	relief.enter(s)
	defer relief.leave(s)
	for {
		n, err := a.stream.WriteTo(out)
		sent += n
		if !errors.Is(err, object.ErrPaused) {
			return sent, err
		}
		a.c.srv.metrics.paused.Inc()
		a.c.releaseSlot()
		if err := a.transport.ready(); err != nil {
			out.failed = true
			return sent, err
		}
	}
}

// Close gives back what the answer holds, and ends the call.
func (a *answer) Close() error {
	c, ended := a.c, a.c != nil && a.c.streamed
	a.drop()
	if ended {
		c.finish()
	}
	return nil
}

// drop closes stream and handle, once.
func (a *answer) drop() {
	if a.stream != nil {
		a.stream.Close()
	}
	if a.handle != nil {
		a.handle.Close()
	}
	a.stream, a.handle = nil, nil
}

// pacedWriter moves the write deadline as the client takes the bytes, and remembers whether it was
// the client that failed.
type pacedWriter struct {
	w      io.Writer
	conn   net.Conn
	idle   time.Duration
	since  int
	failed bool
}

func (p *pacedWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	if err != nil && !errors.Is(err, object.ErrPaused) {
		p.failed = true
		return n, err
	}
	if p.since += n; p.since >= writeRearm {
		p.since = 0
		p.conn.SetWriteDeadline(time.Now().Add(p.idle)) // an error shows up at the next write
	}
	return n, err
}
