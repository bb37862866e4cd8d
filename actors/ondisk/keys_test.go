package ondisk

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
)

// drawName favours the bytes that the escaping is about.
func drawName(t *rapid.T, label string) string {
	b := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 'a', '/', 0xfe, 0xff}), 0, 6).Draw(t, label)
	return string(b)
}

func drawKey(t *rapid.T) object.Key {
	bucket := rapid.SampledFrom([]cluster.BucketID{0, 1, 0x0001000100010001, math.MaxUint64}).Draw(t, "bucket")
	return object.Key{Bucket: bucket, Name: drawName(t, "name")}
}

func draw16(t *rapid.T, label string) (id [16]byte) {
	b := rapid.SampledFrom([]byte{0, 1, 0x80, 0xff}).Draw(t, label)
	for i := range id {
		id[i] = b
	}
	id[15] = rapid.Byte().Draw(t, label+" end")
	return id
}

func drawRef(t *rapid.T) object.VersionRef {
	return object.VersionRef{TS: drawStamp(t), Write: draw16(t, "write")}
}

func drawStamp(t *rapid.T) object.Stamp {
	return object.Stamp(rapid.SampledFrom([]uint64{0, 1, 2, 1 << 40, math.MaxUint64}).Draw(t, "stamp"))
}

// TestOrder: the order of keys is (bucket, name bytes, newest version first, newest revision first).
func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := VersionKey{Key: drawKey(t), Ref: drawRef(t), Rev: drawStamp(t)}
		b := VersionKey{Key: drawKey(t), Ref: drawRef(t), Rev: drawStamp(t)}
		if rapid.Bool().Draw(t, "same name") {
			b.Key = a.Key
		}
		want := cmp.Or(cmp.Compare(a.Key.Bucket, b.Key.Bucket), strings.Compare(a.Key.Name, b.Key.Name),
			b.Ref.Compare(a.Ref), cmp.Compare(b.Rev, a.Rev))
		ka := AppendVersionKey(nil, a.Key, a.Ref, a.Rev)
		kb := AppendVersionKey(nil, b.Key, b.Ref, b.Rev)
		if got := Comparer().Compare(ka, kb); got != want {
			t.Fatalf("Compare(%x, %x) = %d, want %d for %v and %v", ka, kb, got, want, a, b)
		}
	})
}

// TestSeekKeys: the keys that a list seeks to lie where their comments say.
func TestSeekKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := drawKey(t)
		at := object.Key{Bucket: key.Bucket, Name: drawName(t, "other")}
		if rapid.Bool().Draw(t, "extends") {
			key.Name = at.Name + key.Name
		}
		row := AppendVersionKey(nil, key, drawRef(t), drawStamp(t))
		up := AppendUploadPartKey(nil, key, draw16(t, "upload"), 7, drawRef(t))
		check := func(what string, got, want bool) {
			if got != want {
				t.Fatalf("%s: %v, want %v (key %q, at %q)", what, got, want, key.Name, at.Name)
			}
		}
		check("row >= AppendNamePrefix", bytes.Compare(row, AppendNamePrefix(nil, at.Bucket, at.Name)) >= 0, key.Name >= at.Name)
		check("row has AppendNamePrefix", bytes.HasPrefix(row, AppendNamePrefix(nil, at.Bucket, at.Name)), strings.HasPrefix(key.Name, at.Name))
		check("row >= AppendNameAfter", bytes.Compare(row, AppendNameAfter(nil, at)) >= 0, key.Name > at.Name)
		past := AppendPrefixAfter(nil, at.Bucket, at.Name)
		check("row >= AppendPrefixAfter", bytes.Compare(row, past) >= 0, key.Name > at.Name && !strings.HasPrefix(key.Name, at.Name))
		check("row has AppendVersionPrefix", bytes.HasPrefix(row, AppendVersionPrefix(nil, at)), key == at)
		check("upload >= AppendUploadNamePrefix", bytes.Compare(up, AppendUploadNamePrefix(nil, at.Bucket, at.Name)) >= 0, key.Name >= at.Name)
		check("upload >= AppendUploadNameAfter", bytes.Compare(up, AppendUploadNameAfter(nil, at)) >= 0, key.Name > at.Name)
		for _, k := range [][]byte{row, up} {
			check("row < AppendKindAfter", bytes.Compare(k, AppendKindAfter(nil, KindOf(k))) < 0, true)
		}
	})
}

// TestUploadOrder: an upload's row comes before its parts, parts in order of number and the newest
// row of one number first, and AppendUploadAfter lies behind all of them.
func TestUploadOrder(t *testing.T) {
	key := object.Key{Bucket: 7, Name: "k"}
	for _, id := range []object.WriteID{{}, {15: 1}, {0: 0xff, 1: 0xff, 2: 0xff, 15: 0xff}} {
		older, newer := object.VersionRef{TS: 1}, object.VersionRef{TS: 2}
		keys := [][]byte{
			AppendUploadKey(nil, key, id),
			AppendUploadPartKey(nil, key, id, 1, newer),
			AppendUploadPartKey(nil, key, id, 1, older),
			AppendUploadPartKey(nil, key, id, 2, newer),
			AppendUploadPartKey(nil, key, id, 10000, older),
			AppendUploadPartKey(nil, key, id, 65535, object.VersionRef{}),
			AppendUploadAfter(nil, key, id),
		}
		if !slices.IsSortedFunc(keys, bytes.Compare) {
			t.Errorf("upload %s: keys are out of order: %x", id, keys)
		}
	}
}

func TestAppendPrefixEnd(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""}, {"\xff\xff", ""}, {"a", "b"}, {"a\xff", "b"}, {"a\x00", "a\x01"},
	} {
		if got := AppendPrefixEnd([]byte("x"), []byte(c.in)); string(got) != "x"+c.want {
			t.Errorf("AppendPrefixEnd(%q) = %q, want %q", c.in, got[1:], c.want)
		}
	}
}

// TestKeysRoundTrip: what a key was made of is what it says.
func TestKeysRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key, ref, rev, id := drawKey(t), drawRef(t), drawStamp(t), draw16(t, "id")
		set := cluster.SetID(rapid.Uint32().Draw(t, "set"))
		slot, num, n64 := rapid.Byte().Draw(t, "slot"), rapid.Uint32().Draw(t, "n"), rapid.Uint64().Draw(t, "n64")
		part := uint16(num)

		v, err := ParseVersionKey(AppendVersionKey(nil, key, ref, rev))
		same(t, VersionKey{key, ref, rev}, v, err)
		k, err := ParseKeyStateKey(AppendKeyStateKey(nil, key))
		same(t, key, k, err)
		u, err := ParseUploadKey(AppendUploadKey(nil, key, id))
		same(t, UploadKey{Key: key, Upload: id}, u, err)
		u, err = ParseUploadKey(AppendUploadPartKey(nil, key, id, part, ref))
		same(t, UploadKey{key, id, true, part, ref}, u, err)
		p, err := ParsePendingKey(AppendPendingKey(nil, set, ref, rev))
		same(t, PendingKey{Set: set, Ref: ref, Rev: rev}, p, err)
		p, err = ParseHintKey(AppendHintKey(nil, set, slot, ref, rev))
		same(t, PendingKey{set, slot, ref, rev}, p, err)
		oid, err := ParseInlineKey(AppendInlineKey(nil, id))
		same(t, object.OID(id), oid, err)
		oid, chunk, err := ParseManifestKey(AppendManifestKey(nil, id, num))
		same(t, object.OID(id), oid, err)
		same(t, num, chunk, nil)
		s, err := ParseSetKey(AppendSetKey(nil, set))
		same(t, set, s, err)
		s, leaf, err := ParseDigestKey(AppendDigestKey(nil, set, slot%Leaves))
		same(t, set, s, err)
		same(t, slot%Leaves, leaf, nil)
		g, err := ParseGarbageKey(AppendGarbageKey(nil, n64))
		same(t, n64, g, err)
		seg, err := ParseSegmentKey(AppendSegmentKey(nil, num))
		same(t, num, seg, err)
		file, err := ParseJournalKey(AppendJournalKey(nil, num))
		same(t, num, file, err)
		b, err := ParseUsageKey(AppendUsageKey(nil, key.Bucket))
		same(t, key.Bucket, b, err)
		q, err := ParseControlKey(AppendControlKey(nil, key.Name))
		same(t, key.Name, q, err)
		due, lk, lref, err := ParseLifecycleKey(AppendLifecycleKey(nil, int64(n64>>1), key, ref))
		same(t, int64(n64>>1), due, err)
		same(t, key, lk, nil)
		same(t, ref, lref, nil)
		o, err := ParseOutboxKey(AppendOutboxKey(nil, n64))
		same(t, n64, o, err)
	})
}

// fataler is what *testing.T and *rapid.T share.
type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

func same[T comparable](t fataler, want, got T, err error) {
	t.Helper()
	if err != nil || got != want {
		t.Fatalf("got %v, %v, want %v", got, err, want)
	}
}
