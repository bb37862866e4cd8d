package ondisk

import "holdfast/actors/object"

// VersionView is what a list or a head needs of a version row, read without allocating. Its slices
// alias the row. Version is the whole truth; this is a window on it.
type VersionView struct {
	Kind    VersionKind
	N, K    uint8
	Size    int64
	Stored  int64
	ModTime int64 // nanoseconds since the Unix epoch
	Parts   uint32
	NullID  bool

	Owner        []byte
	StorageClass []byte

	Refs int // number of data references
	Ref  Ref // the first of them

	Algo      ChecksumAlgo // of the first checksum, 0 = none
	Composite bool

	etagMD5, etagText []byte
}

// ViewVersion reads the shared part of a version row.
func ViewVersion(shared []byte) (VersionView, error) {
	var v VersionView
	d := rowDecoder("version row", shared)
	stored := false
	for d.next() {
		switch d.num {
		case vKind:
			v.Kind = d.kind()
		case vN:
			v.N = d.u8()
		case vK:
			v.K = d.u8()
		case vSize:
			v.Size = d.size()
		case vStored:
			v.Stored, stored = d.size(), true
		case vModTime:
			v.ModTime = int64(d.fixed())
		case vParts:
			v.Parts = d.u32()
		case vNullID:
			v.NullID = d.bool()
		case vOwner:
			v.Owner = d.bytes()
		case vStorageClass:
			v.StorageClass = d.bytes()
		case vETagMD5:
			v.etagMD5 = d.bytes()
		case vETag:
			v.etagText = d.bytes()
		case vChecksum:
			if p := d.bytes(); v.Algo == 0 && len(p) >= 2 {
				v.Algo, v.Composite = ChecksumAlgo(p[0]), p[1] == 1
			}
		case vRef:
			if v.Refs++; v.Refs == 1 {
				v.Ref = d.ref()
			}
		}
	}
	if !stored {
		v.Stored = v.Size
	}
	return v, d.done(v.Kind)
}

// KindOfVersion reads only the kind from the shared part of a version row: what a walk over many
// rows asks first.
func KindOfVersion(shared []byte) (VersionKind, error) {
	const tag = byte(vKind << 3) // a varint, and the first field that AppendVersion writes
	if len(shared) > 2 && shared[0] == rowFormat && shared[1] == tag && shared[2] >= 1 && VersionKind(shared[2]) <= KindPurged {
		return VersionKind(shared[2]), nil
	}
	v, err := ViewVersion(shared)
	return v.Kind, err
}

// AppendETag appends the ETag, without quotes.
func (v *VersionView) AppendETag(dst []byte) []byte {
	if v.etagMD5 == nil {
		return append(dst, v.etagText...)
	}
	dst, _ = unpackETag(dst, v.etagMD5)
	return dst
}

// OID returns the id of the first data reference, zero if there is none.
func (v *VersionView) OID() object.OID { return v.Ref.OID }
