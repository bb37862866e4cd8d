package s3api

import (
	"strings"

	"holdfast/s3api/checksum"
	"holdfast/s3api/s3err"
	"holdfast/s3api/sigv4"
)

// hoist makes headers of the x-amz-* parameters of a presigned request: SDKs sign them into the link,
// so that whoever uses it need not send them. It is called once the signature was checked and before
// anything else looks at headers. Names are lower case afterwards. A parameter that says something
// else than a header, or than another parameter, of its name is an InvalidRequest.
func (r *request) hoist() error {
	for i := range r.Params {
		p := &r.Params[i]
		if len(p.Name) <= len(amzPrefix) || !strings.EqualFold(p.Name[:len(amzPrefix)], amzPrefix) {
			continue
		}
		name, value := strings.ToLower(p.Name), strings.Trim(p.Value, " \t")
		switch name {
		case "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature",
			"x-amz-security-token", "x-amz-content-sha256":
			continue // of the signature itself
		case "x-amz-sdk-checksum-algorithm":
			continue // only says which header an SDK is going to compute
		case "x-amz-trailer", "x-amz-decoded-content-length":
			return s3err.InvalidRequest.Msg("%s must be sent as a header: a link cannot know how its body will be framed.", name).
				With("ArgumentName", name)
		}
		if !headerName(name) || !headerSafe(value) {
			return s3err.InvalidArgument.Msg("The query parameter %q cannot stand for a header.", name).
				With("ArgumentName", name).With("ArgumentValue", value)
		}
		if sumOfNothing(name, value) {
			continue
		}
		same, other := 0, false
		for j := range r.Headers {
			if r.Headers[j].Name == name {
				same, other = same+1, other || r.Headers[j].Value != value
			}
		}
		if other {
			return s3err.InvalidRequest.Msg("The query parameter %s contradicts another one or the header of that name.", name).
				With("ArgumentName", name).With("ArgumentValue", value)
		}
		if same == 0 {
			r.Headers = append(r.Headers, sigv4.Header{Name: name, Value: value})
		}
	}
	return nil
}

const amzPrefix = "x-amz-"

// sumOfNothing recognises the checksum of no bytes, which SDKs sign into links whose body they do not
// know. It says nothing about the body that comes.
func sumOfNothing(name, value string) bool {
	algo, ok := checksum.ParseHeader(name)
	if !ok {
		return false
	}
	sum, err := checksum.Decode(algo, value)
	return err == nil && string(sum) == string(checksum.New(algo).Sum(nil))
}

// headerName says whether a string from a query can be the name of a header (RFC 9110, token).
func headerName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
