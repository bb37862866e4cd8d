package ondisk

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"holdfast/actors/object"
)

// Fields of an X row.
const (
	xChunk  protowire.Number = 1 // number of this chunk, as in the key
	xChunks protowire.Number = 2 // number of chunks
	xExtent protowire.Number = 3
	xPart   protowire.Number = 4
)

// Fields of an Extent.
const (
	eSegment    protowire.Number = 1
	eGeneration protowire.Number = 2
	eOffset     protowire.Number = 3
	eLength     protowire.Number = 4
	eFrames     protowire.Number = 5
	eFirst      protowire.Number = 6
	eData       protowire.Number = 7
)

// Fields of a Part.
const (
	pNumber     protowire.Number = 1
	pSize       protowire.Number = 2
	pStored     protowire.Number = 3 // only if it differs from the size
	pETagMD5    protowire.Number = 4
	pETag       protowire.Number = 5
	pChecksum   protowire.Number = 6
	pEncryption protowire.Number = 7
	pWrite      protowire.Number = 8
	pRef        protowire.Number = 9
	pModTime    protowire.Number = 10
)

// chunkHeader bounds the bytes of an X row beside its elements: format, chunk, chunks.
const chunkHeader = 1 + 2*(1+5)

// EncodeManifest returns the values of the X rows 0, 1, .. that hold m, at least one and each at
// most MaxManifestChunk bytes. An element that fits no chunk by itself (a part with a huge
// encryption block) is refused with object.ErrMetadataTooLarge.
func EncodeManifest(m *Manifest) ([][]byte, error) {
	var bodies [][]byte
	var body []byte
	cut := func(before int) error {
		if chunkHeader+len(body) <= MaxManifestChunk {
			return nil
		}
		if before == 0 || chunkHeader+len(body)-before > MaxManifestChunk {
			return fmt.Errorf("%w: an entry of %d bytes in a manifest", object.ErrMetadataTooLarge, len(body)-before)
		}
		bodies = append(bodies, body[:before:before])
		body = append([]byte(nil), body[before:]...)
		return nil
	}
	for i := range m.Extents {
		before := len(body)
		body = appendExtent(body, xExtent, &m.Extents[i])
		if err := cut(before); err != nil {
			return nil, err
		}
	}
	for i := range m.Parts {
		before := len(body)
		body = appendPart(body, xPart, &m.Parts[i])
		if err := cut(before); err != nil {
			return nil, err
		}
	}
	bodies = append(bodies, body)
	for i, b := range bodies {
		row := make([]byte, 0, chunkHeader+len(b))
		row = appendUint(append(row, rowFormat), xChunk, uint64(i))
		row = appendUint(row, xChunks, uint64(len(bodies)))
		bodies[i] = append(row, b...)
	}
	return bodies, nil
}

// ManifestDecoder puts a manifest together from its X rows, given in the order of their keys. Its
// zero value is ready.
type ManifestDecoder struct {
	manifest     Manifest
	next, chunks uint32
}

// Add takes the next row: the chunk number from its key, and its value.
func (m *ManifestDecoder) Add(chunk uint32, value []byte) error {
	d := rowDecoder("manifest", value)
	var number, chunks uint32
	for d.next() {
		switch d.num {
		case xChunk:
			number = d.u32()
		case xChunks:
			chunks = d.u32()
		case xExtent:
			m.manifest.Extents = append(m.manifest.Extents, d.extent())
		case xPart:
			m.manifest.Parts = append(m.manifest.Parts, d.part())
		default:
			d.newer("unknown field") // manifests are never rewritten field by field
		}
	}
	switch {
	case d.err != nil:
		return d.err
	case chunk != number || chunk != m.next || chunks <= chunk || chunk > 0 && chunks != m.chunks:
		return fmt.Errorf("%w: manifest: row %d says chunk %d of %d, want chunk %d of %d",
			ErrCorrupt, chunk, number, chunks, m.next, max(m.chunks, 1))
	}
	m.next, m.chunks = m.next+1, chunks
	return nil
}

// Complete reports whether all rows were added.
func (m *ManifestDecoder) Complete() bool { return m.next > 0 && m.next == m.chunks }

// Manifest returns the result, once it is complete. It is the caller's.
func (m *ManifestDecoder) Manifest() (Manifest, error) {
	if !m.Complete() {
		return Manifest{}, fmt.Errorf("%w: manifest: %d of %d rows", ErrCorrupt, m.next, max(m.chunks, 1))
	}
	return m.manifest, nil
}

// DecodeManifest puts a manifest together from the values of all its X rows.
func DecodeManifest(values [][]byte) (Manifest, error) {
	var m ManifestDecoder
	for i, v := range values {
		if err := m.Add(uint32(i), v); err != nil {
			return Manifest{}, err
		}
	}
	return m.Manifest()
}

func appendExtent(dst []byte, num protowire.Number, e *Extent) []byte {
	dst, start := beginMessage(dst, num)
	dst = appendUint(dst, eSegment, uint64(e.Segment))
	dst = appendUint(dst, eGeneration, uint64(e.Generation))
	dst = appendSize(dst, eOffset, e.Offset)
	dst = appendSize(dst, eLength, e.Length)
	dst = appendUint(dst, eFrames, uint64(e.Frames))
	dst = appendUint(dst, eFirst, uint64(e.First))
	dst = appendSize(dst, eData, e.Data)
	return endMessage(dst, start)
}

func (d *decoder) extent() (e Extent) {
	m := d.message("extent")
	for m.next() {
		switch m.num {
		case eSegment:
			e.Segment = m.u32()
		case eGeneration:
			e.Generation = m.u32()
		case eOffset:
			e.Offset = m.size()
		case eLength:
			e.Length = m.size()
		case eFrames:
			e.Frames = m.u32()
		case eFirst:
			e.First = m.u32()
		case eData:
			e.Data = m.size()
		default:
			m.newer("unknown field")
		}
	}
	d.adopt(&m)
	return e
}

func appendPart(dst []byte, num protowire.Number, p *Part) []byte {
	dst, start := beginMessage(dst, num)
	dst = appendUint(dst, pNumber, uint64(p.Number))
	dst = appendSize(dst, pSize, p.Size)
	dst = appendStored(dst, pStored, p.Stored, p.Size)
	dst = appendETag(dst, pETagMD5, pETag, p.ETag)
	dst = appendChecksums(dst, pChecksum, p.Checksums)
	dst = appendBytes(dst, pEncryption, p.Encryption)
	dst = appendID(dst, pWrite, p.Write)
	if p.Ref != (Ref{}) {
		dst = appendRef(dst, pRef, &p.Ref)
	}
	dst = appendFixed(dst, pModTime, uint64(p.ModTime))
	return endMessage(append(dst, p.Unknown...), start)
}

func (d *decoder) part() (p Part) {
	m := d.message("part")
	stored := false
	for m.next() {
		switch m.num {
		case pNumber:
			p.Number = uint16(m.uint(1<<16 - 1))
		case pSize:
			p.Size = m.size()
		case pStored:
			p.Stored, stored = m.size(), true
		case pETagMD5:
			p.ETag = m.etag()
		case pETag:
			p.ETag = m.str()
		case pChecksum:
			p.Checksums = append(p.Checksums, m.checksum())
		case pEncryption:
			p.Encryption = m.clone()
		case pWrite:
			p.Write = m.id()
		case pRef:
			p.Ref = m.ref()
		case pModTime:
			p.ModTime = int64(m.fixed())
		default:
			p.Unknown = m.appendUnknown(p.Unknown)
		}
	}
	if !stored {
		p.Stored = p.Size
	}
	d.adopt(&m)
	return p
}
