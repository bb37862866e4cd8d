package ondisk

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"holdfast/actors/object"
)

// lawful changes a value made of random fields into one that can exist: sizes are not negative, enums
// are known, unknown fields are unknown ones, and what is empty is nil, as decoders leave it.
func lawful(v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *VersionKind:
		*x = 1 + (*x-1)%4
		return
	case *SetState:
		*x %= 4
		return
	case *SetRow:
		x.Phase %= 3
	case *Seat:
		x.W %= 16
	case *SegmentClass:
		*x %= 3
		return
	}
	switch v.Kind() {
	case reflect.Int64:
		v.SetInt(v.Int() & math.MaxInt64)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "Unknown" {
				lawful(v.Field(i))
			} else if v.Field(i).Len()%2 == 0 {
				v.Field(i).SetZero()
			} else {
				v.Field(i).SetBytes([]byte{0xf8, 0x06, 0x2a}) // field 111, varint 42
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			lawful(v.Index(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			lawful(v.Index(i))
		}
		if v.Len() == 0 {
			v.SetZero()
		}
	case reflect.Map:
		if v.Len() == 0 {
			v.SetZero()
		}
	}
}

// roundTrip checks decode(encode(x)) = x for random x, after fix.
func roundTrip[T any](t *testing.T, fix func(*T), encode func(*T) ([]byte, error), decode func([]byte) (T, error)) {
	t.Helper()
	gen := rapid.Make[T]()
	rapid.Check(t, func(t *rapid.T) {
		want := gen.Draw(t, "value")
		lawful(reflect.ValueOf(&want).Elem())
		fix(&want)
		b, err := encode(&want)
		if errors.Is(err, object.ErrMetadataTooLarge) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		kept := bytes.Clone(b)
		got, err := decode(b)
		if err != nil {
			t.Fatalf("%v: %x", err, b)
		}
		clear(b) // a decoder that aliases its input is caught here
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
		if again, err := encode(&got); err != nil || !bytes.Equal(again, kept) {
			t.Fatalf("written again: %v, %x, want %x", err, again, kept)
		}
	})
}

// plain adapts an encoder that cannot refuse.
func plain[T any](appendTo func([]byte, *T) []byte) func(*T) ([]byte, error) {
	return func(v *T) ([]byte, error) { return appendTo(nil, v), nil }
}

func none[T any](*T) {}

func TestRowsRoundTrip(t *testing.T) {
	t.Run("version", func(t *testing.T) {
		var reused Version
		roundTrip(t, func(v *Version) { v.TS, v.Write, v.Rev = ref7.TS, ref7.Write, 3 },
			func(v *Version) ([]byte, error) {
				shared, err := AppendVersion(nil, v)
				return AppendVersionValue(nil, &VersionOwn{Batch: v.Batch, Slot: v.Slot}, shared), err
			},
			func(b []byte) (Version, error) {
				if err := DecodeVersionInto(&reused, ref7, 3, b); err != nil {
					return Version{}, err
				}
				v, err := DecodeVersion(ref7, 3, b)
				r := reused
				lawful(reflect.ValueOf(&r).Elem()) // empty to nil
				if !reflect.DeepEqual(r, v) {
					t.Fatalf("into a used struct: %+v, into a new one: %+v", r, v)
				}
				return v, err
			})
	})
	t.Run("own part", func(t *testing.T) {
		var reused VersionOwn
		roundTrip(t, none, func(o *VersionOwn) ([]byte, error) { return AppendVersionValue(nil, o, []byte{1, 2}), nil },
			func(b []byte) (VersionOwn, error) {
				shared, err := DecodeVersionOwn(&reused, b)
				if err == nil && !bytes.Equal(shared, []byte{1, 2}) {
					t.Fatalf("shared part %x", shared)
				}
				own := reused
				own.Seats = slices.Clone(own.Seats)
				lawful(reflect.ValueOf(&own).Elem()) // empty to nil
				return own, err
			})
	})
	t.Run("upload", func(t *testing.T) {
		roundTrip(t, func(u *Upload) {
			u.ID, u.Meta.TS, u.Meta.Rev, u.Meta.Write, u.Meta.Batch, u.Meta.Slot = ref7.Write, u.TS, u.TS, ref7.Write, 0, 0
		},
			func(u *Upload) ([]byte, error) { return AppendUpload(nil, u) },
			func(b []byte) (Upload, error) { return DecodeUpload(ref7.Write, b) })
	})
	t.Run("upload part", func(t *testing.T) { roundTrip(t, none, plain(AppendUploadPart), DecodeUploadPart) })
	t.Run("key state", func(t *testing.T) { roundTrip(t, none, plain(AppendKeyState), DecodeKeyState) })
	t.Run("pending", func(t *testing.T) { roundTrip(t, none, plain(AppendPending), DecodePending) })
	t.Run("set", func(t *testing.T) { roundTrip(t, none, plain(AppendSetRow), DecodeSetRow) })
	t.Run("journal", func(t *testing.T) { roundTrip(t, none, plain(AppendJournalRow), DecodeJournalRow) })
	t.Run("segment", func(t *testing.T) { roundTrip(t, none, plain(AppendSegmentRow), DecodeSegmentRow) })
	t.Run("digest", func(t *testing.T) { roundTrip(t, none, plain(AppendDigest), DecodeDigest) })
	t.Run("garbage", func(t *testing.T) { roundTrip(t, none, plain(AppendGarbage), DecodeGarbage) })
	t.Run("usage", func(t *testing.T) { roundTrip(t, none, plain(AppendUsage), DecodeUsage) })
	t.Run("marks", func(t *testing.T) { roundTrip(t, none, plain(AppendMarks), DecodeMarks) })
	t.Run("control meta", func(t *testing.T) { roundTrip(t, none, plain(AppendControlMeta), DecodeControlMeta) })
	t.Run("manifest", func(t *testing.T) {
		roundTrip(t, none, func(m *Manifest) ([]byte, error) {
			rows, err := EncodeManifest(m)
			if err != nil {
				return nil, err
			}
			return rows[0], nil
		}, func(b []byte) (Manifest, error) { return DecodeManifest([][]byte{b}) })
	})
}

// TestManifestChunks: a long manifest is cut into rows of bounded size, which go together again only
// whole and in order.
func TestManifestChunks(t *testing.T) {
	var m Manifest
	for i := range 10000 {
		p := fullPart()
		p.Number = uint16(i + 1)
		m.Parts = append(m.Parts, p)
		m.Extents = append(m.Extents, Extent{Segment: uint32(i), Generation: 1, Offset: 1 << 29, Length: 8 << 20, Frames: 7, First: uint32(7 * i), Data: 7 << 20})
	}
	rows, err := EncodeManifest(&m)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		if len(r) > MaxManifestChunk || i < len(rows)-1 && len(r) < MaxManifestChunk-256 {
			t.Errorf("row %d has %d bytes", i, len(r))
		}
	}
	got, err := DecodeManifest(rows)
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	for name, bad := range map[string][][]byte{
		"none": nil, "first missing": rows[1:], "last missing": rows[:len(rows)-1],
		"swapped": {rows[1], rows[0]}, "one twice": append([][]byte{rows[0]}, rows...),
		"one of another": append(append([][]byte{}, rows[:len(rows)-1]...), must(t, firstRow(t), nil)),
	} {
		if _, err := DecodeManifest(bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	empty, err := EncodeManifest(&Manifest{})
	if err != nil || len(empty) != 1 {
		t.Fatal(len(empty), err)
	}
	huge := Manifest{Parts: []Part{{Number: 1}, {Encryption: make([]byte, MaxManifestChunk)}}}
	if _, err := EncodeManifest(&huge); !errors.Is(err, object.ErrMetadataTooLarge) {
		t.Errorf("huge part: %v", err)
	}
	huge.Parts = huge.Parts[1:]
	if _, err := EncodeManifest(&huge); !errors.Is(err, object.ErrMetadataTooLarge) {
		t.Errorf("huge part alone: %v", err)
	}
}

func firstRow(t *testing.T) []byte {
	rows, err := EncodeManifest(&Manifest{Extents: []Extent{{Segment: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	return rows[0]
}
