package sigv4

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"io"

	"holdfast/s3api/s3err"
)

// Body is a request's body with framing taken off and its signatures checked.
//
// Bytes are handed out as they arrive, so what was read is not to be believed until the end: a
// body that is cut, changed, reordered or of another length than declared ends in an error instead
// of io.EOF. Where the length is known (always, for chunked bodies) the last byte is kept back
// until everything behind it is checked, so that a reader who stops at the declared length cannot
// miss the verdict. Finish says the same once more; nothing may become visible unless it is nil.
type Body struct {
	src       io.Reader
	remaining int64 // plain bytes not yet handed out; -1 = until EOF
	size      int64
	err       error // what all further reads answer; io.EOF = the body is whole and good

	sum   hash.Hash // digest of the whole body, or nil
	want  [sha256.Size]byte
	given *[sha256.Size]byte // from Delegate

	chunks *chunkReader // nil for a plain body
}

// NewBody returns the body of an authorized request. src yields the bytes behind the request's
// head, with HTTP's own framing taken off; length is Content-Length, -1 when it was not given. The
// caller keeps src until the Body is done with.
func (a *Auth) NewBody(src io.Reader, length int64) *Body {
	b := &Body{src: src, remaining: length, size: length}
	switch {
	case a.Payload.Chunked():
		b.remaining, b.size = a.DecodedLength, a.DecodedLength
		b.chunks = newChunkReader(src, a)
	case a.Payload == PayloadSHA256:
		b.sum, b.want = sha256.New(), a.SHA256
	}
	return b
}

// Delegate leaves the SHA-256 of a body signed as a whole to the reader, who may have to go through
// the bytes anyway and must store it behind the pointer before Finish; nil when none is needed. It
// is called before the first Read. Of such a body reading says nothing any more: Finish alone
// tells whether it is good, and does not take a digest that was never stored for one.
func (b *Body) Delegate() *[sha256.Size]byte {
	if b.sum == nil {
		return nil
	}
	b.sum, b.given = nil, new([sha256.Size]byte)
	return b.given
}

// Size is the number of plain bytes, -1 when it is not known before the end.
func (b *Body) Size() int64 { return b.size }

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.remaining == 0 {
		b.err = b.end()
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.remaining > 0 && int64(len(p)) > b.remaining {
		p = p[:b.remaining]
	}
	n, err := b.next(p)
	if b.sum != nil {
		b.sum.Write(p[:n])
	}
	if b.remaining > 0 {
		b.remaining -= int64(n)
	}
	switch {
	case b.remaining == 0:
		if b.err = b.end(); b.err != io.EOF {
			return 0, b.err
		}
		return n, nil
	case err == io.EOF && b.remaining < 0:
		if b.err = b.end(); b.err != io.EOF {
			return 0, b.err
		}
		return n, io.EOF
	case err != nil:
		b.err = sourceError(err)
		return 0, b.err
	}
	return n, nil
}

func (b *Body) next(p []byte) (int, error) {
	if b.chunks != nil {
		return b.chunks.read(p)
	}
	return b.src.Read(p)
}

// end checks what follows the last byte and returns io.EOF when all is well.
func (b *Body) end() error {
	if b.chunks != nil {
		if err := b.chunks.end(); err != nil {
			return sourceError(err)
		}
	}
	if b.sum != nil {
		if err := b.compare([sha256.Size]byte(b.sum.Sum(nil))); err != nil {
			return err
		}
	}
	return io.EOF
}

func (b *Body) compare(got [sha256.Size]byte) error {
	if subtle.ConstantTimeCompare(got[:], b.want[:]) == 1 {
		return nil
	}
	return s3err.XAmzContentSHA256Mismatch.
		With("ClientComputedContentSHA256", PayloadHash(b.want)).
		With("S3ComputedContentSHA256", PayloadHash(got))
}

// Finish returns nil when the whole body was read and found good. For a body of no bytes it reads
// what is left of the framing.
func (b *Body) Finish() error {
	if b.err == nil && b.remaining == 0 {
		b.err = b.end()
	}
	switch {
	case b.err == io.EOF && b.given != nil:
		return b.compare(*b.given)
	case b.err == io.EOF:
		return nil
	case b.err == nil:
		return fmt.Errorf("request body has %d bytes unread: %w", b.remaining, s3err.IncompleteBody)
	}
	return b.err
}

// Trailers are the headers behind a chunked body, in their order, names in lower case. There are
// none before the last byte was handed out.
func (b *Body) Trailers() []Header {
	if b.chunks == nil || b.err != io.EOF {
		return nil
	}
	return b.chunks.trailers
}

// Trailer returns the value of a trailer.
func (b *Body) Trailer(name string) (value string, ok bool) {
	for _, h := range b.Trailers() {
		if h.Name == name {
			return h.Value, true
		}
	}
	return "", false
}

// sourceError makes IncompleteBody of an early end; other faults keep their identity.
func sourceError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return s3err.IncompleteBody.Because(io.ErrUnexpectedEOF)
	}
	var e *s3err.Error
	var c s3err.Code
	if errors.As(err, &e) || errors.As(err, &c) {
		return err
	}
	return fmt.Errorf("read request body: %w", err)
}
