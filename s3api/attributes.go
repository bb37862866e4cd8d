package s3api

import (
	"math"
	"slices"
	"strings"

	"holdfast/actors/erasureset"
	"holdfast/actors/ondisk"
	"holdfast/s3api/s3err"
	"holdfast/s3api/s3xml"
)

// getObjectAttributes serves GetObjectAttributes.
func getObjectAttributes(c *call) error {
	bucket, key, id, err := c.version()
	if err != nil {
		return err
	}
	ask, err := c.askedAttributes()
	if err != nil {
		return err
	}
	h, err := c.srv.opts.Objects.Open(c.ctx, &erasureset.OpenRequest{Bucket: bucket, Key: key, Version: id, HeadOnly: true})
	if err != nil {
		return c.absent(err, key, id)
	}
	defer h.Close()
	v := h.Info()
	var doc s3xml.GetObjectAttributesResponse
	if ask.etag {
		doc.ETag = v.ETag
	}
	if ask.checksum {
		doc.Checksums, doc.ChecksumType = shownSums(v.Checksums, int(v.Parts))
	}
	if ask.size {
		doc.Size = &v.Size
	}
	if ask.storageClass {
		if doc.StorageClass = v.StorageClass; doc.StorageClass == "" {
			doc.StorageClass = standard
		}
	}
	if ask.parts && v.Parts > 0 {
		parts, err := h.Parts(c.ctx)
		if err != nil {
			return err
		}
		doc.Parts = ask.page(parts)
	}
	c.versionHeader(&bucket, v, id)
	c.header("Last-Modified", httpDate(v.ModTime))
	return c.xml(doc.AppendXML(nil))
}

// attributes are what a GetObjectAttributes request asks for.
type attributes struct {
	etag, checksum, parts, storageClass, size bool
	maxParts, marker                          int
}

// page shows one page of an object's parts. S3 lists them only for objects with an additional
// checksum; clients that go through parts want them always, and nothing speaks against it.
func (a *attributes) page(parts []ondisk.Part) *s3xml.AttributesParts {
	parts = slices.Clone(parts)
	for i := range parts { // as partNumber of GET counts them, whatever numbers they were uploaded under
		parts[i].Number = uint16(i + 1)
	}
	out := &s3xml.AttributesParts{Total: len(parts), Marker: a.marker, Max: a.maxParts}
	parts, out.IsTruncated = pageOfParts(parts, a.marker, a.maxParts)
	out.Parts = shownParts(parts)
	if len(parts) > 0 {
		out.Next = int(parts[len(parts)-1].Number)
	}
	return out
}

// askedAttributes reads what the request wants to know.
func (c *call) askedAttributes() (a attributes, err error) {
	for i := range c.req.Headers {
		if c.req.Headers[i].Name != "x-amz-object-attributes" {
			continue
		}
		for name := range strings.SplitSeq(c.req.Headers[i].Value, ",") {
			switch strings.TrimSpace(name) {
			case "": // an empty element of a list counts for nothing
			case "ETag":
				a.etag = true
			case "Checksum":
				a.checksum = true
			case "ObjectParts":
				a.parts = true
			case "StorageClass":
				a.storageClass = true
			case "ObjectSize":
				a.size = true
			default:
				return a, s3err.InvalidArgument.Msg("Invalid attribute name specified.").
					With("ArgumentName", "x-amz-object-attributes").With("ArgumentValue", name)
			}
		}
	}
	if !a.etag && !a.checksum && !a.parts && !a.storageClass && !a.size {
		return a, s3err.InvalidRequest.Msg("The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty")
	}
	a.maxParts = maxPage
	if s := c.req.get("x-amz-max-parts"); s != "" {
		n, ok := parseDigits(s)
		if !ok || n > math.MaxInt32 {
			return a, s3err.InvalidArgument.With("ArgumentName", "x-amz-max-parts").With("ArgumentValue", s)
		}
		a.maxParts = int(min(n, maxPage))
	}
	if s := c.req.get("x-amz-part-number-marker"); s != "" {
		n, ok := parseDigits(s)
		if !ok || n > math.MaxInt32 {
			return a, s3err.InvalidArgument.With("ArgumentName", "x-amz-part-number-marker").With("ArgumentValue", s)
		}
		a.marker = int(n)
	}
	return a, nil
}
