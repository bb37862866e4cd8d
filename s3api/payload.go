package s3api

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"io"
	"strconv"

	"holdfast/actors/ondisk"
	"holdfast/s3api/s3err"
	"holdfast/s3api/sigv4"
)

// payload is the body of a request without its framing, and everything the client said about it
// that has to prove true before the body may become an object. It is not used again after its
// request, unlike the call: a reader that outlives its handler must not meet another body.
type payload struct {
	wire wireBody
	body *sigv4.Body
	size int64 // plain bytes

	md5 []byte // Content-MD5, or nil
	sum bodySum
	big bool // a document that holds one of the few places for big ones
}

// openPayload checks what the head says about the body. Nothing is read yet.
func (c *call) openPayload() error {
	if c.route.body == bodyNone {
		return nil
	}
	auth, length := &c.who.auth, c.req.length
	switch {
	case length == lengthMissing && c.route.body != bodyObject:
		length = 0
	case length == lengthMissing, length == lengthChunked && !auth.Payload.Chunked():
		return s3err.MissingContentLength
	}
	p := &payload{size: length}
	if auth.Payload.Chunked() {
		p.size = auth.DecodedLength
	}
	if c.route.body == bodyObject && p.size > c.srv.limits.MaxPut {
		return s3err.EntityTooLarge.With("ProposedSize", strconv.FormatInt(p.size, 10)).
			With("MaxSizeAllowed", strconv.FormatInt(c.srv.limits.MaxPut, 10))
	}
	if c.route.limit > 0 && p.size > c.route.limit {
		return s3err.MaxMessageLengthExceeded.With("MaxMessageLengthBytes", strconv.FormatInt(c.route.limit, 10))
	}
	if c.req.has("content-md5") {
		sum, err := base64.StdEncoding.DecodeString(c.req.get("content-md5"))
		if err != nil || len(sum) != md5.Size {
			return s3err.InvalidDigest
		}
		p.md5 = sum
	}
	var err error
	if c.route.body != bodyCompletion {
		if p.sum, err = claimedSum(&c.req, auth.Trailers); err != nil {
			return err
		}
	}
	p.wire.attach(c.rc, c.req.length, c.srv.pace, c.srv.relief, c.start)
	p.body = auth.NewBody(&p.wire, length)
	c.load = p
	return nil
}

// Read reads plain bytes. A body that is not what its signature or its framing said ends in an
// error instead of io.EOF.
func (p *payload) Read(b []byte) (int, error) {
	n, err := p.body.Read(b)
	p.sum.write(b[:n])
	return n, err
}

// verify compares the whole body, read to its end, with what the client said of it. etag is the
// hex MD5 of the bytes. It returns the additional checksum, if one was given.
func (p *payload) verify(etag string) ([]ondisk.Checksum, error) {
	if err := p.body.Finish(); err != nil {
		return nil, err
	}
	if p.md5 != nil && hex.EncodeToString(p.md5) != etag {
		return nil, s3err.BadDigest.With("ExpectedDigest", hex.EncodeToString(p.md5)).With("CalculatedDigest", etag)
	}
	return p.sum.verify(p.body)
}

// Documents are read whole, so only a few of the big ones may be in memory at the same time.
const (
	bigDocument  = 256 << 10
	bigDocuments = 8
)

// document is readAll where nothing is no document.
func (c *call) document() ([]byte, error) {
	body, err := c.readAll()
	if err == nil && len(body) == 0 {
		err = s3err.MissingRequestBodyError
	}
	return body, err
}

// readAll reads and verifies a document, whose size openPayload has limited.
func (c *call) readAll() ([]byte, error) {
	p := c.load
	if p.size > bigDocument {
		if !c.srv.documents.take(c.ctx) {
			return nil, errOverload
		}
		p.big = true // until the call ends
	}
	body := make([]byte, p.size)
	if _, err := io.ReadFull(p, body); err != nil {
		return nil, err
	}
	etag := ""
	if p.md5 != nil {
		sum := md5.Sum(body)
		etag = hex.EncodeToString(sum[:])
	}
	_, err := p.verify(etag)
	return body, err
}
