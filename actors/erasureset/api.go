package erasureset

import (
	"context"
	"crypto/sha256"
	"io"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

// Info is what is known of an object: its version row.
type Info = ondisk.Version

// Condition judges the resolved current version of a key, or the one that the request names; nil
// when there is none (or it is a delete marker or tombstone). It returns nil to go on, or the error that the
// whole operation shall end with (object.ErrPrecondition and the like). It must not block.
type Condition func(current *Info) error

// PutRequest is one object to store.
type PutRequest struct {
	Bucket cluster.Bucket
	Key    string
	// Body yields exactly Size bytes and then io.EOF; a body cut short must end in another error
	// (io.ErrUnexpectedEOF), which aborts the write with nothing left behind.
	Body io.Reader
	Size int64
	// SHA256, unless nil, gets the SHA-256 of Body before Finish is called. It is computed along with
	// the ETag, which costs next to nothing; a Body that does it by itself pays half as much again.
	SHA256 *[sha256.Size]byte
	// Meta carries the client's fields (content headers, user metadata, storage class, owner, tags);
	// all others are ignored.
	Meta Info
	// Finish is called once, after the last byte of Body and before any decision, with Size, ETag
	// (hex MD5) and the client's fields set. It verifies digests and may set Checksums and ETag.
	// Nil is allowed.
	Finish func(v *Info) error
	// If is judged on the resolved state at the moment of the commit; nil = unconditional.
	If Condition
}

// OpenRequest asks for an object to read. Errors of Open: object.ErrNotFound, object.ErrNoVersion if a
// named version does not exist, *MarkerError if what is there is a delete marker.
type OpenRequest struct {
	Bucket  cluster.Bucket
	Key     string
	Version object.VersionID // none named: the current one
	// If is judged before any data is read; nil = unconditional.
	If Condition
	// HeadOnly asks for no data: Handle.Read then fails.
	HeadOnly bool
}

// MarkerError says that a key's current version, or the one named, is a delete marker. It is an
// object.ErrNotFound.
type MarkerError struct {
	Version object.VersionID
	ModTime int64 // when it was made, nanoseconds since the Unix epoch
}

func (e *MarkerError) Error() string { return "version " + e.Version.String() + " is a delete marker" }

// Unwrap makes a marker's key absent.
func (e *MarkerError) Unwrap() error { return object.ErrNotFound }

// DeleteRequest removes an object, or one version of it for good. Deleting what is not there succeeds.
type DeleteRequest struct {
	Bucket  cluster.Bucket
	Key     string
	Version object.VersionID // none named: the object, by a delete marker if the bucket has versions
	If      Condition
}

// Deleted is what a Delete did.
type Deleted struct {
	Version object.VersionID // the marker that was made, or the named version; none in a bucket that never had versioning
	Marker  bool             // it was a delete marker that was made or removed
}

// ListRequest asks for one page of a bucket's keys.
type ListRequest struct {
	Bucket    cluster.Bucket
	Prefix    string
	Delimiter string
	// After is the last key or common prefix already seen: the page starts behind it. With a
	// common prefix that ends in Delimiter everything below it is skipped.
	After string
	Limit int // keys and common prefixes together, 0..1000
}

// ListPage is one page in key order.
type ListPage struct {
	Entries   []ListEntry
	Truncated bool
	Next      string // After of the next page, when truncated
}

// ListEntry is a key, a version of a key, or a common prefix.
type ListEntry struct {
	Name   string
	Common bool
	Latest bool  // of versions: the newest of its key
	Info   *Info // nil for a common prefix
}

// VersionsRequest asks for one page of a bucket's versions, delete markers among them: in order of
// key, those of one key newest first.
type VersionsRequest struct {
	Bucket    cluster.Bucket
	Prefix    string
	Delimiter string
	// KeyMarker is the last key or common prefix already seen. With VersionMarker the versions of that
	// key older than it are still to come.
	KeyMarker     string
	VersionMarker object.VersionID
	Limit         int // versions and common prefixes together, 0..1000
}

// VersionsPage is one page of versions. If it is truncated the next one starts behind its last entry.
type VersionsPage struct {
	Entries   []ListEntry
	Truncated bool
}

// UploadRequest opens a multipart upload.
type UploadRequest struct {
	Bucket   cluster.Bucket
	Key      string
	Meta     Info
	Checksum ondisk.ChecksumAlgo
	FullObj  bool
}

// PartRequest is one part to store. Body, Size and Finish as in PutRequest; Finish sees a Part. Begin, if
// not nil, sees the upload before the body is read; its error ends the request.
type PartRequest struct {
	Bucket cluster.Bucket
	Key    string
	Upload object.WriteID
	Number int
	Body   io.Reader
	Size   int64
	SHA256 *[sha256.Size]byte // as in PutRequest
	Begin  func(up *ondisk.Upload) error
	Finish func(up *ondisk.Upload, p *ondisk.Part) error
}

// CompletedPart is one entry of the client's part list.
type CompletedPart struct {
	Number    int
	ETag      string // without quotes
	Checksums []ondisk.Checksum
}

// CompleteRequest makes an object of an upload.
type CompleteRequest struct {
	Bucket  cluster.Bucket
	Key     string
	Upload  object.WriteID
	Parts   []CompletedPart
	MinPart int64 // smallest allowed size of every part but the last
	// Finish sees the object about to be (ETag, Size set) and its parts, and sets Checksums.
	Finish func(up *ondisk.Upload, v *Info, parts []ondisk.Part) error
	If     Condition
}

// ListUploadsRequest asks for open uploads in (key, upload id) order.
type ListUploadsRequest struct {
	Bucket      cluster.Bucket
	Prefix      string
	Delimiter   string
	KeyMarker   string
	AfterUpload *object.WriteID // only with KeyMarker: uploads of KeyMarker behind this id are included
	Limit       int
}

// UploadsPage is one page of open uploads.
type UploadsPage struct {
	Uploads   []UploadItem
	Prefixes  []string
	Truncated bool
	NextKey   string
	NextID    object.WriteID
}

// UploadItem is one open upload.
type UploadItem struct {
	Key    string
	Upload ondisk.Upload
}

// Handle is one version opened for reading: its space stays pinned until Close.
type Handle interface {
	Info() *Info
	// Parts is the part table of a multipart object, nil for a single PUT.
	Parts(ctx context.Context) ([]ondisk.Part, error)
	// Read prepares the bytes of r: it returns only after the first stripe is decoded and verified,
	// so that a lost quorum can still become an error status. The stream's WriteTo sends the rest;
	// an error there means that the response must be cut. Stream.Close and Close are both needed.
	Read(ctx context.Context, r object.Range) (Stream, error)
	Close() error
}

// Stream is a body on its way out. It also serves as the source of a copy. A writer that cannot
// take more for a while may answer Write with object.ErrPaused and the bytes taken so far: WriteTo
// gives all buffers back and returns it, and the next WriteTo reads what was not taken anew.
type Stream interface {
	io.Reader
	io.WriterTo
	io.Closer
}
