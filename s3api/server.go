package s3api

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"holdfast/actors/throttle"
	"holdfast/s3api/s3err"
	"holdfast/s3api/sigv4"
)

// Options are what a Server is made of.
type Options struct {
	Objects  Objects
	Control  Control
	Health   Health
	Logger   *slog.Logger
	Registry prometheus.Registerer // where the metrics of this package go
	Gatherer prometheus.Gatherer   // what /-/metrics shows; nil = nothing
	Buffers  Buffers               // of bodies on their way out; nil: they never run short
	Uploads  Buffers               // of bodies on their way in; nil: they never run short
	Region   string                // "" = us-east-1
	Domains  []string              // domains below which buckets are addressed in the Host header
	Limits   Limits
	Clock    func() time.Time // for signatures; nil = time.Now
	Version  string
}

// Limits bound what clients can use up. Zero fields take the defaults of DefaultLimits.
type Limits struct {
	Connections int           // open client connections, idle ones too
	Requests    int           // requests served at the same time
	Wait        time.Duration // longest wait for one of those places
	Header      int           // bytes of a request's head
	ReadHead    time.Duration // TLS handshake, head and first 8 KiB of the body
	BodyIdle    time.Duration // longest silence within a request body
	BodyStuck   time.Duration // ... when others wait for what the request holds
	BodyWindow  time.Duration // each full window of a body must bring BodyLeast bytes
	BodyLeast   int64
	Write       time.Duration // longest silence of a client that is being answered
	Patience    time.Duration // how long a copy runs before its answer begins with blanks
	Stuck       time.Duration // silence of a client that is being answered when others wait for what its answer holds
	Idle        time.Duration // longest rest between requests
	MaxPut      int64         // bytes of one PUT or part
	MaxObject   int64         // bytes of an object of many parts
	MinPart     int64         // bytes of every part but the last
	MaxParts    int
}

// DefaultLimits are S3's own where S3 has them.
func DefaultLimits() Limits {
	return Limits{
		Connections: 10_000, Requests: 512, Wait: 5 * time.Second, Header: 16 << 10,
		ReadHead: 30 * time.Second, BodyIdle: 30 * time.Second, BodyStuck: 2 * time.Second, BodyWindow: time.Minute, BodyLeast: 60 << 10, Write: time.Minute,
		Stuck: 250 * time.Millisecond, Patience: 10 * time.Second, Idle: 2 * time.Minute,
		MaxPut: 5 << 30, MaxObject: 5 << 40, MinPart: 5 << 20, MaxParts: 10_000,
	}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	pick(&l.Connections, d.Connections)
	if n := descriptors(); n > 0 {
		l.Connections = min(l.Connections, n*8/10) // the rest is for drives and peers
	}
	pick(&l.Requests, d.Requests)
	pick(&l.Wait, d.Wait)
	pick(&l.Header, d.Header)
	pick(&l.ReadHead, d.ReadHead)
	pick(&l.BodyIdle, d.BodyIdle)
	pick(&l.BodyStuck, d.BodyStuck)
	pick(&l.BodyWindow, d.BodyWindow)
	pick(&l.BodyLeast, d.BodyLeast)
	pick(&l.Write, d.Write)
	pick(&l.Patience, d.Patience)
	pick(&l.Stuck, d.Stuck)
	pick(&l.Idle, d.Idle)
	pick(&l.MaxPut, d.MaxPut)
	pick(&l.MaxObject, d.MaxObject)
	pick(&l.MinPart, d.MinPart)
	pick(&l.MaxParts, d.MaxParts)
	return l
}

// descriptors is how many the process may have open, 0 if unknown.
func descriptors() int {
	var lim syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim) != nil {
		return 0
	}
	return int(min(lim.Cur, 1<<30))
}

func pick[T comparable](field *T, def T) {
	var zero T
	if *field == zero {
		*field = def
	}
}

// Server is the S3 server. All methods are safe for concurrent use.
type Server struct {
	opts      Options
	limits    Limits
	log       *slog.Logger
	http      *fasthttp.Server
	routes    *router
	errs      errorMap
	pace      pace
	metrics   *metrics
	verifier  *sigv4.Verifier
	slots     *slots
	documents *slots // for big request documents
	relief    *relief
	faults    throttle.Throttle
	conns     *connSet
	calls     sync.Pool
	hostID    string

	base     context.Context // of every request; ends when a shutdown runs out of time
	cancel   context.CancelFunc
	draining atomic.Bool
	serving  sync.WaitGroup // Serve calls

	mu        sync.Mutex
	stopped   bool           // guarded by mu
	listeners []net.Listener // guarded by mu
}

// New returns a server that serves nothing yet.
func New(o Options) (*Server, error) {
	if o.Objects == nil || o.Control == nil || o.Health == nil || o.Logger == nil || o.Registry == nil {
		return nil, errors.New("s3api: Objects, Control, Health, Logger and Registry are needed")
	}
	region := o.Region // what signatures must name: anything, unless one was chosen
	pick(&o.Region, oldestRegion)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	s := &Server{
		opts: o, limits: o.Limits.orDefault(), log: o.Logger,
		routes: newRouter(table()), errs: newErrorMap(), hostID: newHostID(),
	}
	s.conns = newConnSet(s.limits.Connections, s.log)
	s.pace = newPace(s.limits)
	s.slots = newSlots(s.limits.Requests, s.limits.Wait)
	s.documents = newSlots(bigDocuments, s.limits.Wait)
	s.metrics = newMetrics(o.Registry, s.routes.ops(), s.conns)
	s.calls.New = func() any { return new(call) }
	s.verifier = sigv4.NewVerifier(sigv4.Config{Region: region, Now: o.Clock}, func(accessKey string) (string, bool) {
		c, ok := o.Control.Credential(accessKey)
		return c.SecretKey, ok
	})
	s.base, s.cancel = context.WithCancel(context.Background())
	s.relief = newRelief(o.Buffers, o.Uploads, s.slots, s.limits)
	s.http = s.newHTTP()
	o.Registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "holdfast", Subsystem: "s3",
		Name: "connections_refused_total", Help: "Connections refused because too many were open."},
		func() float64 { return float64(s.http.GetRejectedConnectionsCount()) }))
	fasthttp.SetBodySizePoolLimit(64<<10, 1<<20) // else a grown body buffer is kept for ever
	return s, nil
}

// newHTTP sets fasthttp up. What each setting guards against is in DESIGN.md.
func (s *Server) newHTTP() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:       s.serve,
		ExpectHandler: s.expect,
		ErrorHandler:  s.malformed,
		Logger:        quiet{s.log},
		ConnState:     func(c net.Conn, state fasthttp.ConnState) { connState(transport(c), state) },

		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		MaxRequestBodySize:           64 << 10, // with streaming not a limit; above 8 KiB keeps the pre-read whole
		ReadBufferSize:               s.limits.Header,
		WriteBufferSize:              16 << 10, // one TLS record
		ReadTimeout:                  s.limits.ReadHead,
		WriteTimeout:                 s.limits.Write,
		IdleTimeout:                  s.limits.Idle,
		Concurrency:                  s.limits.Connections + slack(s.limits.Connections),
		CloseOnShutdown:              true,
		NoDefaultContentType:         true,
		NoDefaultServerHeader:        true,
		SecureErrorLogMessage:        true,
	}
}

// Serve answers connections of ln until Shutdown, and closes ln. Several listeners may be served
// at the same time.
func (s *Server) Serve(ln net.Listener) error {
	return s.serveOn(newListener(ln, s.conns, s.log))
}

// ServeTLS is Serve with TLS.
func (s *Server) ServeTLS(ln net.Listener, certs *Certificates) error {
	inner := newListener(ln, s.conns, s.log)
	inner.tls = true
	return s.serveOn(tls.NewListener(inner, certs.Config()))
}

func (s *Server) serveOn(ln net.Listener) error {
	defer ln.Close()
	if !s.register(ln) {
		return nil
	}
	defer s.serving.Done()
	for {
		err := s.http.Serve(ln)
		if err == nil || s.draining.Load() || errors.Is(err, net.ErrClosed) {
			return nil
		}
		if !passing(err) {
			return fmt.Errorf("serve %s: %w", ln.Addr(), err)
		}
		s.log.Error("listener is served again", "address", ln.Addr().String(), "err", err)
	}
}

// register notes a listener for Shutdown; false means that Shutdown was there first. fasthttp knows
// a listener only once its Serve runs, so one that is about to would outlive the shutdown.
func (s *Server) register(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.listeners = append(s.listeners, ln)
	s.serving.Add(1)
	s.relief.start()
	return true
}

// closeListeners stops all Serve calls, those to come too.
func (s *Server) closeListeners() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for _, ln := range s.listeners {
		ln.Close() // an error means that it is closed already
	}
	s.listeners = nil
}

// Drain makes the readiness probe fail, so that a load balancer stops sending requests before
// Shutdown closes the listeners.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown closes the listeners, lets running requests end until ctx is done, and then cuts what
// is left. When it returns no handler runs any more, unless the error says that one did not end.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	s.closeListeners()
	err := s.http.ShutdownWithContext(ctx)
	s.cancel()
	s.relief.close()
	s.conns.closeAll() // fasthttp leaves connections running when ctx is done
	done := make(chan struct{})
	go func() { s.serving.Wait(); close(done) }()
	grace := time.NewTimer(shutdownGrace)
	defer grace.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.metrics.inFlight.Load() > 0 || s.conns.len() > 0 {
		select {
		case <-tick.C:
		case <-grace.C:
			return fmt.Errorf("shutdown: %d requests did not end", s.metrics.inFlight.Load())
		}
	}
	select {
	case <-done:
	case <-grace.C:
	}
	return err
}

// shutdownGrace is how long requests whose connections were cut may take to notice.
const shutdownGrace = 5 * time.Second

// newHostID names this server in answers, as AWS's x-amz-id-2 does.
func newHostID() string {
	var b [12]byte
	rand.Read(b[:]) // never fails: crypto/rand aborts the process instead
	return base64.StdEncoding.EncodeToString(b[:])
}

// slots bounds the requests that are served at the same time.
type slots struct {
	free    chan struct{}
	wait    time.Duration
	wanted  chan struct{} // capacity 1: receives soon after somebody began to wait
	waiting atomic.Int64
}

func newSlots(n int, wait time.Duration) *slots {
	return &slots{free: make(chan struct{}, n), wait: wait, wanted: make(chan struct{}, 1)}
}

// take gets a slot, waiting for one if need be.
func (s *slots) take(ctx context.Context) bool {
	select {
	case s.free <- struct{}{}:
		return true
	default:
	}
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	select {
	case s.wanted <- struct{}{}:
	default:
	}
	timer := time.NewTimer(s.wait)
	defer timer.Stop()
	select {
	case s.free <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func (s *slots) release() { <-s.free }

func (s *slots) waited() bool { return s.waiting.Load() > 0 }

func (s *slots) full() bool { return len(s.free) == cap(s.free) }

// errOverload is the answer when no slot came free.
var errOverload = s3err.SlowDown.Because(errors.New("no free request slot"))

// quiet is fasthttp's logger. Its lines can hold pieces of requests, credentials among them, so
// only their number reaches the log.
type quiet struct{ log *slog.Logger }

// Printf drops the line.
func (q quiet) Printf(format string, _ ...any) {
	q.log.Debug("fasthttp reported a connection error", "kind", format)
}
