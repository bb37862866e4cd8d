package s3xml

// ListVersionsResult is a page of ListObjectVersions.
type ListVersionsResult struct {
	Name, Prefix, Delimiter            string
	KeyMarker, VersionIDMarker         string
	NextKeyMarker, NextVersionIDMarker string
	MaxKeys                            int
	URLEncode                          bool
	IsTruncated                        bool
	Versions                           []ObjectVersion
	CommonPrefixes                     []string
}

// ObjectVersion is one version of a key.
type ObjectVersion struct {
	Key, VersionID string
	IsLatest       bool
	Marker         bool  // a delete marker: it has no ETag, size or storage class
	LastModified   int64 // nanoseconds since the Unix epoch
	ETag           string
	Size           int64
	StorageClass   string // "" = STANDARD
	Owner          Owner
}

// AppendXML writes the document.
func (l *ListVersionsResult) AppendXML(dst []byte) []byte {
	w := writer{dst}
	w.root("ListVersionsResult")
	w.text("Name", l.Name)
	w.name("Prefix", l.Prefix, l.URLEncode)
	w.name("KeyMarker", l.KeyMarker, l.URLEncode)
	w.text("VersionIdMarker", l.VersionIDMarker)
	if l.IsTruncated {
		w.name("NextKeyMarker", l.NextKeyMarker, l.URLEncode)
		w.optional("NextVersionIdMarker", l.NextVersionIDMarker)
	}
	w.int("MaxKeys", int64(l.MaxKeys))
	if l.Delimiter != "" {
		w.name("Delimiter", l.Delimiter, l.URLEncode)
	}
	w.encodingType(l.URLEncode)
	w.bool("IsTruncated", l.IsTruncated)
	for i := range l.Versions {
		v := &l.Versions[i]
		element := "Version"
		if v.Marker {
			element = "DeleteMarker"
		}
		w.open(element)
		w.name("Key", v.Key, l.URLEncode)
		w.text("VersionId", v.VersionID)
		w.bool("IsLatest", v.IsLatest)
		w.time("LastModified", v.LastModified)
		if !v.Marker {
			w.etag("ETag", v.ETag)
			w.int("Size", v.Size)
		}
		w.owner("Owner", v.Owner)
		if !v.Marker {
			w.storageClass(v.StorageClass)
		}
		w.close(element)
	}
	for _, p := range l.CommonPrefixes {
		w.commonPrefix(p, l.URLEncode)
	}
	w.close("ListVersionsResult")
	return w.b
}
