package s3api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"holdfast/actors/erasureset"
)

// straggler is a store that goes on reading a body after Put has returned, as a coordinator with a
// fault would.
type straggler struct {
	*memObjects
	ended chan error
}

func (s *straggler) Put(_ context.Context, q *erasureset.PutRequest) (*erasureset.Info, error) {
	started := make(chan struct{})
	go func() {
		first := make([]byte, 1)
		_, err := io.ReadFull(q.Body, first)
		close(started)
		for err == nil {
			_, err = q.Body.Read(make([]byte, 4096))
		}
		s.ended <- err
	}()
	<-started
	return nil, errors.New("gave up")
}

func TestBodyDiesWithItsHandler(t *testing.T) {
	s := &straggler{memObjects: newMem(), ended: make(chan error, 1)}
	r := newRig(t, s)
	r.makeBucket("bucket")
	// More is left than fasthttp reads away behind an answer, so the connection ends wherever the straggler is.
	text := req{method: "PUT", target: "/bucket/k", body: strings.Repeat("x", 1_000_000)}.text(t)
	c := r.dial()
	start := time.Now()
	c.send(text[:len(text)-900_000]) // the straggler blocks in the middle of the body
	rep := c.receive("PUT")
	if rep.status != 500 || !rep.closing() || time.Since(start) > 5*time.Second {
		t.Errorf("answer %d, closing %v, after %v", rep.status, rep.closing(), time.Since(start))
	}
	select {
	case err := <-s.ended:
		if err == io.EOF {
			t.Error("the straggler believes that the body was whole")
		}
	case <-time.After(5 * time.Second):
		t.Error("the straggler still reads")
	}
}

func TestSettings(t *testing.T) {
	r := newRig(t, newMem(), func(o *Options) { o.Limits = Limits{} })
	h := r.srv.http
	for name, ok := range map[string]bool{
		"bodies are streamed":                 h.StreamRequestBody && h.DisablePreParseMultipartForm && h.MaxRequestBodySize > 8<<10,
		"the head is bounded":                 h.ReadBufferSize == 16<<10,
		"one TLS record per write":            h.WriteBufferSize == 16<<10,
		"every wait ends":                     h.ReadTimeout == 30*time.Second && h.WriteTimeout == time.Minute && h.IdleTimeout == 2*time.Minute,
		"shutdown closes connections":         h.CloseOnShutdown,
		"headers are ours":                    h.NoDefaultContentType && h.NoDefaultServerHeader && !h.NoDefaultDate,
		"errors show no input":                h.SecureErrorLogMessage && h.Logger != nil && h.ErrorHandler != nil && h.ExpectHandler != nil,
		"connections stay":                    !h.DisableKeepalive && h.MaxRequestsPerConn == 0 && h.MaxConnsPerIP == 0,
		"names are normalised, memory stays":  !h.DisableHeaderNamesNormalizing && !h.ReduceMemoryUsage,
		"connections are bounded, far higher": h.Concurrency > r.srv.limits.Requests,
	} {
		if !ok {
			t.Errorf("%s: not so", name)
		}
	}
}

func TestShortStreamIsNeverACompleteAnswer(t *testing.T) {
	m := newMem()
	r := newRig(t, m)
	r.makeBucket("bucket")
	r.ok(req{method: "PUT", target: "/bucket/k", body: strings.Repeat("s", 100_000)})
	m.shortBy = 1
	c := r.dial()
	c.send(req{method: "GET", target: "/bucket/k"}.text(t))
	if rep := c.receive("GET"); !errors.Is(rep.err, io.ErrUnexpectedEOF) {
		t.Errorf("answer %d, %d bytes, %v", rep.status, len(rep.body), rep.err)
	}
}

func TestUnixSocket(t *testing.T) {
	r := newRig(t, newMem())
	path := t.TempDir() + "/s3.sock"
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.srv.Serve(ln) }()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &client{t: t, conn: conn, br: bufio.NewReader(conn)}
	c.send(req{method: "PUT", target: "/bucket"}.text(t))
	if rep := c.receive("PUT"); rep.status != 200 {
		t.Errorf("answer %d %v", rep.status, rep.err)
	}
	ln.Close()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}
