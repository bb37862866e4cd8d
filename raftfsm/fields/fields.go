// Package fields reads and writes tagged fields in protobuf wire format: the one encoding of
// everything the control plane persists. Two wire types are enough (varint and bytes); the others
// are refused, so that every stored bit has a meaning. Zero values are not written. Decoded slices
// alias the input; the ID and Text methods copy.
package fields

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrMalformed is returned when bytes are not a sequence of tagged fields, or a field has the wrong type or length.
var ErrMalformed = errors.New("malformed fields")

// AppendUint appends a number, unless it is 0.
func AppendUint(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

// AppendText appends a string, unless it is empty.
func AppendText(b []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

// AppendBytes appends bytes, unless there are none.
func AppendBytes(b []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return AppendMessage(b, num, v)
}

// AppendMessage appends bytes even if there are none: for members of a list.
func AppendMessage(b []byte, num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

// AppendID appends 16 bytes, unless all are 0.
func AppendID(b []byte, num protowire.Number, id [16]byte) []byte {
	if id == [16]byte{} {
		return b
	}
	return AppendMessage(b, num, id[:])
}

// Field is one decoded field.
type Field struct {
	Num  protowire.Number
	Raw  []byte // the field as encoded, tag included; aliases the input
	typ  protowire.Type
	n    uint64
	data []byte
}

// Walk calls visit for each field in turn and stops at the first error.
func Walk(b []byte, visit func(Field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: tag: %w", ErrMalformed, protowire.ParseError(n))
		}
		f := Field{Num: num, typ: typ}
		m := 0
		switch typ {
		case protowire.VarintType:
			f.n, m = protowire.ConsumeVarint(b[n:])
		case protowire.BytesType:
			f.data, m = protowire.ConsumeBytes(b[n:])
		default:
			return fmt.Errorf("%w: field %d has wire type %d", ErrMalformed, num, typ)
		}
		if m < 0 {
			return fmt.Errorf("%w: field %d: %w", ErrMalformed, num, protowire.ParseError(m))
		}
		f.Raw = b[:n+m]
		b = b[n+m:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

// Unexpected is the error for a field that a strict decoder does not know.
func (f Field) Unexpected() error {
	return fmt.Errorf("%w: unknown field %d", ErrMalformed, f.Num)
}

// Uint stores a number in dst.
func (f Field) Uint(dst *uint64) error {
	if f.typ != protowire.VarintType {
		return fmt.Errorf("%w: field %d is not a number", ErrMalformed, f.Num)
	}
	*dst = f.n
	return nil
}

// Uint32 stores a number of at most 32 bits in dst.
func (f Field) Uint32(dst *uint32) error {
	var v uint64
	if err := f.Uint(&v); err != nil {
		return err
	}
	if v > 1<<32-1 {
		return fmt.Errorf("%w: field %d exceeds 32 bits", ErrMalformed, f.Num)
	}
	*dst = uint32(v)
	return nil
}

// Bool stores a truth value in dst.
func (f Field) Bool(dst *bool) error {
	var v uint64
	if err := f.Uint(&v); err != nil {
		return err
	}
	if v > 1 {
		return fmt.Errorf("%w: field %d is not a truth value", ErrMalformed, f.Num)
	}
	*dst = v == 1
	return nil
}

// Bytes stores the field's bytes in dst; they alias the input.
func (f Field) Bytes(dst *[]byte) error {
	if f.typ != protowire.BytesType {
		return fmt.Errorf("%w: field %d is not bytes", ErrMalformed, f.Num)
	}
	*dst = f.data
	return nil
}

// Copy stores a copy of the field's bytes in dst.
func (f Field) Copy(dst *[]byte) error {
	var b []byte
	if err := f.Bytes(&b); err != nil {
		return err
	}
	*dst = append([]byte(nil), b...)
	return nil
}

// Text stores the field as a string in dst.
func (f Field) Text(dst *string) error {
	var b []byte
	if err := f.Bytes(&b); err != nil {
		return err
	}
	*dst = string(b)
	return nil
}

// ID stores a field of 16 bytes in dst.
func (f Field) ID(dst *[16]byte) error {
	var b []byte
	if err := f.Bytes(&b); err != nil {
		return err
	}
	if len(b) != 16 {
		return fmt.Errorf("%w: field %d has %d bytes, not 16", ErrMalformed, f.Num, len(b))
	}
	*dst = [16]byte(b)
	return nil
}
