package ondisk

import (
	"encoding/binary"
	"fmt"

	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
)

// VersionKey is what the key of an M row says.
type VersionKey struct {
	Key object.Key
	Ref object.VersionRef
	Rev object.Stamp
}

// UploadKey is what the key of a U row says. IsPart tells a part's row from the upload's own.
type UploadKey struct {
	Key    object.Key
	Upload object.WriteID
	IsPart bool
	Part   uint16
	Ref    object.VersionRef
}

// PendingKey is what the key of a P or H row says; Slot is an H row's.
type PendingKey struct {
	Set  cluster.SetID
	Slot uint8
	Ref  object.VersionRef
	Rev  object.Stamp
}

// KindOf returns the kind of a key, 0 for an empty one.
func KindOf(key []byte) RowKind {
	if len(key) == 0 {
		return 0
	}
	return RowKind(key[0])
}

func badKey(what string, key []byte) error {
	return fmt.Errorf("%w: %s key %x", ErrCorrupt, what, key)
}

// fixedKey checks the kind and the exact length of a key.
func fixedKey(what string, key []byte, kind RowKind, n int) error {
	if len(key) != n || RowKind(key[0]) != kind {
		return badKey(what, key)
	}
	return nil
}

// SplitVersionKey cuts the key of an M row without allocating. prefix is all before the version,
// equal for all rows of one name; escaped is the name as AppendName takes it. Both alias key.
func SplitVersionKey(key []byte) (prefix, escaped []byte, ref object.VersionRef, rev object.Stamp, err error) {
	end, err := splitName("version", key, RowVersion, bucketEnd)
	if err == nil && len(key) != end+verLen {
		err = badKey("version", key)
	}
	if err != nil {
		return nil, nil, ref, 0, err
	}
	ref = parseInverse(key[end:])
	rev = object.Stamp(^binary.BigEndian.Uint64(key[end+refLen:]))
	return key[:end:end], key[bucketEnd : end-2 : end-2], ref, rev, nil
}

// splitName finds the end of the name in a key, with its terminator.
func splitName(what string, key []byte, kind RowKind, from int) (int, error) {
	if len(key) < from || RowKind(key[0]) != kind {
		return 0, badKey(what, key)
	}
	end := nameEnd(key, from)
	if end < 0 {
		return 0, badKey(what, key)
	}
	return end, nil
}

// parseName returns bucket and name, given the end that splitName found.
func parseName(what string, key []byte, from, end int) (object.Key, error) {
	var room [128]byte
	name, err := AppendName(room[:0], key[from:end-2])
	if err != nil {
		return object.Key{}, badKey(what, key)
	}
	return object.Key{
		Bucket: cluster.BucketID(binary.BigEndian.Uint64(key[from-8:])),
		Name:   string(name),
	}, nil
}

// parseInverse reads what appendInverse wrote. b is long enough.
func parseInverse(b []byte) (ref object.VersionRef) {
	ref.TS = object.Stamp(^binary.BigEndian.Uint64(b))
	for i := range ref.Write {
		ref.Write[i] = ^b[8+i]
	}
	return ref
}

// ParseVersionKey reads the key of an M row.
func ParseVersionKey(key []byte) (VersionKey, error) {
	prefix, _, ref, rev, err := SplitVersionKey(key)
	if err != nil {
		return VersionKey{}, err
	}
	name, err := parseName("version", key, bucketEnd, len(prefix))
	return VersionKey{Key: name, Ref: ref, Rev: rev}, err
}

// ParseKeyStateKey reads the key of a KeyState.
func ParseKeyStateKey(key []byte) (object.Key, error) {
	end, err := splitName("key state", key, RowVersion, bucketEnd)
	if err == nil && end != len(key) {
		err = badKey("key state", key)
	}
	if err != nil {
		return object.Key{}, err
	}
	return parseName("key state", key, bucketEnd, end)
}

// ParseUploadKey reads the key of a U row.
func ParseUploadKey(key []byte) (UploadKey, error) {
	end, err := splitName("upload", key, RowUpload, bucketEnd)
	if err == nil && len(key) != end+uploadLen && len(key) != end+uploadLen+partLen {
		err = badKey("upload", key)
	}
	if err != nil {
		return UploadKey{}, err
	}
	name, err := parseName("upload", key, bucketEnd, end)
	if err != nil {
		return UploadKey{}, err
	}
	u := UploadKey{Key: name, Upload: object.WriteID(key[end : end+uploadLen])}
	if rest := key[end+uploadLen:]; len(rest) != 0 {
		u.IsPart = true
		u.Part = binary.BigEndian.Uint16(rest)
		u.Ref = parseInverse(rest[2:])
	}
	return u, nil
}

// ParseInlineKey reads the key of a D row.
func ParseInlineKey(key []byte) (oid object.OID, err error) {
	if err := fixedKey("inline", key, RowInline, 1+len(oid)); err != nil {
		return oid, err
	}
	return object.OID(key[1:]), nil
}

// ParseManifestKey reads the key of an X row.
func ParseManifestKey(key []byte) (oid object.OID, chunk uint32, err error) {
	if err := fixedKey("manifest", key, RowManifest, 1+len(oid)+4); err != nil {
		return oid, 0, err
	}
	return object.OID(key[1 : 1+len(oid)]), binary.BigEndian.Uint32(key[1+len(oid):]), nil
}

// ParsePendingKey reads the key of a P row.
func ParsePendingKey(key []byte) (p PendingKey, err error) {
	if err := fixedKey("pending", key, RowPending, 1+4+verLen); err != nil {
		return p, err
	}
	p.Ref, p.Rev = parseAscending(key[1:])
	p.Set = cluster.SetID(binary.BigEndian.Uint32(key[1+verLen:]))
	return p, nil
}

// ParseHintKey reads the key of an H row.
func ParseHintKey(key []byte) (p PendingKey, err error) {
	if err := fixedKey("hint", key, RowHint, 1+4+1+verLen); err != nil {
		return p, err
	}
	p.Set = cluster.SetID(binary.BigEndian.Uint32(key[1:]))
	p.Slot = key[5]
	p.Ref, p.Rev = parseAscending(key[6:])
	return p, nil
}

func parseAscending(b []byte) (object.VersionRef, object.Stamp) {
	ref := object.VersionRef{TS: object.Stamp(binary.BigEndian.Uint64(b)), Write: object.WriteID(b[8:refLen])}
	return ref, object.Stamp(binary.BigEndian.Uint64(b[refLen:]))
}

// ParseSetKey reads the key of an E row.
func ParseSetKey(key []byte) (cluster.SetID, error) {
	if err := fixedKey("set", key, RowSet, 5); err != nil {
		return 0, err
	}
	return cluster.SetID(binary.BigEndian.Uint32(key[1:])), nil
}

// ParseDigestKey reads the key of an R row.
func ParseDigestKey(key []byte) (set cluster.SetID, leaf uint8, err error) {
	if err := fixedKey("digest", key, RowDigest, 6); err != nil {
		return 0, 0, err
	}
	if key[5] >= Leaves {
		return 0, 0, badKey("digest", key)
	}
	return cluster.SetID(binary.BigEndian.Uint32(key[1:])), key[5], nil
}

// ParseGarbageKey reads the key of a G row.
func ParseGarbageKey(key []byte) (seq uint64, err error) {
	if err := fixedKey("garbage", key, RowGarbage, 9); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(key[1:]), nil
}

// ParseSegmentKey reads the key of an S row.
func ParseSegmentKey(key []byte) (segment uint32, err error) {
	if err := fixedKey("segment", key, RowSegment, 5); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(key[1:]), nil
}

// ParseJournalKey reads the key of a J row.
func ParseJournalKey(key []byte) (file uint32, err error) {
	if err := fixedKey("journal", key, RowJournal, 5); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(key[1:]), nil
}

// ParseUsageKey reads the key of a B row.
func ParseUsageKey(key []byte) (cluster.BucketID, error) {
	if err := fixedKey("usage", key, RowUsage, bucketEnd); err != nil {
		return 0, err
	}
	return cluster.BucketID(binary.BigEndian.Uint64(key[1:])), nil
}

// ParseControlKey reads the key of a Q row. The empty name is ControlMeta's.
func ParseControlKey(key []byte) (name string, err error) {
	if KindOf(key) != RowControl {
		return "", badKey("control", key)
	}
	return string(key[1:]), nil
}

// ParseLifecycleKey reads the key of an L row, reserved.
func ParseLifecycleKey(key []byte) (due int64, name object.Key, ref object.VersionRef, err error) {
	const from = 1 + 8 + 8
	end, err := splitName("lifecycle", key, RowLifecycle, from)
	if err == nil && (len(key) != end+refLen || key[1] > 0x7f) {
		err = badKey("lifecycle", key)
	}
	if err != nil {
		return 0, name, ref, err
	}
	name, err = parseName("lifecycle", key, from, end)
	return int64(binary.BigEndian.Uint64(key[1:])), name, parseInverse(key[end:]), err
}

// ParseOutboxKey reads the key of an O row, reserved.
func ParseOutboxKey(key []byte) (seq uint64, err error) {
	if err := fixedKey("outbox", key, RowOutbox, 9); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(key[1:]), nil
}
