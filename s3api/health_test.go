package s3api

import (
	"errors"
	"strings"
	"testing"
)

func TestHealthPages(t *testing.T) {
	r := newRig(t, newMem(), func(o *Options) { o.Domains = []string{"s3.test"}; o.Version = "v1" })
	check := func(method, target string, status int, want string) {
		t.Helper()
		rep := r.do(req{method: method, target: target, key: "-", host: "localhost"})
		if rep.status != status || !strings.Contains(rep.body, want) {
			t.Errorf("%s %s: %d %q, want %d %q", method, target, rep.status, rep.body, status, want)
		}
	}
	r.health.quorum = Quorum{Sets: 8, DrivesOnline: 4, Drives: 4}
	for _, target := range []string{"/-/health/live", "/-/health/ready", "/-/health/cluster", "/minio/health/live", "/minio/health/ready",
		"/minio/health/cluster", "/minio/health/cluster/read", "/-/metrics", "/-/health/live?x=1"} {
		check("GET", target, 200, "")
		check("HEAD", target, 200, "")
		check("POST", target, 405, "")
	}
	check("GET", "/-/nothing", 404, "")
	check("GET", "/-/health/cluster", 200, `"write_quorum": true`)

	r.health.quorum = Quorum{Sets: 8, WithoutWrite: 2, DrivesOnline: 2, Drives: 4, Absent: []string{"drive 03f7"}}
	check("GET", "/-/health/cluster", 503, "drive 03f7")
	check("GET", "/minio/health/cluster", 503, "")
	check("GET", "/minio/health/cluster/read", 200, "")
	check("GET", "/-/health/ready", 200, "")

	r.health.ready = errors.New("no control state yet")
	check("GET", "/-/health/ready", 503, "no control state yet")
	check("GET", "/-/health/live", 200, "live")

	r.health.ready = nil
	r.srv.Drain()
	check("GET", "/-/health/ready", 503, "shutting down")

	// None of these pages shadows an object.
	r.makeBucket("minio")
	r.ok(req{method: "PUT", target: "/minio/health/live", body: "mine"})
	if rep := r.ok(req{method: "GET", target: "/minio/health/live"}); rep.body != "mine" {
		t.Errorf("the signed request got %q", rep.body)
	}
	r.ok(req{method: "PUT", target: "/-/health/live", host: "minio.s3.test", body: "also mine"})
	if rep := r.ok(req{method: "GET", target: "/minio/-/health/live"}); rep.body != "also mine" {
		t.Errorf("the key below -/ holds %q", rep.body)
	}
}
