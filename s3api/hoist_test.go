package s3api

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"holdfast/s3api/sigv4"
)

// link presigns a request whose headers are signed too; query is encoded as in a URL.
func link(t *testing.T, method, path, query string, headers ...string) string {
	t.Helper()
	q := sigv4.Request{Method: method, RawPath: path, RawQuery: query, Host: testHost}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		q.Headers = append(q.Headers, sigv4.Header{Name: name, Value: value})
	}
	if err := sigv4.NewSigner(testKey, testSecret, "us-east-1").Presign(&q, time.Now(), time.Hour); err != nil {
		t.Fatal(err)
	}
	return path + "?" + q.RawQuery
}

func hoisted(pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

func TestHoistedHeadersOfLinksCount(t *testing.T) {
	r := newStoreRig(t)
	put := func(query string, headers ...string) req {
		return req{method: "PUT", target: link(t, "PUT", "/bucket/key", query, headers...), key: "-", body: "hello", headers: headers}
	}
	r.ok(put(hoisted("X-Amz-Meta-Colour", "dark  red", "x-amz-storage-class", "STANDARD_IA", "x-amz-website-redirect-location", "/there",
		"x-amz-checksum-crc32", "NhCmhg==", "x-amz-sdk-checksum-algorithm", "CRC32", "x-amz-acl", "private", "x-id", "PutObject",
		"x-amz-expected-bucket-owner", testKey)))
	rep := r.ok(req{method: "GET", key: "-", target: link(t, "GET", "/bucket/key", hoisted("x-amz-checksum-mode", "ENABLED"))})
	for name, want := range map[string]string{"X-Amz-Meta-Colour": "dark  red", "X-Amz-Storage-Class": "STANDARD_IA",
		"X-Amz-Website-Redirect-Location": "/there", "X-Amz-Checksum-Crc32": "NhCmhg=="} {
		if got := rep.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}

	for _, tc := range []struct {
		status int
		code   string
		query  string
	}{
		{400, "BadDigest", hoisted("x-amz-checksum-crc32", "NhCmhw==")},
		{400, "BadDigest", hoisted("x-amz-checksum-sha256", "short")},
		{400, "InvalidRequest", hoisted("x-amz-checksum-sha512", "abc")},
		{403, "AccessDenied", hoisted("x-amz-expected-bucket-owner", "somebody")},
		{501, "NotImplemented", hoisted("x-amz-tagging", "a=b")},
		{501, "NotImplemented", hoisted("X-Amz-Server-Side-Encryption", "AES256")},
		{501, "NotImplemented", hoisted("x-amz-grant-read", "id=1")},
		{400, "InvalidRequest", hoisted("x-amz-object-lock-mode", "GOVERNANCE")},
		{400, "InvalidStorageClass", hoisted("x-amz-storage-class", "GLACIER")},
		{400, "InvalidArgument", hoisted("x-amz-acl", "everybody")},
		{400, "MetadataTooLarge", hoisted("x-amz-meta-a", strings.Repeat("a", 2048))},
		{400, "InvalidRequest", hoisted("x-amz-meta-a", "1", "X-Amz-Meta-A", "2")},
		{400, "InvalidRequest", hoisted("x-amz-trailer", "x-amz-checksum-crc32")},
		{400, "InvalidRequest", hoisted("x-amz-decoded-content-length", "5")},
		{400, "InvalidArgument", hoisted("x-amz-meta-a", "1\r\nSet-Cookie: x")},
		{400, "InvalidArgument", hoisted("x-amz-meta-a:b", "1")},
		{400, "InvalidArgument", hoisted("x-amz-meta-a\r\nb", "1")},
		{400, "InvalidToken", hoisted("x-amz-security-token", "t")},
	} {
		r.want(tc.status, tc.code, put(tc.query))
	}
	if got := r.ok(req{method: "GET", target: "/bucket/key"}); got.header.Get("X-Amz-Meta-Colour") != "dark  red" {
		t.Error("a refused link has replaced the object")
	}

	// A header beside the parameter must say the same.
	r.ok(put(hoisted("x-amz-meta-a", "1"), "x-amz-meta-a: 1"))
	if rep := r.ok(req{method: "HEAD", target: "/bucket/key"}); rep.header.Get("x-amz-meta-a") != "1" {
		t.Errorf("given twice: %q", rep.header.Get("x-amz-meta-a"))
	}
	r.want(400, "InvalidRequest", put(hoisted("x-amz-meta-a", "1"), "x-amz-meta-a: 2"))
	// A parameter of a request that is signed in its headers is none of ours.
	r.ok(req{method: "PUT", target: "/bucket/key?x-amz-meta-a=1", body: "hello"})
}

// TestChecksumOfAnUnknownBodyIsNoClaim: SDKs sign the checksum of no bytes into links.
func TestChecksumOfAnUnknownBodyIsNoClaim(t *testing.T) {
	r := newStoreRig(t)
	for _, q := range []string{
		hoisted("x-amz-checksum-crc32", "AAAAAA==", "x-amz-sdk-checksum-algorithm", "CRC32"),
		hoisted("x-amz-checksum-sha256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
		hoisted("x-amz-sdk-checksum-algorithm", "SHA256"),
	} {
		r.ok(req{method: "PUT", target: link(t, "PUT", "/bucket/key", q), key: "-", body: "hello"})
	}
	r.want(400, "BadDigest", req{method: "PUT", target: link(t, "PUT", "/bucket/key", "", "x-amz-checksum-crc32: AAAAAA=="), key: "-",
		body: "hello", headers: []string{"x-amz-checksum-crc32: AAAAAA=="}})
}

func TestHoistedCopySourceCopies(t *testing.T) {
	r := newStoreRig(t)
	r.ok(req{method: "PUT", target: "/bucket/source", body: "the source"})
	r.ok(req{method: "PUT", key: "-", target: link(t, "PUT", "/bucket/copy", hoisted("x-amz-copy-source", "/bucket/source",
		"x-amz-metadata-directive", "REPLACE", "x-amz-meta-a", "b"))})
	if rep := r.ok(req{method: "GET", target: "/bucket/copy"}); rep.body != "the source" || rep.header.Get("x-amz-meta-a") != "b" {
		t.Errorf("the copy: %q %v", rep.body, rep.header)
	}
	r.want(412, "PreconditionFailed", req{method: "PUT", key: "-", target: link(t, "PUT", "/bucket/copy2",
		hoisted("x-amz-copy-source", "/bucket/source", "x-amz-copy-source-if-match", "other"))})
	id := r.begin("/bucket/multi")
	rep := r.ok(req{method: "PUT", key: "-", target: link(t, "PUT", "/bucket/multi",
		hoisted("uploadId", id, "partNumber", "1", "x-amz-copy-source", "/bucket/source", "x-amz-copy-source-range", "bytes=4-9"))})
	if between(rep.body, "<ETag>", "<") == "" {
		t.Errorf("the part: %s", rep.body)
	}
	rep = r.ok(req{method: "POST", key: "-", target: link(t, "POST", "/bucket/multi2", hoisted("uploads", "", "x-amz-checksum-algorithm", "CRC32"))})
	if rep.header.Get("x-amz-checksum-algorithm") != "CRC32" {
		t.Errorf("the upload: %v", rep.header)
	}
}

// FuzzHoist: whatever a link says, what becomes of it can stand in a header block, is named once, and
// never speaks of framing or of the signature.
func FuzzHoist(f *testing.F) {
	for _, s := range []string{"x-amz-meta-a=b&X-Amz-Meta-A=b", "x-amz-meta-a%0d%0ab=c", "x-amz-meta-a=%0a", "X-Amz-Date=1&x-amz-acl=private",
		"x-amz-trailer=a", "x-amz-checksum-crc32=AAAAAA%3D%3D", "x-amz-=&x-amz-%ff=1", "content-length=5&x-amz-meta-%C3%A9=%E9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		var r request
		r.Headers = []sigv4.Header{{Name: "x-amz-meta-a", Value: "b"}}
		r.RawPath, r.RawQuery = "/b/k", query
		if r.Parse() != nil || r.hoist() != nil {
			return
		}
		for i := range r.Headers {
			h := &r.Headers[i]
			if r.count(h.Name) != 1 || !strings.HasPrefix(h.Name, amzPrefix) || strings.ContainsAny(h.Name+h.Value, "\r\n\x00") ||
				strings.ContainsAny(h.Name, ": ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
				t.Fatalf("%q makes %q: %q", query, h.Name, h.Value)
			}
			switch h.Name {
			case "x-amz-date", "x-amz-signature", "x-amz-content-sha256", "x-amz-security-token", "x-amz-trailer", "x-amz-decoded-content-length":
				t.Fatalf("%q makes a header %s", query, h.Name)
			}
		}
	})
}
