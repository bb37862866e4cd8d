package s3api

import (
	"fmt"
	"mime"
	"net/url"
	"strings"
	"testing"
	"time"

	"holdfast/s3api/sigv4"
)

func TestUploadWithoutLengthIsRefused(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	r.want(411, "MissingContentLength", req{method: "PUT", target: "/bucket/k", noLength: true})
	c := r.dial()
	c.send(req{method: "PUT", target: "/bucket/k", noLength: true, payload: sigv4.UnsignedPayload,
		headers: []string{"Transfer-Encoding: chunked"}}.text(t) + "3\r\nabc\r\n0\r\n\r\n")
	if rep := c.receive("PUT"); rep.status != 411 || rep.code() != "MissingContentLength" {
		t.Errorf("chunked without a decoded length: %d %s", rep.status, rep.code())
	}
	if r.stored("/bucket/k") {
		t.Error("an object of no length was stored")
	}
	r.ok(req{method: "PUT", target: "/bucket/empty"})
	if rep := r.ok(req{method: "GET", target: "/bucket/empty"}); rep.body != "" || rep.header.Get("Content-Length") != "0" {
		t.Errorf("the empty object: %q %v", rep.body, rep.header)
	}
}

func TestAwsChunkedInAllForms(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	body := strings.Repeat("chunk", 10_000)
	for _, payload := range []string{sigv4.StreamSigned, sigv4.StreamSignedTrailer, sigv4.StreamUnsignedTrailer} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s chunked=%v", payload, chunked), func(t *testing.T) {
				target := "/bucket/" + payload
				headers := []string{fmt.Sprintf("x-amz-decoded-content-length: %d", len(body)), "content-encoding: gzip,aws-chunked"}
				trailer := payload != sigv4.StreamSigned
				if trailer {
					headers = append(headers, "x-amz-trailer: x-amz-checksum-crc32")
				}
				text, framed := chunkedPut(t, target, payload, body, headers, trailer, chunked)
				c := r.dial()
				c.send(text + framed)
				if rep := c.receive("PUT"); rep.status != 200 || trailer && rep.header.Get("x-amz-checksum-crc32") == "" {
					t.Fatalf("%d %s", rep.status, rep.body)
				}
				get := r.ok(req{method: "GET", target: target})
				if get.body != body || get.header.Get("Content-Encoding") != "gzip" {
					t.Errorf("came back wrong: %d bytes, encoding %q", len(get.body), get.header.Get("Content-Encoding"))
				}
			})
		}
	}
}

func TestContentEncodingKeepsNoFraming(t *testing.T) {
	for given, want := range map[string]string{
		"aws-chunked": "", "AWS-Chunked": "", "gzip, AWS-CHUNKED": "gzip", "Aws-Chunked,gzip,br": "gzip,br",
		"gzip, br": "gzip, br", "x-aws-chunked": "x-aws-chunked",
	} {
		if got := withoutChunked(given); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}

func TestTrailersAreChecksums(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	for _, name := range []string{"x-amz-checksum-type", "x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-sha512", "x-amz-meta-a"} {
		head, framed := chunkedPut(t, "/bucket/k", sigv4.StreamUnsignedTrailer, "body",
			[]string{"x-amz-decoded-content-length: 4", "x-amz-trailer: " + name}, false, false)
		c := r.dial()
		c.send(head + framed)
		if rep := c.receive("PUT"); rep.status != 400 || rep.code() != "InvalidRequest" {
			t.Errorf("%s: %d %s", name, rep.status, rep.code())
		}
	}
}

func TestRejectedExpectNeverSeesTheBody(t *testing.T) {
	m := newMem()
	r := newRig(t, m)
	r.makeBucket("bucket")
	expect := []string{"Expect: 100-continue"}
	for _, tc := range []struct {
		q    req
		code string
	}{
		{req{target: "/bucket/k", key: "-"}, "AccessDenied"},
		{req{target: "/bucket/k", key: "USER"}, "AccessDenied"},
		{req{target: "/bucket/k", at: time.Now().Add(-time.Hour)}, "RequestTimeTooSkewed"},
		{req{target: "/nobody/k"}, "NoSuchBucket"},
		{req{target: "/bucket/k?acl"}, "NotImplemented"},
		{req{target: "/bucket/k", length: fmt.Sprint(6 << 30)}, "EntityTooLarge"},
		{req{target: "/bucket/" + strings.Repeat("k", 1025)}, "KeyTooLongError"},
		{req{target: "/bucket/k", headers: []string{"x-amz-meta-a: " + strings.Repeat("a", 3000)}}, "MetadataTooLarge"},
		{req{target: "/bucket/k", headers: []string{"x-amz-website-redirect-location: nowhere"}}, "InvalidRedirectLocation"},
		{req{target: "/bucket/k", headers: []string{"If-Modified-Since: Sat, 01 Jan 2022 00:00:00 GMT"}}, "NotImplemented"},
		{req{target: "/bucket/k?partNumber=1"}, "InvalidArgument"},
		{req{target: "/bucket/k?partNumber=0&uploadId=" + strings.Repeat("0", 32)}, "InvalidArgument"},
		{req{target: "/bucket/k?partNumber=1&uploadId=x"}, "NoSuchUpload"},
		{req{target: "/Bad_Name", length: "10"}, "InvalidBucketName"},
		{req{target: "/fresh"}, "MaxMessageLengthExceeded"},
		{req{method: "POST", target: "/bucket?delete", length: fmt.Sprint(5 << 20)}, "MaxMessageLengthExceeded"},
		{req{method: "POST", target: "/bucket/k?uploadId=" + strings.Repeat("0", 32), length: fmt.Sprint(5 << 20)}, "MaxMessageLengthExceeded"},
		{req{method: "POST", target: "/bucket/k?uploadId=x"}, "NoSuchUpload"},
		{req{method: "POST", target: "/bucket/k?uploadId=" + strings.Repeat("0", 32), headers: []string{"x-amz-checksum-sha256: x"}}, "BadDigest"},
	} {
		tc.q.headers, tc.q.payload = append(tc.q.headers, expect...), sigv4.UnsignedPayload
		if tc.q.method == "" {
			tc.q.method = "PUT"
		}
		if tc.q.length == "" {
			tc.q.length = "1000000"
		}
		c := r.dial()
		c.send(tc.q.text(t))
		rep := c.receive(tc.q.method)
		if rep.code() != tc.code || !rep.closing() || rep.header.Get("x-amz-request-id") == "" || rep.header.Get("Content-Type") != "application/xml" {
			t.Errorf("%s: %d %s\n%s", tc.q.target, rep.status, rep.code(), rep.raw)
		}
	}
	eventually(t, "calls end", func() bool { return r.srv.metrics.inFlight.Load() == 0 })
}

func TestAcceptedExpect(t *testing.T) {
	m := newMem()
	r := newRig(t, m)
	r.makeBucket("bucket")
	body := strings.Repeat("e", 100_000)
	text := req{method: "PUT", target: "/bucket/k", body: body, headers: []string{"Expect: 100-Continue"}}.text(t)
	c := r.dial()
	for range 2 { // the connection stays
		c.send(text[:len(text)-len(body)])
		if line, err := c.br.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q %v", line, err)
		}
		c.br.ReadString('\n')
		c.send(body)
		if rep := c.receive("PUT"); rep.status != 200 {
			t.Fatalf("%d %s", rep.status, rep.body)
		}
	}
	// A client that goes away between 100 and its body must leave nothing behind.
	c = r.dial()
	c.send(text[:len(text)-len(body)])
	c.br.ReadString('\n')
	c.conn.Close()
	eventually(t, "the call ends", func() bool { return r.srv.metrics.inFlight.Load() == 0 && r.srv.conns.len() <= 1 })
	if get := r.ok(req{method: "GET", target: "/bucket/k"}); get.body != body {
		t.Error("came back wrong")
	}
}

func TestAmbiguousMessagesAreRefused(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	r.ok(req{method: "PUT", target: "/bucket/k", body: "v"})
	signed := req{method: "GET", target: "/bucket/k"}.text(t)
	lines := strings.TrimSuffix(signed, "\r\n\r\n")
	for _, tc := range []struct{ name, text string }{
		{"length and chunked", strings.Replace(req{method: "PUT", target: "/bucket/k", body: "v"}.text(t), "Content-Length", "Transfer-Encoding: chunked\r\nContent-Length", 1)},
		{"two lengths", lines + "\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"},
		{"a list of lengths", lines + "\r\nContent-Length: 0, 0\r\n\r\n"},
		{"a signed length", lines + "\r\nContent-Length: +0\r\n\r\n"},
		{"identity", lines + "\r\nTransfer-Encoding: identity\r\n\r\n"},
		{"gzip, chunked", lines + "\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"},
		{"two encodings", lines + "\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"space before the colon", lines + "\r\nTransfer-Encoding : chunked\r\n\r\n"},
		{"bare line feed", lines + "\nX-Foo: bar\r\n\r\n"},
		{"folded line", lines + "\r\nX-Foo: a\r\n b\r\n\r\n"},
		{"folded by a tab", lines + "\r\nX-Foo: a\r\n\tb\r\n\r\n"},
		{"two hosts", lines + "\r\nHost: other\r\n\r\n"},
		{"no host", strings.Replace(signed, "Host: "+testHost+"\r\n", "", 1)},
		{"two authorizations", lines + "\r\nAuthorization: AWS4-HMAC-SHA256 x\r\n\r\n"},
		{"NUL in a value", lines + "\r\nX-Foo: a\x00b\r\n\r\n"},
		{"fragment", strings.Replace(signed, "/bucket/k ", "/bucket/k#x ", 1)},
		{"star", strings.Replace(signed, "GET /bucket/k ", "GET * ", 1)},
		{"half an escape", strings.Replace(signed, "/bucket/k ", "/bucket/k%2 ", 1)},
		{"no escape", strings.Replace(signed, "/bucket/k ", "/bucket/k%zz ", 1)},
		{"HTTP/9.9", strings.Replace(signed, "HTTP/1.1", "HTTP/9.9", 1)},
		{"HTTP/2.0", strings.Replace(signed, "HTTP/1.1", "HTTP/2.0", 1)},
		{"HTTP/0.9", strings.Replace(signed, "HTTP/1.1", "HTTP/0.9", 1)},
		{"HTTP/1.0 chunked", strings.Replace(lines, "HTTP/1.1", "HTTP/1.0", 1) + "\r\nTransfer-Encoding: chunked\r\n\r\n"},
	} {
		c := r.dial()
		c.send(tc.text)
		rep := c.receive("GET")
		if rep.status != 400 || !rep.closing() || !strings.HasPrefix(rep.body, "<?xml") {
			t.Errorf("%s: %d closing=%v %.200s", tc.name, rep.status, rep.closing(), rep.body)
		}
	}
}

func TestAbsoluteFormAndConnect(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	r.ok(req{method: "PUT", target: "/bucket/k", body: "v"})
	c := r.dial()
	c.send(strings.Replace(req{method: "GET", target: "/bucket/k"}.text(t), "/bucket/k", "http://elsewhere/bucket/k", 1))
	if rep := c.receive("GET"); rep.body != "v" {
		t.Errorf("absolute form: %d %s", rep.status, rep.body)
	}
	c = r.dial()
	c.send("CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere:443\r\n\r\n")
	if rep := c.receive("GET"); rep.status < 400 {
		t.Errorf("CONNECT: %d", rep.status)
	}
}

func TestTooLargeHead(t *testing.T) {
	r := newRig(t, newMem())
	c := r.dial()
	c.send(req{method: "GET", target: "/", headers: []string{"x-amz-meta-a: " + strings.Repeat("a", 20<<10)}}.text(t))
	if rep := c.receive("GET"); rep.status != 400 || rep.code() != "RequestHeaderSectionTooLarge" {
		t.Errorf("%d %s %v", rep.status, rep.code(), rep.err)
	}
}

func TestShapesOfAnswersWithoutBody(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	etag := r.ok(req{method: "PUT", target: "/bucket/k", body: "hello"}).header.Get("ETag")
	c := r.dial() // all on one connection: a wrong length would shift the next answer
	for range 2 {
		c.send(req{method: "GET", target: "/bucket/k", headers: []string{"If-None-Match: " + etag}}.text(t))
		if rep := c.receive("GET"); rep.status != 304 || rep.header.Get("ETag") != etag || rep.header.Get("Last-Modified") == "" ||
			strings.Contains(rep.raw, "Content-Length") || strings.Contains(rep.raw, "Content-Type") {
			t.Errorf("304:\n%s", rep.raw)
		}
		c.send(req{method: "DELETE", target: "/bucket/none"}.text(t))
		if rep := c.receive("DELETE"); rep.status != 204 || strings.Contains(rep.raw, "Content-Length") {
			t.Errorf("204:\n%s", rep.raw)
		}
		c.send(req{method: "HEAD", target: "/bucket/k"}.text(t))
		if rep := c.receive("HEAD"); rep.status != 200 || rep.header.Get("Content-Length") != "5" {
			t.Errorf("HEAD:\n%s", rep.raw)
		}
		c.send(req{method: "HEAD", target: "/bucket/none"}.text(t))
		if rep := c.receive("HEAD"); rep.status != 404 {
			t.Errorf("HEAD of nothing:\n%s", rep.raw)
		}
		c.send(req{method: "HEAD", target: "/bucket/k", headers: []string{"If-Match: \"other\""}}.text(t))
		if rep := c.receive("HEAD"); rep.status != 412 {
			t.Errorf("HEAD 412:\n%s", rep.raw)
		}
		c.send(req{method: "GET", target: "/bucket/k", headers: []string{"Range: bytes=9-"}}.text(t))
		if rep := c.receive("GET"); rep.status != 416 || rep.header.Get("Content-Range") != "bytes */5" || rep.code() != "InvalidRange" {
			t.Errorf("416:\n%s%s", rep.raw, rep.body)
		}
	}
}

// TestReadFollowsAnObjectThatIsReplaced between its head and its body.
func TestReadFollowsAnObjectThatIsReplaced(t *testing.T) {
	m := newMem()
	r := newRig(t, m)
	r.makeBucket("bucket")
	r.ok(req{method: "PUT", target: "/bucket/k", body: "hello"})
	m.replaced.Store(readTries - 1)
	if rep := r.ok(req{method: "GET", target: "/bucket/k"}); rep.body != "hello" {
		t.Errorf("got %q", rep.body)
	}
	m.replaced.Store(readTries)
	r.want(503, "ServiceUnavailable", req{method: "GET", target: "/bucket/k"})
	eventually(t, "nothing stays open", func() bool { return m.open.Load() == 0 })
}

func TestHeaderNamesGoOutAsWritten(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	r.ok(req{method: "PUT", target: "/bucket/k", body: "hello", headers: []string{
		"X-Amz-Meta-MixedCase: one", "x-amz-meta-mixedcase: two", "x-amz-meta-name: grün", "Content-Language: de",
	}})
	rep := r.ok(req{method: "GET", target: "/bucket/k"})
	for _, want := range []string{"ETag: ", "x-amz-meta-mixedcase: one,two", "x-amz-meta-name: =?UTF-8?q?gr=C3=BCn?=", "Content-Language: de",
		"Content-Type: binary/octet-stream", "x-amz-request-id: ", "x-amz-id-2: ", "Accept-Ranges: bytes", "Last-Modified: ", "Date: "} {
		if !strings.Contains(rep.raw, "\r\n"+want) {
			t.Errorf("no %q in\n%s", want, rep.raw)
		}
	}
	if strings.Contains(rep.raw, "Server:") {
		t.Error("the server names itself")
	}
}

// TestMetadataIsText: what is not UTF-8 is read as ISO 8859-1, so that the label of the answer is true.
func TestMetadataIsText(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	for given, want := range map[string]string{"plain": "plain", "caf\u00e9": "caf\u00e9", "caf\xe9": "caf\u00e9", "\xff\xfe": "\u00ff\u00fe", "\u65e5\u672c": "\u65e5\u672c"} {
		r.ok(req{method: "PUT", target: "/bucket/k", headers: []string{"x-amz-meta-a: " + given}})
		shown := r.ok(req{method: "HEAD", target: "/bucket/k"}).header.Get("x-amz-meta-a")
		if got, err := new(mime.WordDecoder).DecodeHeader(shown); err != nil || got != want {
			t.Errorf("%q comes back as %q = %q, want %q", given, shown, got, want)
		}
	}
}

func TestMetadataLimit(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	r.ok(req{method: "PUT", target: "/bucket/k", headers: []string{"x-amz-meta-a: " + strings.Repeat("a", 2047)}})
	r.want(400, "MetadataTooLarge", req{method: "PUT", target: "/bucket/k", headers: []string{"x-amz-meta-a: " + strings.Repeat("a", 2048)}})
}

// TestOneKey sends hostile and merely odd keys in several encodings: what is authorized is what is
// stored and what is listed.
func TestOneKey(t *testing.T) {
	r := newRig(t, newMem(), func(o *Options) { o.Domains = []string{"s3.test"} })
	r.makeBucket("bucket")
	keys := []string{
		"a", "a/", "/a", "//", "a//b", ".", "..", "../a", "a/../b", "a/./b", "./", "../../etc/passwd", "a b", "a+b", "a%b", "a%2Fb", "%2e%2e",
		"a?b", "a#b", "a&b=c", "a\\b", "ü", "日本語", "😀", "\u202etxt", "a\tb", "a\nb", "\x01", "~", "a:b", "-", "-/health/live", "k" + strings.Repeat("x", 1023),
		"<xml>&\"'", "a=b", "a;b", "a*b", "a|b", "C:\\x", "null", "%", "%%", "é" + strings.Repeat("é", 511),
	}
	encoders := map[string]func(string) string{
		"AWS":     func(k string) string { return string(sigv4.AppendURIEncoded(nil, k, true)) },
		"slashes": func(k string) string { return string(sigv4.AppendURIEncoded(nil, k, false)) },
		"go":      func(k string) string { return (&url.URL{Path: "/" + k}).EscapedPath()[1:] },
	}
	for _, key := range keys {
		for name, encode := range encoders {
			for _, vhost := range []bool{false, true} {
				q := req{method: "PUT", target: "/bucket/" + encode(key), body: key + name}
				if vhost {
					q.target, q.host = "/"+encode(key), "bucket.s3.test:9000"
				}
				if rep := r.do(q); rep.status != 200 {
					t.Errorf("%q by %s, vhost %v: PUT %d %s", key, name, vhost, rep.status, rep.body)
					continue
				}
				q.method, q.body = "GET", ""
				if rep := r.do(q); rep.body != key+name {
					t.Errorf("%q by %s, vhost %v: GET %d %q", key, name, vhost, rep.status, rep.body)
				}
			}
		}
		list := r.ok(req{method: "GET", target: "/bucket?list-type=2&encoding-type=url&prefix=" + url.QueryEscape(key)})
		listed, err := url.PathUnescape(between(list.body, "<Key>", "</Key>"))
		if err != nil || listed != key {
			t.Errorf("%q is listed as %q, %v", key, listed, err)
		}
		r.ok(req{method: "DELETE", target: "/bucket/" + encoders["AWS"](key)})
	}
	for target, code := range map[string]string{
		"/bucket/" + strings.Repeat("x", 1025): "KeyTooLongError",
		"/bucket/%ff":                          "InvalidURI",
		"/bucket/%c0%af":                       "InvalidURI",
		"/bucket/%ed%a0%80":                    "InvalidURI",
		"/bucket/a%00b":                        "InvalidArgument",
		"/bucket/a%2":                          "InvalidURI",
		"//bucket/a":                           "InvalidBucketName",
		"/Bucket/a":                            "InvalidBucketName",
		"/../bucket/a":                         "InvalidBucketName",
		"/bu%00ket":                            "InvalidBucketName",
	} {
		q := req{method: "PUT", target: target, body: "x"}
		if strings.HasSuffix(target, "%2") {
			q.key = "-" // no signer takes it
		}
		rep := r.do(q)
		if rep.status != 400 || rep.code() != code {
			t.Errorf("%s: %d %s, want %s", target, rep.status, rep.code(), code)
		}
	}
}

func TestSecretsStayOutOfLogsAndAnswers(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	const canary = "CANARY7781"
	for _, text := range []string{
		"GET /bucket HTTP/1.1\r\nHost: h\r\nAuthorization: " + canary + "\r\nBad Header " + canary + "\r\n\r\n",
		"GET" + canary + "\r\nAuthorization: " + canary + "\r\n\r\n",
		"GET /?X-Amz-Signature=" + canary + " HTTP/9.9" + canary + "\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: AWS4-HMAC-SHA256 " + canary + "\x01\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: " + strings.Repeat(canary, 3000) + "\r\n\r\n",
	} {
		c := r.dial()
		c.send(text)
		if rep := c.receive("GET"); strings.Contains(rep.raw+rep.body, canary) {
			t.Errorf("answer shows it: %s%s", rep.raw, rep.body)
		}
	}
	r.do(req{method: "GET", target: "/bucket/k?X-Amz-Signature=" + canary + "&X-Amz-Credential=" + canary, key: "-"})
	r.do(req{method: "GET", target: "/bucket/k", key: "-", headers: []string{"Authorization: AWS4-HMAC-SHA256 Credential=a/20200101/r/s3/aws4_request, SignedHeaders=host, Signature=" + canary}})
	if strings.Contains(r.log.String(), canary) {
		t.Errorf("the log shows it:\n%s", r.log.String())
	}
}
