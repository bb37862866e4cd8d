package sigv4

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Signer makes signatures: for tests, for the load generator, for requests to other stores. It is
// safe for concurrent use and keeps the key of the last date and region.
type Signer struct {
	accessKey, secret, region, service string

	mu  sync.Mutex
	key *signingKey // guarded by mu

	pool sync.Pool // *scratch
}

// NewSigner returns a Signer for the service "s3".
func NewSigner(accessKey, secret, region string) *Signer {
	s := &Signer{accessKey: accessKey, secret: secret, region: region, service: "s3"}
	s.pool.New = func() any { return new(scratch) }
	return s
}

// Seed is the signature of a request's head, from which the chain of chunk signatures starts.
type Seed struct {
	key  *signingKey
	date string
	sig  signature
}

// String is the signature in hex.
func (s Seed) String() string { return string(s.sig[:]) }

// Sign adds x-amz-date, x-amz-content-sha256 (with the given payload: a digest in hex or one of
// the constants) and authorization to r.Headers. All headers already there and the host are signed.
func (s *Signer) Sign(r *Request, payload string, t time.Time) (Seed, error) {
	if err := r.Parse(); err != nil {
		return Seed{}, err
	}
	date := t.UTC().Format(timeFormat)
	r.Headers = append(r.Headers, Header{"x-amz-date", date}, Header{"x-amz-content-sha256", payload})
	w := s.pool.Get().(*scratch)
	defer s.pool.Put(w)
	w.signAll(r)
	key := s.keyOf(date[:dateLen])
	w.buildCanonical(r, payload, "")
	w.buildToSign(date, &key.scope)
	seed := Seed{key: key, date: date, sig: key.sign(w.toSign)}
	b := append(w.canonical[:0], algorithm+" Credential="...)
	b = append(b, s.accessKey...)
	b = key.scope.append(append(b, '/'))
	b = append(b, ", SignedHeaders="...)
	b = append(b, strings.Join(w.signed, ";")...)
	b = append(b, ", Signature="...)
	b = append(b, seed.sig[:]...)
	w.canonical = b
	r.Headers = append(r.Headers, Header{"authorization", string(b)})
	return seed, nil
}

// Presign puts a signature into r's query that is valid from t for expires. All headers already in
// r and the host are signed, so whoever uses the URL must send them.
func (s *Signer) Presign(r *Request, t time.Time, expires time.Duration) error {
	if err := r.Parse(); err != nil {
		return err
	}
	date := t.UTC().Format(timeFormat)
	key := s.keyOf(date[:dateLen])
	w := s.pool.Get().(*scratch)
	defer s.pool.Put(w)
	w.signAll(r)
	payload := UnsignedPayload
	if p, ok := r.Header("x-amz-content-sha256"); ok {
		payload = p
	}
	r.Params = append(r.Params,
		Param{"X-Amz-Algorithm", algorithm},
		Param{"X-Amz-Credential", string(key.scope.append([]byte(s.accessKey + "/")))},
		Param{"X-Amz-Date", date},
		Param{"X-Amz-Expires", strconv.FormatInt(int64(expires/time.Second), 10)},
		Param{"X-Amz-SignedHeaders", strings.Join(w.signed, ";")})
	w.buildCanonical(r, payload, "")
	w.buildToSign(date, &key.scope)
	sig := key.sign(w.toSign)
	r.RawQuery = string(append(append(w.appendQuery(nil, r.Params, ""), "&X-Amz-Signature="...), sig[:]...))
	r.Params = append(r.Params, Param{"X-Amz-Signature", string(sig[:])})
	return nil
}

// signAll fills w.signed with the host and every header of r.
func (w *scratch) signAll(r *Request) {
	w.signed = append(w.signed[:0], "host")
	for i := range r.Headers {
		w.signed = append(w.signed, strings.ToLower(r.Headers[i].Name))
	}
	slices.Sort(w.signed)
	w.signed = slices.Compact(w.signed)
}

func (s *Signer) keyOf(date string) *signingKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key == nil || s.key.scope.date != date {
		s.key = newSigningKey(s.accessKey, s.secret, scope{date, s.region, s.service})
	}
	return s.key
}
