package s3xml

import (
	"encoding/xml"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestAppendTime(t *testing.T) {
	for _, s := range []string{"1970-01-01T00:00:00Z", "1969-12-31T23:59:59.5Z", "2000-02-29T23:59:59Z", "1900-03-01T00:00:00Z",
		"2100-02-28T12:00:00Z", "2026-12-31T23:59:59.999999999Z", "2038-01-19T03:14:08Z", "1700-01-01T00:00:00Z"} {
		ns := at(s)
		want := time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000Z")
		want = want[:20] + "000Z"
		if got := string(AppendTime(nil, ns)); got != want {
			t.Errorf("%s: %s, want %s", s, got, want)
		}
	}
	for day := int64(-80_000); day < 80_000; day++ {
		ns := day*86400*1e9 + 1
		want := time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000Z")
		if got := string(AppendTime(nil, ns)); got != want {
			t.Fatalf("day %d: %s, want %s", day, got, want)
		}
	}
}

func TestEscapeOfWhatXMLCannotCarry(t *testing.T) {
	const s = "\x01\x1f\uFFFE\xff\x7f\t&"
	if got := string(appendKey(nil, s)); got != "&#x1;&#x1f;&#xfffe;\uFFFD\x7f&#x9;&amp;" {
		t.Errorf("listed: %q", got)
	}
	if got := string(appendEscaped(nil, s)); got != "\uFFFD\uFFFD\uFFFD\uFFFD\x7f&#x9;&amp;" {
		t.Errorf("repeated: %q", got)
	}
}

type xmlList struct {
	Name, Prefix, Marker, NextMarker, Delimiter, EncodingType string
	StartAfter, ContinuationToken, NextContinuationToken      string
	MaxKeys, KeyCount                                         int
	IsTruncated                                               bool
	Contents                                                  []struct {
		Key, LastModified, ETag, StorageClass, ChecksumAlgorithm, ChecksumType string
		Size                                                                   int64
		Owner                                                                  *Owner
	}
	CommonPrefixes []struct{ Prefix string }
}

// carried reports whether encoding/xml can read s back.
func carried(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	})
}

// shown is s as documents other than listings show it.
func shown(s string) string {
	return strings.Map(func(r rune) rune {
		if !carried(string(r)) {
			return 0xFFFD
		}
		return r
	}, s)
}

func FuzzListBucketResult(f *testing.F) {
	f.Add("prefix", "key", "etag", "GLACIER", int64(1), int64(2), true, true)
	f.Add(awkward, awkward, awkward, awkward, int64(1<<62), int64(-1), false, false)
	f.Add("\x00", "\x01\x7f", "\xff", "\uFFFE", int64(0), int64(0), true, false)
	f.Fuzz(func(t *testing.T, prefix, key, etag, class string, size, ns int64, v2, enc bool) {
		l := ListBucketResult{V2: v2, URLEncode: enc, Name: "b", Prefix: prefix, Delimiter: "/", Marker: key, NextMarker: key,
			StartAfter: key, ContinuationToken: class, NextContinuationToken: class, MaxKeys: 7, KeyCount: 2, IsTruncated: true}
		doc := l.AppendOpen(nil)
		doc = l.AppendContents(doc, &Contents{Key: key, LastModified: ns, ETag: etag, Size: size, StorageClass: class, ChecksumAlgorithm: etag, ChecksumType: class, Owner: &Owner{key, prefix}})
		doc = l.AppendCommonPrefix(doc, prefix)
		doc = l.AppendClose(doc)
		var got xmlList
		if err := xml.Unmarshal(doc, &got); err != nil {
			if carried(prefix) && carried(key) && carried(etag) && carried(class) {
				t.Fatalf("%v in %q", err, doc)
			}
			return
		}
		back := func(s string) string {
			if !enc {
				return s
			}
			u, err := url.QueryUnescape(s)
			if err != nil {
				t.Fatal(err)
			}
			if p, err := url.PathUnescape(s); err != nil || p != u {
				t.Fatalf("decoders disagree on %q", s)
			}
			return u
		}
		if !utf8.ValidString(prefix) || !utf8.ValidString(key) || !utf8.ValidString(etag) || !utf8.ValidString(class) {
			return
		}
		c := got.Contents[0]
		if back(got.Prefix) != prefix || back(c.Key) != key || c.ETag != `"`+shown(etag)+`"` || c.Size != size ||
			back(got.CommonPrefixes[0].Prefix) != prefix || c.Owner.ID != shown(key) || c.Owner.DisplayName != shown(prefix) || c.ChecksumAlgorithm != shown(etag) {
			t.Fatalf("%+v from %q", got, doc)
		}
		if class != "" && c.StorageClass != shown(class) || class == "" && c.StorageClass != "STANDARD" {
			t.Fatalf("storage class %q", c.StorageClass)
		}
		if v2 && (back(got.StartAfter) != key || got.NextContinuationToken != shown(class) || got.KeyCount != 2) ||
			!v2 && (back(got.Marker) != key || back(got.NextMarker) != key) {
			t.Fatalf("%+v from %q", got, doc)
		}
	})
}

func BenchmarkListContents(b *testing.B) {
	l := ListBucketResult{V2: true, URLEncode: true}
	c := Contents{Key: "photos/2026/03/some-object-name-0000123.jpg", LastModified: at("2026-03-01T12:34:56Z"), ETag: "d41d8cd98f00b204e9800998ecf8427e",
		Size: 4096, ChecksumAlgorithm: "CRC64NVME", ChecksumType: "FULL_OBJECT"}
	buf := make([]byte, 0, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		if buf = l.AppendContents(buf, &c); len(buf) > 1<<19 {
			buf = buf[:0]
		}
	}
}
