package s3api

import (
	"context"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
	"holdfast/s3api/s3err"
	"holdfast/s3api/sigv4"
)

// call is one request on its way through the pipeline, and what its handler works with. It lives
// from the first byte of the request to the last of the answer and is then used again.
type call struct {
	srv   *Server
	rc    *fasthttp.RequestCtx
	ctx   context.Context
	start time.Time
	id    string
	req   request
	addr  address
	route *route
	who   Principal
	load  *payload // nil: the request has no body, or none that its route wants

	counted  bool // in the in-flight gauge, holding a slot
	lost     bool // the connection was cut before the request was there
	streamed bool // the answer is a stream: the call ends when that is closed
	answer   answer
	status   int
	sent     int64
	received int64
	err      *s3err.Error

	errHeaders []sigv4.Header // headers of the error answer
}

// header sets a header of the answer; name is sent exactly as written.
func (c *call) header(name, value string) { c.rc.Response.Header.Set(name, value) }

// headerInt sets a numeric header of the answer.
func (c *call) headerInt(name string, v int64) { c.header(name, strconv.FormatInt(v, 10)) }

// empty answers with a status and no body.
func (c *call) empty(status int) { c.rc.SetStatusCode(status) }

// text answers with a short text.
func (c *call) text(status int, body string) { c.bytes(status, textPlain, []byte(body)) }

// bytes answers with body, which must not change any more.
func (c *call) bytes(status int, contentType string, body []byte) {
	c.rc.SetStatusCode(status)
	c.rc.Response.Header.SetContentType(contentType)
	if c.req.Method == "HEAD" {
		c.rc.Response.Header.SetContentLength(len(body))
		return
	}
	c.rc.Response.SetBodyRaw(body)
	c.sent = int64(len(body))
}

// xml answers 200 with a finished XML document.
func (c *call) xml(body []byte) error {
	c.bytes(200, "application/xml", body)
	return nil
}

// bucketName checks the bucket's name.
func (c *call) bucketName() (cluster.BucketName, error) {
	return cluster.ParseBucketName(c.addr.bucket)
}

// bucket looks up the bucket of the request and checks who the client believes owns it.
func (c *call) bucket() (cluster.Bucket, error) {
	return c.bucketOf(c.addr.bucket, "x-amz-expected-bucket-owner")
}

// bucketOf looks up a bucket. A name that no bucket can have is a bucket that does not exist: only
// CreateBucket complains about names.
func (c *call) bucketOf(name, ownerHeader string) (cluster.Bucket, error) {
	parsed, err := cluster.ParseBucketName(name)
	if err != nil {
		return cluster.Bucket{}, s3err.InvalidBucketName.With("BucketName", name)
	}
	b, err := c.srv.opts.Control.Bucket(parsed)
	if err != nil {
		return b, c.srv.errs.find(err).With("BucketName", name)
	}
	if want := c.req.get(ownerHeader); want != "" && want != b.Owner && want != ownerID(b.Owner) {
		return b, s3err.AccessDenied
	}
	return b, nil
}

// object looks up the bucket and checks the key, for operations that know no versions.
func (c *call) object() (cluster.Bucket, string, error) {
	if id, ok := c.req.Param("versionId"); ok {
		return cluster.Bucket{}, "", s3err.InvalidArgument.Msg("This operation does not accept a version-id.").
			With("ArgumentName", "versionId").With("ArgumentValue", id)
	}
	return c.key()
}

// key looks up the bucket and checks the key.
func (c *call) key() (cluster.Bucket, string, error) {
	if err := checkKey(c.addr.key); err != nil {
		return cluster.Bucket{}, "", err
	}
	b, err := c.bucket()
	return b, c.addr.key, err
}

// checkKey checks a key beyond what object.CheckName asks: NUL cannot be carried by XML lists nor
// by most clients.
func checkKey(key string) error {
	if err := object.CheckName(key); err != nil {
		return err
	}
	for i := 0; i < len(key); i++ {
		if key[i] == 0 {
			return s3err.InvalidArgument.Msg("The key must not contain a NUL byte.")
		}
	}
	return nil
}

// ownerID is the canonical user id shown for an access key.
func ownerID(accessKey string) string { return accessKey }
