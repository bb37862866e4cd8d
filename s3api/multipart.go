package s3api

import (
	"encoding/hex"
	"math"
	"strconv"

	"holdfast/actors/erasureset"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/s3api/checksum"
	"holdfast/s3api/s3err"
	"holdfast/s3api/s3xml"
	"holdfast/s3api/sigv4"
)

// createUpload serves CreateMultipartUpload.
func createUpload(c *call) error {
	bucket, key, err := c.object()
	if err != nil {
		return err
	}
	meta, err := c.metadata()
	if err != nil {
		return err
	}
	algo, err := c.wantedAlgo()
	if err != nil {
		return err
	}
	composite := checksum.DefaultComposite(algo)
	if s := c.req.get("x-amz-checksum-type"); s != "" {
		var ok bool
		if composite, ok = checksum.ParseType(s); !ok {
			return s3err.InvalidRequest.Msg("Value for x-amz-checksum-type header is invalid.")
		}
		if algo == 0 {
			return s3err.InvalidRequest.Msg("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
		}
		if !checksum.Allowed(algo, composite) {
			return s3err.InvalidRequest.Msg("The %s checksum type cannot be used with the %s checksum algorithm.", s, checksum.Name(algo))
		}
	}
	up, err := c.srv.opts.Objects.CreateUpload(c.ctx, &erasureset.UploadRequest{
		Bucket: bucket, Key: key, Meta: meta, Checksum: algo, FullObj: algo != 0 && !composite,
	})
	if err != nil {
		return err
	}
	if algo != 0 {
		c.header("x-amz-checksum-algorithm", checksum.Name(algo))
		c.header("x-amz-checksum-type", checksum.TypeName(composite))
	}
	doc := s3xml.InitiateMultipartUploadResult{Bucket: c.addr.bucket, Key: key, UploadID: up.ID.String()}
	return c.xml(doc.AppendXML(nil))
}

// uploadID reads the uploadId of a request. What cannot be one names no upload.
func (c *call) uploadID() (id object.WriteID, err error) {
	s, _ := c.req.Param("uploadId")
	return parseUploadID(s)
}

func parseUploadID(s string) (id object.WriteID, err error) {
	if len(s) != 2*len(id) {
		return id, s3err.NoSuchUpload.With("UploadId", s)
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return id, s3err.NoSuchUpload.With("UploadId", s)
	}
	return id, nil
}

// partAddress reads uploadId and partNumber.
func (c *call) partAddress() (id object.WriteID, number int, err error) {
	s, _ := c.req.Param("partNumber")
	n, ok := parseDigits(s)
	if !ok || n < 1 || n > int64(c.srv.limits.MaxParts) {
		return id, 0, s3err.InvalidArgument.Msg("Part number must be an integer between 1 and %d, inclusive", c.srv.limits.MaxParts).
			With("ArgumentName", "partNumber").With("ArgumentValue", s)
	}
	id, err = c.uploadID()
	return id, int(n), err
}

// headOfPart refuses what the head of an UploadPart alone shows to be wrong.
func headOfPart(c *call) error {
	_, _, err := c.partAddress()
	return err
}

// uploadPart serves UploadPart.
func uploadPart(c *call) error {
	bucket, key, err := c.object()
	if err != nil {
		return err
	}
	id, number, err := c.partAddress()
	if err != nil {
		return err
	}
	part, err := c.srv.opts.Objects.PutPart(c.ctx, &erasureset.PartRequest{
		Bucket: bucket, Key: key, Upload: id, Number: number, Body: c.load, Size: c.load.size,
		SHA256: c.load.body.Delegate(),
		Begin: func(up *ondisk.Upload) error {
			if up.FullObj && c.load.sum.want.Algo == 0 {
				c.load.sum = computedSum(up.Checksum)
			}
			return sameAlgo(up, c.load.sum.want.Algo)
		},
		Finish: func(_ *ondisk.Upload, p *ondisk.Part) error {
			p.Checksums, err = c.load.verify(p.ETag)
			return err
		},
	})
	if err != nil {
		return err
	}
	c.header("ETag", quoted(part.ETag))
	for _, s := range part.Checksums {
		c.header(checksum.Header(s.Algo), checksum.Format(s, 0))
	}
	c.empty(200)
	return nil
}

// sameAlgo checks that a part has the checksum that its upload was begun with. Parts of a composite
// checksum must bring it; for one of the full object it is computed if the client says nothing.
func sameAlgo(up *ondisk.Upload, algo ondisk.ChecksumAlgo) error {
	if up.Checksum == 0 || up.Checksum == algo {
		return nil
	}
	return otherAlgo(up, algo)
}

// otherAlgo is the error of a checksum that is not of the algorithm its upload was begun with.
func otherAlgo(up *ondisk.Upload, algo ondisk.ChecksumAlgo) error {
	name := func(a ondisk.ChecksumAlgo) string {
		if a == 0 {
			return "null"
		}
		return checksum.Name(a)
	}
	return s3err.InvalidRequest.Msg("Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s",
		name(up.Checksum), name(algo))
}

// headOfCompletion refuses what the head of a CompleteMultipartUpload alone shows to be wrong.
func headOfCompletion(c *call) error {
	if _, err := c.uploadID(); err != nil {
		return err
	}
	if _, err := claimedObjectSum(&c.req); err != nil {
		return err
	}
	_, err := writeCondition(&c.req)
	return err
}

// completeUpload serves CompleteMultipartUpload.
func completeUpload(c *call) error {
	bucket, key, err := c.object()
	if err != nil {
		return err
	}
	id, err := c.uploadID()
	if err != nil {
		return err
	}
	cond, err := writeCondition(&c.req)
	if err != nil {
		return err
	}
	claim, err := claimedObjectSum(&c.req)
	if err != nil {
		return err
	}
	body, err := c.readAll()
	if err != nil {
		return err
	}
	doc, err := s3xml.ParseComplete(body)
	if err != nil {
		return err
	}
	parts, err := completedParts(doc.Parts)
	if err != nil {
		return err
	}
	v, err := c.srv.opts.Objects.Complete(c.ctx, &erasureset.CompleteRequest{
		Bucket: bucket, Key: key, Upload: id, Parts: parts, MinPart: c.srv.limits.MinPart, If: cond,
		Finish: func(up *ondisk.Upload, v *erasureset.Info, have []ondisk.Part) error {
			return c.finishUpload(up, v, parts, have, &claim)
		},
	})
	if err != nil {
		return c.absent(err, key, object.VersionID{})
	}
	c.writtenHeader(&bucket, v)
	out := s3xml.CompleteMultipartUploadResult{Location: c.location(key), Bucket: c.addr.bucket, Key: key, ETag: v.ETag}
	out.Checksums, out.ChecksumType = shownSums(v.Checksums, int(v.Parts))
	return c.xml(out.AppendXML(nil))
}

// completedParts turns the client's list into the store's terms.
func completedParts(list []s3xml.CompletePart) ([]erasureset.CompletedPart, error) {
	parts := make([]erasureset.CompletedPart, len(list))
	for i := range list {
		if i > 0 && list[i].Number <= list[i-1].Number {
			return nil, s3err.InvalidPartOrder
		}
		parts[i] = erasureset.CompletedPart{Number: list[i].Number, ETag: list[i].ETag}
		for _, s := range list[i].Checksums {
			algo, ok := checksum.Parse(s.Algo)
			value, err := checksum.Decode(algo, s.Value)
			if !ok || err != nil {
				return nil, s3err.InvalidPart.With("PartNumber", strconv.Itoa(list[i].Number))
			}
			parts[i].Checksums = append(parts[i].Checksums, ondisk.Checksum{Algo: algo, Value: value})
		}
	}
	return parts, nil
}

// finishUpload computes the checksum of a completed object from its parts and compares everything
// the client says about them. What the list leaves out is taken from the parts, whose own checksums
// were compared when they came: S3 wants each part's, the tests of other servers do not send them.
func (c *call) finishUpload(up *ondisk.Upload, v *erasureset.Info, want []erasureset.CompletedPart, have []ondisk.Part, claim *checksum.Claim) error {
	for i := range want {
		if i >= len(have) || !sumsAgree(want[i].Checksums, have[i].Checksums) {
			return s3err.InvalidPart.With("PartNumber", strconv.Itoa(want[i].Number))
		}
	}
	if limit := c.srv.limits.MaxObject; v.Size > limit {
		return s3err.EntityTooLarge.With("ProposedSize", strconv.FormatInt(v.Size, 10)).
			With("MaxSizeAllowed", strconv.FormatInt(limit, 10))
	}
	if s := c.req.get("x-amz-mp-object-size"); s != "" {
		if n, ok := parseDigits(s); !ok || n != v.Size {
			return s3err.InvalidRequest.Msg("The provided 'x-amz-mp-object-size' header value %s does not match what was computed: %d", s, v.Size)
		}
	}
	if s := c.req.get("x-amz-checksum-type"); s != "" {
		composite := up.Checksum != 0 && !up.FullObj // without an algorithm S3 takes one of the full object
		if given, ok := checksum.ParseType(s); !ok {
			return s3err.InvalidRequest.Msg("Value for x-amz-checksum-type header is invalid.")
		} else if given != composite {
			return s3err.InvalidRequest.Msg("The upload was created using the %s checksum mode. The complete request must use the same checksum mode.",
				checksum.TypeName(composite))
		}
	}
	if claim.Algo != 0 && claim.Algo != up.Checksum {
		return otherAlgo(up, claim.Algo) // nothing could be compared with it
	}
	if up.Checksum == 0 {
		return nil
	}
	sum := checksum.NewCombiner(up.Checksum, !up.FullObj)
	for i := range have {
		value := sumOf(have[i].Checksums, up.Checksum)
		if value == nil || !sum.Add(value, have[i].Size) {
			return s3err.InvalidRequest.Msg("The upload was created using a %s checksum. The complete request must include the checksum for each part. It was missing for part %d in the request.",
				checksum.Name(up.Checksum), have[i].Number)
		}
	}
	v.Checksums = []ondisk.Checksum{sum.Checksum()}
	if claim.Algo != 0 && (string(claim.Value) != string(v.Checksums[0].Value) || claim.Parts != 0 && (up.FullObj || claim.Parts != len(have))) {
		return checksum.Mismatch(up.Checksum)
	}
	return nil
}

// sumsAgree says whether no checksum that the client names differs from the stored one.
func sumsAgree(want, have []ondisk.Checksum) bool {
	for i := range want {
		if v := sumOf(have, want[i].Algo); v == nil || string(v) != string(want[i].Value) {
			return false
		}
	}
	return true
}

func sumOf(sums []ondisk.Checksum, algo ondisk.ChecksumAlgo) []byte {
	for i := range sums {
		if sums[i].Algo == algo {
			return sums[i].Value
		}
	}
	return nil
}

// location is the URL of an object as the client reaches it.
func (c *call) location(key string) string {
	b := make([]byte, 0, 128)
	b = append(b, "http"...)
	if c.rc.IsTLS() {
		b = append(b, 's')
	}
	b = append(append(b, "://"...), c.req.Host...)
	if !c.addr.vhost {
		b = append(append(b, '/'), c.addr.bucket...)
	}
	return string(sigv4.AppendURIEncoded(append(b, '/'), key, true))
}

// abortUpload serves AbortMultipartUpload.
func abortUpload(c *call) error {
	bucket, key, err := c.object()
	if err != nil {
		return err
	}
	id, err := c.uploadID()
	if err != nil {
		return err
	}
	if err := c.srv.opts.Objects.Abort(c.ctx, bucket, key, id); err != nil {
		return err
	}
	c.empty(204)
	return nil
}

// listParts serves ListParts.
func listParts(c *call) error {
	bucket, key, err := c.object()
	if err != nil {
		return err
	}
	id, err := c.uploadID()
	if err != nil {
		return err
	}
	limit, err := c.pageLimit("max-parts")
	if err != nil {
		return err
	}
	marker, err := c.numberMarker("part-number-marker")
	if err != nil {
		return err
	}
	up, parts, err := c.srv.opts.Objects.Upload(c.ctx, bucket, key, id)
	if err != nil {
		return err
	}
	parts, truncated := pageOfParts(parts, marker, limit)
	doc := s3xml.ListPartsResult{
		Bucket: c.addr.bucket, Key: key, UploadID: id.String(), PartNumberMarker: marker, MaxParts: limit, IsTruncated: truncated,
		Initiator: owner(up.Meta.Owner), Owner: owner(up.Meta.Owner), StorageClass: up.Meta.StorageClass,
	}
	doc.ChecksumAlgorithm, doc.ChecksumType = uploadSum(up)
	doc.Parts = shownParts(parts)
	if len(parts) > 0 {
		doc.NextPartNumber = int(parts[len(parts)-1].Number)
	}
	return c.xml(doc.AppendXML(nil))
}

// uploadSum names the checksum that an upload was begun with.
func uploadSum(up *ondisk.Upload) (algo, kind string) {
	if up.Checksum == 0 {
		return "", ""
	}
	return checksum.Name(up.Checksum), checksum.TypeName(!up.FullObj)
}

// shownParts are parts as documents show them.
func shownParts(parts []ondisk.Part) []s3xml.Part {
	out := make([]s3xml.Part, len(parts))
	for i := range parts {
		p := &parts[i]
		out[i] = s3xml.Part{Number: int(p.Number), LastModified: p.ModTime, ETag: p.ETag, Size: p.Size}
		out[i].Checksums, _ = shownSums(p.Checksums, 0)
	}
	return out
}

// numberMarker reads a part number that a page starts behind.
func (c *call) numberMarker(name string) (int, error) {
	s, ok := c.req.Param(name)
	if !ok || s == "" {
		return 0, nil
	}
	n, ok := parseDigits(s)
	if !ok || n > math.MaxInt32 {
		return 0, s3err.InvalidArgument.Msg("Argument %s must be an integer between 0 and 2147483647", name).
			With("ArgumentName", name).With("ArgumentValue", s)
	}
	return int(n), nil
}

// pageOfParts cuts one page out of all parts.
func pageOfParts(parts []ondisk.Part, marker, limit int) (page []ondisk.Part, truncated bool) {
	for len(parts) > 0 && int(parts[0].Number) <= marker {
		parts = parts[1:]
	}
	if len(parts) <= limit {
		return parts, false
	}
	return parts[:limit], limit > 0 // nobody could go on behind an empty page
}

// listUploads serves ListMultipartUploads.
func listUploads(c *call) error {
	p, err := c.listParams("max-uploads")
	if err != nil {
		return err
	}
	bucket, err := c.bucket()
	if err != nil {
		return err
	}
	keyMarker, _ := c.req.Param("key-marker")
	idMarker, _ := c.req.Param("upload-id-marker")
	req := erasureset.ListUploadsRequest{Bucket: bucket, Prefix: p.prefix, Delimiter: p.delimiter, KeyMarker: keyMarker, Limit: p.limit}
	if keyMarker != "" && idMarker != "" { // without a key marker S3 ignores the id
		var id object.WriteID
		if id, err = parseUploadID(idMarker); err != nil {
			return s3err.InvalidArgument.Msg("Invalid uploadId marker").
				With("ArgumentName", "upload-id-marker").With("ArgumentValue", idMarker)
		}
		req.AfterUpload = &id
	}
	page := &erasureset.UploadsPage{}
	if p.limit > 0 {
		if page, err = c.srv.opts.Objects.ListUploads(c.ctx, &req); err != nil {
			return err
		}
	}
	doc := s3xml.ListMultipartUploadsResult{
		Bucket: c.addr.bucket, URLEncode: p.url, KeyMarker: keyMarker, UploadIDMarker: idMarker, Prefix: p.prefix,
		Delimiter: p.delimiter, MaxUploads: p.limit, IsTruncated: page.Truncated, CommonPrefixes: page.Prefixes,
	}
	if page.Truncated {
		doc.NextKeyMarker = page.NextKey
		if page.NextID != (object.WriteID{}) { // zero behind a common prefix
			doc.NextUploadIDMarker = page.NextID.String()
		}
	}
	for i := range page.Uploads {
		up := &page.Uploads[i].Upload
		row := s3xml.Upload{
			Key: page.Uploads[i].Key, UploadID: up.ID.String(), Initiator: owner(up.Meta.Owner), Owner: owner(up.Meta.Owner),
			StorageClass: up.Meta.StorageClass, Initiated: up.Started,
		}
		row.ChecksumAlgorithm, row.ChecksumType = uploadSum(up)
		doc.Uploads = append(doc.Uploads, row)
	}
	return c.xml(doc.AppendXML(nil))
}
