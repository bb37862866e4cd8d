package s3xml

// InitiateMultipartUploadResult is the answer of CreateMultipartUpload.
type InitiateMultipartUploadResult struct{ Bucket, Key, UploadID string }

// AppendXML writes the document.
func (r *InitiateMultipartUploadResult) AppendXML(dst []byte) []byte {
	w := writer{dst}
	w.root("InitiateMultipartUploadResult")
	w.text("Bucket", r.Bucket)
	w.text("Key", r.Key)
	w.text("UploadId", r.UploadID)
	w.close("InitiateMultipartUploadResult")
	return w.b
}

// CompleteMultipartUploadResult is the answer of CompleteMultipartUpload.
type CompleteMultipartUploadResult struct {
	Location, Bucket, Key, ETag string
	Checksums                   []Checksum
	ChecksumType                string
}

// AppendXML writes the document.
func (r *CompleteMultipartUploadResult) AppendXML(dst []byte) []byte {
	w := writer{dst}
	w.root("CompleteMultipartUploadResult")
	w.text("Location", r.Location)
	w.text("Bucket", r.Bucket)
	w.text("Key", r.Key)
	w.etag("ETag", r.ETag)
	w.checksums(r.Checksums)
	w.optional("ChecksumType", r.ChecksumType)
	w.close("CompleteMultipartUploadResult")
	return w.b
}

// ListPartsResult is a page of ListParts.
type ListPartsResult struct {
	Bucket, Key, UploadID            string
	URLEncode                        bool
	Initiator, Owner                 Owner
	StorageClass                     string
	PartNumberMarker, NextPartNumber int
	MaxParts                         int
	IsTruncated                      bool
	ChecksumAlgorithm, ChecksumType  string
	Parts                            []Part
}

// Part is one part of an upload.
type Part struct {
	Number       int
	LastModified int64 // nanoseconds since the Unix epoch
	ETag         string
	Size         int64
	Checksums    []Checksum
}

// AppendXML writes the document.
func (r *ListPartsResult) AppendXML(dst []byte) []byte {
	w := writer{dst}
	w.root("ListPartsResult")
	w.text("Bucket", r.Bucket)
	w.encodingType(r.URLEncode)
	if r.URLEncode {
		w.name("Key", r.Key, true)
	} else {
		w.text("Key", r.Key)
	}
	w.text("UploadId", r.UploadID)
	w.owner("Initiator", r.Initiator)
	w.owner("Owner", r.Owner)
	w.storageClass(r.StorageClass)
	w.int("PartNumberMarker", int64(r.PartNumberMarker))
	w.int("NextPartNumberMarker", int64(r.NextPartNumber))
	w.int("MaxParts", int64(r.MaxParts))
	w.bool("IsTruncated", r.IsTruncated)
	w.optional("ChecksumAlgorithm", r.ChecksumAlgorithm)
	w.optional("ChecksumType", r.ChecksumType)
	for i := range r.Parts {
		p := &r.Parts[i]
		w.open("Part")
		w.int("PartNumber", int64(p.Number))
		w.time("LastModified", p.LastModified)
		w.etag("ETag", p.ETag)
		w.int("Size", p.Size)
		w.checksums(p.Checksums)
		w.close("Part")
	}
	w.close("ListPartsResult")
	return w.b
}

// ListMultipartUploadsResult is a page of ListMultipartUploads.
type ListMultipartUploadsResult struct {
	Bucket                            string
	URLEncode                         bool
	KeyMarker, UploadIDMarker         string
	NextKeyMarker, NextUploadIDMarker string
	Prefix, Delimiter                 string
	MaxUploads                        int
	IsTruncated                       bool
	Uploads                           []Upload
	CommonPrefixes                    []string
}

// Upload is one open upload.
type Upload struct {
	Key, UploadID                   string
	Initiator, Owner                Owner
	StorageClass                    string
	Initiated                       int64 // nanoseconds since the Unix epoch
	ChecksumAlgorithm, ChecksumType string
}

// AppendXML writes the document.
func (r *ListMultipartUploadsResult) AppendXML(dst []byte) []byte {
	w := writer{dst}
	w.root("ListMultipartUploadsResult")
	w.text("Bucket", r.Bucket)
	w.name("KeyMarker", r.KeyMarker, r.URLEncode)
	w.text("UploadIdMarker", r.UploadIDMarker)
	if r.IsTruncated {
		w.name("NextKeyMarker", r.NextKeyMarker, r.URLEncode)
		w.text("NextUploadIdMarker", r.NextUploadIDMarker)
	}
	w.name("Prefix", r.Prefix, r.URLEncode)
	if r.Delimiter != "" {
		w.name("Delimiter", r.Delimiter, r.URLEncode)
	}
	w.encodingType(r.URLEncode)
	w.int("MaxUploads", int64(r.MaxUploads))
	w.bool("IsTruncated", r.IsTruncated)
	for i := range r.Uploads {
		u := &r.Uploads[i]
		w.open("Upload")
		w.name("Key", u.Key, r.URLEncode)
		w.text("UploadId", u.UploadID)
		w.owner("Initiator", u.Initiator)
		w.owner("Owner", u.Owner)
		w.storageClass(u.StorageClass)
		w.time("Initiated", u.Initiated)
		w.optional("ChecksumAlgorithm", u.ChecksumAlgorithm)
		w.optional("ChecksumType", u.ChecksumType)
		w.close("Upload")
	}
	for _, p := range r.CommonPrefixes {
		w.commonPrefix(p, r.URLEncode)
	}
	w.close("ListMultipartUploadsResult")
	return w.b
}
