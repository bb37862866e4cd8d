package state

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/command"
	"holdfast/raftfsm/fields"
)

var update = flag.Bool("update", false, "rewrite golden files")

func birth(drives, sets int) *command.Birth {
	c := &command.Birth{
		Cluster: cluster.ID{0xc1}, Nodes: []cluster.Node{{ID: cluster.NodeID{0xaa}, Name: "node1"}},
		Topology: cluster.Topology{Seed: [16]byte{0x5e}}, Wrapped: []byte("wrapped"),
		Settings: cluster.Settings{MaxBuckets: 5}, Feature: 1,
	}
	var members []cluster.DriveID
	for i := range drives {
		id := cluster.DriveID{byte(drives - i)}
		members = append(members, id)
		c.Topology.Drives = append(c.Topology.Drives, cluster.Drive{ID: id, Node: cluster.NodeID{0xaa}, Path: fmt.Sprintf("/mnt/drive%d", i)})
	}
	for range sets {
		c.Topology.Sets = append(c.Topology.Sets, cluster.Set{Epoch: 1, Members: members})
	}
	return c
}

func entry(n uint64, c command.Command) command.Entry {
	return command.Entry{
		Request: [16]byte{byte(n), byte(n >> 8), byte(n >> 16), 1}, Who: "alice", Why: "test", Command: c,
		Time: time.Unix(1700000000, int64(n)).UTC(),
	}
}

// run applies commands at the indexes 2, 4, 6 .. of term 3 and fails on any error.
func run(t testing.TB, s *State, all ...command.Command) *State {
	t.Helper()
	for _, c := range all {
		next, _, err := s.Apply(entry(s.index+2, c), s.index+2, 3)
		if err != nil {
			t.Fatal(err)
		}
		if err := next.Check(); err != nil {
			t.Fatalf("after %s: %v", c.Tag(), err)
		}
		s = next
	}
	return s
}

func sample(t testing.TB) *State {
	return run(t, New(), birth(4, 70),
		&command.CreateBucket{Name: "photos", Owner: "alice", Region: "eu-central-1"},
		&command.CreateBucket{Name: "archive", Owner: "bob", ObjectLock: true},
		&command.PutCredential{AccessKey: "bob", Sealed: []byte("sealed")},
		command.NewSealBucket("archive", 6, 77),
	)
}

func TestGoldenRowsAndSnapshot(t *testing.T) {
	s := sample(t)
	var text strings.Builder
	rows := s.Rows()
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		fmt.Fprintf(&text, "%s %x\n", k, rows[k])
	}
	fmt.Fprintf(&text, "digest %x\n", s.RowDigest())
	var snap bytes.Buffer
	if _, err := s.WriteTo(&snap); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/rows.golden", []byte(text.String()))
	raw := golden(t, "testdata/snapshot.golden", snap.Bytes())
	got, err := ReadSnapshot(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, s)
}

func golden(t *testing.T, path string, got []byte) []byte {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s: the format changed: got\n%q", path, got)
	}
	return want
}

// same compares everything that can be asked of two states.
func same(t testing.TB, a, b *State) {
	t.Helper()
	if a.Index() != b.Index() || a.Term() != b.Term() || a.RowDigest() != b.RowDigest() || a.RowCount() != b.RowCount() {
		t.Fatalf("states %d/%d and %d/%d differ", a.Index(), a.Term(), b.Index(), b.Term())
	}
	for what, pair := range map[string][2]any{
		"rows": {a.Rows(), b.Rows()}, "buckets": {a.Buckets(), b.Buckets()}, "topology": {a.Topology(), b.Topology()},
		"changes": {a.Changes(), b.Changes()}, "keys": {a.AccessKeys(), b.AccessKeys()}, "nodes": {a.Nodes(), b.Nodes()},
		"wrapped": {a.Wrapped(), b.Wrapped()}, "settings": {a.Settings(), b.Settings()}, "feature": {a.Feature(), b.Feature()},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Fatalf("%s differ: %+v, %+v", what, pair[0], pair[1])
		}
	}
}

func TestApplyRefuses(t *testing.T) {
	s := sample(t)
	badSet := birth(4, 1)
	badSet.Topology.Sets[0].Members = badSet.Topology.Sets[0].Members[:3]
	full := run(t, s, &command.CreateBucket{Name: "b-1", Owner: "alice"}, &command.CreateBucket{Name: "b-2", Owner: "alice"},
		&command.CreateBucket{Name: "b-3", Owner: "alice"}, &command.CreateBucket{Name: "b-4", Owner: "alice"})
	open := run(t, s, command.NewUnsealBucket("archive", 6, 77))
	for name, c := range map[string]struct {
		on   *State
		do   command.Command
		want error
	}{
		"second birth":         {s, birth(4, 1), ErrBorn},
		"before birth":         {New(), &command.CreateBucket{Name: "photos", Owner: "alice"}, ErrNotBorn},
		"birth with odd set":   {New(), badSet, ErrInvalid},
		"birth without a set":  {New(), birth(4, 0), ErrInvalid},
		"own bucket":           {s, &command.CreateBucket{Name: "photos", Owner: "alice"}, cluster.ErrBucketOwned},
		"another's bucket":     {s, &command.CreateBucket{Name: "photos", Owner: "bob"}, cluster.ErrBucketExists},
		"bucket under removal": {s, &command.CreateBucket{Name: "archive", Owner: "bob"}, cluster.ErrBucketSealed},
		"too many buckets":     {full, &command.CreateBucket{Name: "b-5", Owner: "alice"}, cluster.ErrTooManyBuckets},
		"seal of nothing":      {s, command.NewSealBucket("absent", 4, 1), cluster.ErrNoBucket},
		"seal of another life": {s, command.NewSealBucket("photos", 3, 1), cluster.ErrNoBucket},
		"second seal":          {s, command.NewSealBucket("archive", 6, 78), cluster.ErrBucketSealed},
		"foreign unseal":       {s, command.NewUnsealBucket("archive", 6, 78), cluster.ErrConflict},
		"remove unsealed":      {s, command.NewRemoveBucket("photos", 4, 77), cluster.ErrConflict},
		"absent credential":    {s, &command.RemoveCredential{AccessKey: "carol"}, cluster.ErrNoCredential},
		"rewrap of another":    {s, &command.Rewrap{Old: []byte("x"), New: []byte("y")}, cluster.ErrConflict},
		"absent drive":         {s, &command.UpdateDrive{Drive: cluster.Drive{ID: cluster.DriveID{99}}}, cluster.ErrNoDrive},
		"drive on no node":     {s, &command.UpdateDrive{Drive: cluster.Drive{ID: cluster.DriveID{1}}}, ErrInvalid},
		"versions of nothing":  {s, &command.SetVersioning{Name: "absent", Bucket: 4, Status: "Enabled"}, cluster.ErrNoBucket},
		"of another life":      {s, &command.SetVersioning{Name: "photos", Bucket: 3, Status: "Enabled"}, cluster.ErrNoBucket},
		"versions of a sealed": {s, &command.SetVersioning{Name: "archive", Bucket: 6, Status: "Enabled"}, cluster.ErrBucketSealed},
		"suspension of a lock": {open, &command.SetVersioning{Name: "archive", Bucket: 6, Status: "Suspended"}, cluster.ErrBucketState},
		"feature level sinks":  {s, &command.SetFeatureLevel{Level: 0}, ErrFeatureLevel},
	} {
		before := c.on.Rows()
		next, _, err := c.on.Apply(entry(9999, c.do), c.on.index+1, 3)
		if !errors.Is(err, c.want) || next != c.on || !reflect.DeepEqual(before, c.on.Rows()) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestLifeOfABucket(t *testing.T) {
	s := sample(t)
	b, _ := s.Bucket("archive")
	if b.ID != 6 || b.Revision != 2 || b.Sealing != 77 || !b.ObjectLock || b.Created != time.Unix(1700000000, 6).UTC() {
		t.Fatalf("sealed: %+v", b)
	}
	s = run(t, s, command.NewUnsealBucket("archive", 6, 77))
	if b, _ = s.Bucket("archive"); b.Revision != 3 || b.Sealing != 0 {
		t.Fatalf("unsealed: %+v", b)
	}
	s = run(t, s, command.NewSealBucket("archive", 6, 78), command.NewRemoveBucket("archive", 6, 78),
		&command.CreateBucket{Name: "archive", Owner: "bob"})
	if b, _ = s.Bucket("archive"); b.ID != 18 || b.Revision != 1 {
		t.Fatalf("created again: %+v", b)
	}
}

func TestVersioningOfABucket(t *testing.T) {
	s := sample(t)
	set := func(status string) cluster.Bucket {
		s = run(t, s, &command.SetVersioning{Name: "photos", Bucket: 4, Status: status})
		b, _ := s.Bucket("photos")
		return b
	}
	for i, want := range []struct {
		status   string
		revision uint64
	}{{"Enabled", 2}, {"Enabled", 2}, {"Suspended", 3}, {"Suspended", 3}, {"Enabled", 4}} {
		if b := set(want.status); b.Versioning != want.status || b.Revision != want.revision || b.Versioned() != (want.status == "Enabled") {
			t.Errorf("step %d: %+v", i, b)
		}
	}
}

func TestRepeatedRequestIsObeyedOnce(t *testing.T) {
	s := sample(t)
	e := entry(500, &command.CreateBucket{Name: "again", Owner: "alice"})
	s, first, err := s.Apply(e, 50, 4)
	if err != nil {
		t.Fatal(err)
	}
	next, second, err := s.Apply(e, 51, 4)
	if err != nil || next != s || second.Index != 50 || second.Bucket != first.Bucket {
		t.Fatalf("second time: %+v, %v", second, err)
	}
}

func TestIgnorableEntryChangesNothing(t *testing.T) {
	s := sample(t)
	next, _, err := s.Apply(command.Entry{Flags: command.Ignorable}, 99, 9)
	if err != nil || next != s {
		t.Fatal("an entry without a command left a trace")
	}
}

func TestChangeLogIsBounded(t *testing.T) {
	s := run(t, New(), birth(1, 1))
	for i := range ChangeLog + 10 {
		s = run(t, s, &command.PutCredential{AccessKey: "bob", Sealed: []byte{byte(i), 1}})
	}
	log := s.Changes()
	if len(log) != ChangeLog || log[len(log)-1].Index != s.Index() || log[0].What != "PutCredential" || log[0].Who != "alice" {
		t.Fatalf("%d changes, first %+v", len(log), log[0])
	}
}

// TestCreateTouchesFewRows: what a create writes to each drive does not grow with buckets or sets.
func TestCreateTouchesFewRows(t *testing.T) {
	b := birth(8, 1024)
	b.Settings.MaxBuckets = 0
	s := run(t, New(), b)
	for i := range 1000 {
		s, _, _ = s.Apply(entry(uint64(i+10), &command.CreateBucket{Name: cluster.BucketName(fmt.Sprintf("bucket-%d", i)), Owner: "alice"}), uint64(i+10), 3)
	}
	next := run(t, s, &command.CreateBucket{Name: "one-more", Owner: "alice"})
	put, del := Diff(s, next)
	bytes := 0
	for _, row := range put {
		bytes += len(row)
	}
	if len(put) != 2 || len(del) > 1 || bytes > 400 || put["bucket/one-more"] == nil {
		t.Fatalf("create sets %d rows (%d bytes), removes %d", len(put), bytes, len(del))
	}
}

func BenchmarkCreateBucketAmong1000(b *testing.B) {
	c := birth(8, 1024)
	c.Settings.MaxBuckets = 0
	s := run(b, New(), c)
	for i := range 1000 {
		s, _, _ = s.Apply(entry(uint64(i+10), &command.CreateBucket{Name: cluster.BucketName(fmt.Sprintf("bucket-%d", i)), Owner: "alice"}), uint64(i+10), 3)
	}
	e := entry(5000, &command.CreateBucket{Name: "one-more", Owner: "alice"})
	b.ReportAllocs()
	for b.Loop() {
		next, _, err := s.Apply(e, 6000, 3)
		if err != nil {
			b.Fatal(err)
		}
		Diff(s, next)
	}
}

// anyCommand draws a command that may or may not be obeyed.
func anyCommand(t *rapid.T) command.Command {
	name := rapid.SampledFrom([]cluster.BucketName{"aaa", "bbb", "ccc", "ddd"}).Draw(t, "bucket")
	owner := rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "owner")
	id := cluster.BucketID(rapid.Uint64Range(1, 30).Draw(t, "incarnation"))
	op := rapid.Uint64Range(1, 2).Draw(t, "op")
	drive := cluster.Drive{ID: cluster.DriveID{byte(rapid.IntRange(1, 6).Draw(t, "drive"))}, Node: cluster.NodeID{0xaa}, Path: owner}
	return rapid.SampledFrom([]command.Command{
		&command.CreateBucket{Name: name, Owner: owner}, command.NewSealBucket(name, id, op),
		command.NewUnsealBucket(name, id, op), command.NewRemoveBucket(name, id, op),
		&command.PutCredential{AccessKey: owner, Sealed: []byte(name)}, &command.RemoveCredential{AccessKey: owner},
		&command.Rewrap{Old: []byte("wrapped"), New: []byte("wrapped")}, &command.UpdateDrive{Drive: drive},
		&command.SetFeatureLevel{Level: op}, birth(4, 3),
		&command.SetVersioning{Name: name, Bucket: id, Status: rapid.SampledFrom([]string{"Enabled", "Suspended"}).Draw(t, "status")},
	}).Draw(t, "command")
}

// TestAnyHistory: whatever is applied, states stay valid and untouched by what comes after, equal
// logs give equal bytes, the difference of two states makes one out of the other, and rows and
// snapshots give the state back.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type past struct {
			s    *State
			rows map[string][]byte
		}
		var history []past
		a, b := New(), New()
		n := rapid.IntRange(1, 40).Draw(t, "length")
		for i := range n {
			var c command.Command = birth(4, 130)
			if i > 0 {
				c = anyCommand(t)
			}
			raw := command.Encode(entry(rapid.Uint64Range(1, 60).Draw(t, "request"), c))
			replica := func(s *State) *State {
				e, err := command.Decode(raw)
				if err != nil {
					t.Fatal(err)
				}
				next, _, _ := s.Apply(e, uint64(i+1), 1)
				return next
			}
			history = append(history, past{a, a.Rows()})
			a, b = replica(a), replica(b)
			if err := a.Check(); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(a.Rows(), b.Rows()) || a.RowDigest() != b.RowDigest() {
				t.Fatal("equal logs gave different rows")
			}
		}
		from := rapid.SampledFrom(history).Draw(t, "past")
		if !reflect.DeepEqual(from.s.Rows(), from.rows) {
			t.Fatal("a past state changed")
		}
		put, del := Diff(from.s, a)
		moved := maps.Clone(from.rows)
		maps.Copy(moved, put)
		for _, k := range del {
			delete(moved, k)
		}
		if !reflect.DeepEqual(moved, a.Rows()) {
			t.Fatal("the difference does not lead from one state to the other")
		}
		back, err := FromRows(a.Index(), a.Term(), a.RowDigest(), moved)
		if err != nil {
			t.Fatal(err)
		}
		same2(t, back, a)
		if put, del = Diff(back, a); len(put)+len(del) != 0 {
			t.Fatal("a state read back differs")
		}
		var snap bytes.Buffer
		if _, err := a.WriteTo(&snap); err != nil {
			t.Fatal(err)
		}
		if back, err = ReadSnapshot(&snap); err != nil {
			t.Fatal(err)
		}
		same2(t, back, a)
	})
}

func same2(t *rapid.T, a, b *State) {
	if a.RowDigest() != b.RowDigest() || !reflect.DeepEqual(a.Rows(), b.Rows()) || !reflect.DeepEqual(a.Topology(), b.Topology()) ||
		!reflect.DeepEqual(a.Buckets(), b.Buckets()) || !reflect.DeepEqual(a.Changes(), b.Changes()) {
		t.Fatal("states differ")
	}
}

func TestUnknownFieldsAreKept(t *testing.T) {
	s := sample(t)
	rows := s.Rows()
	key := "bucket/photos"
	body, err := openRow(key, rows[key])
	if err != nil {
		t.Fatal(err)
	}
	extra := fields.AppendText(nil, 99, "from the future")
	rows[key] = sealRow(key, append(bytes.Clone(body), extra...))
	var d Digest
	for k, row := range rows {
		d.Toggle(k, row)
	}
	if s, err = FromRows(s.Index(), s.Term(), d, rows); err != nil {
		t.Fatal(err)
	}
	s = run(t, s, command.NewSealBucket("photos", 4, 5))
	if row := s.Rows()[key]; !bytes.Contains(row, extra) {
		t.Fatalf("row %x lost %x", row, extra)
	}
}

func TestDamageIsFound(t *testing.T) {
	s := run(t, New(), birth(2, 3), &command.CreateBucket{Name: "photos", Owner: "alice"})
	var buf bytes.Buffer
	if _, err := s.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	snap := buf.Bytes()
	for bit := range len(snap) * 8 {
		snap[bit/8] ^= 1 << (bit % 8)
		if _, err := ReadSnapshot(bytes.NewReader(snap)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("snapshot with bit %d flipped: %v", bit, err)
		}
		snap[bit/8] ^= 1 << (bit % 8)
	}
	for n := range snap {
		if _, err := ReadSnapshot(bytes.NewReader(snap[:n])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("snapshot of %d bytes: %v", n, err)
		}
	}
	rows := s.Rows()
	for key, row := range rows {
		without := maps.Clone(rows)
		delete(without, key)
		if _, err := FromRows(s.Index(), s.Term(), s.RowDigest(), without); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("without row %s: %v", key, err)
		}
		other := maps.Clone(rows)
		other[key+"x"] = row
		if _, err := FromRows(s.Index(), s.Term(), s.RowDigest(), other); err == nil {
			t.Fatalf("row %s twice: no error", key)
		}
	}
}

func TestNewerVersionsAreRefused(t *testing.T) {
	s := sample(t)
	for key, row := range map[string][]byte{
		"bucket/photos": sealAs(RowVersion+1, "bucket/photos"), "policy/x": sealRow("policy/x", nil),
	} {
		rows := s.Rows()
		rows[key] = row
		if _, err := FromRows(s.Index(), s.Term(), s.RowDigest(), rows); !errors.Is(err, ErrNewer) {
			t.Errorf("row %s: %v", key, err)
		}
	}
}

func sealAs(version byte, key string) []byte {
	row := sealRow(key, nil)
	row[0] = version
	sum := rowSum(key, row[:len(row)-4])
	return append(row[:len(row)-4], byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
}

func FuzzReadSnapshot(f *testing.F) {
	var buf bytes.Buffer
	if _, err := sample(f).WriteTo(&buf); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := ReadSnapshot(bytes.NewReader(raw))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if _, err := s.WriteTo(&again); err != nil || !bytes.Equal(again.Bytes(), raw) {
			t.Fatalf("%v: snapshot does not give itself back", err)
		}
	})
}

// FuzzRow: a row with a good checksum never makes its decoder panic.
func FuzzRow(f *testing.F) {
	for k, row := range sample(f).Rows() {
		f.Add(k, row[1:len(row)-4])
	}
	f.Fuzz(func(t *testing.T, key string, body []byte) {
		s := new(State)
		if err := s.load(key, sealRow(key, body)); err == nil {
			s.topology = s.buildTopology()
			s.Check() // must not panic either
		}
	})
}
