package sigv4

import (
	"encoding/hex"
)

// Payload says how a request's body is signed.
type Payload uint8

const (
	// PayloadSHA256 is a body whose SHA-256 stands in the signed request.
	PayloadSHA256 Payload = iota + 1
	// PayloadUnsigned is a body that the signature does not cover.
	PayloadUnsigned
	// PayloadStreamSigned is aws-chunked, each chunk signed.
	PayloadStreamSigned
	// PayloadStreamSignedTrailer is aws-chunked, each chunk and the trailer signed.
	PayloadStreamSignedTrailer
	// PayloadStreamUnsignedTrailer is aws-chunked without signatures, with a trailer.
	PayloadStreamUnsignedTrailer
)

// Values of x-amz-content-sha256 other than a digest.
const (
	UnsignedPayload       = "UNSIGNED-PAYLOAD"
	StreamSigned          = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	StreamSignedTrailer   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	StreamUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	// EmptySHA256 is the digest of no bytes.
	EmptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// Chunked reports whether the body is framed as aws-chunked.
func (p Payload) Chunked() bool { return p >= PayloadStreamSigned }

// Trailer reports whether the body ends in a trailer.
func (p Payload) Trailer() bool {
	return p == PayloadStreamSignedTrailer || p == PayloadStreamUnsignedTrailer
}

// String is the value of x-amz-content-sha256; a digest reads as "SHA256".
func (p Payload) String() string {
	switch p {
	case PayloadSHA256:
		return "SHA256"
	case PayloadUnsigned:
		return UnsignedPayload
	case PayloadStreamSigned:
		return StreamSigned
	case PayloadStreamSignedTrailer:
		return StreamSignedTrailer
	case PayloadStreamUnsignedTrailer:
		return StreamUnsignedTrailer
	}
	return "invalid"
}

// parsePayload reads a value of x-amz-content-sha256.
func parsePayload(s string) (p Payload, sum [32]byte, ok bool) {
	switch s {
	case UnsignedPayload:
		return PayloadUnsigned, sum, true
	case StreamSigned:
		return PayloadStreamSigned, sum, true
	case StreamSignedTrailer:
		return PayloadStreamSignedTrailer, sum, true
	case StreamUnsignedTrailer:
		return PayloadStreamUnsignedTrailer, sum, true
	}
	if len(s) != 2*len(sum) {
		return 0, sum, false
	}
	for i := range sum {
		hi, lo := unhex[s[2*i]], unhex[s[2*i+1]]
		if hi > 15 || lo > 15 {
			return 0, sum, false
		}
		sum[i] = hi<<4 | lo
	}
	return PayloadSHA256, sum, true
}

// PayloadHash is the value of x-amz-content-sha256 for a body with this digest.
func PayloadHash(sum [32]byte) string { return hex.EncodeToString(sum[:]) }
