package sigv4

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"holdfast/s3api/s3err"
)

// FuzzSignVerify: what is signed is accepted, and a request that differs in meaning is not.
func FuzzSignVerify(f *testing.F) {
	f.Add("GET", "/b/k", "a=b&c", "h:9000", "text/plain", "v", "GET", "/b/k", "a=b")
	f.Add("PUT", "/b/..//a%2Fb%00+ é", "x=+&x=%20&&=", "h", " a  b\t", "", "PUT", "/b/..//a/b%00+ é", "")
	f.Fuzz(func(t *testing.T, method, path, query, host, ctype, meta, method2, path2, query2 string) {
		r := &Request{Method: method, RawPath: path, RawQuery: query, Host: host,
			Headers: []Header{{"Content-Type", ctype}, {"X-Amz-Meta-A", meta}}}
		if _, err := NewSigner(testKey, testSecret, "us-east-1").Sign(r, UnsignedPayload, testTime); err != nil {
			return
		}
		if scanQuery(r.Params) != queryPlain || hasParam(r.Params, "x-amz-security-token") {
			return
		}
		v := testVerifier()
		if _, err := v.Verify(again(r)); err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		other := again(r)
		other.Method, other.RawPath, other.RawQuery = method2, path2, query2
		if _, err := v.Verify(other); err == nil && !sameRequest(again(r), again(other)) && !strings.Contains(method+method2+path+path2, "\n") {
			t.Fatalf("%+v passes with the signature of %+v", other, r)
		}
	})
}

// FuzzVerify: hostile heads neither panic nor pass.
func FuzzVerify(f *testing.F) {
	good, link := signed(f, nil), presigned(f, time.Hour, nil)
	auth, _ := good.Header("authorization")
	f.Add(good.RawPath, good.RawQuery, "Authorization", auth, "20260301T120000Z", UnsignedPayload)
	f.Add(link.RawPath, link.RawQuery, "Range", "bytes=0-", "", "")
	f.Add("/", "AWSAccessKeyId=a&Signature=b", "Authorization", "AWS a:b", "x", "y")
	f.Fuzz(func(t *testing.T, path, query, name, value, date, payload string) {
		r := &Request{Method: "POST", RawPath: path, RawQuery: query, Host: "localhost:9000",
			Headers: []Header{{name, value}, {"x-amz-date", date}, {"x-amz-content-sha256", payload}}}
		a, err := testVerifier().Verify(r)
		if err == nil {
			t.Fatalf("%+v passes", r)
		}
		if a.AccessKey != "" || s3err.From(err).Code == s3err.InternalError {
			t.Fatalf("%+v %v", a, err)
		}
		s3err.From(err).AppendXML(nil, path, "r", "h")
	})
}

// FuzzBody: hostile framing neither panics nor yields another length than declared, and signed
// framing yields nothing but what was signed.
func FuzzBody(f *testing.F) {
	data := randomBytes(300)
	forms := payloadForms(data)
	for i, form := range forms {
		f.Add(uint8(i), upload(f, form, data, 100, testTrailer).body, uint8(0))
	}
	f.Add(uint8(4), []byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:AAAA\n\r\n\r\n"), uint8(1))
	auths := make([]Auth, len(forms))
	for i, form := range forms {
		a, err := testVerifier().Verify(upload(f, form, data, 100, testTrailer).req)
		if err != nil {
			f.Fatal(err)
		}
		auths[i] = a
	}
	f.Fuzz(func(t *testing.T, form uint8, body []byte, mode uint8) {
		i := int(form) % len(auths)
		var src io.Reader = bytes.NewReader(body)
		switch mode % 3 {
		case 1:
			src = iotest.OneByteReader(src)
		case 2:
			src = iotest.DataErrReader(src)
		}
		b := auths[i].NewBody(src, int64(len(body)))
		got, err := io.ReadAll(b)
		if (err == nil) != (b.Finish() == nil) {
			t.Fatal("Finish contradicts Read")
		}
		if err != nil {
			if s3err.From(err).Code == s3err.InternalError && !errors.Is(err, io.ErrNoProgress) {
				t.Fatal(err)
			}
			return
		}
		switch auths[i].Payload {
		case PayloadUnsigned:
			if !bytes.Equal(got, body) {
				t.Fatal("changed")
			}
		case PayloadStreamUnsignedTrailer:
			if len(got) != len(data) || len(b.Trailers()) != 1 {
				t.Fatalf("%d bytes, %v", len(got), b.Trailers())
			}
		default:
			if !bytes.Equal(got, data) {
				t.Fatalf("%s yields other data", auths[i].Payload)
			}
		}
	})
}

// FuzzDecode: our decoding is that of net/url, and encoding undoes it.
func FuzzDecode(f *testing.F) {
	f.Add("/a%20b+c%2f%2F%zz%")
	f.Add("//../%00%ff é#?")
	f.Fuzz(func(t *testing.T, s string) {
		path, err := DecodePath("/" + s)
		want, wantErr := url.PathUnescape("/" + s)
		if (err == nil) != (wantErr == nil) || err == nil && path != want {
			t.Fatalf("%q: %q %v, net/url %q %v", s, path, err, want, wantErr)
		}
		if err == nil {
			if back, err := DecodePath(string(AppendURIEncoded(nil, path, true))); err != nil || back != path {
				t.Fatalf("%q encodes to %q", path, back)
			}
		}
		params, err := ParseQuery(nil, s)
		for p := range strings.SplitSeq(s, "&") {
			if p == "" {
				continue
			}
			name, value, _ := strings.Cut(p, "=")
			wantName, err1 := url.QueryUnescape(name)
			wantValue, err2 := url.QueryUnescape(value)
			if err1 != nil || err2 != nil {
				if err == nil {
					t.Fatalf("%q is taken", p)
				}
				return
			}
			if err == nil {
				if params[0] != (Param{wantName, wantValue}) {
					t.Fatalf("%q: %+v", p, params[0])
				}
				params = params[1:]
			}
		}
		if err == nil && len(params) != 0 {
			t.Fatalf("%d pairs more", len(params))
		}
	})
}
