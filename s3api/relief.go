package s3api

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/actors/object"
)

// relief takes back what requests hold whose clients do nothing, while others wait for it: buffers
// or request slots. An answer that is not taken is put aside, nothing of it is lost; an upload that
// does not come is ended with RequestTimeout. While nobody waits it sleeps, and a client may take
// its time.
type relief struct {
	reads, uploads Buffers // nil: they never run short
	slots          *slots
	stuck, silent  time.Duration // of an answer, of an upload
	stop           chan struct{}
	once           sync.Once
	begin          sync.Once
	done           sync.WaitGroup

	mu      sync.Mutex
	senders map[*sender]struct{}   // guarded by mu
	bodies  map[*wireBody]struct{} // guarded by mu
}

func newRelief(reads, uploads Buffers, s *slots, l Limits) *relief {
	return &relief{
		reads: reads, uploads: uploads, slots: s, stuck: l.Stuck, silent: l.BodyStuck,
		stop: make(chan struct{}), senders: make(map[*sender]struct{}), bodies: make(map[*wireBody]struct{}),
	}
}

// start runs the goroutine, once. It is not called after close.
func (r *relief) start() { r.begin.Do(func() { r.done.Go(r.run) }) }

// close ends the goroutine. It is idempotent.
func (r *relief) close() {
	r.once.Do(func() { close(r.stop) })
	r.done.Wait()
}

func (r *relief) enter(s *sender) {
	r.mu.Lock()
	r.senders[s] = struct{}{}
	r.mu.Unlock()
}

func (r *relief) leave(s *sender) {
	r.mu.Lock()
	delete(r.senders, s)
	r.mu.Unlock()
}

func (r *relief) enterBody(b *wireBody) {
	r.mu.Lock()
	r.bodies[b] = struct{}{}
	r.mu.Unlock()
}

func (r *relief) leaveBody(b *wireBody) {
	r.mu.Lock()
	delete(r.bodies, b)
	r.mu.Unlock()
}

// run wakes up when somebody begins to wait, and goes on looking for stuck requests as long as
// anybody does.
func (r *relief) run() {
	tick := time.NewTicker(r.stuck / 4)
	defer tick.Stop()
	tick.Stop()
	for {
		select {
		case <-wanted(r.reads):
			tick.Reset(r.stuck / 4)
		case <-wanted(r.uploads):
			tick.Reset(r.stuck / 4)
		case <-r.slots.wanted:
			tick.Reset(r.stuck / 4)
		case <-tick.C:
			if !r.slots.waited() && !short(r.reads) && !short(r.uploads) {
				tick.Stop()
				continue
			}
		case <-r.stop:
			return
		}
		now := time.Now()
		if r.slots.waited() || short(r.reads) {
			r.breakOff(now.Add(-r.stuck))
		}
		if r.slots.waited() || short(r.uploads) {
			r.cut(now.Add(-r.silent))
		}
	}
}

// wanted and short are Buffers' methods for buffers that may be nil.
func wanted(b Buffers) <-chan struct{} {
	if b == nil {
		return nil
	}
	return b.Wanted()
}

func short(b Buffers) bool { return b != nil && b.Waiting() }

// cut ends the uploads of which nothing has come since before limit.
func (r *relief) cut(limit time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for b := range r.bodies {
		b.cut(limit)
	}
}

// breakOff ends the writes that have hung since before limit.
func (r *relief) breakOff(limit time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.senders {
		s.breakOff(limit)
	}
}

// sender writes the body of one answer to its connection, until it is broken off.
type sender struct {
	conn *conn
	w    net.Conn // conn, or the TLS above it
	left int64    // bytes of the body to come

	mu    sync.Mutex
	since time.Time // guarded by mu: when the Write under way began; zero: none is
}

// tlsPiece is how much goes into one Write to a TLS connection: one record. What is broken off of
// it is kept by the conn.
const tlsPiece = 16 << 10

// Write returns object.ErrPaused, and how much was taken, when it was broken off.
func (s *sender) Write(b []byte) (n int, err error) {
	if int64(len(b)) > s.left {
		return 0, errTooLong
	}
	for n < len(b) && err == nil {
		piece := b[n:]
		if s.conn.tls && len(piece) > tlsPiece {
			piece = piece[:tlsPiece]
		}
		var k int
		k, err = s.write(piece)
		n += k
	}
	s.left -= int64(n)
	return n, err
}

// errTooLong is returned when a stream has more bytes than its answer announced: they would be
// taken for the next answer.
var errTooLong = errors.New("body is longer than announced")

func (s *sender) write(b []byte) (int, error) {
	s.mu.Lock()
	s.since = time.Now()
	s.mu.Unlock()
	n, err := s.w.Write(b)
	s.mu.Lock()
	s.since = time.Time{}
	broken := s.conn.mend()
	s.mu.Unlock()
	if broken && (err == nil || errors.Is(err, os.ErrDeadlineExceeded)) {
		err = object.ErrPaused
	}
	return n, err
}

// breakOff ends the Write under way if it began before limit.
func (s *sender) breakOff(limit time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.since.IsZero() && s.since.Before(limit) {
		s.conn.breakOff()
	}
}

// breakOff makes a Write that is under way return at once, with what the system has taken. Under
// TLS, which cannot go on behind a Write that ended short, it says that it took all and owes the rest.
func (c *conn) breakOff() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.broken {
		c.broken = true
		c.Conn.SetWriteDeadline(time.Unix(1, 0)) // an error shows up at the next write
	}
}

// mend undoes breakOff and says whether there was one.
func (c *conn) mend() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.broken {
		return false
	}
	c.broken = false
	c.Conn.SetWriteDeadline(c.limit) // an error shows up at the next write
	return true
}

func (c *conn) isBroken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = t
	if c.broken {
		return nil // mend sets it
	}
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.Conn.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	if !c.tls {
		return c.Conn.Write(b)
	}
	c.owing.Lock()
	defer c.owing.Unlock()
	n, err := 0, c.settle()
	if err == nil {
		n, err = c.Conn.Write(b)
	}
	if err != nil && c.isBroken() {
		c.owed = append(c.owed, b[n:]...) // at most the records of one tlsPiece
		return len(b), nil
	}
	return n, err
}

// settle writes what is owed. c.owing is held.
func (c *conn) settle() error {
	for len(c.owed) > 0 {
		n, err := c.Conn.Write(c.owed)
		if c.owed = c.owed[n:]; err != nil {
			return err
		}
	}
	c.owed = nil
	return nil
}

// ready returns when the client takes bytes again, or the write deadline has passed.
func (c *conn) ready() error {
	c.owing.Lock()
	err := c.settle()
	c.owing.Unlock()
	if err != nil {
		return err
	}
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("wait for the client: %w", err)
	}
	return raw.Write(writable)
}

// writable says whether the system has room for a good piece, or an error that a write will show.
func writable(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(fds, 0)
	return n > 0 || err != nil && err != unix.EINTR
}

var _ io.Writer = (*sender)(nil)
