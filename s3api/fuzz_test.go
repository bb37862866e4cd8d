package s3api

import (
	"bufio"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"holdfast/s3api/sigv4"
)

// FuzzRequest feeds messages to fasthttp and, if it takes them, to our own reading of the same
// bytes. The two must agree about where the body ends, or a request could hide in another's body.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"PUT /b/k?a=b&c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
		"PUT /b/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		"PUT /b/k HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
		"PUT /b/k HTTP/1.1\r\nHost: h\nContent-Length: 5\r\n\r\n",
		"PUT http://x/b/k HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\n",
		"PUT /%2e%2e//k%zz HTTP/1.1\r\nHost: h\r\n\tContent-Length: 5\r\n\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, msg string) {
		var h fasthttp.RequestHeader
		if h.Read(bufio.NewReaderSize(strings.NewReader(msg), 16<<10)) != nil {
			return
		}
		var r request
		if r.parse(&h) != nil {
			return
		}
		want := int64(h.ContentLength())
		if want == -2 && r.length == lengthMissing || want == 0 && r.length == lengthMissing {
			want = lengthMissing
		}
		if r.length != want {
			t.Fatalf("we read a body of %d, fasthttp of %d in %q", r.length, h.ContentLength(), msg)
		}
		if r.Host != string(h.Host()) {
			t.Fatalf("we read host %q, fasthttp %q in %q", r.Host, h.Host(), msg)
		}
		if _, err := splitAddress(r.Path, r.Host, []string{"example.com"}); err == nil && r.Path[0] != '/' {
			t.Fatalf("path %q", r.Path)
		}
	})
}

func FuzzCopySource(f *testing.F) {
	for _, s := range []string{"/b/k", "b/k", "b/%2e%2e/k", "b/k?versionId=null", "b", "//k", "b/%00", "b/%ff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		bucket, key, _, err := parseCopySource(header)
		if err == nil && (bucket == "" || key == "" || len(key) > 1024 || !utf8.ValidString(key) || strings.Contains(bucket, "/")) {
			t.Fatalf("%q gives %q %q", header, bucket, key)
		}
	})
}

// TestMutatedChunksNeverBecomeObjects flips every byte of an aws-chunked body and cuts it at every
// offset: what is stored in the end is the original, or nothing.
func TestMutatedChunksNeverBecomeObjects(t *testing.T) {
	m := newMem()
	r := newRig(t, m)
	r.makeBucket("bucket")
	const body = "0123456789abcdefghijklmnopqrstuvwxyz"
	for _, payload := range []string{sigv4.StreamSigned, sigv4.StreamSignedTrailer, sigv4.StreamUnsignedTrailer} {
		trailer := payload != sigv4.StreamSigned
		headers := []string{fmt.Sprintf("x-amz-decoded-content-length: %d", len(body))}
		if trailer {
			headers = append(headers, "x-amz-trailer: x-amz-checksum-crc32")
		}
		head, framed := chunkedPut(t, "/bucket/k", payload, body, headers, trailer, false)
		try := func(what, sent string) {
			t.Helper()
			m.mu.Lock()
			clear(m.objects)
			m.mu.Unlock()
			c := r.dial()
			c.send(strings.Replace(head, fmt.Sprintf("Content-Length: %d\r\n", len(framed)), fmt.Sprintf("Content-Length: %d\r\n", len(sent)), 1) + sent)
			rep := c.receive("PUT")
			c.conn.Close()
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, o := range m.objects {
				if string(o.data) != body {
					t.Fatalf("%s, %s: stored %q", payload, what, o.data)
				}
			}
			if (rep.status == 200) != (len(m.objects) == 1) {
				t.Fatalf("%s, %s: answer %d and %d objects", payload, what, rep.status, len(m.objects))
			}
		}
		try("unchanged", framed)
		if len(m.objects) != 1 {
			t.Fatalf("%s: the original is refused", payload)
		}
		for i := range len(framed) {
			flipped := []byte(framed)
			flipped[i] ^= 1
			try(fmt.Sprintf("byte %d flipped", i), string(flipped))
			try(fmt.Sprintf("cut at %d", i), framed[:i])
		}
	}
}
