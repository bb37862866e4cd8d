package admin

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestProfiler(t *testing.T) {
	p, err := StartProfiler("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + p.Addr() + "/debug/pprof/goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != 200 || !strings.Contains(string(b), "goroutine profile") {
		t.Fatalf("profile: %d, %v: %.80s", resp.StatusCode, err, b)
	}
	if _, err := StartProfiler(p.Addr()); err == nil || !strings.Contains(err.Error(), p.Addr()) {
		t.Errorf("second listener on one address: %v; want an error that names it", err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := http.Get("http://" + p.Addr() + "/debug/pprof/"); err == nil {
		t.Error("it still answers after Close")
	}
}
