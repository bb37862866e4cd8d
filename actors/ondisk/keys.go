package ondisk

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
)

// RowKind is the first byte of every index key. Append only: the letters are on disk, and a letter
// that is not listed is reserved.
type RowKind byte

const (
	RowVersion   RowKind = 'M' // M bucket name ^ts ^writeID ^rev: Version; M bucket name: KeyState
	RowKeyState  RowKind = 'V' // counts M rows without a version; no key begins with it
	RowInline    RowKind = 'D' // D oid: payload of a small shard of a part
	RowManifest  RowKind = 'X' // X oid chunk: Manifest
	RowUpload    RowKind = 'U' // U bucket name uploadID [part ^ts ^writeID]: Upload, UploadPart
	RowPending   RowKind = 'P' // P ts writeID rev set: Pending
	RowHint      RowKind = 'H' // H set slot ts writeID rev: Pending
	RowSet       RowKind = 'E' // E set: SetRow
	RowDigest    RowKind = 'R' // R set leaf: LeafDigest
	RowGarbage   RowKind = 'G' // G seq: Garbage
	RowSegment   RowKind = 'S' // S segment: SegmentRow
	RowJournal   RowKind = 'J' // J file: JournalRow
	RowUsage     RowKind = 'B' // B bucket: Usage, merged
	RowFence     RowKind = 'F' // F bucket: Fence
	RowControl   RowKind = 'Q' // Q [name]: ControlMeta (no name), opaque control state
	RowMarks     RowKind = 'Z' // Z: Marks
	RowLifecycle RowKind = 'L' // L due bucket name ^ts ^writeID: reserved
	RowOutbox    RowKind = 'O' // O seq: reserved
)

// Leaves is the number of R rows of one set.
const Leaves = 64

const (
	bucketEnd = 1 + 8         // kind, bucket
	refLen    = 8 + 16        // ts, writeID
	verLen    = refLen + 8    // and rev
	partLen   = 2 + refLen    // part number, ts, writeID
	uploadLen = 16            // upload id
	escape    = byte(0xff)    // 00 FF stands for a 00 of the name
	endOfName = byte(0x01)    // 00 01 ends the name
	afterName = endOfName + 1 // 00 02 is above every row of the name and below every longer name
)

// appendBucket appends a kind and a bucket, the start of all keys that hold a name.
func appendBucket(dst []byte, kind RowKind, bucket cluster.BucketID) []byte {
	return binary.BigEndian.AppendUint64(append(dst, byte(kind)), uint64(bucket))
}

// appendEscaped appends name with each 00 as 00 FF. Escaped names keep the byte order of names.
func appendEscaped(dst []byte, name string) []byte {
	start := 0
	for i := 0; i < len(name); i++ {
		if name[i] == 0 {
			dst = append(append(dst, name[start:i+1]...), escape)
			start = i + 1
		}
	}
	return append(dst, name[start:]...)
}

// appendName appends a whole name with its terminator.
func appendName(dst []byte, kind RowKind, key object.Key) []byte {
	return append(appendEscaped(appendBucket(dst, kind, key.Bucket), key.Name), 0, endOfName)
}

// appendInverse appends the stamp and write id so that the newest comes first.
func appendInverse(dst []byte, ref object.VersionRef) []byte {
	dst = binary.BigEndian.AppendUint64(dst, ^uint64(ref.TS))
	for _, b := range ref.Write {
		dst = append(dst, ^b)
	}
	return dst
}

// AppendVersionKey appends the key of an M row. The rows of one name lie together, newest first by
// (ts, writeID), and of one version the newest revision first.
func AppendVersionKey(dst []byte, key object.Key, ref object.VersionRef, rev object.Stamp) []byte {
	return binary.BigEndian.AppendUint64(appendInverse(appendName(dst, RowVersion, key), ref), ^uint64(rev))
}

// AppendVersionSuffix appends what the key of an M row has behind the prefix of its name.
func AppendVersionSuffix(dst []byte, ref object.VersionRef, rev object.Stamp) []byte {
	return binary.BigEndian.AppendUint64(appendInverse(dst, ref), ^uint64(rev))
}

// AppendVersionRefPrefix appends the common prefix of all revisions of one version.
func AppendVersionRefPrefix(dst []byte, key object.Key, ref object.VersionRef) []byte {
	return appendInverse(appendName(dst, RowVersion, key), ref)
}

// AppendVersionPrefix appends the common prefix of all M rows of one name: what Comparer splits
// off, so it may be given to SeekPrefixGE.
func AppendVersionPrefix(dst []byte, key object.Key) []byte {
	return appendName(dst, RowVersion, key)
}

// AppendNamePrefix appends the common prefix of all M rows whose name begins with prefix. It is
// also the lowest key of all names >= prefix, so a list that starts at a name seeks to it.
func AppendNamePrefix(dst []byte, bucket cluster.BucketID, prefix string) []byte {
	return appendEscaped(appendBucket(dst, RowVersion, bucket), prefix)
}

// AppendNameAfter appends the lowest key above all M rows of one name: a list seeks past the name
// with it.
func AppendNameAfter(dst []byte, key object.Key) []byte {
	dst = appendName(dst, RowVersion, key)
	dst[len(dst)-1] = afterName
	return dst
}

// AppendPrefixAfter appends the lowest key above all M rows whose name begins with prefix: a list
// seeks past a common prefix with it.
func AppendPrefixAfter(dst []byte, bucket cluster.BucketID, prefix string) []byte {
	n := len(dst)
	return after(AppendNamePrefix(dst, bucket, prefix), n)
}

// AppendKindAfter appends the lowest key above all rows of a kind, for iterator bounds; the kind
// alone is the lower bound.
func AppendKindAfter(dst []byte, kind RowKind) []byte { return append(dst, byte(kind)+1) }

// AppendPrefixEnd appends the lowest key above all keys that begin with prefix, a key or the start
// of one. It appends nothing if there is none (prefix is empty or all FF), which as an upper bound
// means "no bound".
func AppendPrefixEnd(dst, prefix []byte) []byte {
	n := len(dst)
	return after(append(dst, prefix...), n)
}

// after turns b[n:] into the lowest byte string above all that begin with it.
func after(b []byte, n int) []byte {
	for i := len(b) - 1; i >= n; i-- {
		if b[i] != 0xff {
			b[i]++
			return b[:i+1]
		}
	}
	return b[:n]
}

// AppendKeyStateKey appends the key of the row of a name's KeyState: the prefix of its M rows, before
// which it sorts, so that one seek finds both, or that there is neither.
func AppendKeyStateKey(dst []byte, key object.Key) []byte { return AppendVersionPrefix(dst, key) }

// IsKeyStateKey tells a KeyState's key from those of versions.
func IsKeyStateKey(key []byte) bool {
	n := len(key)
	return n > bucketEnd+1 && key[n-1] == endOfName && key[n-2] == 0 && RowKind(key[0]) == RowVersion && nameEnd(key, bucketEnd) == n
}

// AppendInlineKey appends the key of a D row.
func AppendInlineKey(dst []byte, oid object.OID) []byte {
	return append(append(dst, byte(RowInline)), oid[:]...)
}

// AppendManifestKey appends the key of an X row. Chunks of an oid are numbered from 0.
func AppendManifestKey(dst []byte, oid object.OID, chunk uint32) []byte {
	return binary.BigEndian.AppendUint32(AppendManifestPrefix(dst, oid), chunk)
}

// AppendManifestPrefix appends the common prefix of all X rows of an oid.
func AppendManifestPrefix(dst []byte, oid object.OID) []byte {
	return append(append(dst, byte(RowManifest)), oid[:]...)
}

// AppendUploadKey appends the key of the U row of an upload. It is also the common prefix of the
// upload and its part rows, which follow it.
func AppendUploadKey(dst []byte, key object.Key, upload object.WriteID) []byte {
	return append(appendName(dst, RowUpload, key), upload[:]...)
}

// AppendUploadPartKey appends the key of the U row of one uploaded part. Rows of one part number
// lie together, newest first.
func AppendUploadPartKey(dst []byte, key object.Key, upload object.WriteID, part uint16, ref object.VersionRef) []byte {
	return appendInverse(AppendUploadPartPrefix(dst, key, upload, part), ref)
}

// AppendUploadPartPrefix appends the common prefix of all rows of one part number.
func AppendUploadPartPrefix(dst []byte, key object.Key, upload object.WriteID, part uint16) []byte {
	return binary.BigEndian.AppendUint16(AppendUploadKey(dst, key, upload), part)
}

// AppendUploadPrefix appends the common prefix of all U rows of one name.
func AppendUploadPrefix(dst []byte, key object.Key) []byte { return appendName(dst, RowUpload, key) }

// AppendUploadAfter appends the lowest key above an upload and all its parts.
func AppendUploadAfter(dst []byte, key object.Key, upload object.WriteID) []byte {
	n := len(dst)
	return after(AppendUploadKey(dst, key, upload), n)
}

// AppendUploadNamePrefix appends the common prefix of all U rows whose name begins with prefix,
// and the lowest key of all names >= prefix.
func AppendUploadNamePrefix(dst []byte, bucket cluster.BucketID, prefix string) []byte {
	return appendEscaped(appendBucket(dst, RowUpload, bucket), prefix)
}

// AppendUploadNameAfter appends the lowest key above all U rows of one name.
func AppendUploadNameAfter(dst []byte, key object.Key) []byte {
	dst = appendName(dst, RowUpload, key)
	dst[len(dst)-1] = afterName
	return dst
}

// AppendPendingKey appends the key of a P row: oldest first, over all sets, so that those of one batch
// lie side by side.
func AppendPendingKey(dst []byte, set cluster.SetID, ref object.VersionRef, rev object.Stamp) []byte {
	dst = appendAscending(append(dst, byte(RowPending)), ref, rev)
	return binary.BigEndian.AppendUint32(dst, uint32(set))
}

// AppendHintKey appends the key of an H row: oldest first within a set and slot.
func AppendHintKey(dst []byte, set cluster.SetID, slot uint8, ref object.VersionRef, rev object.Stamp) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, byte(RowHint)), uint32(set))
	return appendAscending(append(dst, slot), ref, rev)
}

func appendAscending(dst []byte, ref object.VersionRef, rev object.Stamp) []byte {
	dst = append(binary.BigEndian.AppendUint64(dst, uint64(ref.TS)), ref.Write[:]...)
	return binary.BigEndian.AppendUint64(dst, uint64(rev))
}

// AppendSetKey appends the key of an E row.
func AppendSetKey(dst []byte, set cluster.SetID) []byte {
	return binary.BigEndian.AppendUint32(append(dst, byte(RowSet)), uint32(set))
}

// AppendDigestKey appends the key of an R row. leaf is below Leaves.
func AppendDigestKey(dst []byte, set cluster.SetID, leaf uint8) []byte {
	return append(binary.BigEndian.AppendUint32(append(dst, byte(RowDigest)), uint32(set)), leaf)
}

// AppendGarbageKey appends the key of a G row.
func AppendGarbageKey(dst []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, byte(RowGarbage)), seq)
}

// AppendSegmentKey appends the key of an S row.
func AppendSegmentKey(dst []byte, segment uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, byte(RowSegment)), segment)
}

// AppendJournalKey appends the key of a J row.
func AppendJournalKey(dst []byte, file uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, byte(RowJournal)), file)
}

// AppendUsageKey appends the key of a B row.
func AppendUsageKey(dst []byte, bucket cluster.BucketID) []byte {
	return appendBucket(dst, RowUsage, bucket)
}

// AppendControlKey appends the key of a Q row. The empty name is ControlMeta's.
func AppendControlKey(dst []byte, name string) []byte {
	return append(append(dst, byte(RowControl)), name...)
}

// AppendMarksKey appends the key of the Z row.
func AppendMarksKey(dst []byte) []byte { return append(dst, byte(RowMarks)) }

// AppendLifecycleKey appends the key of an L row, reserved: due is in nanoseconds since the Unix
// epoch and not negative, soonest first.
func AppendLifecycleKey(dst []byte, due int64, key object.Key, ref object.VersionRef) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, byte(RowLifecycle)), uint64(due))
	dst = binary.BigEndian.AppendUint64(dst, uint64(key.Bucket))
	return appendInverse(append(appendEscaped(dst, key.Name), 0, endOfName), ref)
}

// AppendOutboxKey appends the key of an O row, reserved.
func AppendOutboxKey(dst []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, byte(RowOutbox)), seq)
}

// nameEnd returns the length of b up to and with the terminator of the name that begins at from,
// or -1. It depends on nothing behind the terminator, which Split relies on.
func nameEnd(b []byte, from int) int {
	for i := from; ; {
		j := bytes.IndexByte(b[i:], 0)
		if j < 0 || i+j+1 >= len(b) {
			return -1
		}
		if b[i+j+1] == endOfName {
			return i + j + 2
		}
		i += j + 1
	}
}

// AppendName appends the name whose escaped form, without terminator, is escaped.
func AppendName(dst, escaped []byte) ([]byte, error) {
	for {
		i := bytes.IndexByte(escaped, 0)
		if i < 0 {
			return append(dst, escaped...), nil
		}
		if i+1 == len(escaped) || escaped[i+1] != escape {
			return dst, fmt.Errorf("%w: name %x: 00 is not followed by ff", ErrCorrupt, escaped)
		}
		dst = append(dst, escaped[:i+1]...)
		escaped = escaped[i+2:]
	}
}
