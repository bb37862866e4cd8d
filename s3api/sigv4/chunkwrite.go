package sigv4

import (
	"crypto/sha256"
	"strconv"
)

// ChunkEncoder puts aws-chunked framing on a body: the client's side of Body.
type ChunkEncoder struct {
	seed   Seed // moves along the chain; its key is nil for unsigned chunks
	toSign []byte
}

// SignedChunks returns an encoder whose chunks continue the chain of a request that was signed
// with StreamSigned or StreamSignedTrailer.
func SignedChunks(seed Seed) *ChunkEncoder { return &ChunkEncoder{seed: seed} }

// UnsignedChunks returns an encoder for StreamUnsignedTrailer.
func UnsignedChunks() *ChunkEncoder { return &ChunkEncoder{} }

// AppendChunk appends one chunk. data must not be empty: that is what AppendEnd writes.
func (e *ChunkEncoder) AppendChunk(dst, data []byte) []byte {
	dst = e.appendHeader(dst, data)
	dst = append(dst, data...)
	return append(dst, '\r', '\n')
}

// AppendEnd appends the final chunk and, when withTrailer says that the request announced one, the trailer.
func (e *ChunkEncoder) AppendEnd(dst []byte, withTrailer bool, trailers ...Header) []byte {
	dst = e.appendHeader(dst, nil)
	if withTrailer {
		var canonical []byte
		for _, h := range trailers {
			dst = append(append(append(append(dst, h.Name...), ':'), h.Value...), "\r\n"...)
			canonical = append(append(append(append(canonical, h.Name...), ':'), h.Value...), '\n')
		}
		if e.seed.key != nil {
			sum := sha256.Sum256(canonical)
			e.toSign = appendTrailerToSign(e.toSign[:0], e.seed.key, e.seed.date, &e.seed.sig, sum[:])
			e.seed.sig = e.seed.key.sign(e.toSign)
			dst = append(dst, trailerSignature+":"...)
			dst = append(append(dst, e.seed.sig[:]...), "\r\n"...)
		}
	}
	return append(dst, '\r', '\n')
}

func (e *ChunkEncoder) appendHeader(dst, data []byte) []byte {
	dst = strconv.AppendInt(dst, int64(len(data)), 16)
	if e.seed.key != nil {
		sum := sha256.Sum256(data)
		e.toSign = appendChunkToSign(e.toSign[:0], e.seed.key, e.seed.date, &e.seed.sig, sum[:])
		e.seed.sig = e.seed.key.sign(e.toSign)
		dst = append(dst, ";"+signaturePrefix...)
		dst = append(dst, e.seed.sig[:]...)
	}
	return append(dst, '\r', '\n')
}
