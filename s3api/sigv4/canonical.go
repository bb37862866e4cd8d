package sigv4

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminal   = "aws4_request"
	timeFormat = "20060102T150405Z"
	dateLen    = len("20060102")
)

// scratch is the memory of one computation, used again through a pool.
type scratch struct {
	canonical []byte
	toSign    []byte
	encoded   []byte
	pairs     []encodedPair
	signed    []string // names of SignedHeaders, lower case, ascending
}

// encodedPair is a query pair as ranges of scratch.encoded.
type encodedPair struct{ name, sep, end int }

// buildCanonical writes the canonical request of r into s.canonical. s.signed names the headers.
// skip is left out of the query (X-Amz-Signature of a presigned request).
func (s *scratch) buildCanonical(r *Request, payload, skip string) {
	b := s.canonical[:0]
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = appendEncoded(b, r.Path, true)
	b = append(b, '\n')
	b = s.appendQuery(b, r.Params, skip)
	b = append(b, '\n')
	for _, name := range s.signed {
		b = append(b, name...)
		b = append(b, ':')
		b = appendHeaderValues(b, r, name)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	for i, name := range s.signed {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	b = append(b, '\n')
	s.canonical = append(b, payload...)
}

// buildToSign writes the string to sign over s.canonical into s.toSign.
func (s *scratch) buildToSign(date string, sc *scope) {
	sum := sha256.Sum256(s.canonical)
	b := append(s.toSign[:0], algorithm+"\n"...)
	b = append(b, date...)
	b = append(b, '\n')
	b = sc.append(b)
	b = append(b, '\n')
	s.toSign = hex.AppendEncode(b, sum[:])
}

// appendQuery encodes the pairs and orders them by encoded name, then encoded value.
func (s *scratch) appendQuery(dst []byte, params []Param, skip string) []byte {
	enc, pairs := s.encoded[:0], s.pairs[:0]
	for i := range params {
		if skip != "" && params[i].Name == skip {
			continue
		}
		p := encodedPair{name: len(enc)}
		enc = appendEncoded(enc, params[i].Name, false)
		p.sep = len(enc)
		enc = appendEncoded(enc, params[i].Value, false)
		p.end = len(enc)
		pairs = append(pairs, p)
	}
	slices.SortFunc(pairs, func(a, b encodedPair) int {
		if c := bytes.Compare(enc[a.name:a.sep], enc[b.name:b.sep]); c != 0 {
			return c
		}
		return bytes.Compare(enc[a.sep:a.end], enc[b.sep:b.end])
	})
	for i, p := range pairs {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = append(dst, enc[p.name:p.sep]...)
		dst = append(dst, '=')
		dst = append(dst, enc[p.sep:p.end]...)
	}
	s.encoded, s.pairs = enc, pairs
	return dst
}

// appendHeaderValues writes all values of a header, in order, joined with ','. A header that is
// not there counts as empty: fasthttp does not show every empty header.
func appendHeaderValues(dst []byte, r *Request, name string) []byte {
	if name == "host" {
		return appendTrimmed(dst, r.Host)
	}
	first := true
	for i := range r.Headers {
		if !equalFold(r.Headers[i].Name, name) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendTrimmed(dst, r.Headers[i].Value)
	}
	return dst
}

// appendTrimmed drops leading and trailing blanks and makes one space of inner runs of them.
func appendTrimmed(dst []byte, s string) []byte {
	start, gap := len(dst), false
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == ' ' || c >= '\t' && c <= '\r' {
			gap = true
			continue
		}
		if gap && len(dst) > start {
			dst = append(dst, ' ')
		}
		gap = false
		dst = append(dst, c)
	}
	return dst
}

// appendEncoded is AWS's UriEncode: all but A-Z a-z 0-9 - . _ ~ becomes %XX; a slash stays in paths.
func appendEncoded(dst []byte, s string, path bool) []byte {
	const digits = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		c := s[i]
		if unreserved[c] || c == '/' && path {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '%', digits[c>>4], digits[c&15])
	}
	return dst
}

// AppendURIEncoded appends s as S3 encodes keys in URLs and in canonical requests.
func AppendURIEncoded(dst []byte, s string, keepSlash bool) []byte {
	return appendEncoded(dst, s, keepSlash)
}

// unreserved is read only.
var unreserved = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' ||
			c == '-' || c == '.' || c == '_' || c == '~'
	}
	return t
}()
