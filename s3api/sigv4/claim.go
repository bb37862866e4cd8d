package sigv4

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/s3api/s3err"
)

// headScan is what one walk over the headers found.
type headScan struct {
	authorization, date, amzDate, payload    string
	decodedLength, trailer                   string
	hasAuthorization, hasAmzDate, hasPayload bool
	hasDecodedLength, hasTrailer             bool
	securityToken                            bool
}

// scanHeaders collects the headers that speak about the signature. Those that must be single are
// refused when they are not: two readers could each believe another one.
func scanHeaders(r *Request) (h headScan, err error) {
	single := func(dst *string, has *bool, f *Header) {
		if *has && err == nil {
			err = s3err.InvalidRequest.Msg("The header %s must not be given twice.", strings.ToLower(f.Name))
		}
		*dst, *has = trim(f.Value), true
	}
	var hasDate, authorizations bool
	for i := range r.Headers {
		f := &r.Headers[i]
		switch len(f.Name) {
		case len("date"):
			if equalFold(f.Name, "date") {
				single(&h.date, &hasDate, f)
			}
		case len("x-amz-date"):
			if equalFold(f.Name, "x-amz-date") {
				single(&h.amzDate, &h.hasAmzDate, f)
			}
		case len("authorization"):
			if equalFold(f.Name, "authorization") {
				single(&h.authorization, &authorizations, f)
				h.hasAuthorization = h.authorization != "" // an empty one claims nothing
			} else if equalFold(f.Name, "x-amz-trailer") {
				// Several lines are one list: minio-go sends one per trailer.
				if h.hasTrailer {
					h.trailer += "," + trim(f.Value)
				} else {
					h.trailer, h.hasTrailer = trim(f.Value), true
				}
			}
		case len("x-amz-content-sha256"):
			switch {
			case equalFold(f.Name, "x-amz-content-sha256"):
				single(&h.payload, &h.hasPayload, f)
			case equalFold(f.Name, "x-amz-security-token"):
				h.securityToken = h.securityToken || trim(f.Value) != ""
			}
		case len("x-amz-decoded-content-length"):
			if equalFold(f.Name, "x-amz-decoded-content-length") {
				single(&h.decodedLength, &h.hasDecodedLength, f)
			}
		}
	}
	return h, err
}

// addBody completes a with what the headers say about a chunked body.
func (h *headScan) addBody(a *Auth) error {
	if h.hasDecodedLength {
		n, err := strconv.ParseUint(h.decodedLength, 10, 63)
		if err != nil {
			return s3err.InvalidArgument.Msg("x-amz-decoded-content-length must be a number.").
				With("ArgumentName", "x-amz-decoded-content-length").With("ArgumentValue", strings.Clone(h.decodedLength))
		}
		a.DecodedLength = int64(n)
	}
	if a.Payload.Chunked() && a.DecodedLength < 0 {
		return s3err.MissingContentLength.Msg("You must provide the x-amz-decoded-content-length HTTP header.")
	}
	if !h.hasTrailer {
		return nil
	}
	if !a.Payload.Trailer() {
		return s3err.InvalidRequest.Msg("x-amz-trailer needs an x-amz-content-sha256 that announces a trailer.")
	}
	for name := range strings.SplitSeq(h.trailer, ",") {
		name = strings.ToLower(trim(name))
		if !strings.HasPrefix(name, "x-amz-checksum-") || slices.Contains(a.Trailers, name) {
			return s3err.InvalidRequest.Msg("The value specified in the x-amz-trailer header is not supported")
		}
		a.Trailers = append(a.Trailers, strings.Clone(name))
	}
	return nil
}

type queryKind uint8

const (
	queryPlain queryKind = iota
	queryV4
	queryV2
)

// scanQuery says which signature a query carries.
func scanQuery(params []Param) queryKind {
	v2 := 0
	for i := range params {
		switch params[i].Name {
		case "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature":
			return queryV4
		case "AWSAccessKeyId", "Signature":
			v2++
		}
	}
	if v2 == 2 {
		return queryV2
	}
	return queryPlain
}

// hasParam looks for a parameter that is not empty; name is lower case and the parameter's any.
func hasParam(params []Param, name string) bool {
	for i := range params {
		if params[i].Value != "" && equalFold(params[i].Name, name) {
			return true
		}
	}
	return false
}

// claimOfHeader reads an Authorization header.
func (v *Verifier) claimOfHeader(h *headScan) (c claim, err error) {
	kind, rest, _ := strings.Cut(h.authorization, " ")
	if kind != algorithm {
		if kind == "AWS" || strings.HasPrefix(kind, "AWS4-") {
			return c, s3err.SignatureVersionNotSupported
		}
		return c, s3err.UnsupportedAuthorizationType.With("ArgumentName", "Authorization").
			With("ArgumentValue", strings.Clone(kind))
	}
	credential, err := c.parseAuthorization(rest)
	if err != nil {
		return c, err
	}
	if err := c.parseCredential(credential); err != nil {
		return c, err
	}
	if !h.hasPayload {
		return c, s3err.InvalidRequest.Msg("Missing required header for this request: x-amz-content-sha256")
	}
	c.payload = h.payload
	ok := false
	if h.hasAmzDate {
		c.date = h.amzDate
		c.time, ok = parseTime(c.date)
	} else if c.time, ok = parseHTTPDate(h.date); ok {
		c.date = c.time.Format(timeFormat)
	}
	if !ok {
		return c, s3err.AccessDenied.Msg("AWS authentication requires a valid Date or x-amz-date header")
	}
	if err := v.checkScope(&c); err != nil {
		return c, err
	}
	return c, v.checkSkew(&c)
}

// parseAuthorization splits "Credential=.., SignedHeaders=.., Signature=..".
func (c *claim) parseAuthorization(s string) (credential string, err error) {
	seen := 0
	for s != "" {
		var field string
		field, s, _ = strings.Cut(s, ",")
		name, value, ok := strings.Cut(trim(field), "=")
		bit := 0
		switch name {
		case "Credential":
			credential, bit = value, 1
		case "SignedHeaders":
			c.signed, bit = value, 2
		case "Signature":
			c.signature, bit = value, 4
		}
		if !ok || bit == 0 || seen&bit != 0 {
			seen = 0
			break
		}
		seen |= bit
	}
	if seen != 7 {
		return "", c.malformed("the authorization header requires three components: Credential, SignedHeaders, and Signature.")
	}
	return credential, nil
}

// parseCredential splits KEY/DATE/REGION/SERVICE/aws4_request from its end: a key may hold slashes.
func (c *claim) parseCredential(s string) error {
	part := func() (p string) {
		if i := strings.LastIndexByte(s, '/'); i >= 0 {
			s, p = s[:i], s[i+1:]
		} else {
			s, p = "", ""
		}
		return p
	}
	last := part()
	c.scope.service = part()
	c.scope.region = part()
	c.scope.date = part()
	c.accessKey = s
	if c.accessKey == "" || len(c.scope.date) != dateLen {
		return c.malformed(`the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".`)
	}
	if last != terminal {
		return c.malformed(`incorrect terminal "%s". This endpoint uses "%s".`, last, terminal)
	}
	return nil
}

// claimOfQuery reads the parameters of a presigned request.
func (v *Verifier) claimOfQuery(r *Request, h *headScan) (c claim, err error) {
	c.presigned = true
	var p struct{ algorithm, credential, date, expires, signed, signature, payload string }
	seen := 0
	for i := range r.Params {
		var dst *string
		bit := 0
		switch f := &r.Params[i]; f.Name {
		case "X-Amz-Algorithm":
			dst, bit = &p.algorithm, 1
		case "X-Amz-Credential":
			dst, bit = &p.credential, 2
		case "X-Amz-Date":
			dst, bit = &p.date, 4
		case "X-Amz-Expires":
			dst, bit = &p.expires, 8
		case "X-Amz-SignedHeaders":
			dst, bit = &p.signed, 16
		case "X-Amz-Signature":
			dst, bit = &p.signature, 32
		default:
			if !equalFold(f.Name, "x-amz-content-sha256") {
				continue
			}
			dst, bit = &p.payload, 64
		}
		if seen&bit != 0 {
			return c, s3err.AuthorizationQueryParametersError.Msg("The query parameter %s must not be given twice.", r.Params[i].Name)
		}
		seen |= bit
		*dst = r.Params[i].Value
	}
	if seen&63 != 63 {
		return c, s3err.AuthorizationQueryParametersError
	}
	if p.algorithm != algorithm {
		return c, s3err.AuthorizationQueryParametersError.Msg(`X-Amz-Algorithm only supports "%s"`, algorithm)
	}
	c.date, c.signed, c.signature = p.date, p.signed, p.signature
	if err := c.parseCredential(p.credential); err != nil {
		return c, err
	}
	var ok bool
	if c.time, ok = parseTime(p.date); !ok {
		return c, s3err.AuthorizationQueryParametersError.Msg(`X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd'T'HHmmss'Z'"`)
	}
	if err := c.choosePayload(p.payload, seen&64 != 0, h); err != nil {
		return c, err
	}
	if err := v.checkScope(&c); err != nil {
		return c, err
	}
	return c, v.checkExpires(&c, p.expires)
}

// choosePayload takes the digest of a presigned request from its header or its query.
func (c *claim) choosePayload(query string, inQuery bool, h *headScan) error {
	switch {
	case inQuery && h.hasPayload && query != h.payload:
		return s3err.InvalidRequest.Msg("x-amz-content-sha256 differs between header and query.")
	case h.hasPayload:
		c.payload = h.payload
	case inQuery:
		c.payload = query
	default:
		c.payload = UnsignedPayload
	}
	return nil
}

// checkExpires judges the life of a presigned request.
func (v *Verifier) checkExpires(c *claim, expires string) error {
	seconds, err := strconv.ParseInt(expires, 10, 64)
	switch {
	case err != nil, expires[0] == '+':
		return s3err.AuthorizationQueryParametersError.Msg("X-Amz-Expires should be a number")
	case seconds > int64(MaxExpires/time.Second):
		return s3err.AuthorizationQueryParametersError.Msg("X-Amz-Expires must be less than a week (in seconds); " +
			"that is, the given X-Amz-Expires must be less than 604800 seconds")
	}
	now := v.cfg.Now()
	end := c.time.Add(time.Duration(max(seconds, 0)) * time.Second)
	if c.time.Sub(now) > MaxSkew {
		return s3err.RequestNotYetValid.With("X-Amz-Date", strings.Clone(c.date)).
			With("ServerTime", now.UTC().Format(time.RFC3339))
	}
	if seconds <= 0 || !now.Before(end) {
		return s3err.RequestExpired.With("X-Amz-Expires", strings.Clone(expires)).
			With("Expires", end.Format(time.RFC3339)).With("ServerTime", now.UTC().Format(time.RFC3339))
	}
	return nil
}

// parseTime reads 20060102T150405Z and nothing else.
func parseTime(s string) (time.Time, bool) {
	if len(s) != len(timeFormat) || s[8] != 'T' || s[15] != 'Z' {
		return time.Time{}, false
	}
	num := func(from, to int) int {
		n := 0
		for _, c := range []byte(s[from:to]) {
			if c < '0' || c > '9' {
				return -1
			}
			n = 10*n + int(c-'0')
		}
		return n
	}
	y, mo, d := num(0, 4), num(4, 6), num(6, 8)
	h, mi, sec := num(9, 11), num(11, 13), num(13, 15)
	if min(y, mo, d, h, mi, sec) < 0 || mo < 1 || mo > 12 || d < 1 || h > 23 || mi > 59 || sec > 59 {
		return time.Time{}, false
	}
	t := time.Date(y, time.Month(mo), d, h, mi, sec, 0, time.UTC)
	return t, t.Day() == d // the day exists in that month
}

// parseHTTPDate reads a Date header: RFC 1123, or ISO 8601 basic, which AWS takes there too.
func parseHTTPDate(s string) (time.Time, bool) {
	if t, ok := parseTime(s); ok {
		return t, true
	}
	for _, layout := range []string{time.RFC1123, time.RFC1123Z, time.RFC850, time.ANSIC} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// trim drops blanks at both ends.
func trim(s string) string { return strings.Trim(s, " \t") }

// lowerToken reports whether s can be the lower-case name of a header.
func lowerToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || c >= 'A' && c <= 'Z' || c == ':' || c == ',' {
			return false
		}
	}
	return true
}
