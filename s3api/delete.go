package s3api

import (
	"context"
	"sync"

	"holdfast/actors/erasureset"
	"holdfast/raftfsm/cluster"
	"holdfast/s3api/s3err"
	"holdfast/s3api/s3xml"
)

// deleteWorkers is how many keys of one request are deleted at the same time.
const deleteWorkers = 16

// deleteObject serves DeleteObject.
func deleteObject(c *call) error {
	bucket, key, id, err := c.version()
	if err != nil {
		return err
	}
	if c.req.has("if-none-match") || c.req.has("if-modified-since") || c.req.has("if-unmodified-since") {
		return s3err.UnsupportedHeader
	}
	if err := notBlank(&c.req, "if-match", "x-amz-if-match-last-modified-time", "x-amz-if-match-size"); err != nil {
		return err
	}
	given, named := c.req.Param("versionId")
	cond, err := deleteCondition{
		named: named,
		match: c.req.get("if-match"),
		mtime: c.req.get("x-amz-if-match-last-modified-time"),
		size:  c.req.get("x-amz-if-match-size"),
	}.condition()
	if err != nil {
		return err
	}
	done, err := c.srv.opts.Objects.Delete(c.ctx, &erasureset.DeleteRequest{Bucket: bucket, Key: key, Version: id, If: cond})
	if err != nil {
		return err
	}
	if done.Marker {
		c.header("x-amz-delete-marker", "true")
	}
	switch {
	case given != "":
		c.header("x-amz-version-id", given)
	case done.Version.Named:
		c.header("x-amz-version-id", done.Version.String())
	}
	c.empty(204)
	return nil
}

// deleteObjects serves DeleteObjects. Keys are deleted side by side; the answer keeps their order.
func deleteObjects(c *call) error {
	bucket, err := c.bucket()
	if err != nil {
		return err
	}
	body, err := c.document()
	if err != nil {
		return err
	}
	doc, err := s3xml.ParseDelete(body)
	if err != nil {
		return err
	}
	done, errs := make([]erasureset.Deleted, len(doc.Objects)), make([]error, len(doc.Objects))
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(deleteWorkers, len(doc.Objects)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				done[i], errs[i] = c.srv.deleteListed(c.ctx, bucket, &doc.Objects[i])
			}
		}()
	}
	for i := range doc.Objects {
		next <- i
	}
	close(next)
	wg.Wait()
	return c.xml(c.deleteResult(&doc, done, errs))
}

// deleteListed deletes one entry of a DeleteObjects request. A panic costs this entry only.
func (s *Server) deleteListed(ctx context.Context, bucket cluster.Bucket, o *s3xml.DeleteObject) (done erasureset.Deleted, err error) {
	defer s.recovered(&err)
	if err := checkKey(o.Key); err != nil {
		return done, err
	}
	id, err := parseVersion(o.VersionID, o.VersionID != "")
	if err != nil {
		return done, err
	}
	if o.Blank != "" {
		return done, blankCondition(o.Blank)
	}
	cond, err := deleteCondition{named: o.VersionID != "", match: o.ETag, mtime: o.LastModifiedTime, size: o.Size}.condition()
	if err != nil {
		return done, err
	}
	return s.opts.Objects.Delete(ctx, &erasureset.DeleteRequest{Bucket: bucket, Key: o.Key, Version: id, If: cond})
}

func (c *call) deleteResult(doc *s3xml.Delete, done []erasureset.Deleted, errs []error) []byte {
	var out s3xml.DeleteResult
	for i := range doc.Objects {
		o := &doc.Objects[i]
		if errs[i] == nil {
			if !doc.Quiet {
				d := s3xml.Deleted{Key: o.Key, VersionID: o.VersionID, DeleteMarker: done[i].Marker}
				if done[i].Marker {
					d.DeleteMarkerVersionID = done[i].Version.String()
				}
				out.Deleted = append(out.Deleted, d)
			}
			continue
		}
		e := c.srv.errs.find(errs[i])
		out.Errors = append(out.Errors, s3xml.DeleteError{
			Key: o.Key, VersionID: o.VersionID, Code: e.Code.String(), Message: e.Message(),
		})
	}
	return out.AppendXML(nil)
}
