package s3light

import (
	"strings"
	"testing"
	"time"
)

// The example of the AWS documentation "Authenticating Requests: Using the Authorization Header".
func TestSignatureMatchesTheExampleOfAWS(t *testing.T) {
	cred := Credentials{AccessKey: "AKIAIOSFODNN7EXAMPLE", SecretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Region: "us-east-1"}
	at := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, method, path, query, payload string
		extra                              []Header
		want                               string
	}{
		{name: "get object", method: "GET", path: "/test.txt", payload: emptySHA256,
			extra: []Header{{"range", "bytes=0-9"}},
			want:  "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
		{name: "put object", method: "PUT", path: "/test%24file.text",
			payload: "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
			extra:   []Header{{"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
			want:    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
		{name: "list objects", method: "GET", path: "/", query: "max-keys=2&prefix=J", payload: emptySHA256,
			want: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := signer{cred: cred}
			s.at(at)
			got := string(s.appendAuth(nil, c.method, []byte(c.path), c.query, "examplebucket.s3.amazonaws.com", c.payload, c.extra))
			if !strings.HasSuffix(got, "Signature="+c.want) {
				t.Errorf("got %s, want signature %s", got, c.want)
			}
		})
	}
}

func TestPathKeepsSlashesAndEscapesTheRest(t *testing.T) {
	got := string(appendPath(nil, "b", "a b/+%é~"))
	if want := "/b/a%20b/%2B%25%C3%A9~"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func BenchmarkSign(b *testing.B) {
	s := signer{cred: Credentials{AccessKey: "a", SecretKey: "b", Region: "us-east-1"}}
	s.at(time.Now())
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = s.appendAuth(dst[:0], "PUT", []byte("/bucket/key"), "", "127.0.0.1:9000", emptySHA256, nil)
	}
}
