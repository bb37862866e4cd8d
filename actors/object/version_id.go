package object

import (
	"encoding/base64"
	"encoding/binary"
)

// VersionID is how a client names one version of a key (the S3 parameter versionId): its place in
// the key's order, or "null" for what was written without versioning. The zero value names none:
// the current version is meant.
type VersionID struct {
	Named bool
	Null  bool
	Ref   VersionRef // unless Null
}

// NullVersion is the version id "null".
var NullVersion = VersionID{Named: true, Null: true}

// IDOf is the id of the version at ref; null says that it is the null version.
func IDOf(ref VersionRef, null bool) VersionID {
	if null {
		return NullVersion
	}
	return VersionID{Named: true, Ref: ref}
}

// Names says whether the version at ref, or the null version, is the one named.
func (id VersionID) Names(ref VersionRef, null bool) bool {
	if id.Null {
		return null
	}
	return id.Ref == ref
}

// versionIDBytes is the length of a version's place: 24 bytes are 32 characters, as long as AWS's ids.
const versionIDBytes = 8 + len(WriteID{})

// String is what the client sees: "null", or the stamp (big endian) and the write id in URL-safe
// base64. It is empty if no version is named.
func (id VersionID) String() string {
	switch {
	case !id.Named:
		return ""
	case id.Null:
		return "null"
	}
	var b [versionIDBytes]byte
	binary.BigEndian.PutUint64(b[:], uint64(id.Ref.TS))
	copy(b[8:], id.Ref.Write[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ParseVersionID reads what String writes. Anything else, the empty string too, is ErrVersionID.
func ParseVersionID(s string) (VersionID, error) {
	if s == "null" {
		return NullVersion, nil
	}
	var b [versionIDBytes]byte
	if len(s) != base64.RawURLEncoding.EncodedLen(len(b)) {
		return VersionID{}, ErrVersionID
	}
	if n, err := base64.RawURLEncoding.Strict().Decode(b[:], []byte(s)); err != nil || n != len(b) { // line breaks are passed over
		return VersionID{}, ErrVersionID
	}
	id := VersionID{Named: true, Ref: VersionRef{TS: Stamp(binary.BigEndian.Uint64(b[:]))}}
	copy(id.Ref.Write[:], b[8:])
	return id, nil
}
