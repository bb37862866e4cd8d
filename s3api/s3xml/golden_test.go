package s3xml

import (
	"bytes"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

func at(s string) int64 {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t.UnixNano()
}

// awkward holds everything that needs care in text, and is still valid XML 1.0.
const awkward = "a b+c%&<>\"'é😀\t\n\r/.."

func TestGoldens(t *testing.T) {
	owner := Owner{"id<1>", "name"}
	when := at("2026-03-01T12:34:56.789Z")
	size := int64(42)
	sums := []Checksum{{"CRC32", "AAAAAA=="}, {"SHA256", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=-3"}}
	v1 := ListBucketResult{Name: "b", Prefix: awkward, Marker: "m&", Delimiter: "/", MaxKeys: 1000, IsTruncated: true, NextMarker: awkward}
	v2 := ListBucketResult{V2: true, URLEncode: true, Name: "b", Prefix: awkward, Delimiter: "/", MaxKeys: 2, IsTruncated: true, KeyCount: 2,
		StartAfter: awkward, ContinuationToken: "t&1", NextContinuationToken: "t<2"}
	page := func(l *ListBucketResult) []byte {
		b := l.AppendOpen(nil)
		b = l.AppendContents(b, &Contents{Key: awkward, LastModified: when, ETag: "d41d8cd98f00b204e9800998ecf8427e", Size: 5, ChecksumAlgorithm: "CRC32", ChecksumType: "FULL_OBJECT"})
		b = l.AppendContents(b, &Contents{Key: "k", LastModified: 0, ETag: "x-2", Size: 5 << 40, StorageClass: "STANDARD_IA", Owner: &owner})
		b = l.AppendCommonPrefix(b, "p<q>/")
		return l.AppendClose(b)
	}
	for name, doc := range map[string][]byte{
		"list_v1":       page(&v1),
		"list_v2_url":   page(&v2),
		"list_v1_empty": (&ListBucketResult{}).AppendClose((&ListBucketResult{Name: "b"}).AppendOpen(nil)),
		"list_v2_empty": (&ListBucketResult{}).AppendClose((&ListBucketResult{V2: true, Name: "b"}).AppendOpen(nil)),
		"buckets": (&ListAllMyBucketsResult{Owner: owner, Prefix: "b", ContinuationToken: "t",
			Buckets: []Bucket{{"b1", when, "eu-west-1"}, {"b2", 0, ""}}}).AppendXML(nil),
		"buckets_empty":  (&ListAllMyBucketsResult{Owner: owner}).AppendXML(nil),
		"initiate":       (&InitiateMultipartUploadResult{"b", awkward, "id"}).AppendXML(nil),
		"complete":       (&CompleteMultipartUploadResult{"http://h/b/k", "b", awkward, "x-3", sums, "COMPOSITE"}).AppendXML(nil),
		"copy_object":    (&CopyResult{LastModified: when, ETag: "x", Checksums: sums[:1], ChecksumType: "FULL_OBJECT"}).AppendXML(nil),
		"copy_part":      (&CopyResult{Part: true, LastModified: when, ETag: "x"}).AppendXML(nil),
		"delete":         (&DeleteResult{[]Deleted{{Key: awkward}, {"k", "null", true, "v1"}}, []DeleteError{{"k<", "v", "AccessDenied", "Access Denied"}}}).AppendXML(nil),
		"delete_quiet":   (&DeleteResult{}).AppendXML(nil),
		"location":       AppendLocationConstraint(nil, "eu-west-1"),
		"location_empty": AppendLocationConstraint(nil, "us-east-1"),
		"tagging_empty":  AppendEmptyTagging(nil),
		"versioning":     AppendVersioningConfiguration(nil, ""),
		"versioning_on":  AppendVersioningConfiguration(nil, "Enabled"),
		"parts":          (&ListPartsResult{Bucket: "b", Key: awkward, UploadID: "u", Initiator: owner, Owner: owner, PartNumberMarker: 1, NextPartNumber: 3, MaxParts: 2, IsTruncated: true, ChecksumAlgorithm: "CRC32", ChecksumType: "COMPOSITE", Parts: []Part{{2, when, "e2", 5 << 20, sums[:1]}, {3, when, "e3", 1, nil}}}).AppendXML(nil),
		"parts_empty":    (&ListPartsResult{Bucket: "b", Key: awkward, URLEncode: true, UploadID: "u"}).AppendXML(nil),
		"uploads":        (&ListMultipartUploadsResult{Bucket: "b", KeyMarker: "k", UploadIDMarker: "u", NextKeyMarker: awkward, NextUploadIDMarker: "u2", Prefix: "p", Delimiter: "/", MaxUploads: 1, IsTruncated: true, Uploads: []Upload{{awkward, "u2", owner, owner, "", when, "CRC64NVME", "FULL_OBJECT"}}, CommonPrefixes: []string{"p/"}}).AppendXML(nil),
		"uploads_url":    (&ListMultipartUploadsResult{Bucket: "b", URLEncode: true, Uploads: []Upload{{Key: awkward, UploadID: "u"}}}).AppendXML(nil),
		"versions": (&ListVersionsResult{Name: "b", Prefix: "p", Delimiter: "/", KeyMarker: "k", NextKeyMarker: awkward, NextVersionIDMarker: "null", MaxKeys: 1, IsTruncated: true,
			Versions: []ObjectVersion{{awkward, "null", true, false, when, "x", 5, "", owner}, {Key: awkward, VersionID: "v1", Marker: true, LastModified: when, Owner: owner}}, CommonPrefixes: []string{"p/"}}).AppendXML(nil),
		"attributes":      (&GetObjectAttributesResponse{ETag: "x-2", Checksums: sums[1:], ChecksumType: "COMPOSITE", StorageClass: "STANDARD", Size: &size, Parts: &AttributesParts{Total: 3, Next: 1, Max: 1, IsTruncated: true, Parts: []Part{{Number: 1, Size: 21, Checksums: sums[:1]}}}}).AppendXML(nil),
		"attributes_none": (&GetObjectAttributesResponse{}).AppendXML(nil),
	} {
		t.Run(name, func(t *testing.T) {
			wellFormed(t, doc)
			path := filepath.Join("testdata", "golden", name+".xml")
			if *update {
				if err := os.WriteFile(path, append(doc, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := append(doc, '\n'); !bytes.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func wellFormed(t *testing.T, doc []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(doc))
	for {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("%v in %s", err, doc)
		}
	}
}
