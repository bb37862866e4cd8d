package s3api

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// busy is how many connections have a request under way.
func (s *connSet) busy() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		if c.waits.Load() == connBusy {
			n++
		}
	}
	return n
}

// TestCrowdOfSilentConnectionsKeepsNobodyOut: connections that ask for nothing take all places, and
// still probes and requests are answered, and work under way goes on.
func TestCrowdOfSilentConnectionsKeepsNobodyOut(t *testing.T) {
	const places = 48
	m := newMem()
	r := newRig(t, m, func(o *Options) { o.Limits.Connections, o.Limits.ReadHead = places, time.Minute })
	r.makeBucket("bucket")
	text := req{method: "PUT", target: "/bucket/slow", body: strings.Repeat("s", 100_000)}.text(t)
	upload := r.dial()
	upload.send(text[:len(text)-50_000])
	eventually(t, "the upload begins", func() bool { return m.puts.Load() == 1 })
	resting := r.dial()
	resting.send(req{method: "GET", target: "/bucket/none"}.text(t))
	resting.receive("GET")
	for i := range 4 * places {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, []string{"", "GET /-/health/live HTT", "PUT /bucket/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\nabc"}[i%3])
		if i%places == 0 {
			if rep := r.do(req{method: "GET", target: "/-/health/ready", key: "-"}); rep.status != 200 {
				t.Fatalf("probe beside %d silent connections: %d %s", i, rep.status, rep.body)
			}
			r.ok(req{method: "PUT", target: "/bucket/k", body: "v"})
		}
	}
	eventually(t, "places are free", func() bool { return r.srv.conns.len() < places })
	upload.send(text[len(text)-50_000:])
	if rep := upload.receive("PUT"); rep.status != 200 {
		t.Errorf("the upload under way: %d %v", rep.status, rep.err)
	}
	resting.send(req{method: "GET", target: "/bucket/k"}.text(t))
	if rep := resting.receive("GET"); rep.body != "v" {
		t.Errorf("a client that had asked before was cut first: %d %v", rep.status, rep.err)
	}
}

// TestRestingConnectionsYieldToNewOnes: places taken by clients that rest between requests are
// given to those that come, the longest rest first.
func TestRestingConnectionsYieldToNewOnes(t *testing.T) {
	const places = 32
	r := newRig(t, newMem(), func(o *Options) { o.Limits.Connections, o.Limits.Idle = places, time.Minute })
	var all []*client
	for i := range 3 * places {
		c := r.dial()
		c.send(req{method: "GET", target: "/-/health/live", key: "-"}.text(t))
		if rep := c.receive("GET"); rep.status != 200 {
			t.Fatalf("connection %d: %d %v", i, rep.status, rep.err)
		}
		// The client has its answer a moment before the server rests.
		eventually(t, "the connection rests", func() bool { return r.srv.conns.busy() == 0 })
		all = append(all, c)
	}
	if _, err := all[0].br.ReadByte(); err != io.EOF {
		t.Errorf("the connection that rested longest: %v", err)
	}
	last := all[len(all)-1]
	last.send(req{method: "GET", target: "/-/health/live", key: "-"}.text(t))
	if rep := last.receive("GET"); rep.status != 200 {
		t.Errorf("the last connection: %d %v", rep.status, rep.err)
	}
}
