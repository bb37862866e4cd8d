package s3api

import (
	"encoding/base64"
	"errors"
	"strings"

	"holdfast/raftfsm/cluster"
	"holdfast/s3api/s3err"
	"holdfast/s3api/s3xml"
)

// maxBucketsPage is the longest page of ListBuckets.
const maxBucketsPage = 10_000

// oldestRegion is the region of a server that is told none.
const oldestRegion = "us-east-1"

// listBuckets serves ListBuckets, in pages if the client asks for them.
func listBuckets(c *call) error {
	limit := maxBucketsPage
	if s, ok := c.req.Param("max-buckets"); ok {
		n, valid := parseDigits(s)
		if !valid || n < 1 || n > maxBucketsPage {
			return s3err.InvalidArgument.With("ArgumentName", "max-buckets").With("ArgumentValue", s)
		}
		limit = int(n)
	}
	prefix, _ := c.req.Param("prefix")
	region, byRegion := c.req.Param("bucket-region")
	after := ""
	if token, _ := c.req.Param("continuation-token"); token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || len(raw) == 0 {
			return s3err.InvalidArgument.Msg("The continuation token provided is incorrect").
				With("ArgumentName", "continuation-token").With("ArgumentValue", token)
		}
		after = string(raw)
	}
	doc := s3xml.ListAllMyBucketsResult{Owner: owner(c.who.accessKey()), Prefix: prefix}
	for _, b := range c.srv.opts.Control.Buckets() {
		name := string(b.Name)
		if name <= after || !strings.HasPrefix(name, prefix) || byRegion && region != c.srv.regionOf(b) {
			continue
		}
		if len(doc.Buckets) == limit {
			doc.ContinuationToken = base64.RawURLEncoding.EncodeToString([]byte(doc.Buckets[limit-1].Name))
			break
		}
		doc.Buckets = append(doc.Buckets, s3xml.Bucket{Name: name, Created: b.Created.UnixNano(), Region: c.srv.regionOf(b)})
	}
	return c.xml(doc.AppendXML(nil))
}

// regionOf is the region that a bucket is shown to be in.
func (s *Server) regionOf(b cluster.Bucket) string {
	if b.Region != "" {
		return b.Region
	}
	return s.opts.Region
}

// headOfBucket refuses what the head of a CreateBucket alone shows to be wrong.
func headOfBucket(c *call) error {
	if _, err := c.bucketName(); err != nil {
		return s3err.InvalidBucketName.With("BucketName", c.addr.bucket)
	}
	return nil
}

// createBucket serves CreateBucket.
func createBucket(c *call) error {
	name, err := c.bucketName()
	if err != nil {
		return s3err.InvalidBucketName.With("BucketName", c.addr.bucket)
	}
	body, err := c.readAll()
	if err != nil {
		return err
	}
	region := ""
	if len(body) > 0 {
		conf, err := s3xml.ParseCreateBucket(body)
		if err != nil {
			return err
		}
		if conf.Special {
			return s3err.NotImplemented
		}
		if region = conf.LocationConstraint; !cluster.ValidRegion(region) {
			return s3err.InvalidLocationConstraint.With("LocationConstraint", region)
		}
	}
	_, err = c.srv.opts.Control.CreateBucket(c.ctx, name, c.who.accessKey(), region)
	if err != nil && !(errors.Is(err, cluster.ErrBucketOwned) && c.srv.takesAgain(name, region)) {
		return c.srv.errs.find(err).With("BucketName", string(name))
	}
	c.header("Location", "/"+string(name))
	c.empty(200)
	return nil
}

// takesAgain says whether creating one's own bucket again succeeds and changes nothing. In S3's oldest
// region it does, where most clients believe they are; everywhere else it is BucketAlreadyOwnedByYou.
func (s *Server) takesAgain(name cluster.BucketName, region string) bool {
	if region == "" {
		region = s.opts.Region
	}
	b, err := s.opts.Control.Bucket(name)
	return err == nil && region == oldestRegion && s.regionOf(b) == oldestRegion
}

// headBucket serves HeadBucket.
func headBucket(c *call) error {
	b, err := c.bucket()
	if err != nil {
		return err
	}
	c.header("x-amz-bucket-region", c.srv.regionOf(b))
	c.empty(200)
	return nil
}

// deleteBucket serves DeleteBucket.
func deleteBucket(c *call) error {
	b, err := c.bucket()
	if err != nil {
		return err
	}
	if err := c.srv.opts.Control.DeleteBucket(c.ctx, b.Name); err != nil {
		return c.srv.errs.find(err).With("BucketName", string(b.Name))
	}
	c.empty(204)
	return nil
}

// getBucketLocation serves GetBucketLocation.
func getBucketLocation(c *call) error {
	b, err := c.bucket()
	if err != nil {
		return err
	}
	return c.xml(s3xml.AppendLocationConstraint(nil, c.srv.regionOf(b)))
}

func owner(accessKey string) s3xml.Owner {
	return s3xml.Owner{ID: ownerID(accessKey), DisplayName: accessKey}
}
