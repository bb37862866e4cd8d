package ondisk

import (
	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
)

// VersionKind says what a version row stands for. Append only: the numbers are on disk.
type VersionKind uint8

const (
	KindObject       VersionKind = 1 // an object with data
	KindDeleteMarker VersionKind = 2 // a delete marker of a versioned bucket: a version of its own
	KindTombstone    VersionKind = 3 // an unversioned delete, kept until every member holds it stable
	KindPurged       VersionKind = 4 // a revision that removes its version for good, kept likewise
)

// Version is the row M: one version of one key, at most MaxVersionRow bytes encoded. The fields
// TS, Write and Rev are the end of the row's key; Batch and Slot belong to the drive that holds
// the row and lie in a fixed prefix of the value, before its VersionOwn; all others are the same bytes on every drive of
// the set, so a coordinator encodes them once.
type Version struct {
	TS    object.Stamp
	Write object.WriteID
	Rev   object.Stamp // revision of the metadata; the first equals TS

	Batch uint64 // batch of the drive that wrote this row; readers wait until it is durable
	Slot  uint8  // slot of the set that this drive held when it accepted the row

	Kind VersionKind

	N, K  uint8  // slots and data shards of the coding
	Unit  uint32 // bytes of one shard of a full stripe (erasure.Geometry.Unit)
	Frame uint32 // bytes of shard data in a full frame

	Size    int64 // plain bytes, what Content-Length says
	Stored  int64 // bytes after transforms (encryption, compression), what was erasure coded
	ModTime int64 // wall clock, nanoseconds since the Unix epoch: Last-Modified

	ETag      string // without quotes: hex MD5, or hex MD5 "-" parts
	Checksums []Checksum
	Parts     uint32 // number of parts of a multipart object, 0 for a single PUT

	ContentType        string
	CacheControl       string
	ContentDisposition string
	ContentEncoding    string
	ContentLanguage    string
	Expires            string // as the client sent it
	Website            string // x-amz-website-redirect-location
	UserMeta           []Pair // lower-case names without x-amz-meta-, in name order
	Tags               []Pair
	Owner              string
	StorageClass       string // "" = STANDARD

	LockMode    string // "", "GOVERNANCE" or "COMPLIANCE"
	LockUntil   int64  // nanoseconds since the Unix epoch
	LegalHold   bool
	Encryption  []byte   // encryption block, opaque here
	Transforms  []string // plain -> stored, in order of application
	Replication []byte   // replication state, opaque here
	Restore     []byte   // restore state, opaque here

	Refs      []Ref  // where the data lies; empty for markers, tombstones and empty objects
	NullID    bool   // the version's id is "null"
	ForeignID string // version id of an import, if it has one

	Unknown []byte // fields of newer releases, kept when the row is written again
}

// ID is how clients name the version.
func (v *Version) ID() object.VersionID {
	return object.IDOf(object.VersionRef{TS: v.TS, Write: v.Write}, v.NullID)
}

// Ref points at stored data. It need not lie in the set of the key that refers to it.
type Ref struct {
	Set    cluster.SetID
	OID    object.OID
	Length int64 // stored bytes
	Inline bool  // the shards lie in the drives' journals, those of parts in D rows, instead of segments
}

// Pair is a name and a value.
type Pair struct{ Name, Value string }

// ChecksumAlgo is one of S3's additional checksums. Append only: the numbers are on disk.
type ChecksumAlgo uint8

const (
	ChecksumCRC32     ChecksumAlgo = 1
	ChecksumCRC32C    ChecksumAlgo = 2
	ChecksumSHA1      ChecksumAlgo = 3
	ChecksumSHA256    ChecksumAlgo = 4
	ChecksumCRC64NVME ChecksumAlgo = 5
)

// Checksum is an additional checksum of an object or a part (S3 user guide, "Checking object integrity").
type Checksum struct {
	Algo      ChecksumAlgo
	Composite bool   // checksum of the parts' checksums; shown with "-parts" behind it
	Value     []byte // raw bytes, big endian for CRCs
}

// MaxVersionRow is the largest encoded version row in bytes.
const MaxVersionRow = 4 << 10
