package ondisk

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
)

// Rows that hold stamps and are read back while later batches are in flight begin, as M rows do,
// with their batch number: format 1, batch 8 big endian, fields.
const batchPrefix = 1 + 8

func appendBatch(dst []byte, batch uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, rowFormat), batch)
}

func batchDecoder(what string, value []byte) (decoder, uint64) {
	d := rowDecoder(what, value)
	if d.err == nil && len(value) < batchPrefix {
		d.err = fmt.Errorf("%w: %s of %d bytes", ErrCorrupt, what, len(value))
	}
	if d.err != nil {
		return d, 0
	}
	d.rest = value[batchPrefix:]
	return d, binary.BigEndian.Uint64(value[1:])
}

// AppendUpload appends the value of the row U bucket key uploadID. ID is in the key; of Meta all
// but what AppendVersion leaves out is kept, and its size is bounded as a version row's.
func AppendUpload(dst []byte, u *Upload) ([]byte, error) {
	meta := u.Meta
	if meta.Kind == 0 {
		meta.Kind = KindObject // nothing has a kind before it is completed, but every row needs one
	}
	shared, err := AppendVersion(nil, &meta)
	if err != nil {
		return dst, err
	}
	dst = appendBatch(dst, u.Batch)
	dst = appendFixed(dst, 1, uint64(u.TS))
	dst = appendFixed(dst, 2, uint64(u.Started))
	dst = appendElement(dst, 3, shared)
	dst = appendUint(dst, 4, uint64(u.Checksum))
	dst = appendBool(dst, 5, u.FullObj)
	return append(dst, u.Unknown...), nil
}

// DecodeUpload reads what AppendUpload wrote. Meta's TS is the upload's and its Write the id.
func DecodeUpload(id object.WriteID, value []byte) (Upload, error) {
	u := Upload{ID: id}
	d, batch := batchDecoder("upload", value)
	u.Batch = batch
	var shared []byte
	for d.next() {
		switch d.num {
		case 1:
			u.TS = object.Stamp(d.fixed())
		case 2:
			u.Started = int64(d.fixed())
		case 3:
			shared = d.bytes()
		case 4:
			u.Checksum = ChecksumAlgo(d.u8())
		case 5:
			u.FullObj = d.bool()
		default:
			u.Unknown = d.appendUnknown(u.Unknown)
		}
	}
	if d.err != nil {
		return Upload{}, d.err
	}
	if err := DecodeShared(&u.Meta, object.VersionRef{TS: u.TS, Write: id}, u.TS, shared); err != nil {
		return Upload{}, fmt.Errorf("upload: %w", err)
	}
	return u, nil
}

// AppendUploadPart appends the value of the row U bucket key uploadID part. TS and Write are the
// key's too; they are kept here so that a part is whole without its key.
func AppendUploadPart(dst []byte, p *UploadPart) []byte {
	dst = appendBatch(dst, p.Batch)
	dst = appendPart(dst, 1, &p.Part)
	dst = appendFixed(dst, 2, uint64(p.TS))
	dst = appendUint(dst, 3, uint64(p.Slot))
	dst = appendUint(dst, 4, uint64(p.N))
	dst = appendUint(dst, 5, uint64(p.K))
	dst = appendUint(dst, 6, uint64(p.Unit))
	return appendUint(dst, 7, uint64(p.Frame))
}

// DecodeUploadPart reads what AppendUploadPart wrote.
func DecodeUploadPart(value []byte) (UploadPart, error) {
	var p UploadPart
	d, batch := batchDecoder("upload part", value)
	p.Batch = batch
	for d.next() {
		switch d.num {
		case 1:
			p.Part = d.part()
		case 2:
			p.TS = object.Stamp(d.fixed())
		case 3:
			p.Slot = d.u8()
		case 4:
			p.N = d.u8()
		case 5:
			p.K = d.u8()
		case 6:
			p.Unit = d.u32()
		case 7:
			p.Frame = d.u32()
		default:
			d.newer("unknown field") // Part.Unknown is where a newer release adds to a part
		}
	}
	return p, d.err
}

// appendVersionRef writes 24 bytes: ts, write id.
func appendVersionRef(dst []byte, num protowire.Number, ref object.VersionRef) []byte {
	var b [refLen]byte
	binary.BigEndian.PutUint64(b[:], uint64(ref.TS))
	copy(b[8:], ref.Write[:])
	return appendElement(dst, num, b[:])
}

func (d *decoder) versionRef() (ref object.VersionRef) {
	p := d.bytes()
	if len(p) != refLen {
		d.fail("want 24 bytes")
		return ref
	}
	return object.VersionRef{TS: object.Stamp(binary.BigEndian.Uint64(p)), Write: object.WriteID(p[8:])}
}

// AppendPending appends the value of a P or H row.
func AppendPending(dst []byte, p *Pending) []byte {
	dst = append(dst, rowFormat)
	dst = appendUint(dst, 1, uint64(p.Key.Bucket))
	dst = appendBytes(dst, 2, p.Key.Name)
	dst = appendVersionRef(dst, 3, p.Ref)
	dst = appendFixed(dst, 4, uint64(p.Rev))
	dst = appendUint(dst, 5, p.Epoch)
	dst = appendUint(dst, 6, uint64(p.Slots))
	dst = appendSize(dst, 7, p.Bytes)
	return append(dst, p.Unknown...)
}

// DecodePending reads what AppendPending wrote.
func DecodePending(value []byte) (Pending, error) {
	var p Pending
	d := rowDecoder("pending", value)
	for d.next() {
		switch d.num {
		case 1:
			p.Key.Bucket = cluster.BucketID(d.u64())
		case 2:
			p.Key.Name = d.str()
		case 3:
			p.Ref = d.versionRef()
		case 4:
			p.Rev = object.Stamp(d.fixed())
		case 5:
			p.Epoch = d.u64()
		case 6:
			p.Slots = uint16(d.uint(math.MaxUint16))
		case 7:
			p.Bytes = d.size()
		default:
			p.Unknown = d.appendUnknown(p.Unknown)
		}
	}
	return p, d.err
}

// AppendSegmentRow appends the value of an S row.
func AppendSegmentRow(dst []byte, s *SegmentRow) []byte {
	dst = append(dst, rowFormat)
	dst = appendUint(dst, 1, uint64(s.Class))
	dst = appendUint(dst, 2, uint64(s.Generation))
	dst = appendSize(dst, 3, s.Live)
	dst = appendSize(dst, 4, s.End)
	if len(s.Used) > 0 {
		dst = appendElementHead(dst, 5, 8*len(s.Used))
		for _, w := range s.Used {
			dst = binary.BigEndian.AppendUint64(dst, w)
		}
	}
	return append(dst, s.Unknown...)
}

// DecodeSegmentRow reads what AppendSegmentRow wrote.
func DecodeSegmentRow(value []byte) (SegmentRow, error) {
	var s SegmentRow
	d := rowDecoder("segment row", value)
	for d.next() {
		switch d.num {
		case 1:
			if s.Class = SegmentClass(d.u8()); s.Class > SegmentRun {
				d.newer("unknown class")
			}
		case 2:
			s.Generation = d.u32()
		case 3:
			s.Live = d.size()
		case 4:
			s.End = d.size()
		case 5:
			p := d.bytes()
			if len(p)%8 != 0 {
				d.fail("want words of 8 bytes")
			}
			s.Used = nil
			for ; len(p) >= 8; p = p[8:] {
				s.Used = append(s.Used, binary.BigEndian.Uint64(p))
			}
		default:
			s.Unknown = d.appendUnknown(s.Unknown)
		}
	}
	return s, d.err
}

// AppendJournalRow appends the value of a J row.
func AppendJournalRow(dst []byte, j *JournalRow) []byte {
	dst = append(dst, rowFormat)
	dst = appendSize(dst, 1, j.Live)
	dst = appendSize(dst, 2, j.Payloads)
	return append(dst, j.Unknown...)
}

// DecodeJournalRow reads what AppendJournalRow wrote.
func DecodeJournalRow(value []byte) (JournalRow, error) {
	var j JournalRow
	d := rowDecoder("journal row", value)
	for d.next() {
		switch d.num {
		case 1:
			j.Live = d.size()
		case 2:
			j.Payloads = d.size()
		default:
			j.Unknown = d.appendUnknown(j.Unknown)
		}
	}
	return j, d.err
}

// AppendDigest appends the value of an R row.
func AppendDigest(dst []byte, l *LeafDigest) []byte {
	dst = append(dst, rowFormat)
	dst = appendUint(dst, 1, l.Rows)
	dst = appendID(dst, 2, l.Sum)
	return append(dst, l.Unknown...)
}

// DecodeDigest reads what AppendDigest wrote.
func DecodeDigest(value []byte) (LeafDigest, error) {
	var l LeafDigest
	d := rowDecoder("digest", value)
	for d.next() {
		switch d.num {
		case 1:
			l.Rows = d.u64()
		case 2:
			l.Sum = d.id()
		default:
			l.Unknown = d.appendUnknown(l.Unknown)
		}
	}
	return l, d.err
}

// AppendGarbage appends the value of a G row.
func AppendGarbage(dst []byte, g *Garbage) []byte {
	dst = append(dst, rowFormat)
	dst = appendID(dst, 1, g.OID)
	dst = appendBool(dst, 2, g.Inline)
	return appendBool(dst, 3, g.Parts)
}

// DecodeGarbage reads what AppendGarbage wrote. It refuses fields it does not know: giving back
// space on half an understanding loses data.
func DecodeGarbage(value []byte) (Garbage, error) {
	var g Garbage
	d := rowDecoder("garbage", value)
	for d.next() {
		switch d.num {
		case 1:
			g.OID = d.id()
		case 2:
			g.Inline = d.bool()
		case 3:
			g.Parts = d.bool()
		default:
			d.newer("unknown field")
		}
	}
	return g, d.err
}

// AppendUsage appends an operand or value of a B row: counters, or changes of them.
func AppendUsage(dst []byte, u *Usage) []byte {
	dst = append(dst, rowFormat)
	dst = appendZigzag(dst, 1, u.Objects)
	dst = appendZigzag(dst, 2, u.Bytes)
	dst = appendZigzag(dst, 3, u.Versions)
	dst = appendZigzag(dst, 4, u.Markers)
	dst = appendZigzag(dst, 5, u.Uploads)
	return appendZigzag(dst, 6, u.PartBytes)
}

// DecodeUsage reads what AppendUsage or the merger wrote. Counters of newer releases are passed
// over: the row is never rewritten from a Usage, only merged.
func DecodeUsage(value []byte) (Usage, error) {
	var u Usage
	d := rowDecoder("usage row", value)
	for d.next() {
		v := d.zigzag()
		switch d.num {
		case 1:
			u.Objects = v
		case 2:
			u.Bytes = v
		case 3:
			u.Versions = v
		case 4:
			u.Markers = v
		case 5:
			u.Uploads = v
		case 6:
			u.PartBytes = v
		}
	}
	return u, d.err
}

// Add adds what o counts.
func (u *Usage) Add(o *Usage) {
	u.Objects += o.Objects
	u.Bytes += o.Bytes
	u.Versions += o.Versions
	u.Markers += o.Markers
	u.Uploads += o.Uploads
	u.PartBytes += o.PartBytes
}

// AppendMarks appends the value of the Z row.
func AppendMarks(dst []byte, m *Marks) []byte {
	dst = append(dst, rowFormat)
	dst = appendFixed(dst, 1, uint64(m.ClockCeiling))
	dst = appendFixed(dst, 2, uint64(m.Highest))
	dst = appendUint(dst, 3, m.Batch)
	dst = appendFixed(dst, 5, uint64(m.Horizon))
	ids := make([]cluster.DriveID, 0, len(m.Peers))
	for id := range m.Peers {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b cluster.DriveID) int { return cmp.Compare(string(a[:]), string(b[:])) })
	for _, id := range ids { // 24 bytes: drive, batch
		dst = append(appendElementHead(dst, 4, 24), id[:]...)
		dst = binary.BigEndian.AppendUint64(dst, m.Peers[id])
	}
	return append(dst, m.Unknown...)
}

// DecodeMarks reads what AppendMarks wrote.
func DecodeMarks(value []byte) (Marks, error) {
	var m Marks
	d := rowDecoder("marks", value)
	for d.next() {
		switch d.num {
		case 1:
			m.ClockCeiling = object.Stamp(d.fixed())
		case 2:
			m.Highest = object.Stamp(d.fixed())
		case 3:
			m.Batch = d.u64()
		case 5:
			m.Horizon = object.Stamp(d.fixed())
		case 4:
			p := d.bytes()
			if len(p) != 24 {
				d.fail("want 24 bytes")
				break
			}
			if m.Peers == nil {
				m.Peers = map[cluster.DriveID]uint64{}
			}
			m.Peers[cluster.DriveID(p[:16])] = binary.BigEndian.Uint64(p[16:])
		default:
			m.Unknown = d.appendUnknown(m.Unknown)
		}
	}
	return m, d.err
}

// AppendInline appends the value of a D row: format, CRC32C of the payload, payload.
func AppendInline(dst, payload []byte) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, rowFormat), crc32c(payload))
	return append(dst, payload...)
}

// DecodeInline verifies a D row and returns its payload, which aliases value.
func DecodeInline(value []byte) ([]byte, error) {
	if d := rowDecoder("inline row", value); d.err != nil {
		return nil, d.err
	}
	if len(value) < 5 || binary.BigEndian.Uint32(value[1:]) != crc32c(value[5:]) {
		return nil, fmt.Errorf("%w: inline row of %d bytes: checksum", ErrCorrupt, len(value))
	}
	return value[5:], nil
}

// controlCRC covers the key as well, so that a row under another's name is found out.
func controlCRC(name string, body []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(AppendControlKey(nil, name), table), table, body)
}

// AppendControl appends the value of a Q row: format, payload, CRC32C over key, format and payload.
// It carries its own checksum because it is read in recovery, when nothing else can be trusted.
func AppendControl(dst []byte, name string, payload []byte) []byte {
	start := len(dst)
	dst = append(append(dst, rowFormat), payload...)
	return binary.BigEndian.AppendUint32(dst, controlCRC(name, dst[start:]))
}

// DecodeControl verifies a Q row and returns its payload, which aliases value.
func DecodeControl(name string, value []byte) ([]byte, error) {
	n := len(value) - 4
	if n < 1 || binary.BigEndian.Uint32(value[n:]) != controlCRC(name, value[:n]) {
		return nil, fmt.Errorf("%w: control row %q of %d bytes: checksum", ErrCorrupt, name, len(value))
	}
	if d := rowDecoder("control row", value); d.err != nil {
		return nil, d.err
	}
	return value[1:n], nil
}

// AppendControlMeta appends the value of the Q row with the empty name.
func AppendControlMeta(dst []byte, m *ControlMeta) []byte {
	var b []byte
	b = appendID(b, 1, m.Cluster)
	b = appendUint(b, 2, m.Index)
	b = appendUint(b, 3, m.Term)
	b = appendID(b, 4, m.Node)
	b = appendUint(b, 5, uint64(m.Rows))
	b = appendBytes(b, 6, m.Digest[:])
	return AppendControl(dst, "", append(b, m.Unknown...))
}

// DecodeControlMeta reads what AppendControlMeta wrote.
func DecodeControlMeta(value []byte) (ControlMeta, error) {
	var m ControlMeta
	payload, err := DecodeControl("", value)
	if err != nil {
		return m, err
	}
	d := decoder{what: "control meta", rest: payload}
	for d.next() {
		switch d.num {
		case 1:
			m.Cluster = d.id()
		case 2:
			m.Index = d.u64()
		case 3:
			m.Term = d.u64()
		case 4:
			m.Node = d.id()
		case 5:
			m.Rows = d.u32()
		case 6:
			if p := d.bytes(); copy(m.Digest[:], p) != len(m.Digest) || len(p) != len(m.Digest) {
				d.fail("want 32 bytes")
			}
		default:
			m.Unknown = d.appendUnknown(m.Unknown)
		}
	}
	return m, d.err
}
