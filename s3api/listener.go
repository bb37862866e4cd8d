package s3api

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Limits of the lingering close: how long and for how many bytes a connection that is closed with
// the request body unread goes on reading, so that the client sees the answer instead of a reset.
const (
	lingerTime  = time.Second
	lingerBytes = 64 << 20
)

// Back-off of accept errors that pass (out of descriptors or memory).
const (
	acceptWaitMin = 5 * time.Millisecond
	acceptWaitMax = time.Second
)

// listener is the bottom of the stack: it retries accept errors that pass, wraps each connection
// in conn and knows all that are open. TLS, if any, lies above it.
type listener struct {
	net.Listener
	conns *connSet
	log   *slog.Logger
	tls   bool // lies above

	once   sync.Once
	closed chan struct{}
}

func newListener(ln net.Listener, conns *connSet, log *slog.Logger) *listener {
	return &listener{Listener: ln, conns: conns, log: log, closed: make(chan struct{})}
}

// Accept returns the next connection. Only an error that will not pass (the listener was closed)
// comes back: fasthttp stops serving for good on any.
func (l *listener) Accept() (net.Conn, error) {
	wait := acceptWaitMin
	for {
		c, err := l.Listener.Accept()
		if err == nil {
			return l.conns.add(c, l.tls), nil
		}
		if !passing(err) {
			return nil, err
		}
		l.log.Warn("accept waits", "address", l.Addr().String(), "wait", wait, "err", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-l.closed:
			timer.Stop()
			return nil, net.ErrClosed
		}
		wait = min(2*wait, acceptWaitMax)
	}
}

// Close stops Accept. Closing again does nothing: the server and fasthttp both close what they serve.
func (l *listener) Close() (err error) {
	l.once.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
	})
	return err
}

// passing says whether an accept error goes away by itself.
func passing(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR, syscall.EPROTO,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func (s *connSet) add(c net.Conn, tls bool) *conn {
	w := &conn{Conn: c, set: s, tls: tls}
	w.idle()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[w] = struct{}{}
	s.makeRoom()
	for len(s.all) > s.limit && s.gone > 0 {
		s.ends.Wait() // the system's own queue holds further ones meanwhile
	}
	return w
}

func (s *connSet) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c)
	if c.cut {
		s.gone--
		s.ends.Broadcast()
	}
}

// len is the number of open connections.
func (s *connSet) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// closeAll cuts every connection at once, lingering ones too.
func (s *connSet) closeAll() {
	s.mu.Lock()
	all := make([]*conn, 0, len(s.all))
	for c := range s.all {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		c.Conn.Close() // the transport's own close: no lingering
	}
}

// conn is a client connection. Its Close lingers if the last request's body was left unread:
// closing a socket with unread input sends a reset, which makes the client's kernel throw away the
// answer that is already on its way.
type conn struct {
	net.Conn
	set    *connSet
	unread atomic.Bool
	once   sync.Once
	tls    bool         // lies above: a Write that ends short would break it
	waits  atomic.Int64 // connBusy, connCut or since when
	asked  atomic.Bool  // a request came on it
	cut    bool         // guarded by set.mu

	mu     sync.Mutex
	limit  time.Time // guarded by mu: the write deadline that was asked for
	broken bool      // guarded by mu: a Write is broken off

	owing sync.Mutex
	owed  []byte // guarded by owing: what a Write that was broken off said it had taken
}

// Close closes the connection, after lingering if need be.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		defer c.set.remove(c)
		if c.unread.Load() {
			c.linger()
		}
		err = c.Conn.Close()
	})
	return err
}

func (c *conn) linger() {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	if c.Conn.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	io.CopyN(io.Discard, c.Conn, lingerBytes) // ends with the client's close, the deadline or the limit
}

// gone says whether the client has closed or lost the connection, without reading from it. False
// means "not known to be gone". Under TLS pending bytes say nothing, which is what false means.
func (c *conn) gone() bool {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == syscall.EAGAIN || err == syscall.EINTR:
		case err != nil || n == 0:
			gone = true
		}
	})
	return gone || err != nil
}

// transport finds our conn below whatever lies above it.
func transport(c net.Conn) *conn {
	for {
		switch t := c.(type) {
		case *conn:
			return t
		case interface{ NetConn() net.Conn }:
			c = t.NetConn()
		default:
			return nil
		}
	}
}
