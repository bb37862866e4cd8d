package s3light

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"time"
)

// UnsignedPayload is the value of x-amz-content-sha256 that leaves the body out of the signature.
const UnsignedPayload = "UNSIGNED-PAYLOAD"

const (
	algorithm   = "AWS4-HMAC-SHA256"
	timeLayout  = "20060102T150405Z"
	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// Credentials are one access key and the region its signatures name.
type Credentials struct {
	AccessKey, SecretKey, Region string
}

// signer makes Signature V4 Authorization values. It is owned by one Conn: the day's key, the HMAC
// state and the scratch buffers are reused from request to request.
type signer struct {
	cred   Credentials
	second int64  // unix second date belongs to
	date   string // x-amz-date of that second
	day    string // the day the key belongs to
	mac    hash.Hash
	canon  []byte
	sum    [sha256.Size]byte
	seed   [64]byte // the last signature, in hex
}

// at brings date and key to now; both change rarely, so the cost per request is one comparison.
func (s *signer) at(now time.Time) {
	sec := now.Unix()
	if sec == s.second {
		return
	}
	s.second = sec
	s.date = now.UTC().Format(timeLayout)
	if day := s.date[:8]; day != s.day {
		s.day = day
		key := hmacSum([]byte("AWS4"+s.cred.SecretKey), day)
		key = hmacSum(key, s.cred.Region)
		key = hmacSum(key, "s3")
		key = hmacSum(key, "aws4_request")
		s.mac = hmac.New(sha256.New, key)
	}
}

func hmacSum(key []byte, msg string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(msg))
	return m.Sum(nil)
}

// appendAuth appends the Authorization value of req to dst. path and query are already encoded, the
// query's parameters in canonical order; headers are lower case, sorted, and all of them are signed.
func (s *signer) appendAuth(dst []byte, method string, path []byte, query, host, payload string, extra []Header) []byte {
	c := s.canon[:0]
	c = append(c, method...)
	c = append(c, '\n')
	c = append(c, path...)
	c = append(c, '\n')
	c = append(c, query...)
	c = append(c, '\n')
	c = s.eachHeader(c, host, payload, extra, func(c []byte, k, v string) []byte {
		c = append(c, k...)
		c = append(c, ':')
		c = append(c, v...)
		return append(c, '\n')
	})
	c = append(c, '\n')
	signedFrom := len(c)
	c = s.eachHeader(c, host, payload, extra, func(c []byte, k, _ string) []byte {
		c = append(c, k...)
		return append(c, ';')
	})
	c = c[:len(c)-1]
	signed := c[signedFrom:]
	c = append(c, '\n')
	c = append(c, payload...)
	sum := sha256.Sum256(c)

	dst = append(dst, algorithm+" Credential="...)
	dst = append(dst, s.cred.AccessKey...)
	dst = append(dst, '/')
	scopeFrom := len(dst)
	dst = append(dst, s.day...)
	dst = append(dst, '/')
	dst = append(dst, s.cred.Region...)
	dst = append(dst, "/s3/aws4_request"...)
	scope := dst[scopeFrom:]

	msgFrom := len(c)
	c = append(c, algorithm+"\n"...)
	c = append(c, s.date...)
	c = append(c, '\n')
	c = append(c, scope...)
	c = append(c, '\n')
	c = hex.AppendEncode(c, sum[:])
	s.mac.Reset()
	s.mac.Write(c[msgFrom:])
	mac := s.mac.Sum(s.sum[:0])

	dst = append(dst, ", SignedHeaders="...)
	dst = append(dst, signed...)
	dst = append(dst, ", Signature="...)
	hex.Encode(s.seed[:], mac)
	dst = append(dst, s.seed[:]...)
	s.canon = c
	return dst
}

// eachHeader walks the signed headers in byte order of their names: host, the extra ones that sort
// before the two fixed ones, x-amz-content-sha256, those between, x-amz-date, the rest.
func (s *signer) eachHeader(c []byte, host, payload string, extra []Header, add func([]byte, string, string) []byte) []byte {
	fixed := [3]Header{{"host", host}, {"x-amz-content-sha256", payload}, {"x-amz-date", s.date}}
	i := 0
	for _, f := range fixed {
		for i < len(extra) && extra[i].Name < f.Name {
			c = add(c, extra[i].Name, extra[i].Value)
			i++
		}
		c = add(c, f.Name, f.Value)
	}
	for ; i < len(extra); i++ {
		c = add(c, extra[i].Name, extra[i].Value)
	}
	return c
}

// appendPath appends the URI encoding of "/bucket/key" that both the request line and the signature use.
func appendPath(dst []byte, bucket, key string) []byte {
	dst = append(dst, '/')
	dst = append(dst, bucket...)
	if key == "" {
		return dst
	}
	dst = append(dst, '/')
	return appendEscaped(dst, key, true)
}

// Escape returns s as Signature V4 encodes a query value: all but unreserved characters as %XX.
func Escape(s string) string { return string(appendEscaped(nil, s, false)) }

func appendEscaped(dst []byte, s string, keepSlash bool) []byte {
	const upper = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '_', c == '.', c == '~', c == '/' && keepSlash:
			dst = append(dst, c)
		default:
			dst = append(dst, '%', upper[c>>4], upper[c&15])
		}
	}
	return dst
}
