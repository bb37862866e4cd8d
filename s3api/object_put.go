package s3api

import (
	"holdfast/actors/erasureset"
	"holdfast/actors/object"
	"holdfast/s3api/s3err"
)

// putObject serves PutObject.
func putObject(c *call) error {
	if _, ok := c.req.Param("partNumber"); ok {
		return s3err.InvalidArgument.Msg("partNumber needs an uploadId").With("ArgumentName", "partNumber")
	}
	bucket, key, err := c.object()
	if err != nil {
		return err
	}
	meta, err := c.metadata()
	if err != nil {
		return err
	}
	cond, err := writeCondition(&c.req)
	if err != nil {
		return err
	}
	v, err := c.srv.opts.Objects.Put(c.ctx, &erasureset.PutRequest{
		Bucket: bucket, Key: key, Body: c.load, Size: c.load.size, SHA256: c.load.body.Delegate(),
		Meta: meta, If: cond,
		Finish: func(v *erasureset.Info) error {
			v.Checksums, err = c.load.verify(v.ETag)
			return err
		},
	})
	if err != nil {
		return c.absent(err, key, object.VersionID{})
	}
	c.writtenHeader(&bucket, v)
	c.header("ETag", quoted(v.ETag))
	c.checksumHeaders(v.Checksums, 0)
	c.empty(200)
	return nil
}
