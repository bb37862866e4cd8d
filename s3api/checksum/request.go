package checksum

import (
	"bytes"
	"slices"
	"strings"

	"holdfast/actors/ondisk"
	"holdfast/s3api/s3err"
)

// Expected is what a request says about the checksum of its body.
type Expected struct {
	Algo ondisk.ChecksumAlgo // 0 = nothing was said
	// Value is the announced checksum; nil while it is still to come in the trailer.
	Value []byte
}

// FromRequest reads x-amz-checksum-*, x-amz-sdk-checksum-algorithm and the declared trailers of an
// upload. header returns a header's first value. Errors are those of s3err.
func FromRequest(header func(name string) (string, bool), trailers []string) (Expected, error) {
	var e Expected
	for _, name := range trailers {
		if _, ok := ParseHeader(name); !ok { // x-amz-checksum-type and its like are no checksums
			return Expected{}, s3err.InvalidRequest.Msg("The value specified in the x-amz-trailer header is not supported")
		}
	}
	for _, a := range Algorithms() {
		value, inHeader := header(Header(a))
		inTrailer := slices.Contains(trailers, Header(a))
		if !inHeader && !inTrailer {
			continue
		}
		if e.Algo != 0 || inHeader && inTrailer {
			return Expected{}, severalSums()
		}
		e.Algo = a
		if inHeader {
			var err error
			if e.Value, err = Decode(a, value); err != nil {
				return Expected{}, Malformed(a)
			}
		}
	}
	name, ok := header("x-amz-sdk-checksum-algorithm")
	if !ok || name == "" {
		return e, nil
	}
	a, ok := Parse(name)
	switch {
	case !ok:
		return Expected{}, s3err.InvalidRequest.Msg("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
	case e.Algo == 0:
		return Expected{}, s3err.InvalidRequest.Msg("x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.")
	case a != e.Algo:
		return Expected{}, s3err.InvalidRequest.Msg("Value for x-amz-sdk-checksum-algorithm header is invalid.")
	}
	return e, nil
}

// Claim is what a CompleteMultipartUpload request says about the checksum of the object.
type Claim struct {
	Algo  ondisk.ChecksumAlgo // 0 = nothing was said
	Value []byte
	Parts int // behind a composite checksum; 0 = not said
}

// FromCompletion reads the x-amz-checksum-* headers of a CompleteMultipartUpload. header returns a
// header's first value. Errors are those of s3err.
func FromCompletion(header func(name string) (string, bool)) (Claim, error) {
	var c Claim
	for _, a := range Algorithms() {
		text, ok := header(Header(a))
		if !ok {
			continue
		}
		if c.Algo != 0 {
			return Claim{}, severalSums()
		}
		var err error
		if c.Value, c.Parts, err = DecodeObject(a, text); err != nil {
			return Claim{}, Malformed(a)
		}
		c.Algo = a
	}
	return c, nil
}

func severalSums() error {
	return s3err.InvalidRequest.Msg("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
}

// Known refuses a header that announces a checksum of an algorithm that is not here: a client that
// sends one relies on its being checked.
func Known(header string) error {
	algo, found := strings.CutPrefix(header, "x-amz-checksum-")
	if !found || algo == "algorithm" || algo == "type" || algo == "mode" {
		return nil
	}
	if _, ok := Parse(algo); !ok {
		return s3err.InvalidRequest.Msg("The algorithm type you specified in x-amz-checksum- header is invalid.")
	}
	return nil
}

// FromTrailer completes e with the value that came behind the body.
func (e *Expected) FromTrailer(value string, ok bool) error {
	if e.Algo == 0 || e.Value != nil {
		return nil
	}
	if !ok {
		return s3err.MalformedTrailerError
	}
	v, err := Decode(e.Algo, value)
	if err != nil {
		return Malformed(e.Algo)
	}
	e.Value = v
	return nil
}

// Check compares the announced value with the computed one; AWS answers BadDigest.
func (e *Expected) Check(computed []byte) error {
	if e.Value == nil || bytes.Equal(e.Value, computed) {
		return nil
	}
	return Mismatch(e.Algo)
}

// Mismatch is the error of a body that does not have the announced checksum.
func Mismatch(a ondisk.ChecksumAlgo) error {
	return s3err.BadDigest.Msg("The %s you specified did not match the calculated checksum.", Name(a))
}

// Malformed is the error of a text that no body can have as its checksum. It is BadDigest like any
// other wrong checksum, which is what ceph/s3-tests asks for; AWS's InvalidRequest has the same status.
func Malformed(a ondisk.ChecksumAlgo) error {
	return s3err.BadDigest.Msg("The %s you specified is not valid: value for %s header is invalid.", Name(a), Header(a))
}
