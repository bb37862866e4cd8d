package ondisk

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"holdfast/actors/object"
)

// fullVersion has every field set.
func fullVersion() Version {
	return Version{
		TS: 0x0102030405060708, Write: object.WriteID{0: 0xaa, 15: 0xbb}, Rev: 0x0102030405060709,
		Batch: 77, Slot: 3, Kind: KindObject,
		N: 4, K: 2, Unit: 256 << 10, Frame: 1 << 20,
		Size: 5 << 40, Stored: 5<<40 + 16, ModTime: 1780000000123456789,
		ETag:      "d41d8cd98f00b204e9800998ecf8427e-17",
		Checksums: []Checksum{{Algo: ChecksumCRC32C, Value: []byte{1, 2, 3, 4}}, {Algo: ChecksumSHA256, Composite: true, Value: make([]byte, 32)}},
		Parts:     17, ContentType: "text/plain", CacheControl: "no-cache", ContentDisposition: "inline",
		ContentEncoding: "gzip", ContentLanguage: "de", Expires: "Thu, 01 Dec 1994 16:00:00 GMT", Website: "/other",
		UserMeta: []Pair{{"a", "1"}, {"b", ""}, {"long", strings.Repeat("x", 300)}}, Tags: []Pair{{"k", "v"}, {"", ""}},
		Owner: "root", StorageClass: "REDUCED_REDUNDANCY", LockMode: "GOVERNANCE", LockUntil: 1790000000000000000, LegalHold: true,
		Encryption: []byte{9, 8, 7}, Transforms: []string{"aes", ""}, Replication: []byte{6}, Restore: []byte{5},
		Refs:   []Ref{{Set: 1023, OID: object.OID{0: 1, 15: 2}, Length: 5<<40 + 16}, {Inline: true, Length: 3}},
		NullID: true, ForeignID: "3sL4kqtJlcpXroDTDmJ",
		Unknown: []byte{0xf8, 0x06, 0x2a}, // field 111, varint 42
	}
}

func smallVersion() Version {
	return Version{
		TS: 1 << 60, Write: object.WriteID{1}, Rev: 1 << 60, Batch: 3, Slot: 1, Kind: KindObject, N: 4, K: 2, Unit: 2048, Frame: 1 << 20,
		Size: 4096, Stored: 4096, ModTime: 1780000000123456789, ETag: "d41d8cd98f00b204e9800998ecf8427e",
		Checksums: []Checksum{{Algo: ChecksumCRC32, Value: []byte{1, 2, 3, 4}}}, ContentType: "application/octet-stream",
		UserMeta: []Pair{{"mtime", "1780000000.123456789"}}, Owner: "root",
		Refs: []Ref{{Set: 17, OID: object.OID{1, 2, 3}, Length: 4096, Inline: true}},
	}
}

func mustVersion(t testing.TB, v *Version) []byte {
	t.Helper()
	shared, err := AppendVersion(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	own := VersionOwn{Batch: v.Batch, Slot: v.Slot, Epoch: 1, Data: true, Seats: []Seat{{Epoch: 1, W: 3, Old: true, New: true}}}
	if len(v.Refs) > 0 && v.Refs[0].Inline {
		own.At = Location{File: 4, Offset: 4160, Length: 2088}
	}
	return AppendVersionValue(nil, &own, shared)
}

func TestVersionRoundTrip(t *testing.T) {
	for name, v := range map[string]Version{
		"full": fullVersion(), "small": smallVersion(),
		"tombstone":      {TS: 5, Rev: 5, Kind: KindTombstone},
		"stored nothing": {Kind: KindObject, Size: 5},
		"odd etag":       {Kind: KindObject, ETag: "D41D8CD98F00B204E9800998ECF8427E"},
		"padded parts":   {Kind: KindObject, ETag: "d41d8cd98f00b204e9800998ecf8427e-017"},
		"etag and dash":  {Kind: KindObject, ETag: "d41d8cd98f00b204e9800998ecf8427e-"},
		"etag and more":  {Kind: KindObject, ETag: "d41d8cd98f00b204e9800998ecf8427e17"},
	} {
		value := mustVersion(t, &v)
		got, err := DecodeVersion(object.VersionRef{TS: v.TS, Write: v.Write}, v.Rev, value)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(got, v) {
			t.Errorf("%s: got  %+v\nwant %+v", name, got, v)
		}
		_, _, shared, err := SplitVersionValue(value)
		if err != nil {
			t.Fatal(err)
		}
		view, err := ViewVersion(shared)
		if err != nil {
			t.Errorf("%s: view: %v", name, err)
		} else if etag := string(view.AppendETag(nil)); etag != v.ETag || view.Size != v.Size || view.Stored != v.Stored || view.Kind != v.Kind || view.Refs != len(v.Refs) {
			t.Errorf("%s: view %+v, ETag %q", name, view, etag)
		}
		if kind, err := KindOfVersion(shared); err != nil || kind != v.Kind {
			t.Errorf("%s: kind %d, %v", name, kind, err)
		}
	}
}

func TestKindOfOtherRowsIsThatOfTheWholeView(t *testing.T) {
	for name, shared := range map[string][]byte{
		"empty": {}, "no fields": {rowFormat}, "newer": {rowFormat + 1, 8, 1}, "kind 0": {rowFormat, 8, 0},
		"newer kind": {rowFormat, 8, 5}, "other field first": {rowFormat, 24, 4, 8, 2},
	} {
		view, want := ViewVersion(shared)
		kind, err := KindOfVersion(shared)
		if (err == nil) != (want == nil) || err == nil && kind != view.Kind {
			t.Errorf("%s: %d, %v; the view has %d, %v", name, kind, err, view.Kind, want)
		}
	}
}

func TestVersionTooLarge(t *testing.T) {
	v := smallVersion()
	v.UserMeta = []Pair{{"k", strings.Repeat("x", MaxVersionRow)}}
	dst := []byte("kept")
	got, err := AppendVersion(dst, &v)
	if !errors.Is(err, object.ErrMetadataTooLarge) || string(got) != "kept" {
		t.Fatalf("got %q, %v", got, err)
	}
	v.UserMeta[0].Value = ""
	least, err := AppendVersion(nil, &v)
	if err != nil {
		t.Fatal(err)
	}
	room := MaxVersionRow - versionPrefix - ownRoom - len(least) - 2 // two lengths grow by a byte
	v.UserMeta[0].Value = strings.Repeat("x", room)
	shared, err := AppendVersion(nil, &v)
	if err != nil || len(shared) < MaxVersionRow-versionPrefix-ownRoom-2 {
		t.Fatalf("the largest shared part has %d bytes, %v", len(shared), err)
	}
	own := VersionOwn{Slot: 16, Data: true, Null: true, Epoch: 1 << 40, Upload: object.WriteID{1}, Ballot: ref7, At: Location{File: 1, Offset: 1 << 31, Length: 4}}
	for i := range 5 { // as many epochs as a version is ever accepted in before it is settled
		own.Seats = append(own.Seats, Seat{Epoch: 1<<40 + uint64(i), Ballot: ref7, W: 9, Old: true})
	}
	if n := len(AppendVersionValue(nil, &own, shared)); n > MaxVersionRow {
		t.Fatalf("with the drive's own part the row has %d bytes", n)
	}
}

func TestVersionThatCannotBe(t *testing.T) {
	for name, v := range map[string]Version{
		"no kind": {}, "unknown kind": {Kind: KindPurged + 1}, "size": {Kind: KindObject, Size: -1}, "stored": {Kind: KindObject, Stored: -1},
	} {
		if got, err := AppendVersion(nil, &v); err == nil {
			t.Errorf("%s was written: %x", name, got)
		}
	}
}
