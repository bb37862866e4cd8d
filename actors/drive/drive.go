// Package drive defines what a drive can do and holds the actor that owns a local one.
//
// A drive keeps, for the slots of the erasure sets it is a member of, version rows, shards and
// open uploads. It decides nothing about a set: coordinators (actors/erasureset, driven by
// actors/quorum) ask several drives and draw the conclusions, and what one drive does with a request
// is quorum.Drive's to say. What a drive does promise is that an
// answer is given only after everything it says is durable, and that a reader never sees a row that
// a crash could still take back.
//
// Drive is met by the local actor (Open), by a remote drive, by Offline and by the in-memory
// drive of drivetest. One conformance suite (drivetest) runs on all of them. All methods are safe
// for concurrent use. Requests and their slices belong to the callee until it returns; replies
// belong to the caller. Every method honours the deadline of ctx; an operation that was abandoned
// by its caller may still take effect.
package drive

import (
	"context"
	"io"
	"time"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// Drive is one member's storage as a coordinator sees it.
type Drive interface {
	ID() cluster.DriveID
	// Health is cheap, never blocks, and may be a moment old.
	Health() Health

	Doer
	Stager
	Reporter
	Scanner
	Uploads
}

// Stager takes shard data ahead of any decision.
type Stager interface {
	// Stage opens a writer for one shard of about size bytes (a hint, -1 if unknown) that will be
	// known as oid. Data that is never committed is given back when the writer is aborted, and
	// after a restart.
	Stage(ctx context.Context, req StageRequest) (ShardWriter, error)
}

// StageRequest describes a shard that is about to be written.
type StageRequest struct {
	OID   object.OID
	Write object.WriteID
	Frame int   // bytes of shard data in each frame but the last
	Size  int64 // expected shard bytes, -1 if unknown
}

// ShardWriter takes the frames of one shard in order. It is used by one goroutine at a time.
type ShardWriter interface {
	// WriteFrame stores the next frame. frame holds the shard data of the frame (at most
	// StageRequest.Frame bytes; only the last may be shorter) behind ondisk.FrameHeaderRoom free
	// bytes at its start, which the drive fills, so that header and data go out in one write.
	WriteFrame(ctx context.Context, frame []byte) error
	// Sync returns when everything written is durable. After it the staged data may be committed
	// by a request whose Payload says Staged, or by PutPart.
	Sync(ctx context.Context) error
	// Abort gives the space back. It is idempotent and harmless after a commit took the data.
	Abort()
}

// Reporter hands out shards and says what there is to do.
type Reporter interface {
	// OpenShard finds the shard of an object or part, inline or not, for reading and pins its space until Close.
	// key is that of the object: a drive finds the small shard of a version by the version's row.
	// Errors: ErrNoShard, ErrDamaged, and as Commit.
	OpenShard(ctx context.Context, key object.Key, oid object.OID) (ShardReader, error)
	// Pending lists revisions accepted at least age ago that are not known stable, oldest first.
	Pending(ctx context.Context, age time.Duration, limit int) ([]ondisk.Pending, error)
	// Debts lists stable revisions that some slot misses, in the order of set, slot and age: what is to
	// be healed. from is nil or the next of the last call, which is nil at the end.
	Debts(ctx context.Context, from []byte, limit int) (list []ondisk.Pending, next []byte, err error)
	// Parts returns the part table of a multipart object.
	Parts(ctx context.Context, oid object.OID) ([]ondisk.Part, error)
}

// ShardReader reads one pinned shard.
type ShardReader interface {
	// ReadFrames reads whole frames starting with number first into dst and returns the shard bytes
	// of each, verified. Each buffer of dst holds at least ondisk.FrameHeaderRoom and the bytes of
	// its own frame (the last frame is short); the returned slices alias them.
	ReadFrames(ctx context.Context, first int, dst [][]byte) ([][]byte, error)
	// ReadAt reads len(p) verified bytes of shard data at offset off, reading and checking no more
	// than the 64 KiB blocks they touch.
	ReadAt(ctx context.Context, p []byte, off int64) error
	// Size is the shard's length in bytes.
	Size() int64
	// Frame is the number of shard bytes in each frame but the last.
	Frame() int
	io.Closer
}

// WarmReader is a ShardReader that knows what of its shard can be had without the drive's medium.
type WarmReader interface {
	ShardReader
	// ReadWarm reads n bytes at offset off, fewer where their frame ends, verified, if they are in
	// memory. False says nothing about them: ReadAt finds out. buf holds ondisk.FrameHeaderRoom bytes
	// and the 64 KiB blocks they lie in; the result aliases it. It is meant not to wait, but only the
	// medium knows: whoever calls it has to be watched.
	ReadWarm(buf []byte, off int64, n int) ([]byte, bool)
}

// Scanner walks version rows in key order.
type Scanner interface {
	// Scan returns entries in key order: names at or behind Start, and common prefixes of such names
	// (which may themselves sort before Start). Keys whose newest version is a stable tombstone or
	// delete marker are left out unless ScanRequest.Tombstones, which asks for more besides.
	Scan(ctx context.Context, req *ScanRequest) (ScanReply, error)
	// BucketEmpty reports whether the drive holds no object, marker or open upload of the bucket.
	BucketEmpty(ctx context.Context, bucket cluster.BucketID) (bool, error)
}

// ScanRequest asks for a run of keys of one bucket.
type ScanRequest struct {
	Bucket cluster.BucketID
	Prefix string
	Start  string // first key wanted, inclusive; "" = from the prefix
	// Versions asks for every version of each key, newest first, that is not known replaced or removed:
	// objects and delete markers. Below leaves out those of Start that are not older than it.
	Versions bool
	Below    object.VersionRef
	// Delimiter lets the drive skip by seeking: names that share a common prefix are returned once, as Entry.Common.
	Delimiter string
	Limit     int // entries wanted (common prefixes counted), at most 4096
	// Tombstones also returns what collection can end: keys whose newest version is a stable tombstone and,
	// without a delimiter, an entry without a version (Kind 0) for each key of which promises, decisions or
	// dead marks are remembered that are all older than AttemptLife. The entry of its newest version, if
	// that is told, follows. Not with Versions.
	Tombstones bool
	// Full has a bit for each set whose rows are wanted whole, Witness for those of which (key, ts,
	// write, rev, unstable) suffices. Sets in neither are left out.
	Full, Witness []uint64
	Sets          func(name string) cluster.SetID // key -> set, from placement; local calls only
}

// ScanReply is one answer of a drive; a truncated one ends at its last entry. Rows are the shared parts
// of version rows. Silent are the sets, of those asked for, in which the drive is not in sync.
type ScanReply = quorum.ListAnswer

// Entry is the newest version of one key, or one of its versions, as one drive sees it, or a common prefix.
type Entry = quorum.ListItem

// Uploads keeps the data of open multipart uploads, which ReqUpload opens.
type Uploads interface {
	// PutPart durably records a part whose shard was staged (or inline, if small).
	PutPart(ctx context.Context, at Target, upload object.WriteID, part *ondisk.UploadPart, inline []byte) error
	// GetUpload returns an upload and all its part rows, in order of part number then (TS, Write) descending.
	// An upload that a version completes which is not settled is ErrUnsettled, and not listed: it comes
	// back if that version is dropped.
	GetUpload(ctx context.Context, key object.Key, upload object.WriteID) (*ondisk.Upload, []ondisk.UploadPart, error)
	// ListUploads walks open uploads of a bucket in (key, upload id) order.
	ListUploads(ctx context.Context, bucket cluster.BucketID, prefix, startKey string, startAfter object.WriteID, limit int) ([]UploadEntry, error)
}

// Target says where an upload's rows belong and under which configuration the sender acts.
type Target struct {
	Set       cluster.SetID
	Epoch     uint64
	BucketRev uint64
	Key       object.Key
}

// UploadEntry is one open upload in a list.
type UploadEntry struct {
	Name   string
	Upload ondisk.Upload
}

// ControlStore keeps this drive's copy of the applied control state (Q rows). Only local drives have it.
type ControlStore interface {
	// LoadControl returns the copy, or ErrNoControl.
	LoadControl(ctx context.Context) (ondisk.ControlMeta, map[string][]byte, error)
	// StoreControl replaces meta, sets the rows in put and removes those in del, in one durable batch.
	StoreControl(ctx context.Context, meta ondisk.ControlMeta, put map[string][]byte, del []string) error
}

// Watermarker keeps what others must not forget. It is an optional power: local drives have it.
type Watermarker interface {
	// Heard tells which batches of other drives were part of acknowledged writes. It is kept with a
	// later batch: a drive that opens with less has lost what it promised (I15).
	Heard(peers map[cluster.DriveID]uint64)
	// Watermarks returns the drive's own last durable batch and what it heard of others.
	Watermarks() (own uint64, peers map[cluster.DriveID]uint64)
}

// State is what a drive can be used for.
type State uint8

const (
	Online State = iota + 1 // in service
	Absent                  // no answer, or not mounted
	Failed                  // an I/O error or a failed assertion took it out until it is checked
)

// Health is a drive's vital signs.
type Health struct {
	State State
	Err   error // why it is not Online
	Full  bool  // at its reserve: refuses new data, still deletes and reads
	// Reclaiming: Full, but space is being given back: new data may be taken after a little waiting,
	// which the drive does by itself.
	Reclaiming bool
	Capacity   int64 // bytes of the file system
	Free       int64
	Used       int64   // bytes that the drive's own files take on its file system
	FSID       uint64  // file system identity: equal for drives that share one
	Queue      int     // messages in the mailbox
	Working    float64 // fraction of time the writer loop works, 0..1
	Durable    uint64  // last durable batch
}
