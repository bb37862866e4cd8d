package s3api

import (
	"holdfast/s3api/s3err"
	"holdfast/s3api/sigv4"
)

// Principal is who signed a request. Only authenticate makes one; its zero value is nobody.
type Principal struct {
	auth sigv4.Auth
	root bool
}

// accessKey is the access key that signed.
func (p *Principal) accessKey() string { return p.auth.AccessKey }

// authenticate is the one place where a Principal comes from.
func (s *Server) authenticate(req *request) (Principal, error) {
	auth, err := s.verifier.Verify(&req.Request)
	if err != nil {
		return Principal{}, err
	}
	cred, ok := s.opts.Control.Credential(auth.AccessKey)
	if !ok { // removed since the signature was checked
		return Principal{}, s3err.InvalidAccessKeyId
	}
	return Principal{auth: auth, root: cred.Root}, nil
}

// authorize decides whether the principal may do what the route does. Until there are policies
// only the root credentials may do anything; the route's IAM action is what policies will name.
func (s *Server) authorize(who *Principal, _ *route) error {
	if who.root {
		return nil
	}
	return s3err.AccessDenied
}

// signed says whether the request carries anything that looks like a signature.
func (c *call) signed() bool {
	_, presigned := c.req.Param("X-Amz-Signature")
	return presigned || c.req.has("authorization")
}
