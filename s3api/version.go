package s3api

import (
	"errors"

	"holdfast/actors/erasureset"
	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
	"holdfast/s3api/s3err"
	"holdfast/s3api/s3xml"
)

// putBucketVersioning serves PutBucketVersioning.
func putBucketVersioning(c *call) error {
	b, err := c.bucket()
	if err != nil {
		return err
	}
	body, err := c.document()
	if err != nil {
		return err
	}
	conf, err := s3xml.ParseVersioning(body)
	switch {
	case err != nil:
		return err
	case conf.MFADelete:
		return s3err.NotImplemented.Msg("MFA delete is not implemented.")
	case conf.Status == "":
		return s3err.IllegalVersioningConfiguration
	}
	if err := c.srv.opts.Control.SetVersioning(c.ctx, b.Name, conf.Status, c.who.accessKey()); err != nil {
		return c.srv.errs.find(err).With("BucketName", string(b.Name))
	}
	c.empty(200)
	return nil
}

// getBucketVersioning serves GetBucketVersioning: a bucket whose versioning was never set has an
// empty document.
func getBucketVersioning(c *call) error {
	b, err := c.bucket()
	if err != nil {
		return err
	}
	return c.xml(s3xml.AppendVersioningConfiguration(nil, b.Versioning))
}

// version looks up the bucket and checks the key and the version id, for operations on a version.
func (c *call) version() (cluster.Bucket, string, object.VersionID, error) {
	b, key, err := c.key()
	if err != nil {
		return b, "", object.VersionID{}, err
	}
	id, err := parseVersion(c.req.Param("versionId"))
	return b, key, id, err
}

// parseVersion reads the parameter versionId. A text of the right length that is no id of ours
// names a version that does not exist: it may be of another store.
func parseVersion(id string, given bool) (object.VersionID, error) {
	if !given {
		return object.VersionID{}, nil
	}
	if id == "" {
		return object.VersionID{}, s3err.InvalidArgument.Msg("Version id cannot be the empty string").
			With("ArgumentName", "versionId").With("ArgumentValue", "")
	}
	v, err := object.ParseVersionID(id)
	switch {
	case err == nil:
		return v, nil
	case len(id) == versionIDLen:
		return object.VersionID{Named: true}, nil // no version has the zero stamp
	}
	return object.VersionID{}, s3err.InvalidArgument.Msg("Invalid version id specified").
		With("ArgumentName", "versionId").With("ArgumentValue", id)
}

// versionIDLen is the length of version ids, AWS's and ours; anything else is not even one.
const versionIDLen = 32

// versionHeader names the version that was read. A bucket that never had versioning says nothing of
// versions, unless it was asked for one.
func (c *call) versionHeader(b *cluster.Bucket, v *erasureset.Info, asked object.VersionID) {
	if b.Versioning != "" || asked.Named {
		c.header("x-amz-version-id", shownID(b, v))
	}
}

// writtenID is what the answer to a write says of the version: nothing of the null version.
func writtenID(b *cluster.Bucket, v *erasureset.Info) string {
	if b.Versioning == "" || v.NullID {
		return ""
	}
	return v.ID().String()
}

// writtenHeader names the version that was written.
func (c *call) writtenHeader(b *cluster.Bucket, v *erasureset.Info) {
	if id := writtenID(b, v); id != "" {
		c.header("x-amz-version-id", id)
	}
}

// shownID is the id of a version. What was written before versioning is the null version.
func shownID(b *cluster.Bucket, v *erasureset.Info) string {
	if b.Versioning == "" {
		return object.NullVersion.String()
	}
	return v.ID().String()
}

// absent turns the error of a key or version that is not there into S3's words: the name that was
// asked for, and the delete marker that was found instead.
func (c *call) absent(err error, key string, asked object.VersionID) error {
	var marker *erasureset.MarkerError
	if errors.As(err, &marker) {
		c.errHeader("x-amz-delete-marker", "true")
		c.errHeader("x-amz-version-id", marker.Version.String())
		if asked.Named {
			c.errHeader("Last-Modified", httpDate(marker.ModTime))
			c.errHeader("Allow", "DELETE")
			return s3err.MethodNotAllowed.With("Method", c.req.Method).With("ResourceType", "DeleteMarker").Because(err)
		}
	}
	e := c.srv.errs.find(err)
	switch e.Code {
	case s3err.NoSuchKey:
		return e.With("Key", key)
	case s3err.NoSuchVersion:
		id, _ := c.req.Param("versionId")
		return e.With("Key", key).With("VersionId", id)
	}
	return e
}
