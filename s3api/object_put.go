package s3api

import (
	"holdfast/actors/erasureset"
	"holdfast/actors/object"
)

// headOfObject refuses what the head of a PutObject alone shows to be wrong.
func headOfObject(c *call) error {
	if _, err := c.metadata(); err != nil {
		return err
	}
	_, err := writeCondition(&c.req)
	return err
}

// putObject serves PutObject.
func putObject(c *call) error {
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
