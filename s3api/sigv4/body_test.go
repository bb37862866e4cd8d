package sigv4

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"holdfast/s3api/s3err"
)

const (
	testKey    = "AKIDTEST"
	testSecret = "canary-secret/of+tests"
)

var testTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func testVerifier() *Verifier {
	return NewVerifier(Config{Region: "us-east-1", Now: func() time.Time { return testTime }}, func(k string) (string, bool) {
		return testSecret, k == testKey
	})
}

// wire is a signed upload as it goes over the wire.
type wire struct {
	req  *Request
	body []byte
	data []byte
}

// upload makes a PUT of data with one of the payload forms.
func upload(t testing.TB, payload string, data []byte, chunk int, trailers ...Header) wire {
	t.Helper()
	r := &Request{Method: "PUT", RawPath: "/bucket/key", Host: "localhost:9000"}
	w := wire{req: r, data: data}
	p, _, _ := parsePayload(payload)
	if p.Chunked() {
		r.Headers = append(r.Headers, Header{"content-encoding", "aws-chunked"},
			Header{"x-amz-decoded-content-length", strconv.Itoa(len(data))})
		if p.Trailer() {
			var names []string
			for _, h := range trailers {
				names = append(names, h.Name)
			}
			r.Headers = append(r.Headers, Header{"x-amz-trailer", strings.Join(names, ",")})
		}
	}
	seed, err := NewSigner(testKey, testSecret, "us-east-1").Sign(r, payload, testTime)
	if err != nil {
		t.Fatal(err)
	}
	switch p {
	case PayloadStreamSigned, PayloadStreamSignedTrailer:
		w.body = encodeChunks(SignedChunks(seed), data, chunk, p.Trailer(), trailers)
	case PayloadStreamUnsignedTrailer:
		w.body = encodeChunks(UnsignedChunks(), data, chunk, true, trailers)
	default:
		w.body = data
	}
	return w
}

func encodeChunks(e *ChunkEncoder, data []byte, chunk int, trailer bool, trailers []Header) (out []byte) {
	for len(data) > 0 {
		n := min(chunk, len(data))
		out = e.AppendChunk(out, data[:n])
		data = data[n:]
	}
	return e.AppendEnd(out, trailer, trailers...)
}

// receive verifies head and body as a server does.
func receive(v *Verifier, r *Request, src io.Reader, length int64) ([]byte, *Body, error) {
	a, err := v.Verify(r)
	if err != nil {
		return nil, nil, err
	}
	b := a.NewBody(src, length)
	got, err := io.ReadAll(b)
	if err == nil {
		err = b.Finish()
	} else if b.Finish() == nil {
		panic("Finish contradicts Read")
	}
	return got, b, err
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(n)})
	rng.Read(b)
	return b
}

func payloadForms(data []byte) []string {
	return []string{PayloadHash(sha256.Sum256(data)), UnsignedPayload, StreamSigned, StreamSignedTrailer, StreamUnsignedTrailer}
}

var testTrailer = Header{"x-amz-checksum-crc32c", "sOO8/Q=="}

func TestBodyRoundTrip(t *testing.T) {
	v := testVerifier()
	readers := map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader,
		"half": iotest.HalfReader, "data with EOF": iotest.DataErrReader,
	}
	for _, size := range []int{0, 1, 2, 100, 4095, 4096, 4097, 70_000} {
		data := randomBytes(size)
		for _, form := range payloadForms(data) {
			for _, chunk := range []int{1000, 8192, 65536} {
				w := upload(t, form, data, chunk, testTrailer)
				for name, wrap := range readers {
					got, b, err := receive(v, w.req, wrap(bytes.NewReader(w.body)), int64(len(w.body)))
					if err != nil || !bytes.Equal(got, data) {
						t.Fatalf("%d bytes %s by %d %s: %d bytes, %v", size, form, chunk, name, len(got), err)
					}
					if p, _, _ := parsePayload(form); p.Trailer() {
						if s, ok := b.Trailer(testTrailer.Name); !ok || s != testTrailer.Value {
							t.Fatalf("%s: trailer %q %v", form, s, ok)
						}
					}
				}
			}
		}
	}
}

// With its digest delegated a body is good only once Finish has been given the right one.
func TestDelegatedDigest(t *testing.T) {
	v := testVerifier()
	data := randomBytes(10_000)
	open := func(form string) (*Body, *[sha256.Size]byte) {
		w := upload(t, form, data, 4096, testTrailer)
		a, err := v.Verify(w.req)
		if err != nil {
			t.Fatal(err)
		}
		b := a.NewBody(bytes.NewReader(w.body), int64(len(w.body)))
		sum := b.Delegate()
		if _, err := io.Copy(io.Discard, b); err != nil {
			t.Fatal(form, err)
		}
		return b, sum
	}
	good, other := sha256.Sum256(data), sha256.Sum256([]byte("other"))
	for _, c := range []struct {
		name             string
		signed, computed [sha256.Size]byte
		ok               bool
	}{
		{"right", good, good, true}, {"another body was signed", other, good, false},
		{"nothing was computed", good, [sha256.Size]byte{}, false},
	} {
		b, sum := open(PayloadHash(c.signed))
		*sum = c.computed
		err := b.Finish()
		if c.ok != (err == nil) || !c.ok && !errors.Is(err, s3err.XAmzContentSHA256Mismatch) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, form := range payloadForms(data)[1:] {
		if b, sum := open(form); sum != nil || b.Finish() != nil {
			t.Errorf("%s: digest %v, %v", form, sum, b.Finish())
		}
	}
	a, err := v.Verify(upload(t, PayloadHash(good), data, 0).req)
	if err != nil {
		t.Fatal(err)
	}
	b := a.NewBody(bytes.NewReader(data), int64(len(data)))
	*b.Delegate() = good
	if _, err := b.Read(make([]byte, 10)); err != nil || b.Finish() == nil {
		t.Errorf("a body read in part is finished: %v", err)
	}
}

// A reader that stops at the declared length must have met every check.
func TestLastByteComesAfterTheVerdict(t *testing.T) {
	v := testVerifier()
	data := randomBytes(10_000)
	for _, form := range []string{PayloadHash(sha256.Sum256([]byte("other"))), StreamSigned, StreamSignedTrailer, StreamUnsignedTrailer} {
		w := upload(t, form, data, 4096, testTrailer)
		w.body = bytes.Clone(w.body)
		if strings.HasPrefix(form, "STREAMING") {
			w.body[len(w.body)-10] ^= 1
		}
		if form == StreamUnsignedTrailer {
			w.body = w.body[:len(w.body)-1]
		}
		a, err := v.Verify(w.req)
		if err != nil {
			t.Fatal(err)
		}
		b := a.NewBody(bytes.NewReader(w.body), int64(len(w.body)))
		n, err := io.ReadFull(b, make([]byte, len(data)))
		if err == nil || n == len(data) {
			t.Errorf("%s: %d bytes handed out before the end was checked", form, n)
		}
		if b.Finish() == nil {
			t.Errorf("%s: Finish says the body is good", form)
		}
	}
}

func TestAWSExampleChunks(t *testing.T) {
	f, now := loadVectors(t, "testdata/aws_s3_examples.json")
	v := f.verifier(now, "us-east-1")
	for _, c := range f.Cases {
		if c.Chunks == nil {
			continue
		}
		data := bytes.Repeat([]byte("a"), 66560)
		var own, doc []byte
		a, err := v.Verify(c.request())
		if err != nil {
			t.Fatal(err)
		}
		e := SignedChunks(Seed{key: a.key, date: a.date, sig: a.seed})
		rest := data
		for i, n := range c.Chunks {
			own = e.AppendChunk(own, rest[:n])
			doc = append(doc, strconv.FormatInt(int64(n), 16)+";chunk-signature="+c.ChunkSignatures[i]+"\r\n"...)
			doc = append(append(doc, rest[:n]...), "\r\n"...)
			rest = rest[n:]
		}
		doc = append(doc, "0;chunk-signature="+c.ChunkSignatures[len(c.Chunks)]+"\r\n"...)
		var trailers []Header
		for _, h := range c.Trailers {
			trailers = append(trailers, Header{h[0], h[1]})
			doc = append(doc, h[0]+":"+h[1]+"\n"...) // so in the documentation
		}
		own = e.AppendEnd(own, trailers != nil, trailers...)
		if trailers != nil {
			doc = append(doc, "\r\nx-amz-trailer-signature:"+c.TrailerSignature+"\r\n"...)
		}
		doc = append(doc, "\r\n"...)
		for name, body := range map[string][]byte{"own": own, "documented": doc} {
			got, _, err := receive(v, c.request(), bytes.NewReader(body), -1)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s, %s: %d bytes, %v", c.Name, name, len(got), err)
			}
		}
	}
}

func TestMinioGoUnsignedTrailer(t *testing.T) {
	w := upload(t, StreamUnsignedTrailer, []byte("hello"), 100, testTrailer)
	body := "5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:sOO8/Q==\n\r\n\r\n"
	got, _, err := receive(testVerifier(), w.req, strings.NewReader(body), int64(len(body)))
	if err != nil || string(got) != "hello" {
		t.Fatal(string(got), err)
	}
}

// S2: every cut and every flipped bit of a signed stream is refused; an unsigned stream is refused
// when it is cut, and never yields a wrong length.
func TestChunkMutations(t *testing.T) {
	v := testVerifier()
	data := randomBytes(300)
	for _, form := range []string{StreamSigned, StreamSignedTrailer, StreamUnsignedTrailer} {
		w := upload(t, form, data, 128, testTrailer)
		for cut := range w.body {
			if _, _, err := receive(v, w.req, bytes.NewReader(w.body[:cut]), -1); err == nil {
				t.Errorf("%s: cut at %d of %d passes", form, cut, len(w.body))
			} else if !errors.Is(err, s3err.IncompleteBody) {
				t.Errorf("%s: cut at %d: %v", form, cut, err)
			}
		}
		for i := range w.body {
			for bit := range 8 {
				bad := bytes.Clone(w.body)
				bad[i] ^= 1 << bit
				got, b, err := receive(v, w.req, bytes.NewReader(bad), -1)
				if err != nil {
					continue
				}
				if form == StreamUnsignedTrailer {
					if len(got) != len(data) || len(b.Trailers()) != 1 {
						t.Errorf("%s: flip %d.%d gives %d bytes", form, i, bit, len(got))
					}
					continue
				}
				if !bytes.Equal(got, data) || !sameMeaning(w.body, bad, i) {
					t.Errorf("%s: flip %d.%d (%q) passes", form, i, bit, bad[max(0, i-20):min(len(bad), i+5)])
				}
			}
		}
	}
}

// sameMeaning: the case of a hex digit of a chunk size or of a trailer's name does not matter, nor
// does a blank for the CR at the end of a trailer line.
func sameMeaning(good, bad []byte, i int) bool {
	return good[i] == '\r' && bad[i] == '\t' || good[i]|0x20 == bad[i]|0x20 && (good[i]|0x20 >= 'a' && good[i]|0x20 <= 'z')
}

func TestChunkStructure(t *testing.T) {
	v := testVerifier()
	data := randomBytes(400)
	for _, form := range []string{StreamSigned, StreamSignedTrailer, StreamUnsignedTrailer} {
		w := upload(t, form, data, 100, testTrailer)
		chunks := splitChunks(t, w.body) // four of data, the end with its trailer
		if len(chunks) != 5 {
			t.Fatal(len(chunks))
		}
		other := upload(t, form, randomBytes(401)[:400], 100, testTrailer)
		foreign := splitChunks(t, other.body)
		signed := form != StreamUnsignedTrailer
		c := chunks
		for name, body := range map[string][][]byte{
			"drop":           {c[0], c[2], c[3], c[4]},
			"swap":           {c[1], c[0], c[2], c[3], c[4]},
			"repeat":         {c[0], c[0], c[2], c[3], c[4]},
			"one more":       {c[0], c[1], c[2], c[3], c[3], c[4]},
			"end early":      {c[0], c[1], c[4]},
			"end twice":      {c[0], c[1], c[2], c[3], c[4], c[4]},
			"end first":      {c[4], c[0], c[1], c[2], c[3], c[4]},
			"no end":         {c[0], c[1], c[2], c[3]},
			"nothing":        {},
			"garbage behind": {c[0], c[1], c[2], c[3], c[4], []byte("x")},
			"foreign":        {c[0], foreign[1], c[2], c[3], c[4]},
		} {
			_, _, err := receive(v, w.req, bytes.NewReader(bytes.Join(body, nil)), -1)
			harmless := !signed && (name == "swap" || name == "repeat" || name == "foreign") // nothing covers them but the checksum
			if (err == nil) != harmless {
				t.Errorf("%s %s: %v", form, name, err)
			}
		}
	}
}

// splitChunks cuts a framed body behind each chunk.
func splitChunks(t *testing.T, b []byte) (out [][]byte) {
	t.Helper()
	for {
		line, _, _ := bytes.Cut(b, []byte("\r\n"))
		digits, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseInt(string(digits), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return append(out, b)
		}
		end := len(line) + 2 + int(n) + 2
		out = append(out, b[:end])
		b = b[end:]
	}
}

func TestChunkLies(t *testing.T) {
	v := testVerifier()
	for _, tc := range []struct {
		name, body string
		decoded    string
		want       s3err.Code
	}{
		{"size beyond 2^63", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", "5", s3err.InvalidRequest},
		{"size negative", "-5\r\nhello\r\n0\r\n\r\n", "5", s3err.InvalidRequest},
		{"size empty", "\r\nhello\r\n0\r\n\r\n", "5", s3err.InvalidRequest},
		{"size too large", "6\r\nhello!\r\n0\r\n\r\n", "5", s3err.IncompleteBody},
		{"size larger than the data", "fffffff\r\nhello", "268435455", s3err.IncompleteBody},
		{"data longer than size", "4\r\nhello\r\n0\r\n\r\n", "5", s3err.InvalidRequest},
		{"too few", "5\r\nhello\r\n0\r\n\r\n", "6", s3err.IncompleteBody},
		{"too many", "5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", "5", s3err.IncompleteBody},
		{"bare LF", "5\nhello\n0\n\n", "5", s3err.InvalidRequest},
		{"endless header", strings.Repeat("0", 5000), "5", s3err.InvalidRequest},
		{"extension", "5;a=b\r\nhello\r\n0\r\n\r\n", "5", s3err.InvalidRequest},
		{"undeclared trailer", "5\r\nhello\r\n0\r\nx-amz-checksum-sha1:AAAA\r\n\r\n", "5", s3err.MalformedTrailerError},
		{"undeclared signature", "5\r\nhello\r\n0\r\nx-amz-trailer-signature:AAAA\r\n\r\n", "5", s3err.MalformedTrailerError},
		{"trailer twice", "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAA\r\nx-amz-checksum-crc32:AAAA\r\n\r\n", "5", s3err.MalformedTrailerError},
		{"trailer missing", "5\r\nhello\r\n0\r\n\r\n", "5", s3err.MalformedTrailerError},
		{"trailer without colon", "5\r\nhello\r\n0\r\nx-amz-checksum-crc32\r\n\r\n", "5", s3err.MalformedTrailerError},
		{"endless trailer", "5\r\nhello\r\n0\r\n" + strings.Repeat("x", 9000), "5", s3err.MalformedTrailerError},
		{"many trailers", "5\r\nhello\r\n0\r\n" + strings.Repeat("x:y\r\n", 9000), "5", s3err.MalformedTrailerError},
		{"empty data", "0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n", "5", s3err.IncompleteBody},
	} {
		r := &Request{Method: "PUT", RawPath: "/b/k", Host: "h", Headers: []Header{
			{"x-amz-decoded-content-length", tc.decoded}, {"x-amz-trailer", "x-amz-checksum-crc32"}}}
		if _, err := NewSigner(testKey, testSecret, "us-east-1").Sign(r, StreamUnsignedTrailer, testTime); err != nil {
			t.Fatal(err)
		}
		if _, _, err := receive(v, r, strings.NewReader(tc.body), -1); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestPlainBody(t *testing.T) {
	v := testVerifier()
	data := []byte("hello")
	good := PayloadHash(sha256.Sum256(data))
	for _, tc := range []struct {
		name, form, body string
		length           int64
		want             error
	}{
		{"good", good, "hello", 5, nil},
		{"good, length unknown", good, "hello", -1, nil},
		{"wrong digest", good, "hellp", 5, s3err.XAmzContentSHA256Mismatch},
		{"wrong digest, length unknown", good, "hellp", -1, s3err.XAmzContentSHA256Mismatch},
		{"cut", good, "hell", 5, s3err.IncompleteBody},
		{"cut unsigned", UnsignedPayload, "hell", 5, s3err.IncompleteBody},
		{"empty is not hello", good, "", 0, s3err.XAmzContentSHA256Mismatch},
		{"empty", EmptySHA256, "", 0, nil},
		{"more behind", good, "hello world", 5, nil}, // belongs to HTTP, not to us
	} {
		w := upload(t, tc.form, data, 0)
		_, _, err := receive(v, w.req, strings.NewReader(tc.body), tc.length)
		if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestSourceErrorsKeepTheirIdentity(t *testing.T) {
	mine := errors.New("socket burnt")
	data := randomBytes(10_000)
	for _, form := range payloadForms(data) {
		w := upload(t, form, data, 1000, testTrailer)
		src := io.MultiReader(bytes.NewReader(w.body[:5000]), iotest.ErrReader(mine))
		if _, _, err := receive(testVerifier(), w.req, src, int64(len(w.body))); !errors.Is(err, mine) {
			t.Errorf("%s: %v", form, err)
		}
		src = io.MultiReader(bytes.NewReader(w.body[:5000]), iotest.ErrReader(s3err.RequestTimeout))
		if _, _, err := receive(testVerifier(), w.req, src, int64(len(w.body))); !errors.Is(err, s3err.RequestTimeout) {
			t.Errorf("%s: %v", form, err)
		}
	}
}
