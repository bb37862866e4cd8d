package ondisk

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// layout is one persisted layout: an example of its bytes, and its decoder followed by its encoder.
type layout struct {
	name    string
	example []byte
	again   func(b []byte) ([]byte, error)
	// checked layouts carry their own checksum: each flipped bit and each truncation is an error.
	checked bool
}

var ref7 = object.VersionRef{TS: 7 << 50, Write: object.WriteID{0: 0xa0, 15: 0x0a}}

func must(t testing.TB, b []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// layouts lists every layout that has a value. Keys have goldens of their own.
func layouts(t testing.TB) []layout {
	return append(rowLayouts(t), fileLayouts(t)...)
}

func versionLayouts(t testing.TB) []layout {
	again := func(b []byte) ([]byte, error) {
		v, err := DecodeVersion(ref7, 9, b)
		if err != nil {
			return nil, err
		}
		var own VersionOwn
		shared, err := DecodeVersionOwn(&own, b)
		if err != nil {
			return nil, err
		}
		if _, err := ViewVersion(shared); err != nil {
			return nil, fmt.Errorf("the view refuses what the decoder takes: %v", err)
		}
		shared, err = AppendVersion(nil, &v)
		if errors.Is(err, object.ErrMetadataTooLarge) { // more bytes in than a canonical row may have
			return b, nil
		}
		return AppendVersionValue(nil, &own, shared), err
	}
	full, small, tomb := fullVersion(), smallVersion(), Version{Kind: KindTombstone}
	purged, err := AppendVersion(nil, &Version{Kind: KindPurged, ModTime: 5})
	own := VersionOwn{
		Batch: 1 << 60, Slot: 15, Null: true, Epoch: 300, Upload: object.WriteID{15: 1}, Ballot: ref7,
		Seats: []Seat{{Epoch: 299, W: 9, Joint: true, Old: true}, {Epoch: 300, Ballot: ref7, W: 15, New: true}},
	}
	return []layout{
		{name: "version", example: mustVersion(t, &full), again: again},
		{name: "version-small", example: mustVersion(t, &small), again: again},
		{name: "version-tombstone", example: mustVersion(t, &tomb), again: again},
		{name: "version-purged", example: AppendVersionValue(nil, &own, must(t, purged, err)), again: again},
	}
}

func fullPart() Part {
	return Part{
		Number: 10000, Size: 5 << 30, Stored: 5<<30 + 32, ETag: "d41d8cd98f00b204e9800998ecf8427e",
		Checksums:  []Checksum{{Algo: ChecksumCRC64NVME, Value: []byte{1, 2, 3, 4, 5, 6, 7, 8}}},
		Encryption: []byte{1}, Write: object.WriteID{3}, Ref: Ref{Set: 9, OID: object.OID{4}, Length: 5<<30 + 32},
		ModTime: 1780000000123456789, Unknown: []byte{0xf8, 0x06, 0x2a},
	}
}

func multipartLayouts(t testing.TB) []layout {
	meta := smallVersion()
	meta.TS, meta.Rev = 0, 0
	up := Upload{ID: object.WriteID{1}, TS: 5, Batch: 6, Started: 7, Meta: meta, Checksum: ChecksumSHA1, FullObj: true, Unknown: []byte{0xf8, 0x06, 0x2a}}
	upload, err := AppendUpload(nil, &up)
	part := UploadPart{Part: fullPart(), TS: 8, Batch: 9, Slot: 3, N: 4, K: 2, Unit: 1 << 18, Frame: 1 << 20}
	manifest, merr := EncodeManifest(&Manifest{
		Extents: []Extent{{Segment: 3, Generation: 2, Offset: 8 << 20, Length: 4<<20 + 16384, Frames: 4, First: 8, Data: 4 << 20}, {}},
		Parts:   []Part{fullPart(), {Number: 1}},
	})
	return []layout{
		{name: "upload", example: must(t, upload, err), again: func(b []byte) ([]byte, error) {
			u, err := DecodeUpload(object.WriteID{1}, b)
			if err != nil {
				return nil, err
			}
			out, err := AppendUpload(nil, &u)
			if errors.Is(err, object.ErrMetadataTooLarge) {
				return b, nil
			}
			return out, err
		}},
		{name: "upload-part", example: AppendUploadPart(nil, &part), again: func(b []byte) ([]byte, error) {
			p, err := DecodeUploadPart(b)
			return AppendUploadPart(nil, &p), err
		}},
		{name: "manifest", example: must(t, manifest[0], merr), again: func(b []byte) ([]byte, error) {
			m, err := DecodeManifest([][]byte{b})
			if err != nil {
				return nil, err
			}
			rows, err := EncodeManifest(&m)
			if err != nil || len(rows) != 1 {
				return b, nil // more bytes in than a canonical row may have
			}
			return rows[0], nil
		}},
	}
}

func rowLayouts(t testing.TB) []layout {
	unknown := []byte{0xf8, 0x06, 0x2a}
	state := KeyState{
		Batch: 7, Promise: ref7, Decision: Decision{Ballot: ref7, Ref: object.VersionRef{TS: 1, Write: object.WriteID{2}}, Rev: 3},
		Dead:  []DeadMark{{Ref: ref7, Rev: 1 << 60, Epoch: 3, Null: true, Proven: true, Ballot: ref7}, {}},
		Hints: []Hint{{Ref: ref7, Rev: 7 << 50, Slots: 0x18001}, {Rev: 1}}, Revised: 1 << 59, Unknown: unknown,
	}
	pending := Pending{Key: object.Key{Bucket: 12, Name: "a/\x00b"}, Ref: ref7, Rev: 8, Epoch: 2, Slots: 0x8001, Bytes: 1 << 33, Unknown: unknown}
	set := SetRow{
		Epoch: 4, N: 16, Phase: 2, Moving: 7, Vacant: 1 << 15, Declared: 3, Member: 16, State: SetRebuilding, Joined: 3, GCFloor: 99, Unknown: unknown,
	}
	seg := SegmentRow{Class: SegmentRun, Generation: 12, Live: 1 << 29, End: 1 << 30, Used: []uint64{1 << 63, 0}, Unknown: unknown}
	usage := Usage{Objects: 3, Bytes: 1 << 50, Versions: -1, Markers: 2, Uploads: -4, PartBytes: 5}
	marks := Marks{ClockCeiling: 3, Highest: 2, Horizon: 1, Batch: 1, Peers: map[cluster.DriveID]uint64{{1}: 10, {2}: 20}, Unknown: unknown}
	meta := ControlMeta{Cluster: cluster.ID{1}, Index: 500, Term: 3, Node: cluster.NodeID{2}, Rows: 4, Digest: [32]byte{31: 9}, Unknown: unknown}
	digest := LeafDigest{Rows: 1000, Sum: [16]byte{7}, Unknown: unknown}
	return append(append(versionLayouts(t), multipartLayouts(t)...),
		layout{name: "key-state", example: AppendKeyState(nil, &state), again: func(b []byte) ([]byte, error) {
			s, err := DecodeKeyState(b)
			return AppendKeyState(nil, &s), err
		}},
		layout{name: "pending", example: AppendPending(nil, &pending), again: func(b []byte) ([]byte, error) {
			p, err := DecodePending(b)
			return AppendPending(nil, &p), err
		}},
		layout{name: "set", example: AppendSetRow(nil, &set), again: func(b []byte) ([]byte, error) {
			s, err := DecodeSetRow(b)
			return AppendSetRow(nil, &s), err
		}},
		layout{name: "fence", example: AppendFence(nil, &Fence{Revision: 300, Sealed: true}), again: func(b []byte) ([]byte, error) {
			f, err := DecodeFence(b)
			return AppendFence(nil, &f), err
		}},
		layout{name: "digest", example: AppendDigest(nil, &digest), again: func(b []byte) ([]byte, error) {
			l, err := DecodeDigest(b)
			return AppendDigest(nil, &l), err
		}},
		layout{name: "segment", example: AppendSegmentRow(nil, &seg), again: func(b []byte) ([]byte, error) {
			s, err := DecodeSegmentRow(b)
			return AppendSegmentRow(nil, &s), err
		}},
		layout{name: "journal", example: AppendJournalRow(nil, &JournalRow{Live: 1 << 20, Payloads: 500, Unknown: unknown}), again: func(b []byte) ([]byte, error) {
			j, err := DecodeJournalRow(b)
			return AppendJournalRow(nil, &j), err
		}},
		layout{name: "garbage", example: AppendGarbage(nil, &Garbage{OID: object.OID{1}, Inline: true, Parts: true}), again: func(b []byte) ([]byte, error) {
			g, err := DecodeGarbage(b)
			return AppendGarbage(nil, &g), err
		}},
		layout{name: "usage", example: AppendUsage(nil, &usage), again: func(b []byte) ([]byte, error) {
			u, err := DecodeUsage(b)
			return AppendUsage(nil, &u), err
		}},
		layout{name: "marks", example: AppendMarks(nil, &marks), again: func(b []byte) ([]byte, error) {
			m, err := DecodeMarks(b)
			return AppendMarks(nil, &m), err
		}},
		layout{name: "inline", example: AppendInline(nil, []byte("a small shard")), checked: true, again: func(b []byte) ([]byte, error) {
			p, err := DecodeInline(b)
			return AppendInline(nil, p), err
		}},
		layout{name: "control", example: AppendControl(nil, "bucket/x", []byte("state")), checked: true, again: func(b []byte) ([]byte, error) {
			p, err := DecodeControl("bucket/x", b)
			return AppendControl(nil, "bucket/x", p), err
		}},
		layout{name: "control-meta", example: AppendControlMeta(nil, &meta), checked: true, again: func(b []byte) ([]byte, error) {
			m, err := DecodeControlMeta(b)
			return AppendControlMeta(nil, &m), err
		}},
	)
}

func fullLabel() Label {
	return Label{
		Cluster: cluster.ID{1, 2}, Drive: cluster.DriveID{3, 4}, Provisional: true,
		Created: time.Date(2026, 7, 8, 9, 10, 11, 12, time.UTC), Capacity: 8 << 40, SegmentSize: 1 << 30, Inline: 2048,
		MountPoint: true, SetSize: 8, Pebble: 24, Compat: []string{"a", "b"}, ROCompat: []string{"c"}, Incompat: []string{},
		Unknown: map[string]json.RawMessage{"later": json.RawMessage(`["x"]`), "more": json.RawMessage(`1`)},
	}
}

func fileLayouts(t testing.TB) []layout {
	full := fullLabel()
	label, err := EncodeLabel(&full)
	frame := func(run bool, data int) []byte {
		h := FrameHeader{Run: run, Segment: 5, Generation: 6, OID: object.OID{7}, Write: object.WriteID{8}, Number: 9, Drive: 10}
		h.Sum(bytes.Repeat([]byte{0xda}, data))
		return AppendFrameHeader(nil, &h)
	}
	again := func(b []byte) ([]byte, error) {
		var h FrameHeader
		if err := DecodeFrameHeader(&h, b); err != nil {
			return nil, err
		}
		return AppendFrameHeader(nil, &h), nil
	}
	header := SegmentHeader{Drive: cluster.DriveID{1}, Segment: 2, Generation: 3, Class: SegmentRun, Size: 1 << 30, Extent: 8 << 20}
	return []layout{
		{name: "label", example: must(t, label, err), checked: true, again: func(b []byte) ([]byte, error) {
			l, err := DecodeLabel(b)
			if err != nil {
				return nil, err
			}
			return EncodeLabel(&l)
		}},
		{name: "frame-run", example: frame(true, 2*BlockSize+5), checked: true, again: again},
		{name: "frame-pack", example: frame(false, BlockSize+1), checked: true, again: again},
		{name: "journal-payload", example: AppendPayload(nil, 10, object.OID{7}, []byte("a small shard")), checked: true, again: func(b []byte) ([]byte, error) {
			drive, oid, payload, err := DecodePayload(b)
			return AppendPayload(nil, drive, oid, payload), err
		}},
		{name: "journal-record", example: journalRecord(), again: func(b []byte) ([]byte, error) {
			h, rows, err := JournalRows(b)
			if err != nil {
				return nil, err
			}
			_ = VerifyPayloads(b, &h) // damage there is not damage of the record
			out := bytes.Clone(b[:JournalHeaderSize+h.Payloads+len(rows)])
			PutJournalHeader(out, &h)
			return out, nil
		}},
		{name: "journal-file", example: AppendJournalFile(nil, &JournalFile{
			Drive: cluster.DriveID{1, 2}, File: 11, Prev: 9, Nonce: 0x1122334455667788, Size: 1 << 20,
		}), checked: true, again: func(b []byte) ([]byte, error) {
			f, err := DecodeJournalFile(b)
			return AppendJournalFile(nil, &f), err
		}},
		{name: "journal-end", example: AppendJournalEnd(nil, &JournalEnd{
			Drive: cluster.DriveID{1, 2}, File: 11, Batch: 12345, Sealed: true,
		}), checked: true, again: func(b []byte) ([]byte, error) {
			e, err := DecodeJournalEnd(b)
			return AppendJournalEnd(nil, &e), err
		}},
		{name: "segment-header", example: AppendSegmentHeader(nil, &header), checked: true, again: func(b []byte) ([]byte, error) {
			h, err := DecodeSegmentHeader(b)
			return AppendSegmentHeader(nil, &h), err
		}},
	}
}

// journalRecord is a record of two payloads.
func journalRecord() []byte {
	b := AppendPayload(make([]byte, JournalHeaderSize), 10, object.OID{7}, []byte("a small shard"))
	b = AppendPayload(b, 10, object.OID{8}, []byte("another"))
	h := JournalHeader{Drive: 10, File: 11, Batch: 12, Durable: 8192, Nonce: 0x1122334455667788, Payloads: len(b) - JournalHeaderSize, Rows: 4}
	b = append(b, "rows"...)
	PutJournalHeader(b, &h)
	return b
}

// TestJournalRecordDamage: a broken bit of a record is found by its checksum, or by that of the payload
// it lies in, and never by both.
func TestJournalRecordDamage(t *testing.T) {
	b := journalRecord()
	for i := range b {
		b[i] ^= 0x10
		h, _, err := JournalRows(b)
		inPayload := i >= JournalHeaderSize && i < len(b)-4
		if inPayload {
			if err != nil || VerifyPayloads(b, &h) == nil {
				t.Errorf("byte %d, of a payload: record %v, payloads %v", i, err, VerifyPayloads(b, &h))
			}
		} else if err == nil {
			t.Errorf("byte %d went unnoticed", i)
		}
		b[i] ^= 0x10
		if _, _, err := JournalRows(b[:i]); err == nil {
			t.Errorf("truncation to %d bytes went unnoticed", i)
		}
	}
}

// TestGolden: what was once written reads back, and is written the same. A golden file of a released
// format is never rewritten; a new format gets a new file beside it.
func TestGolden(t *testing.T) {
	for _, l := range layouts(t) {
		golden(t, l.name, l.example)
		got, err := l.again(l.example)
		if err != nil || !bytes.Equal(got, l.example) {
			t.Errorf("%s: written again: %v\n%s", l.name, err, hex.Dump(got))
		}
	}
}

func TestGoldenKeys(t *testing.T) {
	key := object.Key{Bucket: 0x0102, Name: "dir/\x00\xff\u00fc"}
	oid, id := object.OID{0: 1, 15: 2}, object.WriteID{0: 3, 15: 4}
	var text []byte
	for _, k := range []struct {
		name string
		key  []byte
	}{
		{"version", AppendVersionKey(nil, key, ref7, 8)}, {"key state", AppendKeyStateKey(nil, key)},
		{"inline", AppendInlineKey(nil, oid)}, {"manifest", AppendManifestKey(nil, oid, 3)},
		{"upload", AppendUploadKey(nil, key, id)}, {"upload part", AppendUploadPartKey(nil, key, id, 10000, ref7)},
		{"pending", AppendPendingKey(nil, 1023, ref7, 8)}, {"hint", AppendHintKey(nil, 1023, 5, ref7, 8)},
		{"set", AppendSetKey(nil, 1023)}, {"digest", AppendDigestKey(nil, 1023, 63)},
		{"garbage", AppendGarbageKey(nil, 77)}, {"segment", AppendSegmentKey(nil, 300)}, {"usage", AppendUsageKey(nil, 0x0102)},
		{"journal", AppendJournalKey(nil, 300)},
		{"control meta", AppendControlKey(nil, "")}, {"control", AppendControlKey(nil, "buckets")}, {"marks", AppendMarksKey(nil)},
		{"lifecycle", AppendLifecycleKey(nil, 1780000000000000000, key, ref7)}, {"outbox", AppendOutboxKey(nil, 9)},
	} {
		text = fmt.Appendf(text, "%s %x\n", k.name, k.key)
	}
	goldenText(t, "keys", string(text))
}

func golden(t *testing.T, name string, b []byte) {
	t.Helper()
	if name == "label" {
		goldenText(t, name, string(b))
		return
	}
	goldenText(t, name, dump(b))
}

// dump is hex.Dump with runs of zero lines shown as one star, as hexdump does.
func dump(b []byte) string {
	var out strings.Builder
	zeros := 0
	for line := range strings.Lines(hex.Dump(b)) {
		if strings.Contains(line, strings.Repeat(" 00", 8)+" "+strings.Repeat(" 00", 8)) {
			if zeros++; zeros == 2 {
				out.WriteString("*\n")
			}
		} else {
			zeros = 0
		}
		if zeros < 2 {
			out.WriteString(line)
		}
	}
	return out.String()
}

func goldenText(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs from its golden file:\n%s", name, got)
	}
}

// known says whether err is one that a decoder may return.
func known(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNewer) || errors.Is(err, ErrOlder) || errors.Is(err, ErrNotLabel)
}

// TestDamage: each flipped bit and each truncation of a checked layout is an error; of the others,
// which lie under Pebble's checksums, it is an error or a value, never a panic.
func TestDamage(t *testing.T) {
	for _, l := range layouts(t) {
		try := func(what string, b []byte) {
			_, err := l.again(b)
			if err == nil && l.checked {
				t.Errorf("%s: %s went unnoticed", l.name, what)
			}
			if err != nil && !known(err) {
				t.Errorf("%s: %s: %v", l.name, what, err)
			}
		}
		b := bytes.Clone(l.example)
		for i := range b {
			for bit := range 8 {
				b[i] ^= 1 << bit
				try(fmt.Sprintf("flip of bit %d of byte %d", bit, i), b)
				b[i] ^= 1 << bit
			}
			try(fmt.Sprintf("truncation to %d bytes", i), b[:i])
		}
	}
}

// TestNewer: a higher format byte is refused as newer, not as corrupt.
func TestNewer(t *testing.T) {
	for _, l := range rowLayouts(t) {
		b := bytes.Clone(l.example)
		b[0] = rowFormat + 1
		switch l.name {
		case "control":
			b = reseal(b, "bucket/x")
		case "control-meta":
			b = reseal(b, "")
		}
		if _, err := l.again(b); !errors.Is(err, ErrNewer) {
			t.Errorf("%s: %v", l.name, err)
		}
	}
	for _, l := range fileLayouts(t) {
		b := bytes.Clone(l.example)
		switch l.name {
		case "label":
			b = relabel(t, `"version": 2`, `"version": 3`)
		case "frame-run", "frame-pack":
			b[4]++
			putCRC(b)
		case "journal-payload":
			b[4]++
			binary.BigEndian.PutUint64(b[payloadCRC:], sumPayload(b))
		case "journal-record":
			b[4]++
			binary.BigEndian.PutUint64(b[recordCRC:], sumRecord(b, []byte("rows")))
		case "journal-file", "journal-end":
			b[8]++
			putSum64(b)
		default:
			b[8]++
			putCRC(b)
		}
		if _, err := l.again(b); !errors.Is(err, ErrNewer) {
			t.Errorf("%s: %v", l.name, err)
		}
	}
}

// reseal gives an altered control row a right checksum.
func reseal(b []byte, name string) []byte {
	n := len(b) - 4
	return binary.BigEndian.AppendUint32(b[:n:n], controlCRC(name, b[:n]))
}

// TestControlName: a control row under another's key is found out.
func TestControlName(t *testing.T) {
	b := AppendControl(nil, "a", []byte("x"))
	if _, err := DecodeControl("b", b); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}
