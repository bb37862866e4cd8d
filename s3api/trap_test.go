package s3api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast/actors/object"
	"holdfast/actors/throttle"
	"holdfast/s3api/sigv4"
)

const mib = 1 << 20

// stored says whether an object exists.
func (r *rig) stored(key string) bool {
	r.t.Helper()
	return r.do(req{method: "HEAD", target: key}).status == 200
}

func TestTruncatedUploadIsIncompleteBodyAndNoObject(t *testing.T) {
	for _, tc := range []struct {
		name       string
		size, sent int
	}{
		{"within the part that is read ahead", 5000, 100},
		{"right behind it", 20_000, 8 << 10},
		{"far behind it", 3 * mib, 2*mib + 17},
		{"one byte short", 100_000, 99_999},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newMem()
			r := newRig(t, m)
			r.makeBucket("bucket")
			full := req{method: "PUT", target: "/bucket/cut", body: strings.Repeat("x", tc.size), payload: sigv4.UnsignedPayload}.text(t)
			c := r.dial()
			c.send(full[:len(full)-tc.size+tc.sent])
			c.conn.(*net.TCPConn).CloseWrite() // the client can still hear us
			rep := c.receive("PUT")
			if rep.status != 400 || rep.code() != "IncompleteBody" {
				t.Errorf("answer %d %s %v", rep.status, rep.code(), rep.err)
			}
			if r.stored("/bucket/cut") {
				t.Error("a truncated upload became an object")
			}
			eventually(t, "the call ends", func() bool { return m.puts.Load() == 0 && r.srv.metrics.inFlight.Load() == 0 })
		})
	}
}

func TestTruncatedChunkedUploadIsNoObject(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	// aws-chunked inside HTTP chunked, cut on a boundary of the outer chunks: fasthttp says io.EOF.
	enc := sigv4.UnsignedChunks()
	inner := string(enc.AppendChunk(nil, []byte(strings.Repeat("y", 10_000))))
	head := req{method: "PUT", target: "/bucket/cut", payload: sigv4.StreamUnsignedTrailer, noLength: true,
		headers: []string{"x-amz-decoded-content-length: 20000", "Transfer-Encoding: chunked"}}.text(t)
	c := r.dial()
	c.send(head + fmt.Sprintf("%x\r\n%s\r\n", len(inner), inner))
	c.conn.(*net.TCPConn).CloseWrite()
	if rep := c.receive("PUT"); rep.status != 400 || rep.code() != "IncompleteBody" {
		t.Errorf("answer %d %s", rep.status, rep.code())
	}
	if r.stored("/bucket/cut") {
		t.Error("a truncated upload became an object")
	}
}

func TestEarlyErrorReachesClientInMidUpload(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	body := strings.Repeat("z", 5*mib)
	for _, tc := range []struct {
		name string
		q    req
		code string
	}{
		{"forbidden", req{method: "PUT", target: "/bucket/k", key: "USER"}, "AccessDenied"},
		{"no such bucket", req{method: "PUT", target: "/nobody/k"}, "NoSuchBucket"},
		{"not implemented", req{method: "PUT", target: "/bucket/k?tagging"}, "NotImplemented"},
		{"anonymous", req{method: "PUT", target: "/bucket/k", key: "-"}, "AccessDenied"},
	} {
		for i := range 5 {
			tc.q.body, tc.q.payload = body, sigv4.UnsignedPayload
			text := tc.q.text(t)
			c := r.dial()
			var wg sync.WaitGroup
			wg.Add(1)
			go func() {
				defer wg.Done()
				io.WriteString(c.conn, text) // may fail when the server stops reading
			}()
			wg.Wait() // a client that reads only after it wrote everything
			rep := c.receive("PUT")
			if rep.err != nil || rep.code() != tc.code {
				t.Fatalf("%s, round %d: %d %s %v", tc.name, i, rep.status, rep.code(), rep.err)
			}
			c.conn.Close()
		}
	}
}

// flaky fails Accept with the given errors before it hands out connections.
type flaky struct {
	net.Listener
	mu     sync.Mutex
	faults []error
}

func (f *flaky) Accept() (net.Conn, error) {
	f.mu.Lock()
	if len(f.faults) > 0 {
		err := f.faults[0]
		f.faults = f.faults[1:]
		f.mu.Unlock()
		return nil, err
	}
	f.mu.Unlock()
	return f.Listener.Accept()
}

func TestListenerOutlivesErrorsThatPass(t *testing.T) {
	r := newRig(t, newMem())
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wrap := func(e syscall.Errno) error {
		return &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", e)}
	}
	served := make(chan error, 1)
	go func() {
		served <- r.srv.Serve(&flaky{Listener: inner, faults: []error{wrap(syscall.EMFILE), wrap(syscall.ENFILE),
			wrap(syscall.ENOBUFS), wrap(syscall.ENOMEM), wrap(syscall.ECONNABORTED)}})
	}()
	r.addr = inner.Addr().String()
	r.makeBucket("bucket")
	inner.Close()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestListenerStopsWaitingWhenClosed(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	faults := make([]error, 1000)
	for i := range faults {
		faults[i] = syscall.EMFILE
	}
	ln := newListener(&flaky{Listener: inner, faults: faults}, newConnSet(100, slog.New(slog.DiscardHandler)), slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { _, err := ln.Accept(); done <- err }()
	ln.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
}

func TestPanicCostsOneRequest(t *testing.T) {
	m := newMem()
	r := newRig(t, m)
	r.makeBucket("bucket")
	m.panics = true
	r.want(500, "InternalError", req{method: "PUT", target: "/bucket/k", body: "v"})
	m.panics = false
	r.ok(req{method: "PUT", target: "/bucket/k", body: "v"})
	if !strings.Contains(r.log.String(), "request panicked") {
		t.Error("the panic was not logged")
	}
	eventually(t, "the call ends", func() bool { return r.srv.metrics.inFlight.Load() == 0 && len(r.srv.slots.free) == 0 })
}

func TestSlowHealthyUploadOutlivesReadTimeout(t *testing.T) {
	r := newRig(t, newMem(), func(o *Options) { o.Limits.ReadHead = 300 * time.Millisecond })
	r.makeBucket("bucket")
	text := req{method: "PUT", target: "/bucket/slow", body: strings.Repeat("s", 100_000)}.text(t)
	c := r.dial()
	step := len(text)/10 + 1
	for text != "" {
		n := min(step, len(text))
		c.send(text[:n])
		text = text[n:]
		time.Sleep(90 * time.Millisecond) // a client this slow is the subject: ten of these outlast ReadHead
	}
	if rep := c.receive("PUT"); rep.status != 200 {
		t.Errorf("a healthy upload of 0.9 s was cut: %d %s %v", rep.status, rep.code(), rep.err)
	}
}

func TestStalledUploadTimesOut(t *testing.T) {
	m := newMem()
	r := newRig(t, m, func(o *Options) { o.Limits.ReadHead, o.Limits.BodyIdle = 200*time.Millisecond, 200*time.Millisecond })
	r.makeBucket("bucket")
	text := req{method: "PUT", target: "/bucket/stall", body: strings.Repeat("s", 100_000)}.text(t)
	c := r.dial()
	c.send(text[:len(text)-50_000])
	if rep := c.receive("PUT"); rep.status != 400 || rep.code() != "RequestTimeout" || !rep.closing() {
		t.Errorf("answer %d %s", rep.status, rep.code())
	}
	eventually(t, "everything is given back", func() bool { return r.srv.metrics.inFlight.Load() == 0 && r.srv.conns.len() == 0 })
}

func TestDrippingUploadIsTooSlow(t *testing.T) {
	r := newRig(t, newMem(), func(o *Options) {
		o.Limits.ReadHead, o.Limits.BodyIdle = 120*time.Millisecond, 120*time.Millisecond
		o.Limits.BodyWindow, o.Limits.BodyLeast = 200*time.Millisecond, 10_000
	})
	r.makeBucket("bucket")
	text := req{method: "PUT", target: "/bucket/drip", body: strings.Repeat("s", 100_000)}.text(t)
	c := r.dial()
	head := len(text) - 90_000
	c.send(text[:head])
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := head; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(30 * time.Millisecond):
				if _, err := io.WriteString(c.conn, text[i:i+1]); err != nil {
					return
				}
			}
		}
	}()
	rep := c.receive("PUT")
	close(stop)
	wg.Wait()
	if rep.code() != "RequestTimeout" {
		t.Errorf("answer %d %s %v", rep.status, rep.code(), rep.err)
	}
}

func TestBrokenReadIsNeverACompleteAnswer(t *testing.T) {
	m := newMem()
	r := newRig(t, m)
	r.makeBucket("bucket")
	r.ok(req{method: "PUT", target: "/bucket/big", body: strings.Repeat("b", 3*mib)})
	m.breakAt = 2*mib + 5
	c := r.dial()
	c.send(req{method: "GET", target: "/bucket/big"}.text(t))
	rep := c.receive("GET")
	if rep.status != 200 || !errors.Is(rep.err, io.ErrUnexpectedEOF) || len(rep.body) > 2*mib+5 {
		t.Errorf("answer %d, %d bytes, %v", rep.status, len(rep.body), rep.err)
	}
	eventually(t, "handles are closed", func() bool { return m.open.Load() == 0 })
	if !strings.Contains(r.log.String(), "answer was cut") {
		t.Error("the cut answer was not logged")
	}
}

func TestVanishedClientFreesEverything(t *testing.T) {
	m := newMem()
	r := newRig(t, m)
	r.makeBucket("bucket")
	r.ok(req{method: "PUT", target: "/bucket/big", body: strings.Repeat("b", 32*mib)})
	c := r.dial()
	c.send(req{method: "GET", target: "/bucket/big"}.text(t))
	io.ReadFull(c.br, make([]byte, 1000))
	c.conn.(*net.TCPConn).SetLinger(0)
	c.conn.Close()
	c = r.dial()
	text := req{method: "PUT", target: "/bucket/half", body: strings.Repeat("h", 4*mib)}.text(t)
	c.send(text[:len(text)/2])
	eventually(t, "the upload begins", func() bool { return m.puts.Load() == 1 })
	c.conn.(*net.TCPConn).SetLinger(0)
	c.conn.Close()
	eventually(t, "everything is given back", func() bool {
		return m.open.Load() == 0 && m.puts.Load() == 0 && r.srv.metrics.inFlight.Load() == 0 &&
			len(r.srv.slots.free) == 0 && r.srv.conns.len() == 0
	})
	if r.stored("/bucket/half") {
		t.Error("half an upload became an object")
	}
}

func TestKeepAliveAfterSmallErrors(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	c := r.dial()
	for _, q := range []req{
		{method: "GET", target: "/bucket/none"},
		{method: "PUT", target: "/nobody/k", body: strings.Repeat("u", 100_000)}, // unread, small enough to skip
		{method: "PUT", target: "/bucket/k?acl", body: "x"},
		{method: "PUT", target: "/bucket/k", body: "short", payload: strings.Repeat("0", 64)}, // wrong digest
		{method: "HEAD", target: "/bucket/none"},
	} {
		c.send(q.text(t))
		if rep := c.receive(q.method); rep.err != nil || rep.status < 400 || rep.closing() {
			t.Errorf("%s %s: %d %v %v", q.method, q.target, rep.status, rep.header, rep.err)
		}
	}
	c.send(req{method: "PUT", target: "/bucket/k", body: "fine"}.text(t))
	if rep := c.receive("PUT"); rep.status != 200 {
		t.Errorf("after the errors: %d %s %v", rep.status, rep.body, rep.err)
	}
	c.send(req{method: "GET", target: "/bucket/k"}.text(t))
	if rep := c.receive("GET"); rep.body != "fine" {
		t.Errorf("the object: %q", rep.body)
	}
}

func TestUnreadBodyIsNeverTheNextRequest(t *testing.T) {
	m := newMem()
	r := newRig(t, m)
	r.makeBucket("bucket")
	smuggled := req{method: "PUT", target: "/bucket/smuggled", body: "evil"}.text(t)
	for _, pad := range []int{0, 8 << 10, 300 << 10} {
		c := r.dial()
		body := strings.Repeat("p", pad) + smuggled
		c.send(req{method: "PUT", target: "/nobody/k", body: body}.text(t))
		if rep := c.receive("PUT"); rep.code() != "NoSuchBucket" {
			t.Errorf("pad %d: %d %s", pad, rep.status, rep.code())
		}
		c.conn.Close()
		if r.stored("/bucket/smuggled") {
			t.Fatalf("pad %d: the body was served as a request", pad)
		}
	}
}

func TestShutdownWaitsForUploads(t *testing.T) {
	m := newMem()
	r := newRig(t, m)
	r.makeBucket("bucket")
	text := req{method: "PUT", target: "/bucket/k", body: strings.Repeat("k", 100_000)}.text(t)
	c := r.dial()
	c.send(text[:len(text)-50_000])
	eventually(t, "the upload begins", func() bool { return m.puts.Load() == 1 })
	done := make(chan error, 1)
	go func() { done <- r.srv.Shutdown(t.Context()) }()
	eventually(t, "the listener closes", func() bool {
		probe, err := net.Dial("tcp", r.addr)
		if err == nil {
			probe.Close()
		}
		return err != nil
	})
	c.send(text[len(text)-50_000:])
	if rep := c.receive("PUT"); rep.status != 200 || !rep.closing() {
		t.Errorf("the upload was cut by the shutdown: %d %s %v", rep.status, rep.code(), rep.err)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestOverloadIsSlowDown(t *testing.T) {
	m := newMem()
	r := newRig(t, m, func(o *Options) { o.Limits.Requests, o.Limits.Wait = 1, 20*time.Millisecond })
	r.makeBucket("bucket")
	r.ok(req{method: "PUT", target: "/bucket/k", body: "v"})
	m.hold = make(chan struct{})
	c := r.dial()
	c.send(req{method: "GET", target: "/bucket/k"}.text(t))
	eventually(t, "the slot is taken", func() bool { return len(r.srv.slots.free) == 1 })
	rep := r.want(503, "SlowDown", req{method: "GET", target: "/bucket/k"})
	if rep.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	rep = r.want(503, "SlowDown", req{method: "PUT", target: "/bucket/k2", body: "x", headers: []string{"Expect: 100-continue"}})
	if rep.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	close(m.hold)
	if rep := c.receive("GET"); rep.body != "v" {
		t.Errorf("the first request: %d %q", rep.status, rep.body)
	}
}

func TestLongCopyKeepsItsClientWaiting(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"that succeeds", nil, "<CopyObjectResult"},
		{"that fails", object.ErrWriteQuorum, "<Error><Code>ServiceUnavailable</Code>"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newMem()
			r := newRig(t, m, func(o *Options) { o.Limits.Patience = 20 * time.Millisecond })
			r.makeBucket("bucket")
			r.ok(req{method: "PUT", target: "/bucket/src", body: "value"})
			m.putHold, m.putErr = make(chan struct{}), tc.err
			c := r.dial()
			c.send(req{method: "PUT", target: "/bucket/dst", headers: []string{"x-amz-copy-source: /bucket/src"}}.text(t))
			// Two blanks, each a chunk of its own, have come before the copy ends.
			for n := 1; ; n++ {
				seen, err := c.br.Peek(n)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Count(string(seen), "\r\n1\r\n ") == 2 {
					break
				}
			}
			close(m.putHold)
			rep := c.receive("PUT")
			if rep.err != nil || rep.status != 200 || !strings.HasPrefix(rep.body, "<?xml") || !strings.Contains(rep.body, "\n  ") || !strings.Contains(rep.body, tc.want) ||
				strings.Count(rep.body, "<?xml") != 1 {
				t.Errorf("%d %v %q", rep.status, rep.err, rep.body)
			}
			eventually(t, "everything is given back", func() bool { return m.open.Load() == 0 && r.srv.metrics.inFlight.Load() == 0 })
		})
	}
}

func TestCopyEndsWithItsClient(t *testing.T) {
	for _, patience := range []time.Duration{time.Hour, 20 * time.Millisecond} {
		m := newMem()
		r := newRig(t, m, func(o *Options) { o.Limits.Patience = patience })
		r.makeBucket("bucket")
		r.ok(req{method: "PUT", target: "/bucket/src", body: "value"})
		m.putHold = make(chan struct{}) // never opened
		c := r.dial()
		c.send(req{method: "PUT", target: "/bucket/dst", headers: []string{"x-amz-copy-source: /bucket/src"}}.text(t))
		eventually(t, "the copy runs", func() bool { return m.puts.Load() == 1 })
		c.conn.Close()
		eventually(t, "the copy ends", func() bool { return m.puts.Load() == 0 && m.open.Load() == 0 && r.srv.metrics.inFlight.Load() == 0 })
	}
}

func TestShutdownCutsWhatDoesNotEnd(t *testing.T) {
	m := newMem()
	r := newRig(t, m)
	r.makeBucket("bucket")
	text := req{method: "PUT", target: "/bucket/k", body: strings.Repeat("k", 100_000)}.text(t)
	c := r.dial()
	c.send(text[:len(text)-50_000])
	eventually(t, "the upload begins", func() bool { return m.puts.Load() == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if m.puts.Load() != 0 || r.srv.metrics.inFlight.Load() != 0 || r.srv.conns.len() != 0 {
		t.Error("something runs behind Shutdown")
	}
}

func TestSilentConnectionIsClosed(t *testing.T) {
	r := newRig(t, newMem(), func(o *Options) { o.Limits.ReadHead, o.Limits.Idle = 100*time.Millisecond, 100*time.Millisecond })
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCert(t, certFile, keyFile, "one.test")
	certs, err := LoadCertificates(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.srv.ServeTLS(inner, certs) }()
	plain := r.addr
	r.addr = inner.Addr().String()
	handshake := r.dial() // never begins its handshake
	r.addr = plain
	silent, half, idle := r.dial(), r.dial(), r.dial()
	half.send("GET / HTT")
	idle.send(req{method: "GET", target: "/"}.text(t))
	idle.receive("GET")
	for _, c := range []*client{silent, half, idle, handshake} {
		io.ReadAll(c.br) // ends when the server closes
	}
	inner.Close()
	if err := <-served; err != nil {
		t.Errorf("ServeTLS: %v", err)
	}
	eventually(t, "connections are gone", func() bool { return r.srv.conns.len() == 0 })
}

func TestSlowReaderIsServedAndStalledOneIsCut(t *testing.T) {
	m := newMem()
	r := newRig(t, m, func(o *Options) { o.Limits.Write = time.Second })
	r.makeBucket("bucket")
	body := strings.Repeat("r", 24*mib)
	r.ok(req{method: "PUT", target: "/bucket/big", body: body})
	c := r.dial()
	c.conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	c.send(req{method: "GET", target: "/bucket/big"}.text(t))
	got := 0
	buf := make([]byte, mib)
	for got < len(body) {
		n, err := io.ReadFull(c.br, buf)
		got += n
		if err != nil {
			break
		}
		time.Sleep(40 * time.Millisecond) // a client this slow is the subject
	}
	if got < len(body) {
		t.Errorf("a slow reader got %d of %d bytes", got, len(body))
	}
	c = r.dial()
	c.conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	c.send(req{method: "GET", target: "/bucket/big"}.text(t))
	eventually(t, "the stalled reader is cut", func() bool { return m.open.Load() == 0 && r.srv.metrics.inFlight.Load() == 0 })
}

func TestPipelinedRequests(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	c := r.dial()
	var all strings.Builder
	for i := range 8 {
		all.WriteString(req{method: "PUT", target: fmt.Sprintf("/bucket/%d", i), body: strings.Repeat(fmt.Sprint(i), 10_000)}.text(t))
		all.WriteString(req{method: "GET", target: fmt.Sprintf("/bucket/%d", i)}.text(t))
	}
	go io.WriteString(c.conn, all.String())
	for i := range 8 {
		if rep := c.receive("PUT"); rep.status != 200 {
			t.Fatalf("PUT %d: %d %v", i, rep.status, rep.err)
		}
		if rep := c.receive("GET"); rep.body != strings.Repeat(fmt.Sprint(i), 10_000) {
			t.Fatalf("GET %d: %d, %d bytes", i, rep.status, len(rep.body))
		}
	}
}

// TestForbiddenParts keeps what DESIGN.md forbids out of the package: parts of fasthttp that decode,
// buffer, normalise or hide errors.
func TestForbiddenParts(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	forbidden := regexp.MustCompile(`SetBodyStreamWriter|\.FormValue|\.MultipartForm|\.PostBody\(|\.PostArgs|\.QueryArgs|\.URI\(\)|rc\.Path\(|rc\.Host\(|rc\.RequestURI|` +
		`Request\.RequestURI|Request\.Body\(|ListenAndServe|fasthttpadaptor|TimeoutHandler|ServeFile|CompressHandler|fasthttp\.FS|\.Hijack|ContinueHandler`)
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if m := forbidden.Find(src); m != nil {
			t.Errorf("%s uses %s", f, m)
		}
	}
}

func TestFaultLinesAreBounded(t *testing.T) {
	m := newMem()
	r := newRig(t, m)
	r.makeBucket("bucket")
	m.openErr = object.ErrReadQuorum
	for range 3 * throttle.Burst {
		r.want(503, "ServiceUnavailable", req{method: "GET", target: "/bucket/k"})
	}
	if n := strings.Count(r.log.String(), "request failed"); n < throttle.Burst || n > 2*throttle.Burst {
		t.Errorf("%d lines about %d failures", n, 3*throttle.Burst)
	}
}

func TestShutdownBeforeServe(t *testing.T) {
	r := newRig(t, newMem()) // its own Serve may not have begun yet either
	if err := r.srv.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.srv.Serve(ln); err != nil { // must return
		t.Errorf("Serve: %v", err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error("the listener was left open")
	}
}
