package s3api

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"holdfast/s3api/s3err"
	"holdfast/s3api/sigv4"
)

// Body framings of a request, beside a length >= 0.
const (
	lengthChunked = -1 // Transfer-Encoding: chunked
	lengthMissing = -2 // neither Content-Length nor Transfer-Encoding
)

// maxHeaders bounds the header fields of a request: checking a signature compares each signed name
// with each field before anybody has proved who they are.
const maxHeaders = 256

// request is one HTTP request in our own memory: fasthttp's buffers are reused as soon as the
// handler returns, so everything is copied here once and nothing past this point sees them.
// The strings share one allocation. Names of headers are lower case, values are trimmed.
type request struct {
	sigv4.Request
	length  int64 // of the body on the wire, or lengthChunked, or lengthMissing
	scratch []byte
}

// parse fills r from a request that fasthttp has read. An error means that the message itself is
// not acceptable: the connection is not reused after it.
func (r *request) parse(h *fasthttp.RequestHeader) error {
	uri, raw := h.RequestURI(), h.RawHeaders()
	r.scratch = append(append(r.scratch[:0], uri...), raw...)
	lowerNames(r.scratch[len(uri):])
	all := string(r.scratch)

	if v := h.Protocol(); string(v) != "HTTP/1.1" && string(v) != "HTTP/1.0" {
		return s3err.BadRequest.Msg("This server speaks HTTP/1.1 and HTTP/1.0.")
	}
	r.Method = method(h.Method())
	if err := r.parseFields(all[len(uri):]); err != nil {
		return err
	}
	if err := r.frame(); err != nil {
		return err
	}
	r.Host = r.get("host")
	var err error
	if r.RawPath, r.RawQuery, err = splitTarget(all[:len(uri)]); err != nil {
		return err
	}
	return r.Parse()
}

// reset drops what r refers to and keeps its slices.
func (r *request) reset() {
	r.Request.Reset()
	r.length = lengthMissing
	if cap(r.scratch) > 8<<10 {
		r.scratch = nil
	}
}

// lowerNames makes the field names of a header block lower case.
func lowerNames(b []byte) {
	name := true
	for i, c := range b {
		switch {
		case c == '\n':
			name = true
		case c == ':':
			name = false
		case name && c >= 'A' && c <= 'Z':
			b[i] = c + 'a' - 'A'
		}
	}
}

// parseFields splits a header block. It refuses what a proxy in front could read differently:
// bare line feeds and folded lines.
func (r *request) parseFields(block string) error {
	for block != "" {
		if len(r.Headers) == maxHeaders {
			return s3err.RequestHeaderSectionTooLarge
		}
		line, rest, found := strings.Cut(block, "\r\n")
		if line == "" {
			break
		}
		if !found || strings.IndexByte(line, '\n') >= 0 || line[0] == ' ' || line[0] == '\t' {
			return s3err.BadRequest
		}
		block = rest
		name, value, found := strings.Cut(line, ":")
		if !found {
			return s3err.BadRequest
		}
		if strings.IndexByte(name, ' ') >= 0 {
			continue // no such name exists; fasthttp keeps it, nobody may act on it
		}
		r.Headers = append(r.Headers, sigv4.Header{Name: name, Value: strings.Trim(value, " \t")})
	}
	return nil
}

// frame works out how the body is framed and refuses ambiguous framing.
func (r *request) frame() error {
	r.length = lengthMissing
	sized := false
	for i := range r.Headers {
		f := &r.Headers[i]
		switch f.Name {
		case "content-length":
			n, err := strconv.ParseUint(f.Value, 10, 63)
			if err != nil || sized {
				return s3err.BadRequest
			}
			sized, r.length = true, int64(n)
		case "transfer-encoding":
			if !strings.EqualFold(f.Value, "chunked") || r.length == lengthChunked {
				return s3err.BadRequest
			}
		case "authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "host":
			if r.count(f.Name) > 1 {
				return s3err.BadRequest
			}
		}
	}
	if r.has("transfer-encoding") {
		if sized {
			return s3err.BadRequest
		}
		r.length = lengthChunked
	}
	return nil
}

// get returns the first value of a header field, "" if there is none. name is lower case.
func (r *request) get(name string) string {
	for i := range r.Headers {
		if r.Headers[i].Name == name {
			return r.Headers[i].Value
		}
	}
	return ""
}

// has says whether a header field is present, even with an empty value.
func (r *request) has(name string) bool { return r.count(name) > 0 }

func (r *request) count(name string) int {
	n := 0
	for i := range r.Headers {
		if r.Headers[i].Name == name {
			n++
		}
	}
	return n
}

// method returns the name of a method without allocating for the usual ones.
func method(b []byte) string {
	for _, m := range []string{"GET", "PUT", "HEAD", "POST", "DELETE", "OPTIONS"} {
		if bytes.Equal(b, []byte(m)) {
			return m
		}
	}
	return string(b)
}
