package sigv4

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/s3api/s3err"
)

func signed(t testing.TB, edit func(r *Request)) *Request {
	t.Helper()
	r := &Request{Method: "PUT", RawPath: "/bucket/a%20key", RawQuery: "partNumber=1&uploadId=x%2By", Host: "localhost:9000",
		Headers: []Header{{"Content-Type", "text/plain"}, {"X-Amz-Meta-Colour", "blue"}}}
	if edit != nil {
		edit(r)
	}
	if _, err := NewSigner(testKey, testSecret, "us-east-1").Sign(r, UnsignedPayload, testTime); err != nil {
		t.Fatal(err)
	}
	return again(r)
}

func presigned(t testing.TB, expires time.Duration, edit func(r *Request)) *Request {
	t.Helper()
	r := &Request{Method: "GET", RawPath: "/bucket/key", RawQuery: "response-content-type=text%2Fplain", Host: "localhost:9000"}
	if edit != nil {
		edit(r)
	}
	if err := NewSigner(testKey, testSecret, "us-east-1").Presign(r, testTime, expires); err != nil {
		t.Fatal(err)
	}
	return again(r)
}

// again is the request as it arrives: nothing parsed yet.
func again(r *Request) *Request {
	return &Request{Method: r.Method, RawPath: r.RawPath, RawQuery: r.RawQuery, Host: r.Host, Headers: slices.Clone(r.Headers)}
}

func setHeader(r *Request, name, value string) {
	for i := range r.Headers {
		if strings.EqualFold(r.Headers[i].Name, name) {
			r.Headers[i].Value = value
			return
		}
	}
	r.Headers = append(r.Headers, Header{name, value})
}

func dropHeader(r *Request, name string) {
	r.Headers = slices.DeleteFunc(r.Headers, func(h Header) bool { return strings.EqualFold(h.Name, name) })
}

func replaceIn(r *Request, header, from, to string) {
	v, _ := r.Header(header)
	setHeader(r, header, strings.Replace(v, from, to, 1))
}

func TestVerifyHeader(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(r *Request)
		want error
		text string
	}{
		{"valid", func(r *Request) {}, nil, ""},
		{"header names in any case", func(r *Request) { r.Headers[0].Name = "cONTENT-tYPE" }, nil, ""},
		{"blanks around a value", func(r *Request) { setHeader(r, "content-type", "  text/plain\t ") }, nil, ""},
		{"a Host line in Headers is ignored", func(r *Request) { r.Headers = append(r.Headers, Header{"Host", "evil"}) }, nil, ""},
		{"an unsigned header that is not x-amz", func(r *Request) { setHeader(r, "Range", "bytes=0-1") }, nil, ""},
		{"same path, other encoding", func(r *Request) { r.RawPath = "/%62ucket%2Fa%20key" }, nil, ""},
		{"same query, other order and encoding", func(r *Request) { r.RawQuery = "uploadId=%78%2by&partNumber=1" }, nil, ""},

		{"other method", func(r *Request) { r.Method = "DELETE" }, s3err.SignatureDoesNotMatch, ""},
		{"other path", func(r *Request) { r.RawPath = "/bucket/a%20kez" }, s3err.SignatureDoesNotMatch, ""},
		{"dot segments", func(r *Request) { r.RawPath = "/bucket/x/../a%20key" }, s3err.SignatureDoesNotMatch, ""},
		{"double slash", func(r *Request) { r.RawPath = "/bucket//a%20key" }, s3err.SignatureDoesNotMatch, ""},
		{"plus is no space in a path", func(r *Request) { r.RawPath = "/bucket/a+key" }, s3err.SignatureDoesNotMatch, ""},
		{"twice encoded", func(r *Request) { r.RawPath = "/bucket/a%2520key" }, s3err.SignatureDoesNotMatch, ""},
		{"plus is a space in a query", func(r *Request) { r.RawQuery = "partNumber=1&uploadId=x+y" }, s3err.SignatureDoesNotMatch, ""},
		{"query pair more", func(r *Request) { r.RawQuery += "&acl" }, s3err.SignatureDoesNotMatch, ""},
		{"query pair less", func(r *Request) { r.RawQuery = "partNumber=1" }, s3err.SignatureDoesNotMatch, ""},
		{"query pair doubled", func(r *Request) { r.RawQuery += "&partNumber=1" }, s3err.SignatureDoesNotMatch, ""},
		{"other host", func(r *Request) { r.Host = "localhost:9001" }, s3err.SignatureDoesNotMatch, ""},
		{"header changed", func(r *Request) { setHeader(r, "content-type", "text/html") }, s3err.SignatureDoesNotMatch, ""},
		{"header doubled", func(r *Request) { r.Headers = append(r.Headers, Header{"x-amz-meta-colour", "red"}) }, s3err.SignatureDoesNotMatch, ""},
		{"header dropped", func(r *Request) { dropHeader(r, "x-amz-meta-colour") }, s3err.SignatureDoesNotMatch, ""},
		{"payload changed", func(r *Request) { setHeader(r, "x-amz-content-sha256", StreamUnsignedTrailer) }, s3err.SignatureDoesNotMatch, ""},
		{"signature in upper case", func(r *Request) {
			v, _ := r.Header("authorization")
			i := strings.Index(v, "Signature=") + len("Signature=")
			setHeader(r, "authorization", v[:i]+strings.ToUpper(v[i:]))
		}, s3err.SignatureDoesNotMatch, ""},
		{"signature empty", func(r *Request) {
			v, _ := r.Header("authorization")
			setHeader(r, "authorization", v[:strings.Index(v, "Signature=")+len("Signature=")])
		}, s3err.SignatureDoesNotMatch, ""},

		{"unsigned x-amz header", func(r *Request) { setHeader(r, "X-Amz-Copy-Source", "/other/secret") }, s3err.HeadersNotSigned, ""},
		{"host not signed", func(r *Request) { replaceIn(r, "authorization", "host;", "") }, s3err.HeadersNotSigned, ""},
		{"two Authorization", func(r *Request) {
			v, _ := r.Header("authorization")
			r.Headers = append(r.Headers, Header{"Authorization", v})
		}, s3err.InvalidRequest, ""},
		{"two x-amz-date", func(r *Request) {
			v, _ := r.Header("x-amz-date")
			r.Headers = append(r.Headers, Header{"X-Amz-Date", v})
		}, s3err.InvalidRequest, ""},
		{"two x-amz-content-sha256", func(r *Request) { r.Headers = append(r.Headers, Header{"X-Amz-Content-Sha256", UnsignedPayload}) }, s3err.InvalidRequest, ""},
		{"no x-amz-content-sha256", func(r *Request) { dropHeader(r, "x-amz-content-sha256") }, s3err.InvalidRequest, ""},
		{"bad x-amz-content-sha256", func(r *Request) { setHeader(r, "x-amz-content-sha256", "x") }, s3err.InvalidArgument, ""},
		{"no date", func(r *Request) { dropHeader(r, "x-amz-date") }, s3err.AccessDenied, ""},
		{"bad date", func(r *Request) { setHeader(r, "x-amz-date", "20260231T120000Z") }, s3err.AccessDenied, ""},
		{"other day", func(r *Request) { setHeader(r, "x-amz-date", "20260302T120000Z") }, s3err.AuthorizationHeaderMalformed,
			`The authorization header is malformed; Invalid credential date "20260301". This date is not the same as X-Amz-Date: "20260302".`},
		{"date is no time", func(r *Request) { setHeader(r, "x-amz-date", "20260301T246060Z") }, s3err.AccessDenied, ""},
		{"unknown key", func(r *Request) { replaceIn(r, "authorization", testKey, "AKIDNONE") }, s3err.InvalidAccessKeyId, ""},
		{"wrong region", func(r *Request) { replaceIn(r, "authorization", "us-east-1", "eu-west-1") }, s3err.AuthorizationHeaderMalformed,
			"The authorization header is malformed; the region 'eu-west-1' is wrong; expecting 'us-east-1'"},
		{"no region", func(r *Request) { replaceIn(r, "authorization", "us-east-1", "") }, s3err.AuthorizationHeaderMalformed,
			"The authorization header is malformed; the region '' is wrong; expecting 'us-east-1'"},
		{"wrong service", func(r *Request) { replaceIn(r, "authorization", "/s3/", "/ec2/") }, s3err.AuthorizationHeaderMalformed,
			`The authorization header is malformed; incorrect service "ec2". This endpoint belongs to "s3".`},
		{"wrong terminal", func(r *Request) { replaceIn(r, "authorization", "aws4_request", "aws5_request") }, s3err.AuthorizationHeaderMalformed, ""},
		{"short credential", func(r *Request) {
			setHeader(r, "authorization", algorithm+" Credential=a/b, SignedHeaders=host, Signature=c")
		}, s3err.AuthorizationHeaderMalformed, ""},
		{"component missing", func(r *Request) { setHeader(r, "authorization", algorithm+" Credential=a/b, Signature=c") }, s3err.AuthorizationHeaderMalformed, ""},
		{"component twice", func(r *Request) { v, _ := r.Header("authorization"); setHeader(r, "authorization", v+", Signature=c") }, s3err.AuthorizationHeaderMalformed, ""},
		{"signed header twice", func(r *Request) { replaceIn(r, "authorization", "host;", "host;host;") }, s3err.AuthorizationHeaderMalformed, ""},
		{"V2", func(r *Request) { setHeader(r, "authorization", "AWS AKID:c2ln") }, s3err.SignatureVersionNotSupported, ""},
		{"V4A", func(r *Request) { setHeader(r, "authorization", "AWS4-ECDSA-P256-SHA256 Credential=x") }, s3err.SignatureVersionNotSupported, ""},
		{"Bearer", func(r *Request) { setHeader(r, "authorization", "Bearer x") }, s3err.UnsupportedAuthorizationType, ""},
		{"empty Authorization", func(r *Request) { setHeader(r, "authorization", " ") }, ErrAnonymous, ""},
		{"two Authorization, the first empty", func(r *Request) { r.Headers = append([]Header{{"Authorization", ""}}, r.Headers...) }, s3err.InvalidRequest, ""},
		{"anonymous", func(r *Request) { r.Headers = nil }, ErrAnonymous, ""},
		{"session token", func(r *Request) {
			setHeader(r, "x-amz-security-token", "t")
			replaceIn(r, "authorization", "x-amz-meta-colour", "x-amz-meta-colour;x-amz-security-token")
		}, s3err.InvalidToken, ""},
		{"signature in header and query", func(r *Request) { r.RawQuery += "&X-Amz-Signature=x" }, s3err.OnlyOneAuthMechanism, ""},
		{"V2 query beside the header", func(r *Request) { r.RawQuery += "&AWSAccessKeyId=x&Signature=y" }, s3err.OnlyOneAuthMechanism, ""},
		{"bad escape in path", func(r *Request) { r.RawPath = "/bucket/%zz" }, s3err.InvalidURI, ""},
		{"bad escape in query", func(r *Request) { r.RawQuery = "a=%f" }, s3err.InvalidURI, ""},
		{"no path", func(r *Request) { r.RawPath = "" }, s3err.InvalidURI, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := signed(t, nil)
			tc.edit(r)
			a, err := testVerifier().Verify(r)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Fatalf("%v, want %v", err, tc.want)
			}
			if tc.text != "" && s3err.From(err).Message() != tc.text {
				t.Errorf("%q, want %q", s3err.From(err).Message(), tc.text)
			}
			if err == nil && (a.AccessKey != testKey || a.Presigned || a.Payload != PayloadUnsigned || a.Region != "us-east-1") {
				t.Errorf("%+v", a)
			}
			if err != nil && a.AccessKey != "" {
				t.Error("an Auth beside an error")
			}
		})
	}
	if !errors.Is(ErrAnonymous, s3err.AccessDenied) {
		t.Error("an anonymous request must read as AccessDenied")
	}
}

func TestVerifyPresigned(t *testing.T) {
	param := func(r *Request, name, value string) {
		var out []string
		for p := range strings.SplitSeq(r.RawQuery, "&") {
			if strings.HasPrefix(p, name+"=") {
				p = name + "=" + value
			}
			if value != "" || !strings.HasPrefix(p, name+"=") {
				out = append(out, p)
			}
		}
		r.RawQuery = strings.Join(out, "&")
	}
	for _, tc := range []struct {
		name string
		edit func(r *Request)
		want error
	}{
		{"valid", func(r *Request) {}, nil},
		{"no algorithm", func(r *Request) { param(r, "X-Amz-Algorithm", "") }, s3err.AuthorizationQueryParametersError},
		{"no credential", func(r *Request) { param(r, "X-Amz-Credential", "") }, s3err.AuthorizationQueryParametersError},
		{"no date", func(r *Request) { param(r, "X-Amz-Date", "") }, s3err.AuthorizationQueryParametersError},
		{"no expires", func(r *Request) { param(r, "X-Amz-Expires", "") }, s3err.AuthorizationQueryParametersError},
		{"no signed headers", func(r *Request) { param(r, "X-Amz-SignedHeaders", "") }, s3err.AuthorizationQueryParametersError},
		{"no signature", func(r *Request) { param(r, "X-Amz-Signature", "") }, s3err.AuthorizationQueryParametersError},
		{"other algorithm", func(r *Request) { param(r, "X-Amz-Algorithm", "AWS4-HMAC-SHA1") }, s3err.AuthorizationQueryParametersError},
		{"bad date", func(r *Request) { param(r, "X-Amz-Date", "yesterday") }, s3err.AuthorizationQueryParametersError},
		{"wrong region", func(r *Request) { r.RawQuery = strings.Replace(r.RawQuery, "us-east-1", "eu-west-1", 1) }, s3err.AuthorizationQueryParametersError},
		{"longer life", func(r *Request) { param(r, "X-Amz-Expires", "3601") }, s3err.SignatureDoesNotMatch},
		{"life over a week", func(r *Request) { param(r, "X-Amz-Expires", "604801") }, s3err.AuthorizationQueryParametersError},
		{"negative life", func(r *Request) { param(r, "X-Amz-Expires", "-1") }, s3err.RequestExpired},
		{"signed life", func(r *Request) { param(r, "X-Amz-Expires", "+3600") }, s3err.AuthorizationQueryParametersError},
		{"no life", func(r *Request) { param(r, "X-Amz-Expires", "0") }, s3err.RequestExpired},
		{"life overflows", func(r *Request) { param(r, "X-Amz-Expires", "99999999999999999999") }, s3err.AuthorizationQueryParametersError},
		{"signature twice", func(r *Request) { r.RawQuery += "&X-Amz-Signature=x" }, s3err.AuthorizationQueryParametersError},
		{"date twice", func(r *Request) { r.RawQuery = "X-Amz-Date=20260301T120000Z&" + r.RawQuery }, s3err.AuthorizationQueryParametersError},
		{"query more", func(r *Request) { r.RawQuery += "&versionId=x" }, s3err.SignatureDoesNotMatch},
		{"query less", func(r *Request) { param(r, "response-content-type", "") }, s3err.SignatureDoesNotMatch},
		{"unsigned x-amz header", func(r *Request) { setHeader(r, "x-amz-copy-source", "/b/secret") }, s3err.HeadersNotSigned},
		{"unsigned x-amz-date", func(r *Request) { setHeader(r, "x-amz-date", "20260301T120000Z") }, s3err.HeadersNotSigned},
		{"other method", func(r *Request) { r.Method = "PUT" }, s3err.SignatureDoesNotMatch},
		{"other host", func(r *Request) { r.Host = "other" }, s3err.SignatureDoesNotMatch},
		{"Authorization beside it", func(r *Request) { setHeader(r, "Authorization", "AWS4-HMAC-SHA256 x") }, s3err.OnlyOneAuthMechanism},
		{"token", func(r *Request) { r.RawQuery += "&X-Amz-Security-Token=t" }, s3err.InvalidToken},
		{"lower-case names are no signature", func(r *Request) { r.RawQuery = strings.ReplaceAll(r.RawQuery, "X-Amz", "x-amz") }, ErrAnonymous},
		{"V2", func(r *Request) { r.RawQuery = "AWSAccessKeyId=x&Signature=y&Expires=99999999999" }, s3err.SignatureVersionNotSupported},
	} {
		r := presigned(t, time.Hour, nil)
		tc.edit(r)
		a, err := testVerifier().Verify(r)
		if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		if err == nil && (!a.Presigned || a.Payload != PayloadUnsigned) {
			t.Errorf("%s: %+v", tc.name, a)
		}
	}
	for _, payload := range []string{StreamSigned, StreamSignedTrailer} {
		r := presigned(t, time.Hour, func(r *Request) { setHeader(r, "x-amz-content-sha256", payload) })
		if _, err := testVerifier().Verify(r); !errors.Is(err, s3err.InvalidRequest) {
			t.Errorf("%s presigned: %v", payload, err)
		}
	}
	r := presigned(t, time.Hour, func(r *Request) { setHeader(r, "x-amz-content-sha256", EmptySHA256) })
	if a, err := testVerifier().Verify(r); err != nil || a.Payload != PayloadSHA256 {
		t.Errorf("signed digest: %+v %v", a, err)
	}
	setHeader(r, "x-amz-content-sha256", UnsignedPayload)
	if _, err := testVerifier().Verify(again(r)); !errors.Is(err, s3err.SignatureDoesNotMatch) {
		t.Errorf("signed digest replaced: %v", err)
	}
}

func TestClock(t *testing.T) {
	header, link := signed(t, nil), presigned(t, time.Hour, nil)
	for _, tc := range []struct {
		offset       time.Duration
		header, link error
	}{
		{-16 * time.Minute, s3err.RequestTimeTooSkewed, s3err.RequestNotYetValid},
		{-15*time.Minute - time.Second, s3err.RequestTimeTooSkewed, s3err.RequestNotYetValid},
		{-15 * time.Minute, nil, nil},
		{0, nil, nil},
		{15 * time.Minute, nil, nil},
		{15*time.Minute + time.Second, s3err.RequestTimeTooSkewed, nil},
		{time.Hour - time.Second, s3err.RequestTimeTooSkewed, nil},
		{time.Hour, s3err.RequestTimeTooSkewed, s3err.RequestExpired},
	} {
		v := NewVerifier(Config{Now: func() time.Time { return testTime.Add(tc.offset) }}, func(string) (string, bool) { return testSecret, true })
		if _, err := v.Verify(header); !errors.Is(err, tc.header) || (err == nil) != (tc.header == nil) {
			t.Errorf("header at %v: %v", tc.offset, err)
		}
		if _, err := v.Verify(link); !errors.Is(err, tc.link) || (err == nil) != (tc.link == nil) {
			t.Errorf("presigned at %v: %v", tc.offset, err)
		}
	}
}

func TestDateHeaderInsteadOfAmzDate(t *testing.T) {
	for _, date := range []string{"Sun, 01 Mar 2026 12:00:00 GMT", "20260301T120000Z"} {
		r := &Request{Method: "GET", RawPath: "/", Host: "h", Headers: []Header{{"Date", date}, {"x-amz-content-sha256", UnsignedPayload}}}
		if err := r.Parse(); err != nil {
			t.Fatal(err)
		}
		w := &scratch{signed: []string{"date", "host", "x-amz-content-sha256"}}
		key := newSigningKey(testKey, testSecret, scope{"20260301", "us-east-1", "s3"})
		w.buildCanonical(r, UnsignedPayload, "")
		w.buildToSign("20260301T120000Z", &key.scope)
		sig := key.sign(w.toSign)
		r.Headers = append(r.Headers, Header{"Authorization", fmt.Sprintf(
			"%s Credential=%s/20260301/us-east-1/s3/aws4_request,SignedHeaders=date;host;x-amz-content-sha256,Signature=%s", algorithm, testKey, sig[:])})
		if _, err := testVerifier().Verify(again(r)); err != nil {
			t.Errorf("%s: %v", date, err)
		}
	}
}

func authSignature(r *Request) string {
	v, _ := r.Header("authorization")
	return v[strings.Index(v, "Signature=")+len("Signature="):]
}

func TestAnyRegion(t *testing.T) {
	v := NewVerifier(Config{Now: func() time.Time { return testTime }}, func(string) (string, bool) { return testSecret, true })
	for _, region := range []string{"us-east-1", "eu-central-1", "garage"} {
		r := &Request{Method: "GET", RawPath: "/", Host: "h"}
		if _, err := NewSigner(testKey, testSecret, region).Sign(r, UnsignedPayload, testTime); err != nil {
			t.Fatal(err)
		}
		if a, err := v.Verify(again(r)); err != nil || a.Region != region {
			t.Errorf("%s: %+v %v", region, a, err)
		}
	}
	r := &Request{Method: "GET", RawPath: "/", Host: "h"}
	if _, err := NewSigner(testKey, testSecret, "").Sign(r, UnsignedPayload, testTime); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(again(r)); !errors.Is(err, s3err.AuthorizationHeaderMalformed) {
		t.Errorf("empty region: %v", err)
	}
}

// S12: no single-bit change anywhere in a signed head may pass, unless it means the same.
func TestEveryBitOfTheHeadCounts(t *testing.T) {
	v := testVerifier()
	for name, good := range map[string]*Request{"header": signed(t, nil), "presigned": presigned(t, time.Hour, func(r *Request) { setHeader(r, "x-amz-meta-a", "b") })} {
		fields := []*string{&good.Method, &good.RawPath, &good.RawQuery, &good.Host}
		for i := range good.Headers {
			fields = append(fields, &good.Headers[i].Name, &good.Headers[i].Value)
		}
		want := again(good)
		for _, f := range fields {
			keep := *f
			for i := range keep {
				for bit := range 8 {
					b := []byte(keep)
					b[i] ^= 1 << bit
					*f = string(b)
					if _, err := v.Verify(again(good)); err == nil && !sameRequest(want, again(good)) {
						t.Errorf("%s: %q instead of %q passes", name, *f, keep)
					}
				}
			}
			*f = keep
		}
	}
}

// sameRequest compares what two requests mean: headers by folded name and trimmed value.
func sameRequest(a, b *Request) bool {
	if a.Parse() != nil || b.Parse() != nil || a.Method != b.Method || a.Path != b.Path || a.Host != b.Host {
		return false
	}
	sorted := func(p []Param) []Param {
		p = slices.Clone(p)
		slices.SortFunc(p, func(x, y Param) int { return strings.Compare(x.Name+"\x00"+x.Value, y.Name+"\x00"+y.Value) })
		return p
	}
	if !slices.Equal(sorted(a.Params), sorted(b.Params)) || len(a.Headers) != len(b.Headers) {
		return false
	}
	for i := range a.Headers {
		x, y := a.Headers[i], b.Headers[i]
		if strings.EqualFold(x.Name, "authorization") { // blanks between its components
			x.Value, y.Value = strings.ReplaceAll(x.Value, " ", ""), strings.ReplaceAll(strings.ReplaceAll(y.Value, " ", ""), "\t", "")
		}
		if !strings.EqualFold(x.Name, y.Name) || strings.TrimSpace(x.Value) != strings.TrimSpace(y.Value) {
			return false
		}
	}
	return true
}

func TestSecretsStaySecret(t *testing.T) {
	derived := newSigningKey(testKey, testSecret, scope{"20260301", "us-east-1", "s3"})
	r := signed(t, nil)
	right := authSignature(r)
	r.Method = "GET"
	_, err := testVerifier().Verify(r)
	doc := string(s3err.From(err).AppendXML([]byte(err.Error()), "/", "", ""))
	e := s3err.From(err)
	var toSign string
	for _, f := range e.Fields {
		if f.Name == "StringToSign" {
			toSign = f.Value
		}
	}
	valid := derived.sign([]byte(toSign))
	if toSign == "" || strings.Contains(doc, string(valid[:])) || strings.Contains(doc, testSecret) {
		t.Errorf("the answer helps to forge: %s", doc)
	}
	if !strings.Contains(doc, right) {
		t.Error("SignatureProvided is missing")
	}
}

func TestKeyCache(t *testing.T) {
	secret := testSecret
	v := NewVerifier(Config{Now: func() time.Time { return testTime }, CachedKeys: 3}, func(string) (string, bool) { return secret, true })
	r := signed(t, nil)
	if _, err := v.Verify(r); err != nil {
		t.Fatal(err)
	}
	secret = "another" // the credential was changed: the cached key must not outlive it
	if _, err := v.Verify(r); !errors.Is(err, s3err.SignatureDoesNotMatch) {
		t.Fatalf("old secret still passes: %v", err)
	}
	secret = testSecret
	if v.keys.order.Len() != 1 {
		t.Errorf("%d keys cached after a failure", v.keys.order.Len())
	}
	for i := range 10 {
		r := &Request{Method: "GET", RawPath: "/", Host: "h"}
		if _, err := NewSigner(testKey, testSecret, fmt.Sprint("r", i)).Sign(r, UnsignedPayload, testTime); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(again(r)); err != nil {
			t.Fatal(err)
		}
		bad := again(r)
		bad.Method = "PUT"
		replaceIn(bad, "authorization", fmt.Sprint("r", i), fmt.Sprint("bad", i))
		if _, err := v.Verify(bad); err == nil {
			t.Fatal("passes")
		}
	}
	if v.keys.order.Len() != 3 || len(v.keys.byID) != 3 {
		t.Errorf("%d, %d keys cached, 3 allowed", v.keys.order.Len(), len(v.keys.byID))
	}
}

func TestAccessKeyWithSlash(t *testing.T) {
	v := NewVerifier(Config{Now: func() time.Time { return testTime }}, func(k string) (string, bool) { return testSecret, k == "team/a" })
	r := &Request{Method: "GET", RawPath: "/", Host: "h"}
	if _, err := NewSigner("team/a", testSecret, "r").Sign(r, UnsignedPayload, testTime); err != nil {
		t.Fatal(err)
	}
	if a, err := v.Verify(again(r)); err != nil || a.AccessKey != "team/a" {
		t.Fatal(a, err)
	}
}

func TestTrailerHeaderRules(t *testing.T) {
	for _, tc := range []struct {
		name, payload string
		headers       []Header
		want          error
	}{
		{"several lines", StreamUnsignedTrailer, []Header{{"x-amz-decoded-content-length", "1"}, {"x-amz-trailer", "x-amz-checksum-crc32"}, {"X-Amz-Trailer", "X-Amz-Checksum-Sha1"}}, nil},
		{"doubled", StreamUnsignedTrailer, []Header{{"x-amz-decoded-content-length", "1"}, {"x-amz-trailer", "x-amz-checksum-crc32, x-amz-checksum-crc32"}}, s3err.InvalidRequest},
		{"not a checksum", StreamUnsignedTrailer, []Header{{"x-amz-decoded-content-length", "1"}, {"x-amz-trailer", "x-amz-acl"}}, s3err.InvalidRequest},
		{"without a trailer to come", UnsignedPayload, []Header{{"x-amz-trailer", "x-amz-checksum-crc32"}}, s3err.InvalidRequest},
		{"no decoded length", StreamSigned, nil, s3err.MissingContentLength},
		{"bad decoded length", StreamSigned, []Header{{"x-amz-decoded-content-length", "-1"}}, s3err.InvalidArgument},
		{"huge decoded length", StreamSigned, []Header{{"x-amz-decoded-content-length", "9223372036854775808"}}, s3err.InvalidArgument},
		{"two decoded lengths", StreamSigned, []Header{{"x-amz-decoded-content-length", "1"}, {"x-amz-decoded-content-length", "2"}}, s3err.InvalidRequest},
	} {
		r := &Request{Method: "PUT", RawPath: "/b/k", Host: "h", Headers: tc.headers}
		if _, err := NewSigner(testKey, testSecret, "us-east-1").Sign(r, tc.payload, testTime); err != nil {
			t.Fatal(err)
		}
		a, err := testVerifier().Verify(again(r))
		if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		if tc.name == "several lines" && !slices.Equal(a.Trailers, []string{"x-amz-checksum-crc32", "x-amz-checksum-sha1"}) {
			t.Errorf("%s: %q", tc.name, a.Trailers)
		}
		if err != nil && a.AccessKey != "" {
			t.Errorf("%s: an Auth beside an error", tc.name)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	v := NewVerifier(Config{Now: func() time.Time { return testTime }, CachedKeys: 2}, func(string) (string, bool) { return testSecret, true })
	var wg sync.WaitGroup
	for worker := range 8 {
		s := NewSigner(testKey, testSecret, fmt.Sprint("region-", worker%4))
		wg.Go(func() {
			for i := range 50 {
				r := &Request{Method: "GET", RawPath: fmt.Sprintf("/b/%d-%d", worker, i), Host: "h"}
				if _, err := s.Sign(r, UnsignedPayload, testTime); err != nil {
					t.Error(err)
				}
				if _, err := v.Verify(again(r)); err != nil {
					t.Error(err)
				}
				r.Method = "PUT"
				if _, err := v.Verify(again(r)); !errors.Is(err, s3err.SignatureDoesNotMatch) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// S4: however a key is encoded in the request line, the decoded path is the key and the one
// signature holds; no other key passes with it.
func TestEveryEncodingOfAKeyIsThatKey(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	alphabet := []string{"a", "/", "//", ".", "..", "%", "%2f", "%00", "\\", "+", " ", "é", "\u202e", "\xff", "\x00", "?", "#", "&", "=", "~", "*"}
	v, s := testVerifier(), NewSigner(testKey, testSecret, "us-east-1")
	for range 3000 {
		key := ""
		for range 1 + rng.IntN(8) {
			key += alphabet[rng.IntN(len(alphabet))]
		}
		encode := func() string {
			raw := []byte("/b/")
			for i := range len(key) {
				switch c := key[i]; {
				case (unreserved[c] || strings.IndexByte("/+&=*", c) >= 0) && rng.IntN(3) > 0:
					raw = append(raw, c)
				case rng.IntN(2) == 0:
					raw = fmt.Appendf(raw, "%%%02x", c)
				default:
					raw = fmt.Appendf(raw, "%%%02X", c)
				}
			}
			return string(raw)
		}
		r := &Request{Method: "GET", RawPath: encode(), Host: "h"}
		if _, err := s.Sign(r, UnsignedPayload, testTime); err != nil {
			t.Fatal(err)
		}
		other := again(r)
		other.RawPath = encode()
		if _, err := v.Verify(other); err != nil || other.Path != "/b/"+key {
			t.Fatalf("key %q as %q: path %q, %v", key, other.RawPath, other.Path, err)
		}
		other = again(r)
		other.RawPath = string(AppendURIEncoded(nil, r.RawPath, true)) // encoded once more
		if _, err := v.Verify(other); (err == nil) != (other.Path == r.Path) {
			t.Fatalf("key %q as %q: %v", key, other.RawPath, err)
		}
	}
}
