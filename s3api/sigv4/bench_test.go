package sigv4

import (
	"bytes"
	"io"
	"testing"
	"time"
)

// benchRequest is what an SDK sends for a small PUT.
func benchRequest(b *testing.B) *Request {
	r := &Request{Method: "PUT", RawPath: "/bench-bucket/photos/2026/object-000123.jpg", RawQuery: "", Host: "127.0.0.1:9000",
		Headers: []Header{{"content-type", "application/octet-stream"}, {"content-length", "4096"}, {"x-amz-checksum-crc32", "AAAAAA=="}}}
	if _, err := NewSigner(testKey, testSecret, "us-east-1").Sign(r, EmptySHA256, testTime); err != nil {
		b.Fatal(err)
	}
	r.Headers = append(r.Headers, Header{"user-agent", "aws-sdk-go-v2/1.30 os/linux lang/go"}, Header{"accept-encoding", "identity"}, Header{"amz-sdk-invocation-id", "b8a3-xx"})
	return again(r)
}

func BenchmarkVerifyHeader(b *testing.B) {
	v, r := testVerifier(), benchRequest(b)
	b.ReportAllocs()
	for b.Loop() {
		r.parsed = false
		if _, err := v.Verify(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyHeaderUncached(b *testing.B) {
	v, r := testVerifier(), benchRequest(b)
	b.ReportAllocs()
	for b.Loop() {
		v.keys = newKeyCache(1)
		if _, err := v.Verify(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyPresigned(b *testing.B) {
	v, r := testVerifier(), presigned(b, time.Hour, nil)
	b.ReportAllocs()
	for b.Loop() {
		r.parsed = false
		if _, err := v.Verify(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	s := NewSigner(testKey, testSecret, "us-east-1")
	var r Request
	b.ReportAllocs()
	for b.Loop() {
		r.Reset()
		r.Method, r.RawPath, r.Host = "GET", "/bucket/key", "127.0.0.1:9000"
		if _, err := s.Sign(&r, EmptySHA256, testTime); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBody(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		data := randomBytes(size)
		for _, form := range payloadForms(data) {
			w := upload(b, form, data, 64<<10, testTrailer)
			a, err := testVerifier().Verify(w.req)
			if err != nil {
				b.Fatal(err)
			}
			name := a.Payload.String()
			buf := make([]byte, 256<<10)
			b.Run(name+"/"+map[bool]string{true: "1MiB", false: "4KiB"}[size > 1<<16], func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					body := a.NewBody(bytes.NewReader(w.body), int64(len(w.body)))
					if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, body, buf); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
