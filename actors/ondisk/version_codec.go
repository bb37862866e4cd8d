package ondisk

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
)

// What a drive puts before the shared part: format, batch, slot, and whether a location follows.
const (
	versionPrefix = 1 + 8 + 1 + 1
	locationLen   = 4 + 4 + 4
)

// Field numbers of the shared part of a version row. Append only. 1..15 take one byte less, so they
// are the fields that most rows have.
const (
	vKind        protowire.Number = 1
	vEpochs      protowire.Number = 2 // varints
	vN           protowire.Number = 3
	vK           protowire.Number = 4
	vUnit        protowire.Number = 5
	vFrame       protowire.Number = 6
	vSize        protowire.Number = 7
	vStored      protowire.Number = 8 // only if it differs from the size
	vModTime     protowire.Number = 9
	vETagMD5     protowire.Number = 10 // 16 bytes of MD5 and, for "-parts", a varint
	vChecksum    protowire.Number = 11 // algorithm, flags (1 = composite), value
	vContentType protowire.Number = 12
	vUserMeta    protowire.Number = 13 // varint length of the name, name, value
	vRef         protowire.Number = 14
	vOwner       protowire.Number = 15

	vETag               protowire.Number = 16 // an ETag of any other shape
	vParts              protowire.Number = 17
	vCacheControl       protowire.Number = 18
	vContentDisposition protowire.Number = 19
	vContentEncoding    protowire.Number = 20
	vContentLanguage    protowire.Number = 21
	vExpires            protowire.Number = 22
	vWebsite            protowire.Number = 23
	vTag                protowire.Number = 24 // as vUserMeta
	vStorageClass       protowire.Number = 25
	vLockMode           protowire.Number = 26
	vLockUntil          protowire.Number = 27
	vLegalHold          protowire.Number = 28
	vEncryption         protowire.Number = 29
	vTransform          protowire.Number = 30
	vReplication        protowire.Number = 31
	vRestore            protowire.Number = 32
	vNullID             protowire.Number = 33
	vForeignID          protowire.Number = 34
)

// Fields of a Ref.
const (
	rOID    protowire.Number = 1
	rSet    protowire.Number = 2
	rLength protowire.Number = 3
	rInline protowire.Number = 4
)

// AppendVersion appends the shared part of a version row: all of v but TS, Write, Rev and
// Own. It is equal on all drives of the set. A row that would exceed MaxVersionRow on a drive is
// refused with object.ErrMetadataTooLarge, and dst comes back as it was.
func AppendVersion(dst []byte, v *Version) ([]byte, error) {
	if v.Kind == 0 || v.Kind > KindTombstone || v.Size < 0 || v.Stored < 0 {
		return dst, fmt.Errorf("version row of kind %d, size %d, stored %d: no such version", v.Kind, v.Size, v.Stored)
	}
	start := len(dst)
	b := append(dst, rowFormat)
	b = appendUint(b, vKind, uint64(v.Kind))
	b = appendPacked(b, vEpochs, v.Epochs)
	b = appendUint(b, vN, uint64(v.N))
	b = appendUint(b, vK, uint64(v.K))
	b = appendUint(b, vUnit, uint64(v.Unit))
	b = appendUint(b, vFrame, uint64(v.Frame))
	b = appendSize(b, vSize, v.Size)
	b = appendStored(b, vStored, v.Stored, v.Size)
	b = appendFixed(b, vModTime, uint64(v.ModTime))
	b = appendETag(b, vETagMD5, vETag, v.ETag)
	b = appendChecksums(b, vChecksum, v.Checksums)
	b = appendBytes(b, vContentType, v.ContentType)
	b = appendPairs(b, vUserMeta, v.UserMeta)
	for i := range v.Refs {
		b = appendRef(b, vRef, &v.Refs[i])
	}
	b = appendBytes(b, vOwner, v.Owner)
	b = appendRare(b, v)
	b = append(b, v.Unknown...)
	if n := len(b) - start + versionPrefix + locationLen; n > MaxVersionRow {
		return dst, fmt.Errorf("%w: the version row takes %d bytes, %d are allowed", object.ErrMetadataTooLarge, n, MaxVersionRow)
	}
	return b, nil
}

// appendStored writes the stored size if it differs from the plain one, zero too.
func appendStored(dst []byte, num protowire.Number, stored, size int64) []byte {
	switch {
	case stored == size:
		return dst
	case stored == 0:
		return protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.VarintType), 0)
	}
	return appendSize(dst, num, stored)
}

// appendRare appends the fields that most rows lack.
func appendRare(b []byte, v *Version) []byte {
	b = appendUint(b, vParts, uint64(v.Parts))
	b = appendBytes(b, vCacheControl, v.CacheControl)
	b = appendBytes(b, vContentDisposition, v.ContentDisposition)
	b = appendBytes(b, vContentEncoding, v.ContentEncoding)
	b = appendBytes(b, vContentLanguage, v.ContentLanguage)
	b = appendBytes(b, vExpires, v.Expires)
	b = appendBytes(b, vWebsite, v.Website)
	b = appendPairs(b, vTag, v.Tags)
	b = appendBytes(b, vStorageClass, v.StorageClass)
	b = appendBytes(b, vLockMode, v.LockMode)
	b = appendFixed(b, vLockUntil, uint64(v.LockUntil))
	b = appendBool(b, vLegalHold, v.LegalHold)
	b = appendBytes(b, vEncryption, v.Encryption)
	for _, t := range v.Transforms {
		b = appendElement(b, vTransform, t)
	}
	b = appendBytes(b, vReplication, v.Replication)
	b = appendBytes(b, vRestore, v.Restore)
	b = appendBool(b, vNullID, v.NullID)
	return appendBytes(b, vForeignID, v.ForeignID)
}

// Own is what a version row says of the drive that holds it, and of no other.
type Own struct {
	Batch uint64   // batch that wrote the row
	Slot  uint8    // slot of the set that the drive held when it accepted the row
	At    Location // where the drive keeps the payload, if it is a small one
}

// AppendVersionValue appends the value of an M row: what this drive adds, then the shared part as
// AppendVersion made it.
func AppendVersionValue(dst []byte, own Own, shared []byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, rowFormat), own.Batch)
	if own.At.IsZero() {
		dst = append(dst, own.Slot, 0)
	} else {
		dst = append(dst, own.Slot, 1)
		dst = binary.BigEndian.AppendUint32(dst, own.At.File)
		dst = binary.BigEndian.AppendUint32(dst, own.At.Offset)
		dst = binary.BigEndian.AppendUint32(dst, own.At.Length)
	}
	return append(dst, shared...)
}

// SplitVersionValue cuts the value of an M row. shared aliases value.
func SplitVersionValue(value []byte) (own Own, shared []byte, err error) {
	if d := rowDecoder("version row", value); d.err != nil {
		return own, nil, d.err
	}
	if len(value) <= versionPrefix {
		return own, nil, fmt.Errorf("%w: version row of %d bytes", ErrCorrupt, len(value))
	}
	own, shared = Own{Batch: binary.BigEndian.Uint64(value[1:]), Slot: value[9]}, value[versionPrefix:]
	switch value[10] {
	case 0:
		return own, shared, nil
	case 1:
	default:
		return own, nil, fmt.Errorf("%w: version row: flags %#x", ErrNewer, value[10])
	}
	if len(shared) <= locationLen {
		return own, nil, fmt.Errorf("%w: version row of %d bytes", ErrCorrupt, len(value))
	}
	own.At = Location{
		File: binary.BigEndian.Uint32(shared), Offset: binary.BigEndian.Uint32(shared[4:]), Length: binary.BigEndian.Uint32(shared[8:]),
	}
	if own.At.IsZero() {
		return own, nil, fmt.Errorf("%w: version row: no location", ErrCorrupt)
	}
	return own, shared[locationLen:], nil
}

// DecodeVersion reads an M row, given what its key says and its value.
func DecodeVersion(ref object.VersionRef, rev object.Stamp, value []byte) (Version, error) {
	var v Version
	err := DecodeVersionInto(&v, ref, rev, value)
	return v, err
}

// DecodeVersionInto is DecodeVersion into v, whose slices it reuses: the caller has handed none of
// them on. After an error v is of no use.
func DecodeVersionInto(v *Version, ref object.VersionRef, rev object.Stamp, value []byte) error {
	own, shared, err := SplitVersionValue(value)
	if err != nil {
		return err
	}
	if err := DecodeShared(v, ref, rev, shared); err != nil {
		return err
	}
	v.Own = own
	return nil
}

// DecodeShared reads the shared part of a version row into v, as DecodeVersionInto does. Own is zero
// afterwards.
func DecodeShared(v *Version, ref object.VersionRef, rev object.Stamp, shared []byte) error {
	*v = Version{
		TS: ref.TS, Write: ref.Write, Rev: rev,
		Epochs: v.Epochs[:0], Checksums: v.Checksums[:0], UserMeta: v.UserMeta[:0],
		Tags: v.Tags[:0], Transforms: v.Transforms[:0], Refs: v.Refs[:0], Unknown: v.Unknown[:0],
	}
	d := sharedDecoder{decoder: rowDecoder("version row", shared), all: shared}
	stored := false
	for d.next() {
		switch d.num {
		case vKind:
			v.Kind = d.kind()
		case vEpochs:
			v.Epochs = d.packed(v.Epochs)
		case vN:
			v.N = d.u8()
		case vK:
			v.K = d.u8()
		case vUnit:
			v.Unit = d.u32()
		case vFrame:
			v.Frame = d.u32()
		case vSize:
			v.Size = d.size()
		case vStored:
			v.Stored, stored = d.size(), true
		case vModTime:
			v.ModTime = int64(d.fixed())
		case vETagMD5:
			v.ETag = d.etag()
		case vETag:
			v.ETag = d.text()
		case vChecksum:
			v.Checksums = append(v.Checksums, d.checksum())
		case vContentType:
			v.ContentType = d.text()
		case vUserMeta:
			v.UserMeta = append(v.UserMeta, d.pair())
		case vRef:
			v.Refs = append(v.Refs, d.ref())
		case vOwner:
			v.Owner = d.text()
		default:
			d.rare(v)
		}
	}
	if !stored {
		v.Stored = v.Size
	}
	return d.done(v.Kind)
}

// sharedDecoder cuts strings out of one copy of the row, so that a row costs one allocation for all
// of them.
type sharedDecoder struct {
	decoder
	all  []byte
	copy string // of all, made when first needed
}

func (d *sharedDecoder) text() string {
	p := d.bytes()
	if len(p) == 0 {
		return ""
	}
	if d.copy == "" {
		d.copy = string(d.all)
	}
	end := len(d.all) - len(d.rest) // the value ends where the rest begins
	return d.copy[end-len(p) : end]
}

// rare decodes the fields that appendRare appends, and keeps those it does not know.
func (d *sharedDecoder) rare(v *Version) {
	switch d.num {
	case vParts:
		v.Parts = d.u32()
	case vCacheControl:
		v.CacheControl = d.text()
	case vContentDisposition:
		v.ContentDisposition = d.text()
	case vContentEncoding:
		v.ContentEncoding = d.text()
	case vContentLanguage:
		v.ContentLanguage = d.text()
	case vExpires:
		v.Expires = d.text()
	case vWebsite:
		v.Website = d.text()
	case vTag:
		v.Tags = append(v.Tags, d.pair())
	case vStorageClass:
		v.StorageClass = d.text()
	case vLockMode:
		v.LockMode = d.text()
	case vLockUntil:
		v.LockUntil = int64(d.fixed())
	case vLegalHold:
		v.LegalHold = d.bool()
	case vEncryption:
		v.Encryption = d.clone()
	case vTransform:
		v.Transforms = append(v.Transforms, d.text())
	case vReplication:
		v.Replication = d.clone()
	case vRestore:
		v.Restore = d.clone()
	case vNullID:
		v.NullID = d.bool()
	case vForeignID:
		v.ForeignID = d.text()
	default:
		v.Unknown = d.appendUnknown(v.Unknown)
	}
}

func (d *sharedDecoder) pair() Pair {
	whole := d.text()
	n, m := uvarint(d.p)
	if d.typ != protowire.BytesType || m <= 0 || n > uint64(len(d.p)-m) {
		d.fail("bad pair")
		return Pair{}
	}
	return Pair{Name: whole[m : m+int(n)], Value: whole[m+int(n):]}
}

// done returns the fault, or that of a row without a kind, which every row has.
func (d *decoder) done(kind VersionKind) error {
	if d.err == nil && kind == 0 {
		d.err = fmt.Errorf("%w: %s: no kind", ErrCorrupt, d.what)
	}
	return d.err
}

func (d *decoder) kind() VersionKind {
	k := VersionKind(d.u8())
	if k > KindTombstone {
		d.newer("unknown kind of version " + strconv.Itoa(int(k)))
	}
	return k
}

func (d *decoder) packed(dst []uint64) []uint64 {
	for p := d.bytes(); len(p) > 0; {
		v, n := uvarint(p)
		if n <= 0 {
			d.fail("bad list of numbers")
			return dst
		}
		dst, p = append(dst, v), p[n:]
	}
	return dst
}

func appendPacked(dst []byte, num protowire.Number, list []uint64) []byte {
	if len(list) == 0 {
		return dst
	}
	dst, start := beginMessage(dst, num)
	for _, v := range list {
		dst = binary.AppendUvarint(dst, v)
	}
	return endMessage(dst, start)
}

func appendPairs(dst []byte, num protowire.Number, pairs []Pair) []byte {
	for _, p := range pairs {
		n := protowire.SizeBytes(len(p.Name)) + len(p.Value)
		dst = appendElementHead(dst, num, n)
		dst = append(binary.AppendUvarint(dst, uint64(len(p.Name))), p.Name...)
		dst = append(dst, p.Value...)
	}
	return dst
}

func appendChecksums(dst []byte, num protowire.Number, list []Checksum) []byte {
	for _, c := range list {
		flags := byte(0)
		if c.Composite {
			flags = 1
		}
		dst = appendElementHead(dst, num, 2+len(c.Value))
		dst = append(append(dst, byte(c.Algo), flags), c.Value...)
	}
	return dst
}

func (d *decoder) checksum() Checksum {
	p := d.bytes()
	if len(p) < 2 {
		d.fail("bad checksum")
		return Checksum{}
	}
	if p[1] > 1 {
		d.newer("unknown checksum flags")
	}
	return Checksum{Algo: ChecksumAlgo(p[0]), Composite: p[1] == 1, Value: append([]byte(nil), p[2:]...)}
}

func appendRef(dst []byte, num protowire.Number, r *Ref) []byte {
	dst, start := beginMessage(dst, num)
	dst = appendID(dst, rOID, r.OID)
	dst = appendUint(dst, rSet, uint64(r.Set))
	dst = appendSize(dst, rLength, r.Length)
	dst = appendBool(dst, rInline, r.Inline)
	return endMessage(dst, start)
}

// ref decodes a Ref. It has no room for fields it does not know, so it refuses them rather than
// dropping them on the next rewrite.
func (d *decoder) ref() (r Ref) {
	m := d.message("ref")
	for m.next() {
		switch m.num {
		case rOID:
			r.OID = m.id()
		case rSet:
			r.Set = cluster.SetID(m.u32())
		case rLength:
			r.Length = m.size()
		case rInline:
			r.Inline = m.bool()
		default:
			m.newer("unknown field")
		}
	}
	d.adopt(&m)
	return r
}

// appendETag stores the usual shapes, hex MD5 and hex MD5 "-" parts, as bytes under md5 and any
// other under text.
func appendETag(dst []byte, md5, text protowire.Number, etag string) []byte {
	var raw [16 + binary.MaxVarintLen64]byte
	n, ok := packETag(&raw, etag)
	if !ok {
		return appendBytes(dst, text, etag)
	}
	return appendElement(dst, md5, raw[:n])
}

// packETag turns an ETag into bytes if unpackETag can turn them back into the same characters.
func packETag(raw *[16 + binary.MaxVarintLen64]byte, etag string) (int, bool) {
	if len(etag) < 32 {
		return 0, false
	}
	for i := 0; i < 16; i++ {
		hi, lo := unhex(etag[2*i]), unhex(etag[2*i+1])
		if hi > 15 || lo > 15 {
			return 0, false
		}
		raw[i] = hi<<4 | lo
	}
	if len(etag) == 32 {
		return 16, true
	}
	parts, err := strconv.ParseUint(etag[33:], 10, 32)
	if err != nil || etag[32] != '-' || etag[33] == '+' || etag[33] == '0' {
		return 0, false
	}
	return 16 + binary.PutUvarint(raw[16:], parts), true
}

// unhex returns the value of a lower-case hex digit, and more than 15 for any other byte.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// unpackETag appends the characters of a packed ETag.
func unpackETag(dst, raw []byte) ([]byte, bool) {
	if len(raw) < 16 {
		return dst, false
	}
	const digits = "0123456789abcdef"
	for _, c := range raw[:16] {
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	if len(raw) == 16 {
		return dst, true
	}
	parts, n := uvarint(raw[16:])
	if n != len(raw)-16 || parts == 0 || parts > math.MaxUint32 {
		return dst, false
	}
	return strconv.AppendUint(append(dst, '-'), parts, 10), true
}

func (d *decoder) etag() string {
	var room [48]byte
	text, ok := unpackETag(room[:0], d.bytes())
	if !ok {
		d.fail("bad ETag")
	}
	return string(text)
}
