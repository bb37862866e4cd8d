package s3api

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/actors/erasureset"
	"holdfast/actors/slab"
	"holdfast/s3api/sigv4"
)

// reliefRig is a server whose read buffers last for one answer, and an object that no socket's
// buffers can take.
func reliefRig(t *testing.T, limits Limits) (r *rig, reads *slab.Pool, body string) {
	reads = slab.New(slab.Config{Budget: 3 << 20, Wait: 15 * time.Second})
	store := newStore(t, func(o *erasureset.Options) { o.ReadSlabs = reads })
	r = newRig(t, store, func(o *Options) {
		o.Buffers = reads
		o.Limits = limits
		o.Limits.Stuck = 20 * time.Millisecond
	})
	t.Cleanup(func() {
		eventually(t, "all buffers are back", func() bool { return reads.Stats().InUse == 0 })
		reads.Close()
	})
	r.makeBucket("bucket")
	body = sample(24 * mib)
	r.ok(req{method: "PUT", target: "/bucket/big", body: body})
	return r, reads, body
}

// stalled is a connection that asked for the object and reads nothing yet.
func (r *rig) stalled(wrap func(net.Conn) net.Conn) *client {
	c := r.dial()
	if wrap != nil {
		c.conn = wrap(c.conn)
		c.br = bufio.NewReader(c.conn)
	}
	c.send(req{method: "GET", target: "/bucket/big"}.text(r.t))
	return c
}

// finish reads the rest of an answer.
func (c *client) finish(want string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.br, &http.Request{Method: "GET"})
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || string(got) != want {
		c.t.Errorf("a client that was left for a while got %d of %d bytes: %v", len(got), len(want), err)
	}
}

func TestStuckReadersGiveTheirBuffersBack(t *testing.T) {
	r, reads, body := reliefRig(t, Limits{Write: time.Minute})
	var slow []*client
	for range 4 {
		slow = append(slow, r.stalled(nil))
	}
	eventually(t, "clients hold the buffers", func() bool { return reads.Stats().InUse > 0 })
	for range 2 {
		if get := r.ok(req{method: "GET", target: "/bucket/big"}); get.body != body {
			t.Errorf("a reader beside stuck ones got %d of %d bytes", len(get.body), len(body))
		}
	}
	for _, c := range slow {
		c.finish(body)
	}
}

func TestStuckReadersGiveTheirBuffersBackUnderTLS(t *testing.T) {
	r, reads, body := reliefRig(t, Limits{Write: time.Minute})
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := writeCert(t, certFile, keyFile, "one.test")
	certs, err := LoadCertificates(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.srv.ServeTLS(ln, certs) }()
	plain := r.addr
	r.addr = ln.Addr().String()
	var slow []*client
	for range 8 { // more than there are buffers for, whatever each reads ahead
		slow = append(slow, r.stalled(func(c net.Conn) net.Conn {
			return tls.Client(c, &tls.Config{ServerName: "one.test", RootCAs: pool})
		}))
	}
	r.addr = plain
	eventually(t, "clients hold the buffers", func() bool { return reads.Stats().InUse > 0 })
	if get := r.ok(req{method: "GET", target: "/bucket/big"}); get.body != body {
		t.Errorf("a reader beside stuck ones got %d of %d bytes", len(get.body), len(body))
	}
	eventually(t, "an answer is paused, or this test shows nothing", func() bool {
		page := r.ok(req{method: "GET", target: "/-/metrics", key: "-"})
		return !strings.Contains(page.body, "\nholdfast_s3_paused_answers_total 0\n")
	})
	for _, c := range slow {
		c.finish(body)
	}
	ln.Close()
	if err := <-served; err != nil {
		t.Errorf("ServeTLS: %v", err)
	}
}

func TestStuckReadersGiveTheirSlotsBack(t *testing.T) {
	r, _, body := reliefRig(t, Limits{Write: time.Minute, Requests: 2, Wait: 15 * time.Second})
	slow := []*client{r.stalled(nil), r.stalled(nil)}
	eventually(t, "both slots are taken", r.srv.slots.full)
	r.ok(req{method: "PUT", target: "/bucket/small", body: "small"})
	for _, c := range slow {
		c.finish(body)
	}
}

// TestStuckReaderEnds: a client that never takes the rest is cut, also while its answer is paused.
func TestStuckReaderEnds(t *testing.T) {
	r, reads, body := reliefRig(t, Limits{Write: 2 * time.Second})
	c := r.stalled(nil)
	eventually(t, "the client holds buffers", func() bool { return reads.Stats().InUse > 0 })
	if get := r.ok(req{method: "GET", target: "/bucket/big"}); get.body != body {
		t.Errorf("a reader beside a stuck one got %d of %d bytes", len(get.body), len(body))
	}
	eventually(t, "the stuck client is cut", func() bool { return r.srv.metrics.inFlight.Load() == 0 })
	if rest, err := io.ReadAll(c.br); err == nil && len(rest) >= len(body) {
		t.Error("a stuck client got everything")
	}
}

// silentUpload is a connection that announced a body and sends no more than its beginning.
func (r *rig) silentUpload(key string) *client {
	c := r.dial()
	full := req{method: "PUT", target: "/bucket/" + key, body: sample(3 * mib), payload: sigv4.UnsignedPayload}.text(r.t)
	c.send(full[:len(full)-2*mib])
	return c
}

// TestSilentUploadsGiveTheirSlotsBack: they are told so, and an upload that nobody waits for goes on.
func TestSilentUploadsGiveTheirSlotsBack(t *testing.T) {
	r, _, _ := reliefRig(t, Limits{Requests: 2, Wait: 15 * time.Second, BodyStuck: 30 * time.Millisecond})
	silent := []*client{r.silentUpload("a"), r.silentUpload("b")}
	eventually(t, "both slots are taken", r.srv.slots.full)
	r.ok(req{method: "PUT", target: "/bucket/small", body: "small"})
	cut := 0
	for _, c := range silent {
		c.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if rep := c.receive("PUT"); rep.code() == "RequestTimeout" && rep.status == 400 {
			cut++
		}
		c.conn.Close()
	}
	if cut == 0 {
		t.Error("nobody was told RequestTimeout")
	}
	eventually(t, "all calls end", func() bool { return r.srv.metrics.inFlight.Load() == 0 })
}

// TestSilentUploadsGiveTheirBuffersBack: write buffers for one upload, which a silent one holds.
func TestSilentUploadsGiveTheirBuffersBack(t *testing.T) {
	uploads := slab.New(slab.Config{Budget: 6 << 20, Wait: 15 * time.Second})
	store := newStore(t, func(o *erasureset.Options) { o.ReadSlabs, o.Slabs = o.Slabs, uploads })
	r := newRig(t, store, func(o *Options) {
		o.Uploads = uploads
		o.Limits.Stuck, o.Limits.BodyStuck = 20*time.Millisecond, 30*time.Millisecond
	})
	t.Cleanup(func() {
		eventually(t, "all buffers are back", func() bool { return uploads.Stats().InUse == 0 })
		uploads.Close()
	})
	r.makeBucket("bucket")
	silent := r.silentUpload("a")
	eventually(t, "the silent upload holds buffers", func() bool { return uploads.Stats().InUse > 0 })
	body := sample(3 * mib)
	r.ok(req{method: "PUT", target: "/bucket/b", body: body})
	if rep := silent.receive("PUT"); rep.status != 400 || rep.code() != "RequestTimeout" {
		t.Errorf("the silent client was told %d %s %v", rep.status, rep.code(), rep.err)
	}
	if r.stored("/bucket/a") {
		t.Error("a cut upload became an object")
	}
}
