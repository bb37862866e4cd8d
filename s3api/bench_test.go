package s3api

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp/fasthttputil"
)

// benchServer serves objects over a listener in memory, without a log.
func benchServer(b *testing.B, objects Objects) *fasthttputil.InmemoryListener {
	control := newControl()
	control.CreateBucket(b.Context(), "bucket", testKey, "")
	srv, err := New(Options{
		Objects: objects, Control: control, Health: &vitals{}, Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	ln := fasthttputil.NewInmemoryListener()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	b.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		srv.Shutdown(ctx)
		<-served
	})
	return ln
}

// benchLoop sends the same signed request again and again and skips bodyLen bytes behind each head.
func benchLoop(b *testing.B, ln *fasthttputil.InmemoryListener, q req, bodyLen int) {
	b.Helper()
	text := []byte(q.text(b))
	conn, err := ln.Dial()
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	br := bufio.NewReaderSize(conn, 64<<10)
	b.ReportAllocs()
	b.SetBytes(int64(max(len(q.body), bodyLen)))
	for b.Loop() {
		if _, err := conn.Write(text); err != nil {
			b.Fatal(err)
		}
		first := true
		for {
			line, err := br.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 2")) {
				b.Fatalf("%s", line)
			}
			first = false
			if len(line) == 2 {
				break
			}
		}
		if _, err := io.CopyN(io.Discard, br, int64(bodyLen)); err != nil {
			b.Fatal(err)
		}
	}
}

// The first of each pair is this package alone, over a map; the second is the whole way through the
// coordinator to four drives in memory.
func BenchmarkPut4KiB(b *testing.B) {
	for name, objects := range benchBackends(b) {
		b.Run(name, func(b *testing.B) {
			benchLoop(b, benchServer(b, objects), req{method: "PUT", target: "/bucket/key", body: strings.Repeat("x", 4<<10)}, 0)
		})
	}
}

func BenchmarkGet4KiB(b *testing.B) {
	for name, objects := range benchBackends(b) {
		b.Run(name, func(b *testing.B) {
			ln, body := benchServer(b, objects), strings.Repeat("x", 4<<10)
			benchOnce(b, ln, req{method: "PUT", target: "/bucket/key", body: body})
			benchLoop(b, ln, req{method: "GET", target: "/bucket/key"}, len(body))
		})
	}
}

func benchBackends(b *testing.B) map[string]Objects {
	return map[string]Objects{"map": newMem(), "store": newStore(b)}
}

func BenchmarkHead(b *testing.B) {
	ln := benchServer(b, newMem())
	benchOnce(b, ln, req{method: "PUT", target: "/bucket/key", body: "x"})
	benchLoop(b, ln, req{method: "HEAD", target: "/bucket/key"}, 0)
}

// benchOnce sends one request and waits for its answer.
func benchOnce(b *testing.B, ln *fasthttputil.InmemoryListener, q req) {
	b.Helper()
	conn, err := ln.Dial()
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, q.text(b)); err != nil {
		b.Fatal(err)
	}
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		b.Fatal(err)
	}
}
