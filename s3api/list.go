package s3api

import (
	"encoding/base64"
	"math"

	"holdfast/actors/erasureset"
	"holdfast/actors/ondisk"
	"holdfast/s3api/checksum"
	"holdfast/s3api/s3err"
	"holdfast/s3api/s3xml"
)

const maxPage = 1000 // entries of one list page

// listParams are what all lists have in common.
type listParams struct {
	prefix, delimiter string
	limit             int
	url               bool // names are URL-encoded in the answer
}

func (c *call) listParams(limitName string) (p listParams, err error) {
	p.prefix, _ = c.req.Param("prefix")
	p.delimiter, _ = c.req.Param("delimiter")
	if p.limit, err = c.pageLimit(limitName); err != nil {
		return p, err
	}
	if enc, ok := c.req.Param("encoding-type"); ok && enc != "" {
		if enc != "url" {
			return p, s3err.InvalidArgument.Msg("Invalid Encoding Method specified in Request").
				With("ArgumentName", "encoding-type").With("ArgumentValue", enc)
		}
		p.url = true
	}
	return p, nil
}

// pageLimit reads max-keys and its brothers: more than a page is a page.
func (c *call) pageLimit(name string) (int, error) {
	s, ok := c.req.Param(name)
	if !ok || s == "" {
		return maxPage, nil
	}
	n, ok := parseDigits(s)
	if !ok || n > math.MaxInt32 {
		return 0, s3err.InvalidArgument.Msg("Argument %s must be an integer between 0 and 2147483647", name).
			With("ArgumentName", name).With("ArgumentValue", s)
	}
	return int(min(n, maxPage)), nil
}

// page asks for one page of keys behind after.
func (c *call) page(p *listParams, after string) (*erasureset.ListPage, error) {
	bucket, err := c.bucket()
	if err != nil {
		return nil, err
	}
	if p.limit == 0 {
		return &erasureset.ListPage{}, nil
	}
	return c.srv.opts.Objects.List(c.ctx, &erasureset.ListRequest{
		Bucket: bucket, Prefix: p.prefix, Delimiter: p.delimiter, After: after, Limit: p.limit,
	})
}

// listObjectsV2 serves ListObjectsV2. The continuation token is the last name of the page before,
// so any node can go on with it.
func listObjectsV2(c *call) error {
	p, err := c.listParams("max-keys")
	if err != nil {
		return err
	}
	startAfter, _ := c.req.Param("start-after")
	token, resumed := c.req.Param("continuation-token")
	after := startAfter
	if token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || len(raw) == 0 {
			return s3err.InvalidArgument.Msg("The continuation token provided is incorrect").
				With("ArgumentName", "continuation-token").With("ArgumentValue", token)
		}
		after = string(raw)
	}
	page, err := c.page(&p, after)
	if err != nil {
		return err
	}
	fetchOwner, _ := c.req.Param("fetch-owner")
	doc := s3xml.ListBucketResult{
		V2: true, URLEncode: p.url, Name: c.addr.bucket, Prefix: p.prefix, Delimiter: p.delimiter, MaxKeys: p.limit,
		IsTruncated: page.Truncated, KeyCount: len(page.Entries), StartAfter: startAfter, ContinuationToken: token, HasToken: resumed,
	}
	if page.Truncated {
		doc.NextContinuationToken = base64.RawURLEncoding.EncodeToString([]byte(page.Next))
	}
	return c.xml(appendPage(&doc, page, fetchOwner == "true"))
}

// listObjects serves ListObjects, version 1.
func listObjects(c *call) error {
	p, err := c.listParams("max-keys")
	if err != nil {
		return err
	}
	marker, _ := c.req.Param("marker")
	page, err := c.page(&p, marker)
	if err != nil {
		return err
	}
	doc := s3xml.ListBucketResult{
		URLEncode: p.url, Name: c.addr.bucket, Prefix: p.prefix, Delimiter: p.delimiter, MaxKeys: p.limit,
		IsTruncated: page.Truncated, Marker: marker,
	}
	if page.Truncated && p.delimiter != "" {
		doc.NextMarker = page.Next // without a delimiter clients take the last key
	}
	return c.xml(appendPage(&doc, page, true))
}

// appendPage writes a page of keys: the keys first, then the common prefixes.
func appendPage(doc *s3xml.ListBucketResult, page *erasureset.ListPage, owners bool) []byte {
	b := doc.AppendOpen(make([]byte, 0, 1024+bytesPerKey*len(page.Entries)))
	var who s3xml.Owner
	for i := range page.Entries {
		e := &page.Entries[i]
		if e.Common {
			continue
		}
		row := s3xml.Contents{
			Key: e.Name, LastModified: e.Info.ModTime, ETag: e.Info.ETag, Size: e.Info.Size, StorageClass: e.Info.StorageClass,
		}
		if len(e.Info.Checksums) > 0 {
			row.ChecksumAlgorithm = checksum.Name(e.Info.Checksums[0].Algo)
			row.ChecksumType = checksum.TypeName(e.Info.Checksums[0].Composite)
		}
		if owners {
			who = owner(e.Info.Owner)
			row.Owner = &who
		}
		b = doc.AppendContents(b, &row)
	}
	for i := range page.Entries {
		if page.Entries[i].Common {
			b = doc.AppendCommonPrefix(b, page.Entries[i].Name)
		}
	}
	return doc.AppendClose(b)
}

// bytesPerKey is about what one key takes in a list.
const bytesPerKey = 320

// listVersions serves ListObjectVersions. A bucket that never had versioning has one version of
// each object, "null"; cleaning tools ask this way.
func listVersions(c *call) error {
	p, err := c.listParams("max-keys")
	if err != nil {
		return err
	}
	bucket, err := c.bucket()
	if err != nil {
		return err
	}
	marker, _ := c.req.Param("key-marker")
	idMarker, _ := c.req.Param("version-id-marker")
	req := erasureset.VersionsRequest{Bucket: bucket, Prefix: p.prefix, Delimiter: p.delimiter, KeyMarker: marker, Limit: p.limit}
	if idMarker != "" {
		if marker == "" {
			return s3err.InvalidArgument.Msg("A version-id marker cannot be specified without a key marker.").
				With("ArgumentName", "version-id-marker").With("ArgumentValue", idMarker)
		}
		if req.VersionMarker, err = parseVersion(idMarker, true); err != nil {
			return s3err.InvalidArgument.Msg("Invalid version id specified").
				With("ArgumentName", "version-id-marker").With("ArgumentValue", idMarker)
		}
	}
	page := &erasureset.VersionsPage{}
	if p.limit > 0 {
		if page, err = c.srv.opts.Objects.ListVersions(c.ctx, &req); err != nil {
			return err
		}
	}
	doc := s3xml.ListVersionsResult{
		Name: c.addr.bucket, Prefix: p.prefix, Delimiter: p.delimiter, KeyMarker: marker, VersionIDMarker: idMarker,
		MaxKeys: p.limit, URLEncode: p.url, IsTruncated: page.Truncated,
	}
	if page.Truncated {
		last := &page.Entries[len(page.Entries)-1]
		doc.NextKeyMarker = last.Name
		if !last.Common {
			doc.NextVersionIDMarker = shownID(&bucket, last.Info)
		}
	}
	for i := range page.Entries {
		e := &page.Entries[i]
		if e.Common {
			doc.CommonPrefixes = append(doc.CommonPrefixes, e.Name)
			continue
		}
		v := e.Info
		doc.Versions = append(doc.Versions, s3xml.ObjectVersion{
			Key: e.Name, VersionID: shownID(&bucket, v), IsLatest: e.Latest, Marker: v.Kind == ondisk.KindDeleteMarker,
			LastModified: v.ModTime, ETag: v.ETag, Size: v.Size, StorageClass: v.StorageClass, Owner: owner(v.Owner),
		})
	}
	return c.xml(doc.AppendXML(nil))
}
