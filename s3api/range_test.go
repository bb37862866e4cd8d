package s3api

import (
	"strings"
	"testing"
	"time"

	"holdfast/actors/erasureset"
	"holdfast/actors/object"
	"holdfast/s3api/sigv4"
)

func TestParseRange(t *testing.T) {
	for _, tc := range []struct {
		header     string
		size       int64
		start, end int64 // end < 0: ignored, start < 0: InvalidRange
	}{
		{"bytes=0-0", 10, 0, 1},
		{"bytes=0-", 10, 0, 10},
		{"bytes=3-5", 10, 3, 6},
		{"bytes=3-99", 10, 3, 10},
		{"bytes=3-99999999999999999999999", 10, 3, 10},
		{"bytes=9-9", 10, 9, 10},
		{"bytes=-1", 10, 9, 10},
		{"bytes=-10", 10, 0, 10},
		{"bytes=-11", 10, 0, 10},
		{"bytes=10-", 10, -1, 0},
		{"bytes=10-11", 10, -1, 0},
		{"bytes=99999999999999999999999-", 10, -1, 0},
		{"bytes=-0", 10, -1, 0},
		{"bytes=0-", 0, -1, 0},
		{"bytes=-1", 0, 0, -1},
		{"bytes=-0", 0, -1, 0},
		{"bytes=5-3", 10, 0, -1},
		{"bytes=0-1,3-4", 10, 0, -1},
		{"bytes= -1", 10, 0, -1},
		{"bytes=-", 10, 0, -1},
		{"bytes=", 10, 0, -1},
		{"bytes=a-b", 10, 0, -1},
		{"bytes=1-b", 10, 0, -1},
		{"bytes=+1-2", 10, 0, -1},
		{"bytes 1-2", 10, 0, -1},
		{"chunks=1-2", 10, 0, -1},
	} {
		r, ok, err := parseRange(tc.header, tc.size)
		switch {
		case tc.start < 0:
			if err == nil {
				t.Errorf("%q of %d: %v %v, want InvalidRange", tc.header, tc.size, r, ok)
			}
		case tc.end < 0:
			if ok || err != nil {
				t.Errorf("%q of %d: %v %v %v, want it ignored", tc.header, tc.size, r, ok, err)
			}
		case !ok || err != nil || r != (object.Range{Start: tc.start, End: tc.end}):
			t.Errorf("%q of %d: %v %v %v", tc.header, tc.size, r, ok, err)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	f.Add("bytes=0-1", int64(10))
	f.Add("bytes=-5", int64(3))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		r, ok, err := parseRange(header, size)
		if ok && (err != nil || r.Start < 0 || r.End > size || r.Start >= r.End) {
			t.Fatalf("%q of %d: %v %v", header, size, r, err)
		}
		if c, err := parseCopyRange(header, size); err == nil && (c.Start < 0 || c.End > size || c.Start >= c.End) {
			t.Fatalf("copy %q of %d: %v", header, size, c)
		}
	})
}

func TestReadConditions(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 500, time.UTC)
	v := &erasureset.Info{ETag: "abc", ModTime: at.UnixNano()}
	before, same, after := at.Add(-time.Hour).Format(httpTime), at.Format(httpTime), at.Add(time.Hour).Format(httpTime)
	for _, tc := range []struct {
		headers string
		want    string // "" = 200
	}{
		{`if-match: "abc"`, ""},
		{`if-match: abc`, ""},
		{`if-match: *`, ""},
		{`if-match: "x", "abc"`, ""},
		{`if-match: "x"`, "412"},
		{`if-match: `, "412"},
		{"if-match: |if-unmodified-since: " + after, "412"},
		{`if-none-match: `, ""},
		{"if-none-match: |if-modified-since: " + after, ""},
		{"if-modified-since: ", ""},
		{`if-none-match: "abc"`, "304"},
		{`if-none-match: W/"abc"`, "304"},
		{`if-none-match: *`, "304"},
		{`if-none-match: "x"`, ""},
		{"if-modified-since: " + before, ""},
		{"if-modified-since: " + same, "304"},
		{"if-modified-since: " + after, "304"},
		{"if-modified-since: nonsense", ""},
		{"if-unmodified-since: " + before, "412"},
		{"if-unmodified-since: " + same, ""},
		{"if-unmodified-since: " + after, ""},
		{`if-match: "abc"|if-unmodified-since: ` + before, ""},
		{`if-none-match: "x"|if-modified-since: ` + after, ""},
		{`if-match: "abc"|if-none-match: "abc"`, "304"},
		{`if-match: "x"|if-none-match: "abc"`, "412"},
		{"if-unmodified-since: " + after + "|if-modified-since: " + after, "304"},
	} {
		var r request
		for h := range strings.SplitSeq(tc.headers, "|") {
			name, value, _ := strings.Cut(h, ": ")
			r.Headers = append(r.Headers, sigv4.Header{Name: name, Value: value})
		}
		c := conditionsOf(&r, "")
		got := ""
		if err := c.forRead(v); err == object.ErrNotModified {
			got = "304"
		} else if err != nil {
			got = "412"
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", tc.headers, got, tc.want)
		}
	}
}
