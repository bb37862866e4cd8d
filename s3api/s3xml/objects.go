package s3xml

// CopyResult is the answer of CopyObject and UploadPartCopy.
type CopyResult struct {
	Part         bool // UploadPartCopy
	LastModified int64
	ETag         string
	Checksums    []Checksum
	ChecksumType string // only for objects
}

// AppendXML writes the document.
func (r *CopyResult) AppendXML(dst []byte) []byte {
	root := "CopyObjectResult"
	if r.Part {
		root = "CopyPartResult"
	}
	w := writer{dst}
	w.root(root)
	w.time("LastModified", r.LastModified)
	w.etag("ETag", r.ETag)
	w.checksums(r.Checksums)
	w.optional("ChecksumType", r.ChecksumType)
	w.close(root)
	return w.b
}

// DeleteResult is the answer of DeleteObjects.
type DeleteResult struct {
	Deleted []Deleted // the caller leaves it empty when the request was quiet
	Errors  []DeleteError
}

// Deleted is one key that is gone.
type Deleted struct {
	Key, VersionID        string
	DeleteMarker          bool
	DeleteMarkerVersionID string
}

// DeleteError is one key that is not.
type DeleteError struct{ Key, VersionID, Code, Message string }

// AppendXML writes the document.
func (r *DeleteResult) AppendXML(dst []byte) []byte {
	w := writer{dst}
	w.root("DeleteResult")
	for i := range r.Deleted {
		d := &r.Deleted[i]
		w.open("Deleted")
		w.text("Key", d.Key)
		w.optional("VersionId", d.VersionID)
		if d.DeleteMarker {
			w.bool("DeleteMarker", true)
			w.text("DeleteMarkerVersionId", d.DeleteMarkerVersionID)
		}
		w.close("Deleted")
	}
	for i := range r.Errors {
		e := &r.Errors[i]
		w.open("Error")
		w.text("Key", e.Key)
		w.optional("VersionId", e.VersionID)
		w.text("Code", e.Code)
		w.text("Message", e.Message)
		w.close("Error")
	}
	w.close("DeleteResult")
	return w.b
}

// GetObjectAttributesResponse is the answer of GetObjectAttributes; only what was asked for is set.
type GetObjectAttributesResponse struct {
	ETag         string // here without quotes, as in AWS; "" = not asked for
	Checksums    []Checksum
	ChecksumType string
	Parts        *AttributesParts
	StorageClass string // "" = not asked for
	Size         *int64
}

// AttributesParts are the parts of a multipart object.
type AttributesParts struct {
	Total, Marker, Next, Max int
	IsTruncated              bool
	Parts                    []Part // only Number, Size and Checksums are shown; empty without checksums
}

// AppendXML writes the document.
func (r *GetObjectAttributesResponse) AppendXML(dst []byte) []byte {
	w := writer{dst}
	w.root("GetObjectAttributesResponse")
	w.optional("ETag", r.ETag)
	if len(r.Checksums) > 0 {
		w.open("Checksum")
		w.checksums(r.Checksums)
		w.optional("ChecksumType", r.ChecksumType)
		w.close("Checksum")
	}
	if p := r.Parts; p != nil {
		w.open("ObjectParts")
		w.int("PartsCount", int64(p.Total))
		w.int("PartNumberMarker", int64(p.Marker))
		w.int("NextPartNumberMarker", int64(p.Next))
		w.int("MaxParts", int64(p.Max))
		w.bool("IsTruncated", p.IsTruncated)
		for i := range p.Parts {
			w.open("Part")
			w.int("PartNumber", int64(p.Parts[i].Number))
			w.int("Size", p.Parts[i].Size)
			w.checksums(p.Parts[i].Checksums)
			w.close("Part")
		}
		w.close("ObjectParts")
	}
	w.optional("StorageClass", r.StorageClass)
	if r.Size != nil {
		w.int("ObjectSize", *r.Size)
	}
	w.close("GetObjectAttributesResponse")
	return w.b
}

// AppendLocationConstraint writes the answer of GetBucketLocation; us-east-1 is shown as nothing.
func AppendLocationConstraint(dst []byte, region string) []byte {
	if region == "us-east-1" {
		region = ""
	}
	w := writer{dst}
	w.root("LocationConstraint")
	w.b = appendEscaped(w.b, region)
	w.close("LocationConstraint")
	return w.b
}

// AppendEmptyTagging writes the answer of GetObjectTagging for an object without tags.
func AppendEmptyTagging(dst []byte) []byte {
	w := writer{dst}
	w.root("Tagging")
	w.open("TagSet")
	w.close("TagSet")
	w.close("Tagging")
	return w.b
}

// AppendVersioningConfiguration writes the answer of GetBucketVersioning; status is "" for a bucket
// on which versioning was never enabled.
func AppendVersioningConfiguration(dst []byte, status string) []byte {
	w := writer{dst}
	w.root("VersioningConfiguration")
	w.optional("Status", status)
	w.close("VersioningConfiguration")
	return w.b
}
