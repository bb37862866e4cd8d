package sigv4

import (
	"strings"

	"holdfast/s3api/s3err"
)

// Header is one header line as received. Names are compared without regard to case.
type Header struct{ Name, Value string }

// Param is one decoded pair of the query.
type Param struct{ Name, Value string }

// Request is what a signature covers. RawPath begins with '/' and ends before the first '?' of
// the target; RawQuery is what stands behind it. Scheme and authority of an absolute target have
// been cut off by the caller. Headers keeps the order and the duplicates of the wire and leaves none
// out, Content-Length, Expect and Transfer-Encoding included: clients sign them. Host is the Host
// header, and a "Host" line in Headers is ignored.
type Request struct {
	Method   string
	RawPath  string
	RawQuery string
	Host     string
	Headers  []Header

	// Path and Params are filled by Parse: decoded once, never normalised.
	Path   string
	Params []Param

	parsed bool
}

// Reset makes r ready for another request and keeps the memory of its slices.
func (r *Request) Reset() {
	clear(r.Headers)
	clear(r.Params)
	*r = Request{Headers: r.Headers[:0], Params: r.Params[:0]}
}

// Parse decodes RawPath and RawQuery into Path and Params. A second call does nothing.
func (r *Request) Parse() error {
	if r.parsed {
		return nil
	}
	var err error
	if r.Path, err = DecodePath(r.RawPath); err != nil {
		return err
	}
	if r.Params, err = ParseQuery(r.Params[:0], r.RawQuery); err != nil {
		return err
	}
	r.parsed = true
	return nil
}

// Param returns the first value of a query parameter. Names are exact, as in AWS.
func (r *Request) Param(name string) (value string, ok bool) {
	for i := range r.Params {
		if r.Params[i].Name == name {
			return r.Params[i].Value, true
		}
	}
	return "", false
}

// Header returns the first value of a header, as received.
func (r *Request) Header(name string) (value string, ok bool) {
	for i := range r.Headers {
		if equalFold(r.Headers[i].Name, name) {
			return r.Headers[i].Value, true
		}
	}
	return "", false
}

// DecodePath undoes percent encoding once and nothing else: "//", "." and ".." stay, '+' is a
// plus, "%2F" is a slash (as in S3). A '%' without two hex digits is InvalidURI.
func DecodePath(raw string) (string, error) {
	if len(raw) == 0 || raw[0] != '/' {
		return "", s3err.InvalidURI
	}
	return decode(raw, false)
}

// ParseQuery appends the decoded pairs of raw to dst in their order. Pairs are split at '&' and
// at the first '='; '+' is a space; empty pairs are skipped.
func ParseQuery(dst []Param, raw string) ([]Param, error) {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := decode(name, true)
		if err != nil {
			return nil, err
		}
		if value, err = decode(value, true); err != nil {
			return nil, err
		}
		dst = append(dst, Param{name, value})
	}
	return dst, nil
}

// decode returns s itself when there is nothing to undo.
func decode(s string, plusIsSpace bool) (string, error) {
	i := 0
	for i < len(s) && s[i] != '%' && (!plusIsSpace || s[i] != '+') {
		i++
	}
	if i == len(s) {
		return s, nil
	}
	b := make([]byte, i, len(s))
	copy(b, s)
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) || unhex[s[i+1]] > 15 || unhex[s[i+2]] > 15 {
				return "", s3err.InvalidURI
			}
			b = append(b, unhex[s[i+1]]<<4|unhex[s[i+2]])
			i += 2
		case c == '+' && plusIsSpace:
			b = append(b, ' ')
		default:
			b = append(b, c)
		}
	}
	return string(b), nil
}

// unhex is read only: the value of a hex digit, 255 for any other byte.
var unhex = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i := byte(0); i < 10; i++ {
		t['0'+i] = i
	}
	for i := byte(0); i < 6; i++ {
		t['a'+i], t['A'+i] = 10+i, 10+i
	}
	return t
}()

// equalFold compares ASCII names; lower is already in lower case.
func equalFold(s, lower string) bool {
	return len(s) == len(lower) && hasPrefixFold(s, lower)
}

// hasPrefixFold reports whether s begins with the lower-case ASCII string prefix.
func hasPrefixFold(s, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := 0; i < len(prefix); i++ {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}
