package s3light

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// serve answers one connection with canned bytes, one answer per request.
func serve(t *testing.T, answers ...string) *Conn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		br := bufio.NewReader(nc)
		for _, a := range answers {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			io.WriteString(nc, a)
		}
	}()
	ep, err := ParseEndpoint("http://"+ln.Addr().String(), Credentials{AccessKey: "a", SecretKey: "b"})
	if err != nil {
		t.Fatal(err)
	}
	c := NewConn(ep)
	t.Cleanup(func() {
		c.Close()
		ln.Close()
		<-done
	})
	return c
}

func TestAnswersAreReadWhole(t *testing.T) {
	c := serve(t,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"e1\"\r\n\r\nhello",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-t: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	get := &Request{Method: "GET", Bucket: "b", Key: "k", Collect: true}
	if err := c.Do(get); err != nil || string(c.Body) != "hello" || string(c.ETag()) != "e1" {
		t.Fatalf("%v, body %q, etag %q", err, c.Body, c.ETag())
	}
	if err := c.Do(get); err != nil || string(c.Body) != "abcde" {
		t.Fatalf("chunked: %v, body %q", err, c.Body)
	}
	if err := c.Do(&Request{Method: "HEAD", Bucket: "b", Key: "k"}); err != nil {
		t.Fatalf("head: %v", err)
	}
	if err := c.Do(&Request{Method: "DELETE", Bucket: "b", Key: "k"}); err != nil {
		t.Fatalf("delete: %v", err)
	}
	err := c.Do(get)
	if Status(err) != 404 || !strings.Contains(err.Error(), "gone") {
		t.Fatalf("error answer: %v", err)
	}
	if err := c.Do(&Request{Method: "PUT", Bucket: "b", Key: "k", Body: bytes.Repeat([]byte("x"), 100<<10)}); err != nil {
		t.Fatalf("after an error answer: %v", err)
	}
}

func TestWrongBytesAndShortAnswersAreErrors(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		want         error
	}{
		{"other bytes", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhellO", ErrMismatch},
		{"too few", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell", ErrMismatch},
		{"too many", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!", ErrMismatch},
		{"cut", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", ErrShortBody},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := serve(t, c.answer)
			err := conn.Do(&Request{Method: "GET", Bucket: "b", Key: "k", Want: []byte("hello")})
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}
