package s3api

import (
	"strings"
	"testing"
)

// TestFirstRequests walks through the plainest life of an object.
func TestFirstRequests(t *testing.T) {
	r := newRig(t, newMem())
	r.makeBucket("bucket")
	put := r.ok(req{method: "PUT", target: "/bucket/a/b.txt", body: "hello", headers: []string{"x-amz-meta-Color: blue", "content-type: text/plain"}})
	if got := put.header.Get("ETag"); got != `"5d41402abc4b2a76b9719d911017c592"` {
		t.Errorf("ETag %s", got)
	}
	get := r.ok(req{method: "GET", target: "/bucket/a/b.txt"})
	if get.body != "hello" || get.header.Get("x-amz-meta-color") != "blue" || get.header.Get("content-type") != "text/plain" {
		t.Errorf("GET: %q %v", get.body, get.header)
	}
	if !strings.Contains(get.raw, "\r\nETag: ") || !strings.Contains(get.raw, "\r\nx-amz-meta-color: ") {
		t.Errorf("header names were changed:\n%s", get.raw)
	}
	head := r.ok(req{method: "HEAD", target: "/bucket/a/b.txt"})
	if head.header.Get("Content-Length") != "5" || head.body != "" {
		t.Errorf("HEAD: %v", head.header)
	}
	list := r.ok(req{method: "GET", target: "/bucket?list-type=2"})
	if !strings.Contains(list.body, "<Key>a/b.txt</Key>") {
		t.Errorf("list: %s", list.body)
	}
	r.want(409, "BucketNotEmpty", req{method: "DELETE", target: "/bucket"})
	r.want(204, "", req{method: "DELETE", target: "/bucket/a/b.txt"})
	r.want(404, "NoSuchKey", req{method: "GET", target: "/bucket/a/b.txt"})
	r.want(204, "", req{method: "DELETE", target: "/bucket"})
	r.want(404, "NoSuchBucket", req{method: "GET", target: "/bucket/a"})
}
