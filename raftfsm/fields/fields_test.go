package fields

import (
	"errors"
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func TestRoundTrip(t *testing.T) {
	b := AppendUint(nil, 1, 1<<40)
	b = AppendText(b, 2, "text")
	b = AppendBytes(b, 3, []byte{0, 1})
	b = AppendID(b, 4, [16]byte{9})
	b = AppendMessage(b, 5, nil)
	b = AppendUint(b, 6, 1)
	var got struct {
		n    uint64
		s    string
		c    []byte
		id   [16]byte
		seen int
		b    bool
	}
	err := Walk(b, func(f Field) error {
		switch f.Num {
		case 1:
			return f.Uint(&got.n)
		case 2:
			return f.Text(&got.s)
		case 3:
			return f.Copy(&got.c)
		case 4:
			return f.ID(&got.id)
		case 5:
			got.seen++
			return nil
		case 6:
			return f.Bool(&got.b)
		}
		return f.Unexpected()
	})
	if err != nil || got.n != 1<<40 || got.s != "text" || !reflect.DeepEqual(got.c, []byte{0, 1}) || got.id != [16]byte{9} || got.seen != 1 || !got.b {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestZeroValuesAreNotWritten(t *testing.T) {
	b := AppendID(AppendBytes(AppendText(AppendUint(nil, 1, 0), 2, ""), 3, nil), 4, [16]byte{})
	if len(b) != 0 {
		t.Fatalf("wrote %x", b)
	}
}

func TestMalformed(t *testing.T) {
	number := AppendUint(nil, 1, 1<<32)
	text := AppendText(nil, 1, "text")
	for name, c := range map[string]struct {
		raw   []byte
		visit func(Field) error
	}{
		"cut tag":        {[]byte{0x80}, nil},
		"cut number":     {number[:2], nil},
		"cut bytes":      {text[:3], nil},
		"fixed32":        {protowire.AppendFixed32(protowire.AppendTag(nil, 1, protowire.Fixed32Type), 1), nil},
		"group":          {protowire.AppendTag(nil, 1, protowire.StartGroupType), nil},
		"number as text": {number, func(f Field) error { var s string; return f.Text(&s) }},
		"number as copy": {number, func(f Field) error { var b []byte; return f.Copy(&b) }},
		"text as number": {text, func(f Field) error { var n uint64; return f.Uint(&n) }},
		"text as bool":   {text, func(f Field) error { var b bool; return f.Bool(&b) }},
		"not a bool":     {number, func(f Field) error { var b bool; return f.Bool(&b) }},
		"33 bits":        {number, func(f Field) error { var n uint32; return f.Uint32(&n) }},
		"short id":       {text, func(f Field) error { var id [16]byte; return f.ID(&id) }},
		"unknown":        {text, Field.Unexpected},
	} {
		visit := c.visit
		if visit == nil {
			visit = func(Field) error { return nil }
		}
		if err := Walk(c.raw, visit); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzWalk(f *testing.F) {
	f.Add(AppendText(AppendUint(nil, 1, 7), 2, "text"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		if err := Walk(b, func(f Field) error { again = append(again, f.Raw...); return nil }); err == nil && string(again) != string(b) {
			t.Fatalf("%x walked as %x", b, again)
		}
	})
}
