package ondisk

import (
	"encoding/binary"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// rowFormat is the first byte of every row value. It is raised only for a change that older
// releases must not read; a new field is not one, they keep it as unknown.
const rowFormat = 1

// Encoders of one field. Zero and empty are not written: absence means them.

func appendUint(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.VarintType), v)
}

// appendSize is for numbers of bytes, which decoders refuse to take negative. A negative one is a
// fault of accounting in the program; it must not reach the disk, where it would make the row unreadable.
func appendSize(dst []byte, num protowire.Number, v int64) []byte {
	if v < 0 {
		panic(fmt.Sprintf("ondisk: field %d: negative size %d", num, v))
	}
	return appendUint(dst, num, uint64(v))
}

func appendZigzag(dst []byte, num protowire.Number, v int64) []byte {
	return appendUint(dst, num, protowire.EncodeZigZag(v))
}

func appendBool(dst []byte, num protowire.Number, v bool) []byte {
	if !v {
		return dst
	}
	return appendUint(dst, num, 1)
}

// appendFixed is for stamps, times and hashes, which are rarely shorter as varints.
func appendFixed(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendFixed64(protowire.AppendTag(dst, num, protowire.Fixed64Type), v)
}

func appendBytes[T ~string | ~[]byte](dst []byte, num protowire.Number, v T) []byte {
	if len(v) == 0 {
		return dst
	}
	return appendElement(dst, num, v)
}

// appendElement writes an element of a list, which may be empty.
func appendElement[T ~string | ~[]byte](dst []byte, num protowire.Number, v T) []byte {
	return append(appendElementHead(dst, num, len(v)), v...)
}

// appendElementHead writes tag and length; n bytes follow.
func appendElementHead(dst []byte, num protowire.Number, n int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.BytesType), uint64(n))
}

// appendID is appendBytes for the 16-byte identities, of which all zero means none.
func appendID[T ~[16]byte](dst []byte, num protowire.Number, id T) []byte {
	if id == (T{}) {
		return dst
	}
	b := [16]byte(id)
	return appendElement(dst, num, b[:])
}

// beginMessage and endMessage write a nested message without a buffer of its own: the length takes
// one byte, and the rare message beyond 127 bytes is moved up.
func beginMessage(dst []byte, num protowire.Number) ([]byte, int) {
	dst = append(protowire.AppendTag(dst, num, protowire.BytesType), 0)
	return dst, len(dst)
}

func endMessage(dst []byte, start int) []byte {
	n := len(dst) - start
	if n < 1<<7 {
		dst[start-1] = byte(n)
		return dst
	}
	more := protowire.SizeVarint(uint64(n)) - 1
	dst = append(dst, make([]byte, more)...)
	copy(dst[start+more:], dst[start:start+n])
	protowire.AppendVarint(dst[:start-1], uint64(n))
	return dst
}

// decoder walks the fields of one message. The first fault stops it and stays in err.
type decoder struct {
	what string // for errors
	rest []byte
	num  protowire.Number
	typ  protowire.Type
	u    uint64 // value of a varint or fixed field
	p    []byte // value of a bytes field, aliasing the input
	raw  []byte // the whole field
	err  error
}

// rowDecoder checks the row format and begins behind it.
func rowDecoder(what string, value []byte) decoder {
	d := decoder{what: what}
	switch {
	case len(value) == 0:
		d.err = fmt.Errorf("%w: %s is empty", ErrCorrupt, what)
	case value[0] > rowFormat:
		d.err = fmt.Errorf("%w: %s has format %d, this release reads %d", ErrNewer, what, value[0], rowFormat)
	case value[0] == 0:
		d.err = fmt.Errorf("%w: %s has format 0", ErrCorrupt, what)
	default:
		d.rest = value[1:]
	}
	return d
}

// next reads one field. It returns false at the end and after a fault.
func (d *decoder) next() bool {
	if d.err != nil || len(d.rest) == 0 {
		return false
	}
	b := d.rest
	tag, n := uvarint(b)
	if n <= 0 || tag>>3 == 0 || tag>>3 > uint64(protowire.MaxValidNumber) {
		return d.fail("bad field tag")
	}
	d.num, d.typ = protowire.Number(tag>>3), protowire.Type(tag&7)
	switch d.typ {
	case protowire.VarintType:
		v, m := uvarint(b[n:])
		if m <= 0 {
			return d.fail("bad varint")
		}
		d.u, n = v, n+m
	case protowire.Fixed64Type:
		if len(b) < n+8 {
			return d.fail("cut off")
		}
		d.u, n = binary.LittleEndian.Uint64(b[n:]), n+8
	case protowire.BytesType:
		v, m := uvarint(b[n:])
		if m <= 0 || v > uint64(len(b)-n-m) {
			return d.fail("cut off")
		}
		n += m
		d.p = b[n : n+int(v) : n+int(v)]
		n += int(v)
	default:
		return d.fail("bad wire type")
	}
	d.raw, d.rest = b[:n:n], b[n:]
	return true
}

// uvarint is binary.Uvarint with the one-byte case inlined, and refuses encodings that are longer
// than needed: a value has one form.
func uvarint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	v, n := binary.Uvarint(b)
	if n > 1 && b[n-1] == 0 {
		return 0, -1
	}
	return v, n
}

func (d *decoder) fail(why string) bool {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s: field %d: %s", ErrCorrupt, d.what, d.num, why)
	}
	return false
}

// newer reports a value that only a later release can have written.
func (d *decoder) newer(why string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s: field %d: %s", ErrNewer, d.what, d.num, why)
	}
}

// uint returns a varint of at most limit.
func (d *decoder) uint(limit uint64) uint64 {
	if d.typ != protowire.VarintType || d.u > limit {
		d.fail("want a number in range")
		return 0
	}
	return d.u
}

func (d *decoder) u64() uint64 { return d.uint(math.MaxUint64) }
func (d *decoder) u32() uint32 { return uint32(d.uint(math.MaxUint32)) }
func (d *decoder) u8() uint8   { return uint8(d.uint(math.MaxUint8)) }

// size returns a number of bytes, which is never negative.
func (d *decoder) size() int64 { return int64(d.uint(math.MaxInt64)) }

func (d *decoder) bool() bool { return d.uint(1) == 1 }

func (d *decoder) zigzag() int64 { return protowire.DecodeZigZag(d.u64()) }

func (d *decoder) fixed() uint64 {
	if d.typ != protowire.Fixed64Type {
		d.fail("want 8 bytes")
		return 0
	}
	return d.u
}

// bytes returns the value of a bytes field, aliasing the input.
func (d *decoder) bytes() []byte {
	if d.typ != protowire.BytesType {
		d.fail("want bytes")
		return nil
	}
	return d.p
}

// clone returns a copy of the value of a bytes field, nil if it is empty.
func (d *decoder) clone() []byte { return append([]byte(nil), d.bytes()...) }

func (d *decoder) str() string { return string(d.bytes()) }

func (d *decoder) id() (id [16]byte) {
	p := d.bytes()
	if len(p) != len(id) {
		d.fail("want 16 bytes")
		return id
	}
	return [16]byte(p)
}

// message begins to decode the value of a bytes field as a message; its fault becomes d's by adopt.
func (d *decoder) message(what string) decoder {
	return decoder{what: what, rest: d.bytes(), err: d.err}
}

func (d *decoder) adopt(m *decoder) {
	if d.err == nil && m.err != nil {
		d.err = fmt.Errorf("%s: %w", d.what, m.err)
	}
}

// appendUnknown keeps the current field for the next rewrite.
func (d *decoder) appendUnknown(dst []byte) []byte { return append(dst, d.raw...) }
