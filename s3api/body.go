package s3api

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// pace is how request bodies have to come. fasthttp's ReadTimeout counts from the first byte of a request to the
// last of its body, which no large upload can meet, so a body is given its own rolling deadline.
type pace struct {
	idle   time.Duration // longest silence
	rearm  time.Duration // how often the deadline is moved at most; well below idle and ReadTimeout
	window time.Duration // the slowest allowed rate is minimum bytes in each full window
	least  int64
}

func newPace(l Limits) pace {
	return pace{idle: l.BodyIdle, rearm: min(l.BodyIdle, l.ReadHead) / 6, window: l.BodyWindow, least: l.BodyLeast}
}

var (
	errBodyGone = errors.New("request body was read after its handler returned")
	errBodySlow = errors.New("request body comes too slowly")
	errBodyLost = errors.New("connection failed within the request body")

	errBodyChunks = errors.New("malformed chunked transfer coding of the request body")
)

// readAhead is how much of a body fasthttp has read when the handler is called.
const readAhead = 8 << 10

// wireBody reads a request body from the connection. It counts, because fasthttp reports a client
// that vanished as a plain io.EOF; it keeps a rolling deadline; and it dies with its handler, so
// that a straggling reader can never see the bytes of the connection's next request.
type wireBody struct {
	mu     sync.Mutex
	rc     *fasthttp.RequestCtx
	r      io.Reader // guarded by mu; nil once detached
	want   int64     // bytes announced, -1 if the body is chunked
	got    int64
	done   bool // the end was seen
	failed bool
	pace   pace
	rearm  time.Time   // when the deadline is to be moved next
	window time.Time   // begin of the current rate window
	relief *relief     // nil: nothing of the body is still to come
	dying  atomic.Bool // the handler has returned: the Read under way is the last

	waits  atomic.Int64 // when the Read under way began, in ns of the Unix epoch; 0: none is
	conn   atomic.Pointer[conn]
	inside int64 // bytes since then
}

// attach begins the body of a request whose first byte arrived about now.
func (b *wireBody) attach(rc *fasthttp.RequestCtx, length int64, p pace, r *relief, now time.Time) {
	b.rc, b.r, b.pace = rc, rc.RequestBodyStream(), p
	b.want, b.got, b.inside = max(length, -1), 0, 0
	b.done, b.failed = b.r == nil || length == 0, false
	b.dying.Store(false)
	b.rearm, b.window = now.Add(p.rearm), now
	if length == lengthMissing {
		b.want, b.done = 0, true
	}
	if t := transport(rc.Conn()); t != nil && (length > readAhead || length == lengthChunked) {
		b.conn.Store(t)
		b.relief = r
		r.enterBody(b)
	}
}

// detach waits for a running Read to end (cutting it short) and makes all later ones fail. It
// reports whether bytes of the body were left on the wire.
func (b *wireBody) detach() (unread bool) {
	if !b.mu.TryLock() {
		b.dying.Store(true) // before the deadline, which a Read that just begins may move
		b.rc.SetReadDeadline(time.Now())
		b.mu.Lock()
		b.failed = true // whatever the Read met: the connection's deadline lies behind it
	}
	defer b.mu.Unlock()
	if b.relief != nil {
		b.relief.leaveBody(b)
		b.relief = nil
		b.conn.Store(nil)
	}
	b.r, b.rc = nil, nil
	return !b.done
}

// Read reads body bytes. A body that ends early is io.ErrUnexpectedEOF.
func (b *wireBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.done:
		return 0, io.EOF
	case b.r == nil:
		return 0, errBodyGone
	}
	now := time.Now()
	if err := b.keepPace(now); err != nil {
		b.failed = true
		return 0, err
	}
	if b.dying.Load() {
		return 0, errBodyGone
	}
	b.waits.Store(now.UnixNano())
	n, err := b.r.Read(p)
	b.waits.Store(0)
	b.got += int64(n)
	b.inside += int64(n)
	switch {
	case b.want >= 0 && b.got == b.want:
		b.done = true
		return n, io.EOF
	case err == io.EOF && b.want >= 0:
		err = io.ErrUnexpectedEOF
	case err == io.EOF:
		b.done = true
	}
	if err != nil && err != io.EOF {
		b.failed = true
		err = bodyFault(err, b.want < 0)
	}
	return n, err
}

// bodyFault says what ended a body. Whatever it is, it lies with the client or its connection, never
// with us. The text of a chunk's fault is dropped: it may hold pieces of the message.
func bodyFault(err error, chunked bool) error {
	var wire net.Error
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case chunked && !errors.As(err, &wire):
		return errBodyChunks
	}
	return fmt.Errorf("%w: %w", errBodyLost, err)
}

// cut ends the Read under way, as its deadline would, if it began before limit.
func (b *wireBody) cut(limit time.Time) {
	if at := b.waits.Load(); at == 0 || at >= limit.UnixNano() {
		return
	}
	if c := b.conn.Load(); c != nil {
		c.Conn.SetReadDeadline(time.Unix(1, 0)) // an error shows up at the next read
	}
}

// keepPace moves the read deadline and enforces the slowest allowed rate.
func (b *wireBody) keepPace(now time.Time) error {
	if now.Before(b.rearm) {
		return nil
	}
	if now.Sub(b.window) >= b.pace.window {
		if b.inside < b.pace.least {
			return errBodySlow
		}
		b.window, b.inside = now, 0
	}
	b.rearm = now.Add(b.pace.rearm)
	return b.rc.SetReadDeadline(now.Add(b.pace.idle))
}
