package raftfsm

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/command"
	"holdfast/raftfsm/fields"
	"holdfast/raftfsm/raftlog"
	"holdfast/raftfsm/state"
)

// cloneCopies is what the drives hold now.
func cloneCopies(all []*memCopy) []*memCopy {
	out := make([]*memCopy, len(all))
	for i, c := range all {
		out[i] = c.clone()
	}
	return out
}

// cloneDir copies a raft directory to another place.
func cloneDir(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "raft")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// history is a node's life: one bucket, a snapshot, then two more buckets.
type history struct {
	o      Options
	copies []*memCopy
	node   cluster.NodeID
	state  *state.State // at the end
	// what there was after the first bucket
	oldDir    string
	oldCopies []*memCopy
}

func live(t testing.TB) history {
	t.Helper()
	h := history{copies: newCopies(4)}
	h.o = testOptions(t, filepath.Join(t.TempDir(), "raft"), h.copies)
	n := openNode(t, h.o)
	createBucket(t, n, "first")
	if err := n.server.Load().raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	h.sync(t, n)
	closeNode(t, n)
	h.oldDir, h.oldCopies = cloneDir(t, h.o.Dir), cloneCopies(h.copies)
	h.o.Birth = nil
	n = openNode(t, h.o)
	createBucket(t, n, "second")
	createBucket(t, n, "third")
	h.node, h.state = n.ID(), n.State()
	h.sync(t, n)
	closeNode(t, n)
	return h
}

// sync waits until every drive holds what W of them hold.
func (h history) sync(t testing.TB, n *Node) {
	t.Helper()
	for _, c := range h.copies {
		if err := n.mirror.joined(t.Context(), c.id); err != nil {
			t.Fatal(err)
		}
	}
}

// clone is the same history on other drives.
func (h history) clone(t testing.TB) history {
	t.Helper()
	h.copies, h.oldCopies = cloneCopies(h.copies), cloneCopies(h.oldCopies)
	h.oldDir, h.o.Dir = cloneDir(t, h.oldDir), cloneDir(t, h.o.Dir)
	h.o.Copies = asCopies(h.copies)
	h.o.Logger = testLogger(t)
	return h
}

// aside counts the directories that were set aside beside dir.
func aside(t testing.TB, dir string) int {
	t.Helper()
	names, err := filepath.Glob(dir + ".aside-*")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// TestRecovery: whichever part is lost, damaged or old, everything that was answered is there, the
// node keeps its identity and changes go on.
func TestRecovery(t *testing.T) {
	t.Parallel()
	lived := live(t)
	all := []string{"first", "second", "third"}
	for name, c := range map[string]struct {
		change func(t *testing.T, h *history)
		want   []string
		aside  int // directories set aside
	}{
		"nothing lost": {func(*testing.T, *history) {}, all, 0},
		"raft directory lost": {func(t *testing.T, h *history) {
			os.RemoveAll(h.o.Dir)
		}, all, 0},
		"raft directory on another drive": {func(t *testing.T, h *history) {
			h.o.Dir, h.o.Copies = filepath.Join(t.TempDir(), "raft"), asCopies(h.copies[1:])
		}, all, 0},
		"founding cut off": {func(t *testing.T, h *history) {
			os.Rename(h.o.Dir, h.o.Dir+".new")
		}, all, 0},
		"raft directory empty": {func(t *testing.T, h *history) {
			os.RemoveAll(h.o.Dir)
			os.Mkdir(h.o.Dir, 0o700)
		}, all, 1},
		"raft log lost": {func(t *testing.T, h *history) {
			os.Remove(filepath.Join(h.o.Dir, logFile))
		}, all, 1},
		"raft log empty": {func(t *testing.T, h *history) {
			os.Truncate(filepath.Join(h.o.Dir, logFile), 0)
		}, all, 1},
		"snapshots lost": {func(t *testing.T, h *history) {
			os.RemoveAll(filepath.Join(h.o.Dir, "snapshots"))
		}, all, 0}, // the log still begins at its first entry
		"raft directory old": {func(t *testing.T, h *history) {
			h.o.Dir = h.oldDir
		}, all, 1},
		"raft directory of another cluster": {func(t *testing.T, h *history) {
			id := identity{cluster: cluster.ID{0xff}, node: h.node, server: [16]byte{1}}
			if err := writeSynced(filepath.Join(h.o.Dir, identityFile), id.encode()); err != nil {
				t.Fatal(err)
			}
		}, all, 1},
		"all copies old": {func(t *testing.T, h *history) {
			h.copies = h.oldCopies
			h.o.Copies = asCopies(h.copies)
		}, all, 0},
		"all copies lost": {func(t *testing.T, h *history) {
			h.copies = newCopies(4)
			h.o.Copies = asCopies(h.copies)
		}, all, 0},
		"two copies old, one lost, raft directory lost": {func(t *testing.T, h *history) {
			h.copies[0], h.copies[1], h.copies[2] = h.oldCopies[0], h.oldCopies[1], newCopies(3)[2]
			h.o.Copies = asCopies(h.copies)
			os.RemoveAll(h.o.Dir)
		}, all, 0},
		"one copy and the raft directory old": {func(t *testing.T, h *history) {
			h.copies[2] = h.oldCopies[2]
			h.o.Copies, h.o.Dir = asCopies(h.copies), h.oldDir
		}, all, 1},
		"everything old": {func(t *testing.T, h *history) {
			h.copies = h.oldCopies
			h.o.Copies, h.o.Dir = asCopies(h.copies), h.oldDir
		}, all[:1], 0},
		"newest copy damaged, raft directory lost": {func(t *testing.T, h *history) {
			bad := slices.Clone(h.copies[0].rows["bucket/third"]) // the drives of the test share rows
			bad[3] ^= 1
			h.copies[0].rows["bucket/third"] = bad
			os.RemoveAll(h.o.Dir)
		}, all, 0},
		"a copy unreadable": {func(t *testing.T, h *history) {
			h.copies[0].fail = errors.New("input/output error")
		}, all, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := lived.clone(t)
			c.change(t, &h)
			n := openNode(t, h.o)
			if len(c.want) < 3 {
				wantBuckets(t, n, c.want...)
			} else if n.State().Index() < h.state.Index() { // raft is ahead of the copies and brings the rest
				if err := n.mirror.settle(t.Context(), h.state.Index()); err != nil {
					t.Fatal(err)
				}
			}
			wantBuckets(t, n, c.want...)
			if n.ID() != h.node {
				t.Errorf("node is %s, was %s", n.ID(), h.node)
			}
			if got := aside(t, h.o.Dir); got != c.aside {
				t.Errorf("%d directories set aside, want %d", got, c.aside)
			}
			b := createBucket(t, n, "zlast")
			if last, _ := n.State().Bucket(cluster.BucketName(c.want[len(c.want)-1])); b.ID <= last.ID {
				t.Errorf("incarnation %d follows %d", b.ID, last.ID)
			}
			if err := n.mirror.caughtUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := n.State()
			closeNode(t, n)
			for _, c := range h.copies { // each copy that works is whole and current
				if !slices.Contains(h.o.Copies, Copy(c)) || c.fail != nil {
					continue
				}
				f := load(t.Context(), testCluster, c)
				if f.err != nil {
					t.Fatal(f.err)
				}
				if f.state.Index() == want.Index() && !reflect.DeepEqual(f.state.Rows(), want.Rows()) {
					t.Errorf("drive %s holds other rows", c.id)
				}
			}
			n = openNode(t, h.o)
			wantBuckets(t, n, append(slices.Clone(c.want), "zlast")...)
		})
	}
}

// TestRefusedStarts: what cannot be recovered is said, and nothing is made up.
func TestRefusedStarts(t *testing.T) {
	t.Parallel()
	lived := live(t)
	for name, c := range map[string]struct {
		change func(t *testing.T, h *history)
		want   error
	}{
		"nothing at all": {func(t *testing.T, h *history) {
			h.o.Copies, h.o.Dir = asCopies(newCopies(4)), filepath.Join(t.TempDir(), "raft")
		}, ErrNoState},
		"all copies damaged, raft directory lost": {func(t *testing.T, h *history) {
			damageCopies(h.copies)
			os.RemoveAll(h.o.Dir)
		}, ErrDamaged},
		"all copies damaged, raft directory lost, birth asked for": {func(t *testing.T, h *history) {
			damageCopies(h.copies)
			os.RemoveAll(h.o.Dir)
			h.o.Birth = testBirth(h.copies)
		}, ErrDamaged},
		"raft directory damaged, no copies": {func(t *testing.T, h *history) {
			h.o.Copies = asCopies(newCopies(4))
			os.Truncate(filepath.Join(h.o.Dir, logFile), 3)
		}, ErrDamaged},
		"a copy of a newer program": {func(t *testing.T, h *history) {
			c := h.copies[1]
			row := append([]byte(nil), h.state.Rows()["root"]...)
			c.rows = maps.Clone(c.rows)
			c.rows["policy/x"] = row
			var d state.Digest
			for k, v := range c.rows {
				d.Toggle(k, v)
			}
			c.meta.Rows++
			c.meta.Digest = c.meta.sum(d)
		}, state.ErrNewer},
		"an entry of a newer program": {func(t *testing.T, h *history) {
			l, err := raftlog.Open(filepath.Join(h.o.Dir, logFile))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			last, _ := l.LastIndex()
			var e raft.Log
			if err := l.GetLog(last, &e); err != nil {
				t.Fatal(err)
			}
			e.Index, e.Type, e.Data = last+1, raft.LogCommand, fields.AppendUint([]byte{command.Version}, 1, 4711)
			if err := l.StoreLog(&e); err != nil {
				t.Fatal(err)
			}
		}, command.ErrUnknownTag},
	} {
		t.Run(name, func(t *testing.T) {
			h := lived.clone(t)
			c.change(t, &h)
			before := aside(t, h.o.Dir)
			if _, err := open(t.Context(), h.o, testLimits()); !errors.Is(err, c.want) {
				t.Fatalf("open: %v, want %v", err, c.want)
			}
			if aside(t, h.o.Dir) != before {
				t.Fatal("a refused start changed the drive")
			}
		})
	}
}

func damageCopies(all []*memCopy) {
	for _, c := range all {
		c.meta.Index++
	}
}

// TestUnfinishedBirth: a crash before the first command was committed, or before any drive had a
// copy of it, is no birth; asking again gives one.
func TestUnfinishedBirth(t *testing.T) {
	t.Parallel()
	copies := newCopies(4)
	o := testOptions(t, filepath.Join(t.TempDir(), "raft"), copies)
	id := identity{cluster: testCluster, node: cluster.NodeID{1}, server: [16]byte{2}}
	if err := foundDirectory(o.Dir, id, nil, raftLogger(o.Logger)); err != nil {
		t.Fatal(err)
	}
	n := openNode(t, o)
	createBucket(t, n, "first")
	if n.ID() != id.node {
		t.Fatalf("node is %s, was %s", n.ID(), id.node)
	}
}

// TestOldDirectoriesAreRemoved: a drive that is damaged again and again does not fill up.
func TestOldDirectoriesAreRemoved(t *testing.T) {
	t.Parallel()
	h := live(t)
	for range asideKept + 2 {
		if err := os.Truncate(filepath.Join(h.o.Dir, logFile), 0); err != nil {
			t.Fatal(err)
		}
		n := openNode(t, h.o)
		wantBuckets(t, n, "first", "second", "third")
		closeNode(t, n)
	}
	if n := aside(t, h.o.Dir); n != asideKept {
		t.Fatalf("%d directories set aside are kept, want %d", n, asideKept)
	}
}

// TestSetAsideBelowAPathWithBrackets: what a pattern would read as a class of letters is a name.
func TestSetAsideBelowAPathWithBrackets(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "bay[1]", "raft")
	for range asideKept + 2 {
		if err := os.MkdirAll(filepath.Join(path, "snapshots"), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := setAside(path); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != asideKept {
		t.Fatalf("%d directories are kept, %v; want %d", len(entries), err, asideKept)
	}
}

// TestDamageOfACopy flips every bit of one drive's copy, rows, keys and meta.
func TestDamageOfACopy(t *testing.T) {
	t.Parallel()
	h := live(t)
	c := h.copies[0]
	verify := func(m CopyMeta, rows map[string][]byte) {
		t.Helper()
		if s, err := m.verify(testCluster, rows); err == nil {
			t.Fatalf("damaged copy is taken for state %d", s.Index())
		}
	}
	for k, row := range c.rows {
		for bit := range len(row) * 8 {
			rows := maps.Clone(c.rows)
			rows[k] = slices.Clone(row)
			rows[k][bit/8] ^= 1 << (bit % 8)
			verify(c.meta, rows)
		}
		rows := maps.Clone(c.rows)
		delete(rows, k)
		verify(c.meta, rows)
		rows[k+"0"] = row
		verify(c.meta, rows)
	}
	for bit := range 8 * 8 {
		m := c.meta
		m.Index ^= 1 << bit
		verify(m, c.rows)
		m = c.meta
		m.Term ^= 1 << bit
		verify(m, c.rows)
	}
	for bit := range 16 * 8 {
		m := c.meta
		m.Cluster[bit/8] ^= 1 << (bit % 8)
		verify(m, c.rows)
		m = c.meta
		m.Node[bit/8] ^= 1 << (bit % 8)
		verify(m, c.rows)
	}
	for bit := range 32 * 8 {
		m := c.meta
		m.Digest[bit/8] ^= 1 << (bit % 8)
		verify(m, c.rows)
	}
}

// TestDamageOfTheDirectory flips every bit (of small files; a sample of larger ones) and cuts at
// sampled sizes: the directory is refused, or holds a state that it once had.
func TestDamageOfTheDirectory(t *testing.T) {
	t.Parallel()
	h := live(t)
	dir := cloneDir(t, h.o.Dir)
	quiet := raftLogger(h.o.Logger)
	digests := map[state.Digest]bool{}
	d, err := openDirectory(dir, testCluster, quiet, func(s *state.State) { digests[s.RowDigest()] = true })
	if err != nil {
		t.Fatal(err)
	}
	if d.state.RowDigest() != h.state.RowDigest() {
		t.Fatal("the directory does not hold the last state")
	}
	d.close()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	var files []string
	filepath.WalkDir(dir, func(path string, e os.DirEntry, _ error) error {
		if !e.IsDir() {
			files = append(files, path)
		}
		return nil
	})
	if len(files) != 4 {
		t.Fatalf("files are %v", files)
	}
	for _, path := range files {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		refused, harmless := 0, 0
		try := func(what string, b []byte) {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			d, err := openDirectory(dir, testCluster, quiet, func(s *state.State) {
				if !digests[s.RowDigest()] {
					t.Fatalf("%s of %s: a state that never was", what, path)
				}
			})
			if err != nil {
				refused++
				return
			}
			harmless++
			d.close()
		}
		step := max(1, len(whole)*8/250)
		for bit := rnd.IntN(step); bit < len(whole)*8; bit += 1 + rnd.IntN(2*step-1) {
			b := slices.Clone(whole)
			b[bit/8] ^= 1 << (bit % 8)
			try(fmt.Sprintf("bit %d", bit), b)
		}
		for size := 0; size < len(whole); size += 1 + rnd.IntN(max(1, len(whole)/15)) {
			try(fmt.Sprintf("first %d bytes", size), whole[:size])
		}
		t.Logf("%s: %d bytes, %d refused, %d harmless", strings.TrimPrefix(path, dir), len(whole), refused, harmless)
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDamagedDirectoryRecovers does the same end to end, for a few bits of each file.
func TestDamagedDirectoryRecovers(t *testing.T) {
	t.Parallel()
	h := live(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for _, pattern := range []string{identityFile, logFile, "snapshots/*/meta.json", "snapshots/*/state.bin"} {
		for range 3 {
			o := h.o
			o.Dir, o.Copies = cloneDir(t, h.o.Dir), asCopies(cloneCopies(h.copies))
			files, err := filepath.Glob(filepath.Join(o.Dir, pattern))
			if err != nil || len(files) != 1 {
				t.Fatalf("%s: %v, %v", pattern, files, err)
			}
			b, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			bit := rnd.IntN(len(b) * 8)
			b[bit/8] ^= 1 << (bit % 8)
			if err := os.WriteFile(files[0], b, 0o600); err != nil {
				t.Fatal(err)
			}
			n := openNode(t, o)
			wantBuckets(t, n, "first", "second", "third")
			createBucket(t, n, "zlast")
			closeNode(t, n)
		}
	}
}

// TestPartedHistories: a directory that comes back with entries that nobody was told of, and more of
// them than were made since, loses to what was answered.
func TestPartedHistories(t *testing.T) {
	t.Parallel()
	h := live(t)
	lost := h.clone(t)
	n := openNode(t, lost.o)
	for i := range 5 {
		createBucket(t, n, fmt.Sprintf("lost-%d", i))
	}
	if err := n.server.Load().raft.Snapshot().Error(); err != nil { // so that its entries cannot be compared
		t.Fatal(err)
	}
	closeNode(t, n) // these copies are gone; the directory will be back

	h.o.Dir = filepath.Join(t.TempDir(), "raft")
	n = openNode(t, h.o)
	createBucket(t, n, "kept")
	h.sync(t, n)
	closeNode(t, n)

	h.o.Dir = lost.o.Dir
	n = openNode(t, h.o)
	createBucket(t, n, "zlast") // once raft has replayed what it holds
	wantBuckets(t, n, "first", "kept", "second", "third", "zlast")
}

// TestSnapshotDescription: raft believes meta.json, which has no checksum of its own.
func TestSnapshotDescription(t *testing.T) {
	t.Parallel()
	h := live(t)
	for field, value := range map[string]string{
		"Index": "6", "Term": "1", "ConfigurationIndex": "2", "Version": "0", "ID": `"1-1-1"`, "Configuration": `{"Servers":[]}`,
	} {
		dir := cloneDir(t, h.o.Dir)
		files, err := filepath.Glob(filepath.Join(dir, "snapshots/*/meta.json"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%v, %v", files, err)
		}
		raw, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		var meta map[string]json.RawMessage
		if err := json.Unmarshal(raw, &meta); err != nil || meta[field] == nil || string(meta[field]) == value {
			t.Fatalf("%s is %s, %v", field, meta[field], err)
		}
		meta[field] = json.RawMessage(value)
		if raw, err = json.Marshal(meta); err == nil {
			err = os.WriteFile(files[0], raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if d, err := openDirectory(dir, testCluster, raftLogger(h.o.Logger), func(*state.State) {}); !errors.Is(err, errDoubt) {
			t.Errorf("%s changed to %s: %v", field, value, err)
			if err == nil {
				d.close()
			}
		}
	}
}

// TestDisagreement: a directory whose entry of the same term and index made another state than the
// copies hold is not believed.
func TestDisagreement(t *testing.T) {
	t.Parallel()
	h := live(t)
	l, err := raftlog.Open(filepath.Join(h.o.Dir, logFile))
	if err != nil {
		t.Fatal(err)
	}
	last, _ := l.LastIndex()
	var e raft.Log
	if err := l.GetLog(last, &e); err != nil {
		t.Fatal(err)
	}
	create := func(name cluster.BucketName) command.Entry {
		return command.Entry{Request: [16]byte{1}, Time: time.Unix(1, 0), Command: &command.CreateBucket{Name: name, Owner: "alice"}}
	}
	e = raft.Log{Index: last + 1, Term: e.Term, Type: raft.LogCommand, Data: command.Encode(create("lost"))}
	if err := errors.Join(l.StoreLog(&e), l.Close()); err != nil {
		t.Fatal(err)
	}
	kept, _, err := h.state.Apply(create("kept"), e.Index, e.Term)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range h.copies {
		if err := replace(t.Context(), c, metaOf(kept, h.node), kept); err != nil {
			t.Fatal(err)
		}
	}
	n := openNode(t, h.o)
	createBucket(t, n, "zlast")
	wantBuckets(t, n, "first", "kept", "second", "third", "zlast")
	if aside(t, h.o.Dir) != 1 {
		t.Fatal("the directory was believed")
	}
}
