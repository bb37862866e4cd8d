package ondisk

import (
	"bytes"
	"testing"

	"holdfast/actors/object"
)

// fuzzLayout feeds one decoder. Whatever it takes must be written again to the same bytes each time;
// whatever it refuses must be refused with a known error. The seeds are the golden example, its
// halves, and it with one byte changed.
func fuzzLayout(f *testing.F, names ...string) {
	var again func([]byte) ([]byte, error)
	for _, l := range layouts(f) {
		for _, name := range names {
			if l.name == name {
				again = l.again
				f.Add(l.example)
				f.Add(l.example[:len(l.example)/2])
				changed := bytes.Clone(l.example)
				changed[len(changed)/3] ^= 0x55
				f.Add(changed)
			}
		}
	}
	if again == nil {
		f.Fatalf("no layout %q", names)
	}
	f.Add([]byte{})
	f.Add([]byte{rowFormat})
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.Clone(b)
		first, err := again(b)
		if !bytes.Equal(b, in) {
			t.Fatal("the decoder changed its input")
		}
		if err != nil {
			if !known(err) {
				t.Fatal(err)
			}
			return
		}
		second, err := again(first)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%v: %x written again is %x", err, first, second)
		}
	})
}

func FuzzVersion(f *testing.F) {
	fuzzLayout(f, "version", "version-small", "version-tombstone", "version-purged")
}
func FuzzUpload(f *testing.F)         { fuzzLayout(f, "upload") }
func FuzzUploadPart(f *testing.F)     { fuzzLayout(f, "upload-part") }
func FuzzManifest(f *testing.F)       { fuzzLayout(f, "manifest") }
func FuzzKeyState(f *testing.F)       { fuzzLayout(f, "key-state") }
func FuzzPending(f *testing.F)        { fuzzLayout(f, "pending") }
func FuzzSet(f *testing.F)            { fuzzLayout(f, "set") }
func FuzzFence(f *testing.F)          { fuzzLayout(f, "fence") }
func FuzzDigest(f *testing.F)         { fuzzLayout(f, "digest") }
func FuzzSegment(f *testing.F)        { fuzzLayout(f, "segment") }
func FuzzJournalRow(f *testing.F)     { fuzzLayout(f, "journal") }
func FuzzJournalRecord(f *testing.F)  { fuzzLayout(f, "journal-record") }
func FuzzJournalPayload(f *testing.F) { fuzzLayout(f, "journal-payload") }
func FuzzJournalFile(f *testing.F)    { fuzzLayout(f, "journal-file") }
func FuzzJournalEnd(f *testing.F)     { fuzzLayout(f, "journal-end") }
func FuzzGarbage(f *testing.F)        { fuzzLayout(f, "garbage") }
func FuzzUsage(f *testing.F)          { fuzzLayout(f, "usage") }
func FuzzMarks(f *testing.F)          { fuzzLayout(f, "marks") }
func FuzzInline(f *testing.F)         { fuzzLayout(f, "inline") }
func FuzzControl(f *testing.F)        { fuzzLayout(f, "control") }
func FuzzLabel(f *testing.F)          { fuzzLayout(f, "label") }
func FuzzFrameHeader(f *testing.F)    { fuzzLayout(f, "frame-run", "frame-pack") }
func FuzzSegmentHeader(f *testing.F)  { fuzzLayout(f, "segment-header") }

// FuzzControlMeta seals what it is given, so that the fields behind the checksum are reached.
func FuzzControlMeta(f *testing.F) {
	meta := AppendControlMeta(nil, &ControlMeta{Index: 7, Rows: 2})
	f.Add(meta[1 : len(meta)-4])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, err := DecodeControlMeta(AppendControl(nil, "", payload))
		if err != nil {
			if !known(err) {
				t.Fatal(err)
			}
			return
		}
		first := AppendControlMeta(nil, &m)
		m, err = DecodeControlMeta(first)
		if second := AppendControlMeta(nil, &m); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%v: %x written again is %x", err, first, second)
		}
	})
}

// FuzzMerge: an operand that the merger takes, merged with nothing, is itself in its one form.
func FuzzMerge(f *testing.F) {
	f.Add(AppendUsage(nil, &Usage{Objects: 1, Bytes: -2, PartBytes: 3}))
	f.Add([]byte{rowFormat, 0x08, 0x02, 0x08, 0x02})
	f.Fuzz(func(t *testing.T, b []byte) {
		merge := func(b []byte) ([]byte, error) {
			m, err := Merger().Merge(AppendUsageKey(nil, 1), b)
			if err != nil {
				return nil, err
			}
			out, _, err := m.Finish(true)
			return out, err
		}
		first, err := merge(b)
		if err != nil {
			if !known(err) {
				t.Fatal(err)
			}
			return
		}
		if second, err := merge(first); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%v: %x merged again is %x", err, first, second)
		}
		if _, err := DecodeUsage(first); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzKey: a key that parses is the key that its parts make, and Split never runs past the end.
func FuzzKey(f *testing.F) {
	key := object.Key{Bucket: 1, Name: "a\x00b"}
	for _, k := range [][]byte{
		AppendVersionKey(nil, key, ref7, 3), AppendKeyStateKey(nil, key), AppendUploadKey(nil, key, ref7.Write),
		AppendUploadPartKey(nil, key, ref7.Write, 4, ref7), AppendPendingKey(nil, 5, ref7, 6), AppendHintKey(nil, 5, 7, ref7, 6),
		AppendInlineKey(nil, object.OID{1}), AppendManifestKey(nil, object.OID{1}, 2), AppendSetKey(nil, 3), AppendDigestKey(nil, 3, 4),
		AppendGarbageKey(nil, 5), AppendSegmentKey(nil, 6), AppendUsageKey(nil, 7), AppendControlKey(nil, "x"), AppendMarksKey(nil),
		AppendLifecycleKey(nil, 8, key, ref7), AppendOutboxKey(nil, 9), {}, {'M'}, []byte("M1234567\x00\x01"), []byte("U12345678\x00"),
	} {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, k []byte) {
		if n := Split(k); n < 0 || n > len(k) {
			t.Fatalf("Split = %d of %d", n, len(k))
		}
		again, err := remake(k)
		if err != nil && !known(err) {
			t.Fatal(err)
		}
		if err == nil && !bytes.Equal(again, k) {
			t.Fatalf("%x made again is %x", k, again)
		}
	})
}

// remake parses a key by its kind and makes it again from its parts.
func remake(k []byte) ([]byte, error) {
	switch KindOf(k) {
	case RowVersion:
		if IsKeyStateKey(k) {
			key, err := ParseKeyStateKey(k)
			return AppendKeyStateKey(nil, key), err
		}
		v, err := ParseVersionKey(k)
		return AppendVersionKey(nil, v.Key, v.Ref, v.Rev), err
	case RowUpload:
		u, err := ParseUploadKey(k)
		if u.IsPart {
			return AppendUploadPartKey(nil, u.Key, u.Upload, u.Part, u.Ref), err
		}
		return AppendUploadKey(nil, u.Key, u.Upload), err
	case RowInline:
		oid, err := ParseInlineKey(k)
		return AppendInlineKey(nil, oid), err
	case RowManifest:
		oid, chunk, err := ParseManifestKey(k)
		return AppendManifestKey(nil, oid, chunk), err
	case RowPending:
		p, err := ParsePendingKey(k)
		return AppendPendingKey(nil, p.Set, p.Ref, p.Rev), err
	case RowHint:
		p, err := ParseHintKey(k)
		return AppendHintKey(nil, p.Set, p.Slot, p.Ref, p.Rev), err
	case RowSet:
		set, err := ParseSetKey(k)
		return AppendSetKey(nil, set), err
	case RowDigest:
		set, leaf, err := ParseDigestKey(k)
		return AppendDigestKey(nil, set, leaf), err
	case RowGarbage:
		seq, err := ParseGarbageKey(k)
		return AppendGarbageKey(nil, seq), err
	case RowSegment:
		seg, err := ParseSegmentKey(k)
		return AppendSegmentKey(nil, seg), err
	case RowUsage:
		b, err := ParseUsageKey(k)
		return AppendUsageKey(nil, b), err
	case RowFence:
		b, err := ParseFenceKey(k)
		return AppendFenceKey(nil, b), err
	case RowControl:
		name, err := ParseControlKey(k)
		return AppendControlKey(nil, name), err
	case RowLifecycle:
		due, key, ref, err := ParseLifecycleKey(k)
		return AppendLifecycleKey(nil, due, key, ref), err
	case RowOutbox:
		seq, err := ParseOutboxKey(k)
		return AppendOutboxKey(nil, seq), err
	}
	return k, nil
}
