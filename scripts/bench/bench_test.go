package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHistogramPercentilesAreWithinABucket(t *testing.T) {
	var h histogram
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Microsecond)
	}
	for _, c := range []struct {
		p    float64
		want time.Duration
	}{{0, time.Microsecond}, {.5, 501 * time.Microsecond}, {.99, 991 * time.Microsecond}, {1, time.Millisecond}} {
		got := h.percentile(c.p)
		if diff := float64(got-c.want) / float64(c.want); diff < -.016 || diff > .016 {
			t.Errorf("percentile %v = %v, want about %v", c.p, got, c.want)
		}
	}
}

func TestHistogramBucketsHoldTheirValues(t *testing.T) {
	for v := uint64(1); v < 1<<62; v = v*3/2 + 1 {
		i := bucketOf(v)
		if uint64(upper(i)) < v || (i > 0 && uint64(upper(i-1)) >= v) {
			t.Fatalf("value %d in bucket %d: %d..%d", v, i, upper(i-1)+1, upper(i))
		}
	}
}

func TestKeysNameTheirSizeAndVariant(t *testing.T) {
	size, variant, ok := parseKey(keyName(keyPrefix(4096, "put-4k"), 3, 17, 5))
	if !ok || size != 4096 || variant != 5 {
		t.Fatalf("got %d, %d, %v", size, variant, ok)
	}
	for _, key := range []string{"", "x", "12/a", "a/b.1", "12/b.16", "12/b.-1"} {
		if _, _, ok := parseKey(key); ok {
			t.Errorf("key %q is taken for one of ours", key)
		}
	}
}

func TestProcTreeCountsThisProcess(t *testing.T) {
	u, err := procTree(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u.rss <= 0 || u.peakRSS < u.rss {
		t.Fatalf("rss %d, peak %d", u.rss, u.peakRSS)
	}
}

// TestEveryWorkloadRunsAgainstTheCeiling drives the whole tool in process: flags, all workloads, the
// table and the JSON.
func TestEveryWorkloadRunsAgainstTheCeiling(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- serveCeiling(ln) }()
	t.Cleanup(func() {
		ln.Close()
		<-served
	})
	cfg := &config{
		a:    side{url: "http://" + ln.Addr().String(), name: "one", pid: os.Getpid()},
		b:    side{url: "http://" + ln.Addr().String(), name: "two"},
		work: []string{"small", "put-1m", "get-1m", "mixed", "list-first"}, many: 10,
		rounds: 1, duration: 20 * time.Millisecond, keep: true, payload: payloadStreaming,
		jsonPath: filepath.Join(t.TempDir(), "out.json"),
	}
	if err := cfg.validate(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := compare(context.Background(), cfg, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"put-4k", "ops one/two", "peak RSS", "keys/s"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	raw, err := os.ReadFile(cfg.jsonPath)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Rows []struct {
			Work    string
			Targets []struct{ Total figures }
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	for _, r := range doc.Rows {
		for _, x := range r.Targets {
			if x.Total.Errors != 0 { // on a busy machine a short measurement may hold no operation at all
				t.Errorf("%s: %+v", r.Work, x.Total)
			}
		}
	}
}

func TestUnknownWorkloadIsRefused(t *testing.T) {
	cfg := &config{a: side{url: "http://x:1"}, work: []string{"nope"}, rounds: 1, duration: 1, payload: payloadSigned}
	if err := cfg.validate(); err == nil {
		t.Fatal("accepted")
	}
}
