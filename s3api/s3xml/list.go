package s3xml

// Owner is a user as documents show one.
type Owner struct{ ID, DisplayName string }

// Checksum is one ChecksumCRC32, ChecksumSHA256 .. element. Algo is the part behind "Checksum",
// Value the base64 text, with "-parts" for a composite one.
type Checksum struct{ Algo, Value string }

// ListBucketResult is the head of a page of ListObjects or ListObjectsV2. The page is written in
// pieces, so that no second copy of a thousand entries is built:
//
//	b = l.AppendOpen(b)
//	for .. { b = l.AppendContents(b, &c) }       // keys, in order
//	for .. { b = l.AppendCommonPrefix(b, p) }    // then common prefixes, in order
//	b = l.AppendClose(b)
type ListBucketResult struct {
	V2        bool
	URLEncode bool // encoding-type=url was asked for

	Name, Prefix, Delimiter string
	MaxKeys                 int
	IsTruncated             bool

	Marker     string // V1
	NextMarker string // V1: when truncated and a delimiter was given

	KeyCount              int    // V2: keys and common prefixes of this page
	StartAfter            string // V2: as given
	ContinuationToken     string // V2: as given
	HasToken              bool   // V2: a token was given: S3 takes an empty one, too, and shows it
	NextContinuationToken string // V2: when truncated
}

// Contents is one key of a page.
type Contents struct {
	Key          string
	LastModified int64 // nanoseconds since the Unix epoch
	ETag         string
	Size         int64
	StorageClass string // "" = STANDARD

	ChecksumAlgorithm string // "" = none
	ChecksumType      string

	Owner *Owner // nil = not shown (V2 without fetch-owner)
}

// AppendOpen writes everything that comes before the keys.
func (l *ListBucketResult) AppendOpen(dst []byte) []byte {
	w := writer{dst}
	w.root("ListBucketResult")
	w.text("Name", l.Name)
	w.name("Prefix", l.Prefix, l.URLEncode)
	if l.V2 {
		if l.StartAfter != "" {
			w.name("StartAfter", l.StartAfter, l.URLEncode)
		}
		if l.HasToken || l.ContinuationToken != "" {
			w.text("ContinuationToken", l.ContinuationToken)
		}
		w.optional("NextContinuationToken", l.NextContinuationToken)
		w.int("KeyCount", int64(l.KeyCount))
	} else {
		w.name("Marker", l.Marker, l.URLEncode)
		if l.NextMarker != "" {
			w.name("NextMarker", l.NextMarker, l.URLEncode)
		}
	}
	w.int("MaxKeys", int64(l.MaxKeys))
	if l.Delimiter != "" {
		w.name("Delimiter", l.Delimiter, l.URLEncode)
	}
	w.encodingType(l.URLEncode)
	w.bool("IsTruncated", l.IsTruncated)
	return w.b
}

func (w *writer) encodingType(url bool) {
	if url {
		w.text("EncodingType", "url")
	}
}

// AppendContents writes one key.
func (l *ListBucketResult) AppendContents(dst []byte, c *Contents) []byte {
	dst = append(dst, "<Contents><Key>"...)
	if l.URLEncode {
		dst = appendURLEncoded(dst, c.Key)
	} else {
		dst = appendKey(dst, c.Key)
	}
	dst = append(dst, "</Key><LastModified>"...)
	dst = AppendTime(dst, c.LastModified)
	dst = append(dst, "</LastModified><ETag>&quot;"...)
	dst = appendEscaped(dst, c.ETag)
	dst = append(dst, "&quot;</ETag>"...)
	w := writer{dst}
	w.optional("ChecksumAlgorithm", c.ChecksumAlgorithm)
	w.optional("ChecksumType", c.ChecksumType)
	w.int("Size", c.Size)
	w.storageClass(c.StorageClass)
	if c.Owner != nil {
		w.owner("Owner", *c.Owner)
	}
	w.close("Contents")
	return w.b
}

func (w *writer) storageClass(s string) {
	if s == "" {
		w.b = append(w.b, "<StorageClass>STANDARD</StorageClass>"...)
		return
	}
	w.text("StorageClass", s)
}

// AppendCommonPrefix writes one common prefix.
func (l *ListBucketResult) AppendCommonPrefix(dst []byte, prefix string) []byte {
	w := writer{dst}
	w.commonPrefix(prefix, l.URLEncode)
	return w.b
}

func (w *writer) commonPrefix(prefix string, url bool) {
	w.open("CommonPrefixes")
	w.name("Prefix", prefix, url)
	w.close("CommonPrefixes")
}

// AppendClose ends the document.
func (l *ListBucketResult) AppendClose(dst []byte) []byte {
	return append(dst, "</ListBucketResult>"...)
}

// ListAllMyBucketsResult is the answer of ListBuckets.
type ListAllMyBucketsResult struct {
	Owner             Owner
	Buckets           []Bucket
	Prefix            string
	ContinuationToken string // of the next page
}

// Bucket is one bucket of ListBuckets.
type Bucket struct {
	Name    string
	Created int64  // nanoseconds since the Unix epoch
	Region  string // "" = not shown
}

// AppendXML writes the document.
func (l *ListAllMyBucketsResult) AppendXML(dst []byte) []byte {
	w := writer{dst}
	w.root("ListAllMyBucketsResult")
	w.owner("Owner", l.Owner)
	w.open("Buckets")
	for i := range l.Buckets {
		b := &l.Buckets[i]
		w.open("Bucket")
		w.text("Name", b.Name)
		w.time("CreationDate", b.Created)
		w.optional("BucketRegion", b.Region)
		w.close("Bucket")
	}
	w.close("Buckets")
	w.optional("ContinuationToken", l.ContinuationToken)
	w.optional("Prefix", l.Prefix)
	w.close("ListAllMyBucketsResult")
	return w.b
}
