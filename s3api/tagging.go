package s3api

import (
	"holdfast/actors/erasureset"
	"holdfast/s3api/s3xml"
)

// getObjectTagging serves GetObjectTagging. Tags cannot be set yet (such requests are refused), so every
// object truly has none; aws cli asks for them before it copies a large object on the server.
func getObjectTagging(c *call) error {
	bucket, key, id, err := c.version()
	if err != nil {
		return err
	}
	h, err := c.srv.opts.Objects.Open(c.ctx, &erasureset.OpenRequest{Bucket: bucket, Key: key, Version: id, HeadOnly: true})
	if err != nil {
		return c.absent(err, key, id)
	}
	c.versionHeader(&bucket, h.Info(), id)
	if err := h.Close(); err != nil {
		return err
	}
	return c.xml(s3xml.AppendEmptyTagging(nil))
}
