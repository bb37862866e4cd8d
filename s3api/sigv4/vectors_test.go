package sigv4

import (
	"encoding/json"
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

func loadVectors(t testing.TB) (f vectorFile, now time.Time) {
	t.Helper()
	b, err := os.ReadFile("testdata/aws_s3_examples.json")
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
	f, now := loadVectors(t)
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
