package ondisk

import (
	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
)

// Part is one part of a completed multipart object, as listed in the X rows of the object's oid.
type Part struct {
	Number     uint16
	Size       int64 // plain bytes
	Stored     int64
	ETag       string
	Checksums  []Checksum
	Encryption []byte
	Write      object.WriteID
	Ref        Ref
	ModTime    int64 // nanoseconds since the Unix epoch
	Unknown    []byte
}

// Manifest is what X rows hold for one oid, cut into chunks of at most MaxManifestChunk bytes:
// either the extents of this drive's shard, or (for a multipart object) its parts.
type Manifest struct {
	Extents []Extent
	Parts   []Part
}

// MaxManifestChunk is the largest encoded X row in bytes.
const MaxManifestChunk = 64 << 10

// Extent is a run of frames of one shard in a segment. Frames of a shard are numbered from 0 over
// all its extents.
type Extent struct {
	Segment    uint32 // segment number
	Generation uint32 // generation the segment had when the frames were written
	Offset     int64  // of the first frame's header in the segment file
	Length     int64  // bytes on disk, headers and padding included
	Frames     uint32 // number of frames
	First      uint32 // number of the first frame
	Data       int64  // bytes of shard data in these frames
}

// Upload is the row U bucket key uploadID: an open multipart upload. Meta carries what the
// finished object inherits (headers, user metadata, checksum algorithm, storage class).
type Upload struct {
	ID       object.WriteID // the upload id is its hex form
	TS       object.Stamp
	Batch    uint64
	Started  int64 // nanoseconds since the Unix epoch
	Meta     Version
	Checksum ChecksumAlgo // 0 = none asked for
	FullObj  bool         // checksum type FULL_OBJECT
	Unknown  []byte
}

// UploadPart is the row U bucket key uploadID part writeID: one uploaded part. Of several rows for
// one number the one with the highest (TS, Write) counts.
type UploadPart struct {
	Part
	TS    object.Stamp
	Batch uint64
	Slot  uint8
	N, K  uint8
	Unit  uint32
	Frame uint32
}

// KeyState is what a drive must remember of a key beside its versions (row M without a version).
type KeyState struct {
	Batch    uint64            // of the drive that wrote it; readers wait until it is durable
	Promise  object.VersionRef // ballot promised
	Decision Decision
	Dead     []DeadMark
	Hints    []Hint
	// Revised is the highest revision of the key that is not a version's first: a decision needs it and
	// the revision's row may lie far down.
	Revised object.Stamp
	Unknown []byte
}

// Decision is what the prepared operation of the highest ballot had found chosen.
type Decision struct {
	Ballot object.VersionRef
	Ref    object.VersionRef // zero: nothing
	Rev    object.Stamp
}

// DeadMark is an oath never to accept an attempt. Proven: enough of them were seen.
type DeadMark struct {
	Ref    object.VersionRef
	Rev    object.Stamp
	Epoch  uint64
	Null   bool
	Proven bool
	Ballot object.VersionRef // of the decision that buried it; zero: none did
}

// Hint says which slots miss a stable revision. Each has an H row too.
type Hint struct {
	Ref   object.VersionRef
	Rev   object.Stamp
	Slots uint32
}

// Pending is the value of the rows P (accepted, not known stable) and H (stable, missing on a slot).
type Pending struct {
	Key   object.Key
	Ref   object.VersionRef
	Rev   object.Stamp
	Epoch uint64
	Slots uint16 // H: bit i set = slot i misses the version
	Bytes int64  // shard bytes, for the redundancy debt

	Unknown []byte
}

// LeafDigest is the row R: a digest of the stable rows of one leaf of one set. The leaf of a row is
// a hash of its key; the sum is an exclusive or, so it can be kept up with each change.
type LeafDigest struct {
	Rows    uint64 // stable rows in the leaf
	Sum     [16]byte
	Unknown []byte
}

// SetState says what a drive's slot of a set is good for. Append only: the numbers are on disk.
type SetState uint8

const (
	SetNone       SetState = 0 // not a member, or not told yet
	SetInSync     SetState = 1
	SetRebuilding SetState = 2
	SetLost       SetState = 3 // the drive lost what it had promised
)

// SetRow is the row E: a drive's own view of one set, under the configuration that it adopted last.
type SetRow struct {
	Epoch    uint64
	N        uint8  // slots
	Phase    uint8  // of a slot move: 0 none, 1 begun, 2 flipped
	Moving   uint8  // the slot that moves
	Vacant   uint32 // slots that nobody fills
	Declared uint32 // members declared off
	Member   uint8  // the drive's own index
	State    SetState
	Joined   uint64 // epoch in which the drive came in as a newcomer
	GCFloor  object.Stamp
	Unknown  []byte
}

// SegmentClass says how a segment is filled and reclaimed. Append only: the numbers are on disk.
type SegmentClass uint8

const (
	SegmentFree SegmentClass = 0 // emptied, kept unpunched for the next writer
	SegmentPack SegmentClass = 1 // packed shards up to 1 MiB; reclaimed by copying
	SegmentRun  SegmentClass = 2 // fixed extents taken one at a time by streams
)

// SegmentRow is the row S: the durable truth about a segment's space.
type SegmentRow struct {
	Class      SegmentClass
	Generation uint32
	Live       int64    // bytes that rows refer to
	End        int64    // pack: everything committed lies below this offset
	Used       []uint64 // run: bitmap of extents that rows refer to
	Unknown    []byte
}

// JournalRow is the row J: what rows refer to in one file of the journal. A file without a row has
// nothing that anybody refers to.
type JournalRow struct {
	Live     int64 // bytes of payloads, headers included
	Payloads int64 // how many they are
	Unknown  []byte
}

// Garbage is the row G: data that no row refers to any more and that is still to be given back.
type Garbage struct {
	OID    object.OID
	Inline bool
	Parts  bool // the oid's X rows list parts, whose own data goes too
}

// Usage is the row B: what a bucket holds on this drive, kept by Pebble's merge operator.
type Usage struct {
	Objects, Bytes     int64
	Versions, Markers  int64
	Uploads, PartBytes int64
}

// ControlMeta is the row Q meta: to which raft entry the other Q rows belong.
type ControlMeta struct {
	Cluster cluster.ID
	Index   uint64
	Term    uint64
	Node    cluster.NodeID
	Rows    uint32 // number of other Q rows
	Digest  [32]byte
	Unknown []byte
}

// Marks is the row Z: a drive's clocks and watermarks.
type Marks struct {
	ClockCeiling object.Stamp               // no stamp above it was ever given out by this drive's node
	Highest      object.Stamp               // highest stamp seen
	Horizon      object.Stamp               // every attempt with a ballot at or below it is over
	Batch        uint64                     // last batch number
	Peers        map[cluster.DriveID]uint64 // highest batch of other drives that was acknowledged to a client
	Unknown      []byte
}
