package s3api

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"holdfast/s3api/sigv4"
)

// TestMalformedChunksAreTheClientsFault: each is a 400 that closes the connection, and no error of ours.
func TestMalformedChunksAreTheClientsFault(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	inner := "5\r\nhello\r\n0\r\n\r\n"
	head := req{method: "PUT", target: "/bucket/bad", payload: sigv4.StreamUnsignedTrailer, noLength: true,
		headers: []string{"x-amz-decoded-content-length: 5", "Transfer-Encoding: chunked"}}.text(t)
	whole := fmt.Sprintf("%x\r\n%s\r\n", len(inner), inner)
	for name, body := range map[string]string{
		"no number":         "zz\r\n" + inner,
		"negative":          "-5\r\n" + inner,
		"prefixed":          "0x5\r\n" + inner,
		"17 digits":         strings.Repeat("F", 17) + "\r\n" + inner,
		"16 digits":         fmt.Sprintf("%016x\r\n%s\r\n0\r\n\r\n", len(inner), inner),
		"bare line feed":    fmt.Sprintf("%x\n%s\r\n0\r\n\r\n", len(inner), inner),
		"no break":          fmt.Sprintf("%x\r\n%sxx0\r\n\r\n", len(inner), inner),
		"length in trailer": whole + "0\r\nContent-Length: 5\r\n\r\n",
	} {
		c := r.dial()
		c.send(head + body)
		if rep := c.receive("PUT"); rep.status != 400 || rep.code() != "InvalidRequest" && rep.code() != "IncompleteBody" || !rep.closing() {
			t.Errorf("%s: %d %s closing=%v", name, rep.status, rep.body, rep.closing())
		}
	}
	if r.stored("/bucket/bad") {
		t.Error("a malformed upload became an object")
	}
	if strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("the log blames us:\n%s", r.log.String())
	}
	c := r.dial()
	c.send(head + whole + "0\r\n\r\n")
	if rep := c.receive("PUT"); rep.status != 200 {
		t.Errorf("the same, well formed: %d %s", rep.status, rep.body)
	}
}

// TestResetUploadIsTheClientsFault: a connection that is reset within a body is no error of ours.
func TestResetUploadIsTheClientsFault(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	c := r.dial()
	c.send(req{method: "PUT", target: "/bucket/k", payload: sigv4.UnsignedPayload, length: "1000000"}.text(t) + strings.Repeat("x", 50_000))
	eventually(t, "the upload begins", func() bool { return r.srv.metrics.inFlight.Load() == 1 })
	c.conn.(*net.TCPConn).SetLinger(0)
	c.conn.Close()
	eventually(t, "it ends", func() bool { return strings.Contains(r.log.String(), "code=IncompleteBody") })
	if strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("the log blames us:\n%s", r.log.String())
	}
}
