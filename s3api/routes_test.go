package s3api

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/s3api/sigv4"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// targetOf makes a request target that meets a route's conditions.
func targetOf(row *route) string {
	t := [...]string{"/", "/bucket", "/bucket/key"}[row.level]
	if row.query == "" {
		return t
	}
	return t + "?" + strings.ReplaceAll(row.query, "partNumber", "partNumber=1")
}

func headersOf(row *route) []string {
	if row.headers == "" {
		return nil
	}
	return []string{row.headers + ": /bucket/source"}
}

// TestActionTable keeps every operation with its IAM action under review.
func TestActionTable(t *testing.T) {
	var b strings.Builder
	for _, row := range table() {
		state := "serves"
		if row.handler == nil {
			state = "NotImplemented"
		}
		fmt.Fprintf(&b, "%-7s %-45s %-20s %-24s %-32s %s\n", row.method, targetOf(&row), row.headers, row.op, row.action, state)
	}
	golden := filepath.Join("testdata", "routes.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the table has changed; run with -update and review\n%s", b.String())
	}
}

// TestEveryRouteIsFound asks the router for each row by its own conditions.
func TestEveryRouteIsFound(t *testing.T) {
	r := newRouter(table())
	r.ops()
	for i := range r.rows {
		row := &r.rows[i]
		var q request
		q.Method = row.method
		q.RawPath, q.RawQuery, _ = strings.Cut(targetOf(row), "?")
		for _, h := range headersOf(row) {
			name, value, _ := strings.Cut(h, ": ")
			q.Headers = append(q.Headers, sigv4.Header{Name: name, Value: value})
		}
		if err := q.Parse(); err != nil {
			t.Fatal(err)
		}
		got, err := r.find(&q, row.level)
		if err != nil || got != row {
			t.Errorf("%s %s: found %+v, %v", row.method, targetOf(row), got, err)
		}
	}
}

// TestNothingIsServedUnsigned sends every route with every wrong kind of proof, and checks that no
// handler runs.
func TestNothingIsServedUnsigned(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	ran := 0
	for i := range r.srv.routes.rows {
		if row := &r.srv.routes.rows[i]; row.handler != nil {
			row.handler = func(*call) error { ran++; return nil }
		}
	}
	wrong := map[string]func(*req){
		"anonymous":     func(q *req) { q.key = "-" },
		"without right": func(q *req) { q.key = "USER" },
		"unknown key":   func(q *req) { q.key = "NOBODY" },
		"too old":       func(q *req) { q.at = time.Now().Add(-16 * time.Minute) },
		"too new":       func(q *req) { q.at = time.Now().Add(16 * time.Minute) },
		"V2":            func(q *req) { q.key = "-"; q.headers = append(q.headers, "Authorization: AWS "+testKey+":abc") },
		"bearer":        func(q *req) { q.key = "-"; q.headers = append(q.headers, "Authorization: Bearer abc") },
	}
	for i := range r.srv.routes.rows {
		row := &r.srv.routes.rows[i]
		for name, change := range wrong {
			q := req{method: row.method, target: targetOf(row), headers: headersOf(row)}
			change(&q)
			if rep := r.do(q); rep.status != 403 && rep.status != 400 && (row.handler != nil || rep.status != 501) {
				t.Errorf("%s %s, %s: %d %s", row.method, targetOf(row), name, rep.status, rep.code())
			}
		}
		if row.handler == nil {
			r.want(501, "NotImplemented",
				req{method: row.method, target: targetOf(row), headers: headersOf(row)})
		}
	}
	for i := range r.srv.routes.rows {
		row := &r.srv.routes.rows[i]
		good := presign(t, row, time.Now(), time.Hour)
		last := good[len(good)-1]
		for name, target := range map[string]string{
			"one bit off": good[:len(good)-1] + string(last^1),
			"expired":     presign(t, row, time.Now().Add(-2*time.Hour), time.Hour),
			"no expiry":   strings.Replace(good, "X-Amz-Expires", "X-Amz-Expired", 1),
			"V2":          addQuery(targetOf(row), "AWSAccessKeyId="+testKey+"&Signature=abc&Expires=9999999999"),
		} {
			if target == good {
				t.Fatalf("%s changes nothing", name)
			}
			if rep := r.do(req{method: row.method, target: target, headers: headersOf(row), key: "-"}); rep.status != 403 && rep.status != 400 {
				t.Errorf("%s %s, presigned, %s: %d %s", row.method, targetOf(row), name, rep.status, rep.code())
			}
		}
		if rep := r.do(req{method: row.method, target: good, headers: headersOf(row)}); rep.status != 400 { // header and query
			t.Errorf("%s %s, signed twice: %d %s", row.method, targetOf(row), rep.status, rep.code())
		}
	}
	// One bit of the signature off, and headers or parameters added behind its back.
	good := req{method: "PUT", target: "/bucket/key", body: "v"}.text(t)
	sig := between(good, "Signature=", "\r\n")
	flip := "0"
	if sig[0] == '0' {
		flip = "1"
	}
	for _, text := range []string{
		strings.Replace(good, sig, flip+sig[1:], 1),
		strings.Replace(good, "\r\n\r\n", "\r\nx-amz-copy-source: /bucket/other\r\n\r\n", 1),
		strings.Replace(good, "\r\n\r\n", "\r\nx-amz-acl: public-read\r\n\r\n", 1),
		strings.Replace(good, "/bucket/key ", "/bucket/other ", 1),
		strings.Replace(good, "/bucket/key ", "/bucket/key?versionId=null ", 1),
		strings.Replace(good, "PUT ", "DELETE ", 1),
		strings.Replace(good, "Host: "+testHost, "Host: other", 1),
	} {
		c := r.dial()
		c.send(text)
		if rep := c.receive("PUT"); rep.status != 403 {
			t.Errorf("%d %s for\n%s", rep.status, rep.code(), text)
		}
	}
	if ran > 0 {
		t.Errorf("%d handlers ran", ran)
	}
	r.ok(req{method: "PUT", target: "/bucket/key", body: ""})
	if ran != 1 {
		t.Error("the probe does not work")
	}
}

// presign returns the target of a presigned request for a route.
func presign(t *testing.T, row *route, at time.Time, expires time.Duration) string {
	t.Helper()
	path, query, _ := strings.Cut(targetOf(row), "?")
	q := sigv4.Request{Method: row.method, RawPath: path, RawQuery: query, Host: testHost}
	for _, h := range headersOf(row) {
		name, value, _ := strings.Cut(h, ": ")
		q.Headers = append(q.Headers, sigv4.Header{Name: name, Value: value})
	}
	if err := sigv4.NewSigner(testKey, testSecret, "us-east-1").Presign(&q, at, expires); err != nil {
		t.Fatal(err)
	}
	return path + "?" + q.RawQuery
}

func addQuery(target, query string) string {
	if strings.Contains(target, "?") {
		return target + "&" + query
	}
	return target + "?" + query
}

func TestUnknownRequests(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	r.ok(req{method: "PUT", target: "/bucket/key", body: "v"})
	for _, tc := range []struct {
		method, target string
		status         int
		code           string
	}{
		{"PATCH", "/bucket/key", 405, "MethodNotAllowed"},
		{"POST", "/", 405, "MethodNotAllowed"},
		{"DELETE", "/", 405, "MethodNotAllowed"},
		{"POST", "/bucket/key", 405, "MethodNotAllowed"},
		{"PUT", "/bucket?delete", 405, "MethodNotAllowed"},
		{"DELETE", "/bucket?acl", 405, "MethodNotAllowed"},
		{"DELETE", "/bucket/key?acl", 405, "MethodNotAllowed"},
		{"DELETE", "/bucket/key?uploads", 405, "MethodNotAllowed"},
		{"PUT", "/bucket/key?uploadId=x", 405, "MethodNotAllowed"},
		{"PUT", "/bucket/key?partNumber=1", 400, "InvalidArgument"},
		{"GET", "/bucket/key?acl&tagging", 400, "InvalidArgument"},
		{"GET", "/bucket?versions&acl", 400, "InvalidArgument"},
		{"POST", "/bucket", 501, "NotImplemented"},
		{"GET", "/bucket?policy", 501, "NotImplemented"},
		{"PUT", "/bucket/key?tagging", 501, "NotImplemented"},
		{"GET", "/bucket/key?tagging", 200, ""},
		{"GET", "/bucket/none?tagging", 404, "NoSuchKey"},
		{"GET", "/bucket/key?x-id=GetObject", 200, ""},
		{"GET", "/bucket/key?whatever=1", 200, ""},
		{"GET", "/bucket/key?versionId=null", 200, ""},
		{"GET", "/bucket/key?versionId=", 400, "InvalidArgument"},
		{"GET", "/bucket/key?versionId=short", 400, "InvalidArgument"},
		{"GET", "/bucket/key?versionId=" + strings.Repeat("a", 32), 404, "NoSuchVersion"},
	} {
		r.want(tc.status, tc.code, req{method: tc.method, target: tc.target})
	}
	if rep := r.ok(req{method: "GET", target: "/bucket/key"}); rep.body != "v" {
		t.Error("the object has changed")
	}
}

// TestHeaderFieldsAreBounded: the work of checking a signature grows with fields times signed names.
func TestHeaderFieldsAreBounded(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	var many []string
	for i := range maxHeaders {
		many = append(many, fmt.Sprintf("x-amz-meta-%d: 1", i))
	}
	r.ok(req{method: "PUT", target: "/bucket/k", body: "v", headers: many[:maxHeaders-16]})
	r.want(400, "RequestHeaderSectionTooLarge", req{method: "PUT", target: "/bucket/k", body: "v", headers: many})
}

func TestHeadersOfWhatIsMissingAreRefused(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	for header, code := range map[string]string{
		"x-amz-acl: nonsense":                                     "InvalidArgument",
		"x-amz-acl: private":                                      "",
		"x-amz-grant-read: id=1":                                  "NotImplemented",
		"x-amz-tagging: a=b":                                      "NotImplemented",
		"x-amz-server-side-encryption: AES256":                    "NotImplemented",
		"x-amz-server-side-encryption-customer-algorithm: AES256": "NotImplemented",
		"x-amz-object-lock-mode: GOVERNANCE":                      "InvalidRequest",
		"x-amz-storage-class: STANDARD_IA":                        "",
		"x-amz-storage-class: GLACIER":                            "InvalidStorageClass",
		"x-amz-storage-class: nonsense":                           "InvalidStorageClass",
		"x-amz-expected-bucket-owner: " + testKey:                 "",
		"x-amz-expected-bucket-owner: 123456789012":               "AccessDenied",
		"x-amz-website-redirect-location: nowhere":                "InvalidRedirectLocation",
		"Content-MD5: nonsense":                                   "InvalidDigest",
		"Content-MD5: XrY7u+Ae7tCTyyK7j1rNww==":                   "BadDigest",
		"x-amz-checksum-crc32: AAAAAA==":                          "BadDigest",
		"x-amz-checksum-crc32: nonsense":                          "BadDigest",
		"x-amz-sdk-checksum-algorithm: CRC32":                     "InvalidRequest",
	} {
		rep := r.do(req{method: "PUT", target: "/bucket/key", body: "value", headers: []string{header}})
		if rep.code() != code || code == "" && rep.status != 200 {
			t.Errorf("%s: %d %s, want %q", header, rep.status, rep.code(), code)
		}
	}
}

func TestPresigned(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	sign := func(method, target string, at time.Time, expires time.Duration) string {
		path, query, _ := strings.Cut(target, "?")
		q := sigv4.Request{Method: method, RawPath: path, RawQuery: query, Host: testHost}
		if err := sigv4.NewSigner(testKey, testSecret, "us-east-1").Presign(&q, at, expires); err != nil {
			t.Fatal(err)
		}
		return path + "?" + q.RawQuery
	}
	now := time.Now()
	put := sign("PUT", "/bucket/a b+c", now, time.Hour)
	put = strings.ReplaceAll(strings.Replace(put, "a b", "a%20b", 1), " ", "%20")
	r.ok(req{method: "PUT", target: put, body: "presigned", key: "-", payload: "-"})
	r.want(403, "SignatureDoesNotMatch", req{method: "DELETE", target: put, key: "-"})
	r.want(403, "AccessDenied", req{method: "PUT", target: put, key: "-", headers: []string{"x-amz-copy-source: /bucket/x"}})
	get := sign("GET", "/bucket/a%20b+c?response-content-type=text/x&response-content-disposition=attachment&response-cache-control=no-store&response-expires=never&response-content-language=fr&response-content-encoding=br", now, time.Hour)
	rep := r.ok(req{method: "GET", target: get, key: "-"})
	if rep.body != "presigned" {
		t.Errorf("body %q", rep.body)
	}
	for name, want := range map[string]string{"Content-Type": "text/x", "Content-Disposition": "attachment", "Cache-Control": "no-store",
		"Expires": "never", "Content-Language": "fr", "Content-Encoding": "br"} {
		if got := rep.header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, at := range []time.Time{now.Add(-2 * time.Hour), now.Add(20 * time.Minute)} {
		r.want(403, "AccessDenied", req{method: "GET", target: sign("GET", "/bucket/a%20b+c", at, time.Hour), key: "-"})
	}
	r.want(400, "AuthorizationQueryParametersError", req{method: "GET", target: sign("GET", "/bucket/k", now, 8*24*time.Hour), key: "-"})
}

func TestOperationsAreCounted(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	r.ok(req{method: "PUT", target: "/bucket/key", body: "value"})
	r.ok(req{method: "GET", target: "/bucket/key"})
	r.want(404, "NoSuchKey", req{method: "GET", target: "/bucket/none"})
	eventually(t, "calls end", func() bool { return r.srv.metrics.inFlight.Load() == 0 })
	page := r.ok(req{method: "GET", target: "/-/metrics", key: "-"}).body
	for _, want := range []string{
		`holdfast_s3_requests_total{class="2xx",operation="GetObject"} 1`,
		`holdfast_s3_requests_total{class="4xx",operation="GetObject"} 1`,
		`holdfast_s3_requests_total{class="2xx",operation="PutObject"} 1`,
		`holdfast_s3_errors_total{code="NoSuchKey"} 1`,
		`holdfast_s3_received_bytes_total 5`,
		`holdfast_s3_request_seconds_count{operation="GetObject"} 2`,
		`holdfast_s3_requests_in_flight 1`,
	} {
		if !slices.Contains(strings.Split(page, "\n"), want) {
			t.Errorf("no line %q in the metrics", want)
		}
	}
}
