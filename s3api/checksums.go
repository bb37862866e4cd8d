package s3api

import (
	"hash"

	"holdfast/actors/ondisk"
	"holdfast/s3api/checksum"
	"holdfast/s3api/s3xml"
	"holdfast/s3api/sigv4"
)

// bodySum computes the additional checksum of a body while it is read, and compares it with what
// the client says: in a header, or in the trailer behind an aws-chunked body.
type bodySum struct {
	want checksum.Expected
	hash hash.Hash // nil: no checksum is wanted
	own  bool      // nobody announced it: there is nothing to compare with
}

// claimedSum reads what a request says about the checksum of its body.
func claimedSum(r *request, trailers []string) (bodySum, error) {
	if err := knownSums(r); err != nil {
		return bodySum{}, err
	}
	want, err := checksum.FromRequest(r.Header, trailers)
	if err != nil || want.Algo == 0 {
		return bodySum{}, err
	}
	return bodySum{want: want, hash: checksum.New(want.Algo)}, nil
}

// claimedObjectSum reads what a CompleteMultipartUpload says about the checksum of the object.
func claimedObjectSum(r *request) (checksum.Claim, error) {
	if err := knownSums(r); err != nil {
		return checksum.Claim{}, err
	}
	return checksum.FromCompletion(r.Header)
}

// knownSums refuses checksums of algorithms that are not here.
func knownSums(r *request) error {
	for i := range r.Headers {
		if err := checksum.Known(r.Headers[i].Name); err != nil {
			return err
		}
	}
	return nil
}

// computedSum is a checksum that the client leaves to the server.
func computedSum(algo ondisk.ChecksumAlgo) bodySum {
	return bodySum{want: checksum.Expected{Algo: algo}, hash: checksum.New(algo), own: true}
}

func (s *bodySum) write(b []byte) {
	if s.hash != nil {
		s.hash.Write(b)
	}
}

// verify is called when the whole body was read.
func (s *bodySum) verify(body *sigv4.Body) ([]ondisk.Checksum, error) {
	if s.hash == nil {
		return nil, nil
	}
	if !s.own {
		value, ok := body.Trailer(checksum.Header(s.want.Algo))
		if err := s.want.FromTrailer(value, ok); err != nil {
			return nil, err
		}
	}
	got := s.hash.Sum(nil)
	if err := s.want.Check(got); err != nil {
		return nil, err
	}
	return []ondisk.Checksum{{Algo: s.want.Algo, Value: got}}, nil
}

// checksumHeaders shows the additional checksums of an object.
func (c *call) checksumHeaders(sums []ondisk.Checksum, parts int) {
	for i := range sums {
		c.header(checksum.Header(sums[i].Algo), checksum.Format(sums[i], parts))
		c.header("x-amz-checksum-type", checksum.TypeName(sums[i].Composite))
	}
}

// shownSums are additional checksums as documents show them, with their type.
func shownSums(sums []ondisk.Checksum, parts int) (shown []s3xml.Checksum, kind string) {
	for i := range sums {
		shown = append(shown, s3xml.Checksum{Algo: checksum.Name(sums[i].Algo), Value: checksum.Format(sums[i], parts)})
		kind = checksum.TypeName(sums[i].Composite)
	}
	return shown, kind
}
