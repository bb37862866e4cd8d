package s3err

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestCatalogueIsComplete(t *testing.T) {
	for c := Code(0); c < codeCount; c++ {
		if c.String() == "" || c.Message() == "" || c.Status() < 300 || c.Status() > 599 {
			t.Errorf("code %d: %q %d %q", c, c.String(), c.Status(), c.Message())
		}
	}
	if codeCount.String() != "InternalError" {
		t.Error("a code outside the table must read as InternalError")
	}
}

func TestFrom(t *testing.T) {
	cause := errors.New("drive gone")
	for _, tc := range []struct {
		name string
		err  error
		want Code
	}{
		{"bare code", NoSuchKey, NoSuchKey},
		{"wrapped code", fmt.Errorf("get: %w", NoSuchBucket), NoSuchBucket},
		{"error", InvalidArgument.Msg("x"), InvalidArgument},
		{"wrapped error", fmt.Errorf("get: %w", SlowDown.Because(cause)), SlowDown},
		{"foreign", cause, InternalError},
	} {
		e := From(tc.err)
		if e.Code != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, e.Code, tc.want)
		}
		if !errors.Is(tc.err, tc.want) && tc.want != InternalError {
			t.Errorf("%s: errors.Is does not see %v", tc.name, tc.want)
		}
	}
	if !errors.Is(From(cause), cause) {
		t.Error("cause is lost")
	}
}

func TestWithCopies(t *testing.T) {
	base := InvalidRange.With("ActualObjectSize", "10")
	a, b := base.With("RangeRequested", "a"), base.With("RangeRequested", "b")
	if len(base.Fields) != 1 || a.Fields[1].Value != "a" || b.Fields[1].Value != "b" {
		t.Fatalf("With shares memory: %v %v %v", base, a, b)
	}
}

func TestErrorTextHidesFields(t *testing.T) {
	e := SignatureDoesNotMatch.With("StringToSign", "canary")
	if strings.Contains(e.Error(), "canary") {
		t.Fatal(e.Error())
	}
}

func TestXML(t *testing.T) {
	got := string(InvalidRange.With("RangeRequested", "bytes=9-").With("ActualObjectSize", "5").
		AppendXML(nil, "/b/a<&>\x01\xff", "REQ", "HOST"))
	want := `<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>InvalidRange</Code><Message>The requested range is not satisfiable</Message><RangeRequested>bytes=9-</RangeRequested><ActualObjectSize>5</ActualObjectSize><Resource>/b/a&lt;&amp;&gt;` + "\uFFFD\uFFFD" + `</Resource><RequestId>REQ</RequestId><HostId>HOST</HostId></Error>`
	if got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

func FuzzXML(f *testing.F) {
	f.Add("a", "b")
	f.Add("<&>\x00\r\n", "\xed\xa0\x80\uFFFE")
	f.Fuzz(func(t *testing.T, msg, res string) {
		doc := InvalidArgument.Msg("%s", "m"+msg).On("r"+res).AppendXML(nil, "", "i", "h")
		var v struct{ Code, Message, Resource string }
		if err := xml.NewDecoder(bytes.NewReader(doc)).Decode(&v); err != nil {
			t.Fatalf("%v in %q", err, doc)
		}
		if v.Code != "InvalidArgument" {
			t.Fatal(v)
		}
	})
}
