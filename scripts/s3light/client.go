package s3light

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// Sizes of a connection's own buffers: a request whose head and body fit in joinLimit is one write
// and one copy; a larger body is sent from the caller's memory.
const (
	joinLimit  = 32 << 10
	readBuffer = 16 << 10
	bodyBuffer = 256 << 10
	errorLimit = 512
)

// Endpoint is one S3 server, addressed in path style.
type Endpoint struct {
	Addr        string // host:port
	Host        string // the Host header, as signed
	TLS         *tls.Config
	Credentials Credentials
	// Timeout bounds one call, give or take a second. Zero means a minute.
	Timeout time.Duration
}

// ParseEndpoint reads an URL such as http://127.0.0.1:9000.
func ParseEndpoint(raw string, cred Credentials) (*Endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("endpoint %q: %w", raw, err)
	}
	if u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || (u.Path != "" && u.Path != "/") {
		return nil, fmt.Errorf("endpoint %q: want http://host:port or https://host:port", raw)
	}
	if cred.Region == "" {
		cred.Region = "us-east-1"
	}
	ep := &Endpoint{Addr: u.Host, Host: u.Host, Credentials: cred}
	if u.Scheme == "https" {
		ep.TLS = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	if u.Port() == "" {
		ep.Addr = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	return ep, nil
}

// Header is one extra request header. Names are lower case; a request's headers are sorted by name.
type Header struct{ Name, Value string }

// Request is one S3 call. The zero values mean: no query, no extra headers, no body.
type Request struct {
	Method, Bucket, Key string
	// Query is the encoded query string with its parameters in byte order, as it is signed.
	Query  string
	Header []Header
	Body   []byte
	// Stream is sent instead of Body when it is not nil.
	Stream *Stream
	// PayloadHash is the hex SHA-256 of Body, or UnsignedPayload; empty means compute it.
	PayloadHash string
	// Want, if not nil, is compared with the answer's body while that is read.
	Want []byte
	// Collect keeps the answer's body in Conn.Body; without it and Want the body is discarded.
	Collect bool
}

// Conn is one connection to an endpoint. It is owned by one goroutine. After an error of the
// transport the next call dials anew.
type Conn struct {
	ep       *Endpoint
	nc       net.Conn
	br       *bufio.Reader
	head     []byte
	chunks   []byte // framing of a Stream
	path     []byte
	buf      []byte
	sign     signer
	resp     fasthttp.ResponseHeader
	deadline time.Time

	// The answer of the last call.
	Status int
	Body   []byte // with Request.Collect, or the start of an error document
	Length int64  // bytes of body received
}

// NewConn returns a connection that dials at its first call.
func NewConn(ep *Endpoint) *Conn {
	return &Conn{ep: ep, sign: signer{cred: ep.Credentials}, buf: make([]byte, bodyBuffer)}
}

// ETag returns the ETag header of the last answer without quotes.
func (c *Conn) ETag() []byte { return bytes.Trim(c.resp.Peek("ETag"), `"`) }

// Header returns a header of the last answer.
func (c *Conn) Header(name string) []byte { return c.resp.Peek(name) }

// Close ends the connection.
func (c *Conn) Close() error {
	if c.nc == nil {
		return nil
	}
	err := c.nc.Close()
	c.nc = nil
	return err
}

// Do sends r and reads the whole answer. An answer other than 2xx is a *StatusError.
func (c *Conn) Do(r *Request) error {
	if err := c.do(r); err != nil {
		if Status(err) == 0 {
			c.Close()
		}
		return err
	}
	return nil
}

func (c *Conn) do(r *Request) error {
	c.Status, c.Length, c.Body = 0, 0, c.Body[:0]
	if err := c.ready(); err != nil {
		return err
	}
	c.buildHead(r)
	if err := c.send(r); err != nil {
		return fmt.Errorf("%s %s: send: %w", r.Method, c.path, err)
	}
	for {
		if err := c.resp.Read(c.br); err != nil {
			return fmt.Errorf("%s %s: read answer: %w", r.Method, c.path, err)
		}
		c.Status = c.resp.StatusCode()
		if c.Status >= 200 {
			break
		}
	}
	if err := c.readBody(r); err != nil {
		return fmt.Errorf("%s %s: read body: %w", r.Method, c.path, err)
	}
	if c.resp.ConnectionClose() {
		c.Close()
	}
	if c.Status >= 300 {
		return &StatusError{Method: r.Method, Path: string(c.path), Status: c.Status, Body: string(c.Body)}
	}
	return nil
}

// ready dials if needed and moves the deadline. Deadlines cost a timer each, so one is set at most
// once a second.
func (c *Conn) ready() error {
	now := time.Now()
	c.sign.at(now)
	timeout := c.ep.Timeout
	if timeout == 0 {
		timeout = time.Minute
	}
	if c.nc == nil {
		nc, err := net.DialTimeout("tcp", c.ep.Addr, timeout)
		if err != nil {
			return err
		}
		if c.ep.TLS != nil {
			nc = tls.Client(nc, c.ep.TLS)
		}
		c.nc = nc
		c.deadline = time.Time{}
		if c.br == nil {
			c.br = bufio.NewReaderSize(nc, readBuffer)
		} else {
			c.br.Reset(nc)
		}
	}
	if now.Add(timeout).Sub(c.deadline) < time.Second {
		return nil
	}
	c.deadline = now.Add(timeout)
	return c.nc.SetDeadline(c.deadline)
}

func (c *Conn) buildHead(r *Request) {
	payload, extra, length := r.PayloadHash, r.Header, int64(len(r.Body))
	if r.Stream != nil {
		payload, length = streamPayload, r.Stream.length
		extra = append([]Header{{"x-amz-decoded-content-length", strconv.Itoa(len(r.Stream.data))}}, extra...)
		slices.SortFunc(extra, func(a, b Header) int { return strings.Compare(a.Name, b.Name) })
	}
	if payload == "" {
		payload = emptySHA256
		if len(r.Body) > 0 {
			payload = HashPayload(r.Body)
		}
	}
	c.path = appendPath(c.path[:0], r.Bucket, r.Key)
	h := c.head[:0]
	h = append(h, r.Method...)
	h = append(h, ' ')
	h = append(h, c.path...)
	if r.Query != "" {
		h = append(h, '?')
		h = append(h, r.Query...)
	}
	h = append(h, " HTTP/1.1\r\nHost: "...)
	h = append(h, c.ep.Host...)
	h = append(h, "\r\nX-Amz-Date: "...)
	h = append(h, c.sign.date...)
	h = append(h, "\r\nX-Amz-Content-Sha256: "...)
	h = append(h, payload...)
	for _, x := range extra {
		h = append(h, "\r\n"...)
		h = append(h, x.Name...)
		h = append(h, ": "...)
		h = append(h, x.Value...)
	}
	h = append(h, "\r\nAuthorization: "...)
	h = c.sign.appendAuth(h, r.Method, c.path, r.Query, c.ep.Host, payload, extra)
	if r.Stream != nil {
		h = append(h, "\r\nContent-Encoding: aws-chunked"...)
	}
	if length > 0 || r.Method == "PUT" || r.Method == "POST" {
		h = append(h, "\r\nContent-Length: "...)
		h = strconv.AppendInt(h, length, 10)
	}
	c.head = append(h, "\r\n\r\n"...)
}

func (c *Conn) send(r *Request) error {
	if r.Stream != nil {
		return c.sendStream(r.Stream)
	}
	body := r.Body
	if len(c.head)+len(body) <= joinLimit {
		c.head = append(c.head, body...)
		_, err := c.nc.Write(c.head)
		return err
	}
	bufs := net.Buffers{c.head, body}
	_, err := bufs.WriteTo(c.nc)
	return err
}

// readBody takes the body off the connection. Bytes already buffered with the head are used first,
// then the socket is read straight into the body buffer.
func (c *Conn) readBody(r *Request) error {
	n := int64(c.resp.ContentLength())
	if r.Method == "HEAD" || c.Status == 204 || c.Status == 304 {
		return nil
	}
	if n == -1 {
		if err := c.drain(httputil.NewChunkedReader(c.br), -1, r); err != nil {
			return err
		}
		return c.skipTrailer()
	}
	if n < 0 { // neither a length nor chunks: the body ends with the connection
		return c.drain(c.br, -1, r)
	}
	return c.drain(c.br, n, r)
}

// skipTrailer takes what follows the last chunk: trailer fields, if any, and the empty line.
func (c *Conn) skipTrailer() error {
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return nil
		}
	}
}

func (c *Conn) drain(src io.Reader, n int64, r *Request) error {
	want, keep := r.Want, r.Collect
	limit := int64(1) << 62
	if c.Status >= 300 {
		want, keep, limit = nil, true, errorLimit
	}
	for n < 0 || c.Length < n {
		b := c.buf
		if n >= 0 && n-c.Length < int64(len(b)) {
			b = b[:n-c.Length]
		}
		m, err := src.Read(b)
		if want != nil {
			if int64(len(want)) < c.Length+int64(m) || !bytes.Equal(b[:m], want[c.Length:c.Length+int64(m)]) {
				return fmt.Errorf("at byte %d: %w", c.Length, ErrMismatch)
			}
		}
		if keep && int64(len(c.Body)) < limit {
			c.Body = append(c.Body, b[:m]...)
		}
		c.Length += int64(m)
		if err == io.EOF && n < 0 {
			break
		}
		if err == io.EOF {
			return ErrShortBody
		}
		if err != nil {
			return err
		}
	}
	if want != nil && c.Length != int64(len(want)) {
		return fmt.Errorf("%d bytes, want %d: %w", c.Length, len(want), ErrMismatch)
	}
	return nil
}

// HashPayload returns the value of x-amz-content-sha256 for body.
func HashPayload(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
