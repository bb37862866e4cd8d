package sigv4

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"testing"
	"time"
)

// vectorFile is the shape of testdata/aws_s3_examples.json.
type vectorFile struct {
	AccessKey string   `json:"access_key"`
	SecretKey string   `json:"secret_key"`
	Time      string   `json:"time"`
	Cases     []vector `json:"cases"`
}

type vector struct {
	Name, Method, Path, Query, Host, Body string
	Headers                               [][2]string
	Chunks                                []int
	ChunkSignatures                       []string `json:"chunk_signatures"`
	Trailers                              [][2]string
	TrailerSignature                      string `json:"trailer_signature"`
}

func (v *vector) request() *Request {
	r := &Request{Method: v.Method, RawPath: v.Path, RawQuery: v.Query, Host: v.Host}
	for _, h := range v.Headers {
		r.Headers = append(r.Headers, Header{h[0], h[1]})
	}
	return r
}

func loadVectors(t testing.TB, path string) (f vectorFile, now time.Time) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	now, err = time.Parse(timeFormat, f.Time)
	if err != nil {
		t.Fatal(err)
	}
	return f, now
}

func (f *vectorFile) verifier(now time.Time, region string) *Verifier {
	return NewVerifier(Config{Region: region, Now: func() time.Time { return now }}, func(k string) (string, bool) {
		return f.SecretKey, k == f.AccessKey
	})
}

func TestAWSExamples(t *testing.T) {
	f, now := loadVectors(t, "testdata/aws_s3_examples.json")
	v := f.verifier(now.Add(time.Minute), "us-east-1")
	for i := range f.Cases {
		c := &f.Cases[i]
		for range 2 { // the second time with a cached key
			a, err := v.Verify(c.request())
			if err != nil {
				t.Errorf("%s: %v", c.Name, err)
				continue
			}
			if a.AccessKey != f.AccessKey || !a.Time.Equal(now) {
				t.Errorf("%s: %+v", c.Name, a)
			}
		}
	}
}

// TestBotocoreRequests verifies what a real client sends, heads and bodies: every kind of key,
// presigned links, and the trailers that it uses over TLS.
func TestBotocoreRequests(t *testing.T) {
	f, now := loadVectors(t, "testdata/botocore_requests.json")
	v := f.verifier(now.Add(time.Second), "us-east-1")
	if len(f.Cases) < 80 {
		t.Fatalf("only %d cases", len(f.Cases))
	}
	kinds := map[Payload]int{}
	for i := range f.Cases {
		c := &f.Cases[i]
		a, err := v.Verify(c.request())
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		kinds[a.Payload]++
		body := []byte(nil)
		for _, r := range c.Body { // one byte per rune
			body = append(body, byte(r))
		}
		b := a.NewBody(bytes.NewReader(body), int64(len(body)))
		if _, err := io.Copy(io.Discard, b); err != nil || b.Finish() != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		if len(b.Trailers()) != len(a.Trailers) {
			t.Errorf("%s: trailers %v of %v", c.Name, b.Trailers(), a.Trailers)
		}
	}
	if kinds[PayloadSHA256] == 0 || kinds[PayloadUnsigned] == 0 || kinds[PayloadStreamUnsignedTrailer] == 0 {
		t.Errorf("kinds of payloads seen: %v", kinds)
	}
}
