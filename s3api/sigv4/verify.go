package sigv4

import (
	"crypto/subtle"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast/s3api/s3err"
)

const (
	// MaxSkew is how far a request's time may be from ours.
	MaxSkew = 15 * time.Minute
	// MaxExpires is the longest life of a presigned request.
	MaxExpires = 7 * 24 * time.Hour
	// defaultCachedKeys bounds the cache of signing keys; one takes about 1 KiB.
	defaultCachedKeys = 1024
)

// Config of a Verifier. Only Now is needed.
type Config struct {
	// Region that credential scopes must name. "" takes any: the signature holds for exactly one
	// name anyway, and many tools sign for us-east-1 whatever they talk to.
	Region string
	// Service that credential scopes must name; "" = "s3".
	Service string
	// Now is the clock.
	Now func() time.Time
	// CachedKeys bounds the cache of signing keys; 0 = 1024.
	CachedKeys int
}

// Secrets finds the secret of an access key. It must not keep the string.
type Secrets func(accessKey string) (secret string, ok bool)

// Verifier checks signatures.
type Verifier struct {
	cfg     Config
	secrets Secrets
	keys    *keyCache
	pool    sync.Pool // *scratch
}

// NewVerifier returns a Verifier that finds secrets through secrets.
func NewVerifier(cfg Config, secrets Secrets) *Verifier {
	if cfg.Service == "" {
		cfg.Service = "s3"
	}
	if cfg.CachedKeys <= 0 {
		cfg.CachedKeys = defaultCachedKeys
	}
	v := &Verifier{cfg: cfg, secrets: secrets, keys: newKeyCache(cfg.CachedKeys)}
	v.pool.New = func() any {
		return &scratch{canonical: make([]byte, 0, 2048), toSign: make([]byte, 0, 256)}
	}
	return v
}

// Auth is the proof that a request was signed by the holder of AccessKey, and what its body must be.
type Auth struct {
	AccessKey string
	Presigned bool
	Time      time.Time // when it was signed, in whole seconds
	Region    string    // region of the credential scope
	Payload   Payload
	SHA256    [32]byte // digest of the body when Payload is PayloadSHA256

	// DecodedLength is x-amz-decoded-content-length, -1 when absent.
	DecodedLength int64
	// Trailers are the names that x-amz-trailer declares, lower case.
	Trailers []string

	key  *signingKey // for chunk signatures
	date string      // x-amz-date, for chunk signatures
	seed signature
}

// claim is what a request says about its signature.
type claim struct {
	accessKey string
	scope     scope
	date      string // ISO 8601 basic, as in the string to sign
	time      time.Time
	signed    string // SignedHeaders
	signature string
	payload   string // x-amz-content-sha256, as it enters the canonical request
	presigned bool
}

// Verify checks the signature of a request's head and says who signed it. Errors are those of
// s3err, and ErrAnonymous when there is nothing to check. The body is checked by the Body that
// NewBody makes of the result; until that has ended without an error nothing may become visible.
func (v *Verifier) Verify(r *Request) (Auth, error) {
	if err := r.Parse(); err != nil {
		return Auth{}, err
	}
	h, err := scanHeaders(r)
	if err != nil {
		return Auth{}, err
	}
	var c claim
	switch q := scanQuery(r.Params); {
	case h.hasAuthorization && q != queryPlain:
		return Auth{}, s3err.OnlyOneAuthMechanism
	case q == queryV2:
		return Auth{}, s3err.SignatureVersionNotSupported
	case q == queryV4:
		c, err = v.claimOfQuery(r, &h)
	case h.hasAuthorization:
		c, err = v.claimOfHeader(&h)
	default:
		return Auth{}, ErrAnonymous
	}
	if err != nil {
		return Auth{}, err
	}
	return v.check(r, &h, &c)
}

// check is the one place that turns a claim into an Auth.
func (v *Verifier) check(r *Request, h *headScan, c *claim) (Auth, error) {
	payload, sum, ok := parsePayload(c.payload)
	if !ok {
		return Auth{}, s3err.InvalidArgument.Msg("x-amz-content-sha256 must be UNSIGNED-PAYLOAD, "+
			"STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, "+
			"STREAMING-UNSIGNED-PAYLOAD-TRAILER or a valid sha256 value.").
			With("ArgumentName", "x-amz-content-sha256").With("ArgumentValue", strings.Clone(c.payload))
	}
	if c.presigned && (payload == PayloadStreamSigned || payload == PayloadStreamSignedTrailer) {
		return Auth{}, s3err.InvalidRequest.Msg("A presigned request cannot have signed chunks.")
	}
	if h.securityToken || hasParam(r.Params, "x-amz-security-token") {
		return Auth{}, s3err.InvalidToken
	}
	s := v.pool.Get().(*scratch)
	defer v.pool.Put(s)
	if err := s.splitSigned(c); err != nil {
		return Auth{}, err
	}
	if err := s.coversAmz(r); err != nil {
		return Auth{}, err
	}
	secret, ok := v.secrets(c.accessKey)
	if !ok {
		return Auth{}, s3err.InvalidAccessKeyId.With("AWSAccessKeyId", strings.Clone(c.accessKey))
	}
	key := v.keys.get(c.accessKey, secret, c.scope)
	cached := key != nil
	if !cached {
		key = newSigningKey(c.accessKey, secret, c.scope)
	}
	skip := ""
	if c.presigned {
		skip = "X-Amz-Signature"
	}
	s.buildCanonical(r, c.payload, skip)
	s.buildToSign(c.date, &c.scope)
	want := key.sign(s.toSign)
	if subtle.ConstantTimeCompare(want[:], []byte(c.signature)) != 1 {
		return Auth{}, mismatch(c, s)
	}
	if !cached {
		v.keys.put(key)
	}
	a := Auth{
		AccessKey: key.accessKey, Presigned: c.presigned, Time: c.time, Region: key.scope.region,
		Payload: payload, SHA256: sum, DecodedLength: -1, key: key,
	}
	if payload.Chunked() {
		a.date, a.seed = strings.Clone(c.date), want
	}
	if err := h.addBody(&a); err != nil {
		return Auth{}, err // never an Auth beside an error
	}
	return a, nil
}

// mismatch tells the client what we signed, as AWS does: it holds nothing but what the client sent.
func mismatch(c *claim, s *scratch) error {
	return s3err.SignatureDoesNotMatch.With("AWSAccessKeyId", strings.Clone(c.accessKey)).
		With("StringToSign", string(s.toSign)).
		With("SignatureProvided", strings.Clone(c.signature)).
		With("CanonicalRequest", string(s.canonical))
}

// splitSigned fills s.signed with the names of SignedHeaders in ascending order.
func (s *scratch) splitSigned(c *claim) error {
	names := s.signed[:0]
	sorted, host := true, false
	for rest, more := c.signed, true; more; {
		var name string
		name, rest, more = strings.Cut(rest, ";")
		if name == "" || !lowerToken(name) {
			return c.malformed("SignedHeaders must be lower-case header names separated by semicolons")
		}
		sorted = sorted && (len(names) == 0 || names[len(names)-1] < name)
		host = host || name == "host"
		names = append(names, name)
	}
	s.signed = names
	if !sorted {
		slices.Sort(names)
		for i := 1; i < len(names); i++ {
			if names[i] == names[i-1] {
				return c.malformed("SignedHeaders names a header twice")
			}
		}
	}
	if !host {
		return s3err.HeadersNotSigned.With("HeadersNotSigned", "host")
	}
	return nil
}

// coversAmz refuses x-amz-* headers that somebody may have added to a signed request.
func (s *scratch) coversAmz(r *Request) error {
	var missing []string
	for i := range r.Headers {
		name := r.Headers[i].Name
		if !hasPrefixFold(name, "x-amz-") {
			continue
		}
		if !s.isSigned(name) {
			missing = append(missing, strings.Clone(strings.ToLower(name)))
		}
	}
	if missing != nil {
		return s3err.HeadersNotSigned.With("HeadersNotSigned", strings.Join(missing, ", "))
	}
	return nil
}

func (s *scratch) isSigned(name string) bool {
	for _, n := range s.signed {
		if equalFold(name, n) {
			return true
		}
	}
	return false
}

// checkSkew refuses a header signature made too long ago or too far ahead.
func (v *Verifier) checkSkew(c *claim) error {
	now := v.cfg.Now()
	if d := now.Sub(c.time); d > MaxSkew || d < -MaxSkew {
		return s3err.RequestTimeTooSkewed.With("RequestTime", strings.Clone(c.date)).
			With("ServerTime", now.UTC().Format(time.RFC3339)).
			With("MaxAllowedSkewMilliseconds", strconv.FormatInt(MaxSkew.Milliseconds(), 10))
	}
	return nil
}

// anyRegion is what a request that names no region is told to name where any is taken.
const anyRegion = "us-east-1"

// checkScope compares the credential scope with the request's time and with what this endpoint is.
func (v *Verifier) checkScope(c *claim) error {
	if c.scope.date != c.date[:dateLen] {
		return c.malformed(`Invalid credential date "%s". This date is not the same as X-Amz-Date: "%s".`,
			c.scope.date, c.date[:dateLen])
	}
	if c.scope.region == "" || v.cfg.Region != "" && c.scope.region != v.cfg.Region {
		want := v.cfg.Region
		if want == "" { // any would do, but not none
			want = anyRegion
		}
		return c.malformed("the region '%s' is wrong; expecting '%s'", c.scope.region, want).With("Region", want)
	}
	if c.scope.service != v.cfg.Service {
		return c.malformed(`incorrect service "%s". This endpoint belongs to "%s".`, c.scope.service, v.cfg.Service)
	}
	return nil
}

// malformed is the error of a claim that breaks the rules of its form.
func (c *claim) malformed(format string, args ...any) *s3err.Error {
	if c.presigned {
		return s3err.AuthorizationQueryParametersError.Msg("Error parsing the X-Amz-Credential parameter; "+format, args...)
	}
	return s3err.AuthorizationHeaderMalformed.Msg("The authorization header is malformed; "+format, args...)
}
