package s3xml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"holdfast/s3api/s3err"
)

func TestParseDelete(t *testing.T) {
	doc := `<?xml version="1.0" encoding="UTF-8"?>
<!-- a comment --><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
 <Quiet>true</Quiet>
 <Object><Key>a&amp;b&lt;c&gt;&quot;&apos;&#x1;` + "\x02" + `&#10;é</Key></Object>
 <Object><VersionId>null</VersionId><Key> x <![CDATA[<&]]>y</Key><ETag>"e"</ETag><Size>5</Size><LastModifiedTime>t</LastModifiedTime></Object>
</Delete>
`
	got, err := ParseDelete([]byte(doc))
	want := Delete{true, []DeleteObject{{Key: "a&b<c>\"'\x01\x02\né"}, {Key: " x <&y", VersionID: "null", ETag: `"e"`, Size: "5", LastModifiedTime: "t"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v", got, err)
	}
}

func TestParseComplete(t *testing.T) {
	doc := `<s3:CompleteMultipartUpload xmlns:s3='http://s3.amazonaws.com/doc/2006-03-01/'><s3:Part><s3:ETag>"abc"</s3:ETag><s3:PartNumber>1</s3:PartNumber><s3:ChecksumCRC32>AAAAAA==</s3:ChecksumCRC32></s3:Part>` +
		`<s3:Part><s3:PartNumber> 10000 </s3:PartNumber><s3:ETag>def</s3:ETag></s3:Part></s3:CompleteMultipartUpload>`
	got, err := ParseComplete([]byte(doc))
	want := CompleteMultipartUpload{[]CompletePart{{1, "abc", []Checksum{{"CRC32", "AAAAAA=="}}}, {10000, "def", nil}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v", got, err)
	}
}

func TestParseCreateBucket(t *testing.T) {
	for _, tc := range []struct {
		doc  string
		want CreateBucketConfiguration
	}{
		{"", CreateBucketConfiguration{}},
		{" \r\n", CreateBucketConfiguration{}},
		{"<CreateBucketConfiguration/>", CreateBucketConfiguration{}},
		{"<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>", CreateBucketConfiguration{LocationConstraint: "eu-west-1"}},
		{"<CreateBucketConfiguration><LocationConstraint/><Location><Name>x</Name><Type/></Location><Bucket>t<x/>u</Bucket></CreateBucketConfiguration>", CreateBucketConfiguration{Special: true}},
	} {
		got, err := ParseCreateBucket([]byte(tc.doc))
		if err != nil || got != tc.want {
			t.Errorf("%s: %+v %v", tc.doc, got, err)
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	const o = "<Object><Key>k</Key></Object>"
	for name, doc := range map[string]string{
		"empty":              "",
		"no objects":         "<Delete></Delete>",
		"other root":         "<Remove>" + o + "</Remove>",
		"cut":                "<Delete>" + o,
		"cut in tag":         "<Delete><",
		"cut in end tag":     "<Delete>" + o + "</Delete",
		"behind":             "<Delete>" + o + "</Delete><x/>",
		"text behind":        "<Delete>" + o + "</Delete>x",
		"text between":       "<Delete>x" + o + "</Delete>",
		"unknown element":    "<Delete>" + o + "<Force>1</Force></Delete>",
		"unknown in object":  "<Delete><Object><Key>k</Key><IfMatch>x</IfMatch></Object></Delete>",
		"key twice":          "<Delete><Object><Key>k</Key><Key>l</Key></Object></Delete>",
		"no key":             "<Delete><Object><VersionId>v</VersionId></Object></Delete>",
		"empty key":          "<Delete><Object><Key/></Object></Delete>",
		"element in key":     "<Delete><Object><Key>a<b/></Key></Object></Delete>",
		"wrong nesting":      "<Delete><Object><Key>k</Object></Key></Delete>",
		"doctype":            `<!DOCTYPE d [<!ENTITY a "b">]><Delete>` + o + "</Delete>",
		"entity":             "<Delete><Object><Key>&a;</Key></Object></Delete>",
		"endless entity":     "<Delete><Object><Key>&aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;</Key></Object></Delete>",
		"NUL":                "<Delete><Object><Key>&#0;</Key></Object></Delete>",
		"surrogate":          "<Delete><Object><Key>&#xD800;</Key></Object></Delete>",
		"huge reference":     "<Delete><Object><Key>&#xFFFFFFFF;</Key></Object></Delete>",
		"raw NUL":            "<Delete><Object><Key>a\x00</Key></Object></Delete>",
		"raw NUL in CDATA":   "<Delete><Object><Key><![CDATA[\x00]]></Key></Object></Delete>",
		"not UTF-8":          "<Delete><Object><Key>\xff</Key></Object></Delete>",
		"Latin 1":            `<?xml version="1.0" encoding="ISO-8859-1"?><Delete>` + o + "</Delete>",
		"bad attribute":      "<Delete a=b>" + o + "</Delete>",
		"attribute with tag": "<Delete a='<'>" + o + "</Delete>",
		"bad Quiet":          "<Delete><Quiet>maybe</Quiet>" + o + "</Delete>",
		"unfinished comment": "<Delete><!--" + o + "</Delete>",
		"unfinished CDATA":   "<Delete><Object><Key><![CDATA[x</Key></Object></Delete>",
		"too many":           "<Delete>" + strings.Repeat(o, MaxDeleteObjects+1) + "</Delete>",
		"deep":               strings.Repeat("<Delete>", 100_000),
	} {
		if _, err := ParseDelete([]byte(doc)); !errors.Is(err, s3err.MalformedXML) {
			t.Errorf("%s: %v", name, err)
		}
	}
	deep := "<CreateBucketConfiguration><Tags>" + strings.Repeat("<a>", 100_000)
	if _, err := ParseCreateBucket([]byte(deep)); !errors.Is(err, s3err.MalformedXML) {
		t.Error(err)
	}
	for name, doc := range map[string]string{
		"no parts":        "<CompleteMultipartUpload/>",
		"no ETag":         "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
		"no number":       "<CompleteMultipartUpload><Part><ETag>x</ETag></Part></CompleteMultipartUpload>",
		"bad number":      "<CompleteMultipartUpload><Part><PartNumber>one</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
		"unknown element": "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag><ChecksumMD4>x</ChecksumMD4></Part></CompleteMultipartUpload>",
		"too many":        "<CompleteMultipartUpload>" + strings.Repeat("<Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>", MaxParts+1) + "</CompleteMultipartUpload>",
	} {
		if _, err := ParseComplete([]byte(doc)); !errors.Is(err, s3err.MalformedXML) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, doc := range map[string]string{
		"empty":           "",
		"other root":      "<Versioning><Status>Enabled</Status></Versioning>",
		"other status":    "<VersioningConfiguration><Status>On</Status></VersioningConfiguration>",
		"empty status":    "<VersioningConfiguration><Status/></VersioningConfiguration>",
		"status twice":    "<VersioningConfiguration><Status>Enabled</Status><Status>Enabled</Status></VersioningConfiguration>",
		"other MfaDelete": "<VersioningConfiguration><MfaDelete>Maybe</MfaDelete></VersioningConfiguration>",
		"unknown element": "<VersioningConfiguration><State>Enabled</State></VersioningConfiguration>",
	} {
		if _, err := ParseVersioning([]byte(doc)); !errors.Is(err, s3err.MalformedXML) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, n := range []string{"0", "-1", "10001"} {
		_, err := ParseComplete([]byte("<CompleteMultipartUpload><Part><PartNumber>" + n + "</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>"))
		if !errors.Is(err, s3err.InvalidArgument) {
			t.Errorf("part number %s: %v", n, err)
		}
	}
}

func TestEveryCutIsMalformed(t *testing.T) {
	doc := `<?xml version="1.0"?><Delete a="b"><Quiet>true</Quiet><Object><Key>a&amp;b<![CDATA[c]]></Key><VersionId/></Object></Delete>`
	if _, err := ParseDelete([]byte(doc)); err != nil {
		t.Fatal(err)
	}
	for i := range doc {
		if _, err := ParseDelete([]byte(doc[:i])); !errors.Is(err, s3err.MalformedXML) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

// stdDelete is what encoding/xml makes of a Delete document; strict says that it finds it well formed.
func stdDelete(doc []byte) (keys []string, quiet string, strict bool) {
	d := xml.NewDecoder(bytes.NewReader(doc))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			return nil, "", false
		}
	}
	var v struct {
		Quiet  string
		Object []struct{ Key string }
	}
	if xml.Unmarshal(doc, &v) != nil {
		return nil, "", false
	}
	for _, o := range v.Object {
		keys = append(keys, o.Key)
	}
	return keys, v.Quiet, true
}

// FuzzParseDelete: whatever we take, encoding/xml reads in the same way (control characters apart,
// which it refuses), and what we take can be written and read again.
func FuzzParseDelete(f *testing.F) {
	f.Add([]byte(`<?xml version="1.0" encoding="UTF-8"?><Delete xmlns="x"><Quiet>true</Quiet><Object><Key>a&amp;b</Key></Object></Delete>`))
	f.Add([]byte("<Delete><!-- --><Object><Key>a\r\nb\r<![CDATA[<\r\n>]]>&#13;</Key><VersionId/></Object><?pi?></Delete>\n"))
	f.Add([]byte("\xef\xbb\xbf<a:Delete><a:Object a='1'  b = \"2\"><a:Key >é&#x1F600;</a:Key ></a:Object></a:Delete>"))
	f.Add([]byte("<Delete><Object><Key>&#1;</Key></Object></Delete>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		d, err := ParseDelete(doc)
		if err != nil {
			return
		}
		again := []byte("<Delete>")
		control := false
		for _, o := range d.Objects {
			again = append(appendKey(append(again, "<Object><Key>"...), o.Key), "</Key></Object>"...)
			control = control || !carried(o.Key)
		}
		d2, err := ParseDelete(append(again, "</Delete>"...))
		if err != nil || len(d2.Objects) != len(d.Objects) {
			t.Fatalf("%v of %q", err, again)
		}
		keys, _, ok := stdDelete(doc)
		for i := range d.Objects {
			if d2.Objects[i].Key != d.Objects[i].Key {
				t.Fatalf("%q became %q", d.Objects[i].Key, d2.Objects[i].Key)
			}
			if ok && !control && keys[i] != d.Objects[i].Key {
				t.Fatalf("%q, encoding/xml reads %q", d.Objects[i].Key, keys[i])
			}
		}
	})
}

func TestParseVersioning(t *testing.T) {
	const open, end = `<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`, "</VersioningConfiguration>"
	for doc, want := range map[string]VersioningConfiguration{
		open + end:                                {},
		open + "<Status>Enabled</Status>" + end:   {Status: "Enabled"},
		open + "<Status>Suspended</Status>" + end: {Status: "Suspended"},
		open + "<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>" + end:  {Status: "Enabled", MFADelete: true},
		open + "<MfaDelete>Disabled</MfaDelete><Status>Enabled</Status>" + end: {Status: "Enabled"},
	} {
		if got, err := ParseVersioning([]byte(doc)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", doc, got, err)
		}
	}
}

func FuzzParseComplete(f *testing.F) {
	f.Add([]byte(`<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"a"</ETag><ChecksumSHA1>x</ChecksumSHA1></Part></CompleteMultipartUpload>`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := ParseComplete(doc)
		if err == nil && (len(c.Parts) == 0 || len(c.Parts) > MaxParts) {
			t.Fatal(len(c.Parts))
		}
		if _, err := ParseCreateBucket(doc); err != nil && s3err.From(err).Code == s3err.InternalError {
			t.Fatal(err)
		}
	})
}

func BenchmarkParseDelete(b *testing.B) {
	doc := []byte("<Delete><Quiet>true</Quiet>")
	for i := range 1000 {
		doc = fmt.Appendf(doc, "<Object><Key>photos/2026/03/object-%04d.jpg</Key></Object>", i)
	}
	doc = append(doc, "</Delete>"...)
	b.ReportAllocs()
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		if _, err := ParseDelete(doc); err != nil {
			b.Fatal(err)
		}
	}
}
