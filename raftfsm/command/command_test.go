package command

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/fields"
)

var update = flag.Bool("update", false, "rewrite golden files")

func drives(n int) []cluster.Drive {
	all := make([]cluster.Drive, n)
	for i := range all {
		all[i] = cluster.Drive{ID: cluster.DriveID{byte(i + 1)}, Node: cluster.NodeID{0xaa}, Path: fmt.Sprintf("/mnt/drive%d", i+1)}
	}
	return all
}

// samples has one entry of each command.
func samples() []Entry {
	at := time.Unix(1700000000, 123456789).UTC()
	entry := func(n byte, c Command) Entry {
		return Entry{Request: [16]byte{n}, Time: at, Who: "alice", Why: "because", Command: c}
	}
	ids := drives(4)
	set := cluster.Set{Epoch: 1, Members: []cluster.DriveID{ids[3].ID, ids[0].ID, ids[1].ID, ids[2].ID}}
	return []Entry{
		entry(1, &Birth{
			Cluster: cluster.ID{0xc1}, Nodes: []cluster.Node{{ID: cluster.NodeID{0xaa}, Name: "node1"}},
			Topology: cluster.Topology{Seed: [16]byte{0x5e}, Drives: ids, Sets: []cluster.Set{set, set}},
			Wrapped:  []byte("wrapped key"), Settings: cluster.Settings{MaxBuckets: 7}, Feature: 1,
		}),
		entry(2, &CreateBucket{Name: "photos", Owner: "alice", Region: "eu-central-1", ObjectLock: true}),
		entry(3, NewSealBucket("photos", 2, 99)),
		entry(4, NewUnsealBucket("photos", 2, 99)),
		entry(5, NewRemoveBucket("photos", 2, 99)),
		entry(6, &PutCredential{AccessKey: "bob", Sealed: []byte("sealed secret")}),
		entry(7, &RemoveCredential{AccessKey: "bob"}),
		entry(8, &Rewrap{Old: []byte("old"), New: []byte("new")}),
		entry(9, &UpdateDrive{Drive: ids[2]}),
		entry(10, &SetFeatureLevel{Level: 3}),
		entry(11, &SetVersioning{Name: "photos", Bucket: 2, Status: cluster.VersioningEnabled}),
	}
}

func TestGoldenEntries(t *testing.T) {
	var out strings.Builder
	for _, e := range samples() {
		fmt.Fprintf(&out, "%s %s\n", e.Command.Tag(), hex.EncodeToString(Encode(e)))
	}
	const path = "testdata/entries.golden"
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Fatalf("the wire format changed:\n%s\nwant\n%s", out.String(), want)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(want)), "\n") {
		_, digits, _ := strings.Cut(line, " ")
		raw, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, samples()[i]) {
			t.Fatalf("decoded %+v, want %+v", got, samples()[i])
		}
	}
}

func TestEveryTagHasACommand(t *testing.T) {
	for i, e := range samples() {
		if tag := Tag(i + 1); e.Command.Tag() != tag || newBody(tag) == nil || strings.HasPrefix(tag.String(), "tag ") {
			t.Errorf("tag %d is incomplete", tag)
		}
	}
	if last := Tag(len(samples()) + 1); newBody(last) != nil {
		t.Errorf("tag %d has no sample", last)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := Encode(samples()[1])
	envelope := func(tag Tag, flags Flags, body []byte) []byte {
		b := fields.AppendUint([]byte{Version}, 1, uint64(tag))
		b = fields.AppendUint(b, 2, uint64(flags))
		return fields.AppendBytes(b, 7, body)
	}
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"nothing":                  {nil, ErrMalformed},
		"newer envelope":           {append([]byte{Version + 1}, good[1:]...), ErrVersion},
		"unknown field":            {fields.AppendUint(bytes.Clone(good), 8, 1), ErrMalformed},
		"unknown tag":              {envelope(4711, 0, nil), ErrUnknownTag},
		"no tag":                   {envelope(0, 0, nil), ErrUnknownTag},
		"tag above 32 bits":        {envelope(0, 0, fields.AppendUint(nil, 1, 1)), ErrUnknownTag},
		"unknown field of command": {envelope(TagRemoveCredential, 0, fields.AppendUint(fields.AppendText(nil, 1, "bob"), 2, 1)), ErrMalformed},
		"known tag, ignorable":     {envelope(TagRemoveCredential, Ignorable, nil), ErrMalformed},
		"bucket name":              {envelope(TagCreateBucket, 0, fields.AppendText(nil, 1, "No")), ErrMalformed},
		"set of unlisted drive":    {envelope(TagBirth, 0, fields.AppendBytes(fields.AppendID(nil, 1, [16]byte{1}), 5, []byte{0x12, 3, 0x12, 1, 9})), ErrMalformed},
		"short id":                 {fields.AppendBytes([]byte{Version}, 3, []byte("short")), ErrMalformed},
		"cut off":                  {good[:len(good)-1], ErrMalformed},
	} {
		if _, err := Decode(c.raw); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	e, err := Decode(envelope(4711, Ignorable, []byte("whatever")))
	if err != nil || e.Command != nil {
		t.Errorf("ignorable entry of an unknown tag: %+v, %v", e, err)
	}
}

func TestSetsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := drives(rapid.IntRange(1, 40).Draw(t, "drives"))
		sets := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) cluster.Set {
			var s cluster.Set
			s.Epoch = rapid.Uint64().Draw(t, "epoch")
			for range rapid.IntRange(1, 16).Draw(t, "n") {
				s.Members = append(s.Members, rapid.SampledFrom(ids).Draw(t, "member").ID)
			}
			return s
		}), 1, 64).Draw(t, "sets")
		got, err := DecodeSets(AppendSets(nil, sets))
		if err != nil || !reflect.DeepEqual(got, sets) {
			t.Fatalf("%v: %+v, want %+v", err, got, sets)
		}
	})
}

// FuzzDecode: what can be decoded encodes to bytes that decode to the same.
func FuzzDecode(f *testing.F) {
	for _, e := range samples() {
		f.Add(Encode(e))
	}
	f.Add([]byte{Version, 8, 0xff, 0xff, 3, 16, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := Decode(raw)
		if err != nil || e.Command == nil {
			return
		}
		again, err := Decode(Encode(e))
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%v: %+v, want %+v", err, again, e)
		}
	})
}
