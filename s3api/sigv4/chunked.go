package sigv4

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"slices"
	"strings"

	"holdfast/s3api/s3err"
)

// The framing of aws-chunked:
//
//	signed    HEX;chunk-signature=64HEX CRLF data CRLF ... 0;chunk-signature=64HEX CRLF
//	unsigned  HEX CRLF data CRLF ... 0 CRLF
//	then      CRLF                                              without trailer
//	          name:value CRLF ... CRLF                          unsigned trailer
//	          name:value CRLF ... x-amz-trailer-signature:64HEX CRLF CRLF
//
// Lines of a trailer may end in LF alone, an empty line may stand before the trailer's signature
// (AWS's own example has both) and one more CRLF may follow an unsigned trailer (minio-go).
const (
	// chunkBufferSize is the read buffer; it also bounds a trailer line.
	chunkBufferSize = 4 << 10
	// maxChunkHeader bounds a chunk's header line: 16 digits, the signature, and some slack.
	maxChunkHeader = 128
	// maxTrailerBytes bounds all trailer lines together.
	maxTrailerBytes = 4 << 10
	// maxChunkDigits keeps a chunk's length below 2^63.
	maxChunkDigits = 15

	signaturePrefix  = "chunk-signature="
	trailerSignature = "x-amz-trailer-signature"
)

// chunkReader takes the framing off. Chunks of any size are taken: AWS asks for 8 KiB at least in
// all but the last, but several clients send smaller ones and nothing depends on it.
type chunkReader struct {
	src      io.Reader
	srcErr   error // the source's last word
	start    int   // buf[start:end] is read ahead
	bufEnd   int
	left     int64 // data bytes left in the current chunk
	total    int64 // data bytes not yet announced by a chunk header
	signed   bool
	trailer  bool
	declared []string
	trailers []Header

	// Only for signed chunks.
	key      *signingKey
	date     string
	previous signature
	claimed  signature
	sum      hash.Hash
	digest   [sha256.Size]byte
	toSign   []byte

	buf [chunkBufferSize]byte
}

func newChunkReader(src io.Reader, a *Auth) *chunkReader {
	c := &chunkReader{src: src, total: a.DecodedLength, trailer: a.Payload.Trailer(), declared: a.Trailers}
	if a.Payload != PayloadStreamUnsignedTrailer {
		c.signed, c.key, c.date, c.previous = true, a.key, a.date, a.seed
		c.sum = sha256.New()
	}
	return c
}

func malformedChunk(why string) error {
	return s3err.InvalidRequest.Msg("The aws-chunked encoding of the body is malformed: %s.", why)
}

// read hands out data of the current chunk. It must not be called when all data was read.
func (c *chunkReader) read(p []byte) (int, error) {
	if c.left == 0 {
		size, err := c.header()
		if err != nil {
			return 0, err
		}
		if size == 0 || size > c.total {
			return 0, s3err.IncompleteBody.Msg("The chunks do not hold the number of bytes specified by x-amz-decoded-content-length.")
		}
		c.left, c.total = size, c.total-size
	}
	p = p[:min(int64(len(p)), c.left)]
	n, err := c.data(p)
	if n == 0 {
		return 0, err
	}
	if c.signed {
		c.sum.Write(p[:n])
	}
	c.left -= int64(n)
	if c.left > 0 {
		return n, nil // an error of the source comes again, see readSource
	}
	if err := c.expectCRLF(); err != nil {
		return 0, err
	}
	if err := c.verifyChunk(); err != nil {
		return 0, err
	}
	return n, nil
}

// end reads the final chunk, the trailer and the end of the source.
func (c *chunkReader) end() error {
	size, err := c.header()
	if err != nil {
		return err
	}
	if size != 0 {
		return s3err.IncompleteBody.Msg("The chunks hold more bytes than x-amz-decoded-content-length specifies.")
	}
	if err := c.verifyChunk(); err != nil {
		return err
	}
	if !c.trailer {
		err = c.expectCRLF()
	} else {
		err = c.readTrailer()
	}
	if err != nil {
		return err
	}
	return c.expectEOF()
}

// header reads a chunk's header line and remembers the signature it claims.
func (c *chunkReader) header() (int64, error) {
	line, err := c.line(maxChunkHeader)
	if err != nil {
		return 0, err
	}
	line, ok := bytes.CutSuffix(line, []byte("\r"))
	if !ok {
		return 0, malformedChunk("a chunk header must end in CRLF")
	}
	digits, ext, hasExt := bytes.Cut(line, []byte(";"))
	if len(digits) == 0 || len(digits) > maxChunkDigits {
		return 0, malformedChunk("bad chunk size")
	}
	var size int64
	for _, d := range digits {
		v := unhex[d]
		if v > 15 {
			return 0, malformedChunk("bad chunk size")
		}
		size = size<<4 | int64(v)
	}
	if !c.signed {
		if hasExt {
			return 0, malformedChunk("an unsigned chunk cannot have extensions")
		}
		return size, nil
	}
	sig, ok := bytes.CutPrefix(ext, []byte(signaturePrefix))
	if !ok || len(sig) != len(c.claimed) {
		return 0, malformedChunk("a chunk has no signature")
	}
	copy(c.claimed[:], sig)
	return size, nil
}

// verifyChunk compares the signature of the data since the last call with the claimed one.
func (c *chunkReader) verifyChunk() error {
	if !c.signed {
		return nil
	}
	c.toSign = appendChunkToSign(c.toSign[:0], c.key, c.date, &c.previous, c.sum.Sum(c.digest[:0]))
	c.sum.Reset()
	return c.verifyNext()
}

// verifyNext moves the chain on by c.toSign.
func (c *chunkReader) verifyNext() error {
	got := c.key.sign(c.toSign)
	if subtle.ConstantTimeCompare(got[:], c.claimed[:]) != 1 {
		return s3err.SignatureDoesNotMatch.With("AWSAccessKeyId", c.key.accessKey).
			With("StringToSign", string(c.toSign)).With("SignatureProvided", string(c.claimed[:]))
	}
	c.previous = got
	return nil
}

func appendChunkToSign(dst []byte, k *signingKey, date string, previous *signature, sum []byte) []byte {
	dst = append(dst, "AWS4-HMAC-SHA256-PAYLOAD\n"...)
	dst = append(dst, date...)
	dst = k.scope.append(append(dst, '\n'))
	dst = append(append(dst, '\n'), previous[:]...)
	dst = append(dst, "\n"+EmptySHA256+"\n"...)
	return hex.AppendEncode(dst, sum)
}

func appendTrailerToSign(dst []byte, k *signingKey, date string, previous *signature, sum []byte) []byte {
	dst = append(dst, "AWS4-HMAC-SHA256-TRAILER\n"...)
	dst = append(dst, date...)
	dst = k.scope.append(append(dst, '\n'))
	dst = append(append(dst, '\n'), previous[:]...)
	return hex.AppendEncode(append(dst, '\n'), sum)
}

// readTrailer reads trailer lines up to the empty one.
func (c *chunkReader) readTrailer() error {
	var canonical []byte
	total, sawEmpty, sawSignature := 0, false, false
	for {
		line, err := c.line(chunkBufferSize)
		if err != nil {
			if errors.Is(err, errLineTooLong) {
				return s3err.MalformedTrailerError
			}
			return err
		}
		if total += len(line) + 1; total > maxTrailerBytes {
			return s3err.MalformedTrailerError
		}
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			if c.signed && !sawSignature && !sawEmpty {
				sawEmpty = true
				continue
			}
			break
		}
		name, value, ok := strings.Cut(string(line), ":")
		name, value = strings.ToLower(trim(name)), trim(value)
		switch {
		case !ok || sawSignature || strings.ContainsRune(value, '\r'):
			return s3err.MalformedTrailerError
		case c.signed && name == trailerSignature:
			if len(value) != len(c.claimed) {
				return s3err.MalformedTrailerError
			}
			copy(c.claimed[:], value)
			sawSignature = true
			continue
		case sawEmpty || !slices.Contains(c.declared, name) || c.hasTrailer(name):
			return s3err.MalformedTrailerError
		}
		c.trailers = append(c.trailers, Header{name, value})
		canonical = append(append(append(append(canonical, name...), ':'), value...), '\n')
	}
	if len(c.trailers) != len(c.declared) || c.signed != sawSignature {
		return s3err.MalformedTrailerError
	}
	if !c.signed {
		return nil
	}
	sum := sha256.Sum256(canonical)
	c.toSign = appendTrailerToSign(c.toSign[:0], c.key, c.date, &c.previous, sum[:])
	return c.verifyNext()
}

func (c *chunkReader) hasTrailer(name string) bool {
	return slices.ContainsFunc(c.trailers, func(h Header) bool { return h.Name == name })
}

// line returns the next line without its LF; it is valid until the next read.
func (c *chunkReader) line(limit int) ([]byte, error) {
	for seen := 0; ; {
		have := c.buf[c.start:c.bufEnd]
		if i := bytes.IndexByte(have[seen:], '\n'); i >= 0 {
			if seen+i >= limit {
				return nil, errLineTooLong
			}
			c.start += seen + i + 1
			return have[:seen+i], nil
		}
		if seen = len(have); seen >= limit {
			return nil, errLineTooLong
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

func (c *chunkReader) expectCRLF() error {
	for c.bufEnd-c.start < 2 {
		if err := c.fill(); err != nil {
			return err
		}
	}
	if c.buf[c.start] != '\r' || c.buf[c.start+1] != '\n' {
		return malformedChunk("CRLF expected")
	}
	c.start += 2
	return nil
}

// expectEOF refuses bytes behind the end, so that what is verified is all that was sent.
func (c *chunkReader) expectEOF() error {
	allowed := ""
	if c.trailer && !c.signed {
		allowed = "\r\n"
	}
	for {
		if rest := c.buf[c.start:c.bufEnd]; len(rest) > len(allowed) || string(rest) != allowed[:len(rest)] {
			return malformedChunk("bytes behind the last chunk")
		}
		if err := c.fill(); err == io.EOF {
			if rest := c.bufEnd - c.start; rest != 0 && rest != len(allowed) {
				return malformedChunk("bytes behind the last chunk")
			}
			return nil
		} else if err != nil {
			return err
		}
	}
}

// data copies from the buffer, or reads past it when much is wanted.
func (c *chunkReader) data(p []byte) (int, error) {
	if c.start == c.bufEnd {
		if len(p) >= chunkBufferSize {
			return c.readSource(p)
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.buf[c.start:c.bufEnd])
	c.start += n
	return n, nil
}

// fill reads at least one byte more. The buffer must not be full of unread bytes.
func (c *chunkReader) fill() error {
	if c.start > 0 {
		c.bufEnd = copy(c.buf[:], c.buf[c.start:c.bufEnd])
		c.start = 0
	}
	for range 100 {
		n, err := c.readSource(c.buf[c.bufEnd:])
		c.bufEnd += n
		if n > 0 {
			return nil // an error comes again with the next read
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// readSource remembers an error that came together with bytes.
func (c *chunkReader) readSource(p []byte) (int, error) {
	if c.srcErr != nil {
		return 0, c.srcErr
	}
	n, err := c.src.Read(p)
	c.srcErr = err
	return n, err
}
