package s3api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"holdfast/actors/await"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
	"holdfast/s3api/checksum"
	"holdfast/s3api/sigv4"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"), // ends within 10 s of Shutdown
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))    // one for the process
}

const (
	testKey    = "HOLDFASTTESTKEY"
	testSecret = "canary-secret-4fj3k2l1"
	testHost   = "s3.test"
)

// control is a control plane in memory.
type control struct {
	mu      sync.Mutex
	buckets map[cluster.BucketName]cluster.Bucket
	next    cluster.BucketID
	empty   func(cluster.Bucket) bool
}

func newControl() *control { return &control{buckets: make(map[cluster.BucketName]cluster.Bucket)} }

func (c *control) Bucket(name cluster.BucketName) (cluster.Bucket, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.buckets[name]
	if !ok {
		return b, cluster.ErrNoBucket
	}
	return b, nil
}

func (c *control) Buckets() []cluster.Bucket {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []cluster.Bucket
	for _, b := range c.buckets {
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b cluster.Bucket) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return all
}

func (c *control) CreateBucket(_ context.Context, name cluster.BucketName, owner, region string) (cluster.Bucket, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b, ok := c.buckets[name]; ok {
		if b.Owner == owner {
			return b, cluster.ErrBucketOwned
		}
		return b, cluster.ErrBucketExists
	}
	c.next++
	b := cluster.Bucket{Name: name, ID: c.next, Revision: 1, Created: time.Now(), Owner: owner, Region: region}
	c.buckets[name] = b
	return b, nil
}

func (c *control) DeleteBucket(_ context.Context, name cluster.BucketName) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.buckets[name]
	switch {
	case !ok:
		return cluster.ErrNoBucket
	case c.empty != nil && !c.empty(b):
		return cluster.ErrBucketNotEmpty
	}
	delete(c.buckets, name)
	return nil
}

func (c *control) SetVersioning(_ context.Context, name cluster.BucketName, status, _ string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.buckets[name]
	if !ok {
		return cluster.ErrNoBucket
	}
	if b.Versioning != status {
		b.Versioning, b.Revision = status, b.Revision+1
	}
	c.buckets[name] = b
	return nil
}

func (c *control) Credential(accessKey string) (cluster.Credential, bool) {
	switch accessKey {
	case testKey:
		return cluster.Credential{AccessKey: testKey, SecretKey: testSecret, Root: true}, true
	case "USER":
		return cluster.Credential{AccessKey: "USER", SecretKey: testSecret}, true
	}
	return cluster.Credential{}, false
}

// vitals is a Health whose answers a test can change.
type vitals struct {
	ready  error
	quorum Quorum
}

func (v *vitals) Ready() error   { return v.ready }
func (v *vitals) Quorum() Quorum { return v.quorum }

// rig is a server on the loopback, with what stands behind it.
type rig struct {
	t       testing.TB
	srv     *Server
	control *control
	health  *vitals
	objects Objects
	reg     *prometheus.Registry
	log     *syncBuffer
	addr    string
	ln      net.Listener
	served  chan error
}

// syncBuffer is a buffer that may be written while it is read.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newRig starts a server over objects; change may alter its options.
func newRig(t testing.TB, objects Objects, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, control: newControl(), health: &vitals{}, objects: objects, reg: prometheus.NewRegistry(), log: &syncBuffer{}, served: make(chan error, 1)}
	if m, ok := objects.(*memObjects); ok {
		r.control.empty = m.bucketEmpty
	}
	o := Options{
		Objects: objects, Control: r.control, Health: r.health, Registry: r.reg, Gatherer: r.reg,
		Logger: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Limits: Limits{MinPart: 1 << 10},
	}
	for _, f := range change {
		f(&o)
	}
	var err error
	if r.srv, err = New(o); err != nil {
		t.Fatal(err)
	}
	poisonAfter(r.srv)
	if r.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	r.addr = r.ln.Addr().String()
	go func() { r.served <- r.srv.Serve(r.ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		r.srv.Shutdown(ctx)
		if err := <-r.served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if strings.Contains(r.log.String(), testSecret) {
			t.Error("the log holds a secret")
		}
	})
	return r
}

// req is a request about to be signed and sent.
type req struct {
	method, target string // target is sent as it stands
	host           string
	headers        []string // "Name: value"
	body           string
	payload        string // x-amz-content-sha256; "" = the digest of body
	key            string // access key; "" = root, "-" = unsigned
	noLength       bool
	length         string // another Content-Length
	at             time.Time
}

// text signs the request and returns its bytes.
func (q req) text(t testing.TB) string {
	t.Helper()
	if q.host == "" {
		q.host = testHost
	}
	if q.payload == "" {
		sum := sha256.Sum256([]byte(q.body))
		q.payload = hex.EncodeToString(sum[:])
	}
	if q.key == "" {
		q.key = testKey
	}
	if q.at.IsZero() {
		q.at = time.Now()
	}
	path, query, _ := strings.Cut(q.target, "?")
	sr := sigv4.Request{Method: q.method, RawPath: path, RawQuery: query, Host: q.host}
	for _, h := range q.headers {
		name, value, _ := strings.Cut(h, ":")
		sr.Headers = append(sr.Headers, sigv4.Header{Name: name, Value: strings.TrimSpace(value)})
	}
	if q.key != "-" {
		if _, err := sigv4.NewSigner(q.key, testSecret, "us-east-1").Sign(&sr, q.payload, q.at); err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", q.method, q.target, q.host)
	for _, h := range sr.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h.Name, h.Value)
	}
	switch {
	case q.length != "":
		fmt.Fprintf(&b, "Content-Length: %s\r\n", q.length)
	case !q.noLength && (q.body != "" || q.method == "PUT" || q.method == "POST"):
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(q.body))
	}
	b.WriteString("\r\n")
	b.WriteString(q.body)
	return b.String()
}

// reply is an answer read to its end.
type reply struct {
	status int
	header http.Header
	raw    string // the head as it came
	body   string
	err    error // of reading the body
}

// code is the S3 error code in the body.
func (r reply) code() string { return between(r.body, "<Code>", "</Code>") }

// closing says whether the server closes the connection behind the answer.
func (r reply) closing() bool { return strings.Contains(r.raw, "\r\nConnection: close\r\n") }

func between(s, from, to string) string {
	_, s, ok := strings.Cut(s, from)
	if !ok {
		return ""
	}
	s, _, _ = strings.Cut(s, to)
	return s
}

// client is one raw connection.
type client struct {
	t    testing.TB
	conn net.Conn
	br   *bufio.Reader
}

func (r *rig) dial() *client {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{t: r.t, conn: c, br: bufio.NewReader(c)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, s); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// receive reads one answer to a request with the given method.
func (c *client) receive(method string) reply {
	c.t.Helper()
	var raw bytes.Buffer
	for {
		line, err := c.br.ReadString('\n')
		if err != nil {
			return reply{err: err, raw: raw.String()}
		}
		raw.WriteString(line)
		if line == "\r\n" {
			break
		}
	}
	c.br = bufio.NewReader(io.MultiReader(bytes.NewReader(raw.Bytes()), c.br)) // it may read ahead into the next answer
	resp, err := http.ReadResponse(c.br, &http.Request{Method: method})
	if err != nil {
		return reply{err: err, raw: raw.String()}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, header: resp.Header, raw: raw.String(), body: string(body), err: err}
}

// do sends one request on a connection of its own.
func (r *rig) do(q req) reply {
	r.t.Helper()
	c := r.dial()
	c.send(q.text(r.t))
	rep := c.receive(q.method)
	if rep.err != nil {
		r.t.Fatalf("%s %s: %v", q.method, q.target, rep.err)
	}
	c.conn.Close()
	return rep
}

// want does a request and checks status and, for errors, the code.
func (r *rig) want(status int, code string, q req) reply {
	r.t.Helper()
	rep := r.do(q)
	if rep.status != status || rep.code() != code {
		r.t.Errorf("%s %s: %d %s, want %d %s\n%s", q.method, q.target, rep.status, rep.code(), status, code, rep.body)
	}
	return rep
}

// ok does a request that must succeed.
func (r *rig) ok(q req) reply {
	r.t.Helper()
	rep := r.do(q)
	if rep.status/100 != 2 {
		r.t.Fatalf("%s %s: %d %s", q.method, q.target, rep.status, rep.body)
	}
	return rep
}

// makeBucket creates a bucket.
func (r *rig) makeBucket(name string) {
	r.t.Helper()
	r.ok(req{method: "PUT", target: "/" + name})
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	await.True(t, what, cond)
}

// chunkedPut returns the head of an aws-chunked upload and its framed body, with or without HTTP's
// own chunks around it.
func chunkedPut(t testing.TB, target, payload, body string, headers []string, trailer, chunked bool) (head, framed string) {
	t.Helper()
	sr := sigv4.Request{Method: "PUT", RawPath: target, Host: testHost}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		sr.Headers = append(sr.Headers, sigv4.Header{Name: name, Value: strings.TrimSpace(value)})
	}
	seed, err := sigv4.NewSigner(testKey, testSecret, "us-east-1").Sign(&sr, payload, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	enc := sigv4.UnsignedChunks()
	if payload != sigv4.StreamUnsignedTrailer {
		enc = sigv4.SignedChunks(seed)
	}
	var b []byte
	for rest := []byte(body); len(rest) > 0; {
		n := min(len(rest), 16<<10)
		b = enc.AppendChunk(b, rest[:n])
		rest = rest[n:]
	}
	var trailers []sigv4.Header
	if trailer {
		h := checksum.New(ondisk.ChecksumCRC32)
		io.WriteString(h, body)
		sum := ondisk.Checksum{Algo: ondisk.ChecksumCRC32, Value: h.Sum(nil)}
		trailers = append(trailers, sigv4.Header{Name: "x-amz-checksum-crc32", Value: checksum.Format(sum, 0)})
	}
	b = enc.AppendEnd(b, trailer, trailers...)
	var out strings.Builder
	fmt.Fprintf(&out, "PUT %s HTTP/1.1\r\nHost: %s\r\n", target, testHost)
	for _, h := range sr.Headers {
		fmt.Fprintf(&out, "%s: %s\r\n", h.Name, h.Value)
	}
	if !chunked {
		fmt.Fprintf(&out, "Content-Length: %d\r\n\r\n", len(b))
		return out.String(), string(b)
	}
	out.WriteString("Transfer-Encoding: chunked\r\n\r\n")
	var outer strings.Builder
	for len(b) > 0 {
		n := min(len(b), 7001)
		fmt.Fprintf(&outer, "%x\r\n%s\r\n", n, b[:n])
		b = b[n:]
	}
	outer.WriteString("0\r\n\r\n")
	return out.String(), outer.String()
}
