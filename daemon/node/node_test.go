package node_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"golang.org/x/sys/unix"

	"holdfast/daemon/config"
	"holdfast/daemon/node"
	"holdfast/daemon/nodetest"
)

// sizes cross every border of the format: inline, one stripe, several frames.
var sizes = []int{0, 1, 100, 4 << 10, 70 << 10, 600 << 10, 5 << 20}

// body is the content of the object of a size: reproducible, different for each.
func body(size int) []byte {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(uint64(size), 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func fill(nd *nodetest.Node, bucket string) {
	nd.Want(200, http.MethodPut, "/"+bucket, nil)
	for _, s := range sizes {
		nd.Want(200, http.MethodPut, fmt.Sprintf("/%s/object-%d", bucket, s), body(s))
	}
}

func check(t *testing.T, nd *nodetest.Node, bucket string) {
	t.Helper()
	for _, s := range sizes {
		a := nd.Want(200, http.MethodGet, fmt.Sprintf("/%s/object-%d", bucket, s), nil)
		if !bytes.Equal(a.Body, body(s)) {
			t.Fatalf("object of %d bytes came back different (%d bytes)", s, len(a.Body))
		}
	}
	list := nd.Want(200, http.MethodGet, "/"+bucket+"?list-type=2", nil)
	if got := strings.Count(string(list.Body), "<Contents>"); got != len(sizes) {
		t.Fatalf("list shows %d objects, want %d: %s", got, len(sizes), list.Body)
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	for _, drives := range []int{1, 4, 5} {
		t.Run(fmt.Sprintf("%d drives", drives), func(t *testing.T) {
			nd := nodetest.New(t, drives)
			nd.MustStart()
			fill(nd, "first")
			nd.Stop()
			slices.Reverse(nd.Dirs) // identity is the drive's own: order may change
			nd.MustStart()
			check(t, nd, "first")
		})
	}
}

// TestHalfOfTheDrivesDeleted deletes every choice of two drives of four; one of them holds the raft log.
func TestHalfOfTheDrivesDeleted(t *testing.T) {
	for a := range 4 {
		for b := range a {
			t.Run(fmt.Sprintf("drives %d and %d", b+1, a+1), func(t *testing.T) {
				nd := nodetest.New(t, 4)
				nd.MustStart()
				fill(nd, "first")
				nd.Stop()
				nd.Remove(a)
				nd.Remove(b)
				nd.MustStart()
				check(t, nd, "first")
				lost := nd.Want(503, http.MethodPut, "/first/new", []byte("x"))
				if !strings.Contains(string(lost.Body), "quorum") {
					t.Errorf("the refusal does not name the quorum: %s", lost.Body)
				}
				for _, i := range []int{a, b} {
					if _, err := os.Stat(nd.Dirs[i]); !errors.Is(err, os.ErrNotExist) {
						t.Errorf("absent drive %s was written: %v", nd.Dirs[i], err)
					}
					if !strings.Contains(nd.Greeting.String(), nd.Dirs[i]) {
						t.Errorf("greeting does not name the absent %s", nd.Dirs[i])
					}
				}
			})
		}
	}
}

// TestFramesOfAnotherDriveAreReadAround exchanges what two drives hold in their segments, as a
// controller that mixes up its disks would: frames with right checksums in the right places, but the
// other shards' of the same objects. Both drives count as damaged, and the other two serve.
func TestFramesOfAnotherDriveAreReadAround(t *testing.T) {
	nd := nodetest.New(t, 4)
	nd.MustStart()
	fill(nd, "first")
	nd.Stop()
	const header = 4096
	files, err := filepath.Glob(filepath.Join(nd.Dirs[0], "seg", "*.seg"))
	if err != nil || len(files) == 0 {
		t.Fatalf("segments: %v, %v", files, err)
	}
	for _, a := range files {
		b := filepath.Join(nd.Dirs[1], "seg", filepath.Base(a))
		inA, errA := os.ReadFile(a)
		inB, errB := os.ReadFile(b)
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.WriteFile(a, append(inA[:header:header], inB[header:]...), 0o644),
			os.WriteFile(b, append(inB[:header:header], inA[header:]...), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	nd.MustStart()
	check(t, nd, "first")
}

func TestDriveReturnsWhileRunning(t *testing.T) {
	nd := nodetest.New(t, 4)
	nd.MustStart()
	fill(nd, "first")
	nd.Hide(1)
	online := func(n int) func() bool {
		return func() bool {
			a, err := nd.Do(http.MethodGet, "/-/health/cluster", nil)
			if err != nil {
				return false
			}
			for _, dir := range nd.Dirs {
				if strings.Contains(string(a.Body), dir) {
					t.Errorf("health shows anybody the path %s", dir)
				}
			}
			return a.Status == 200 && strings.Contains(string(a.Body), fmt.Sprintf(`"drives_online": %d,`, n)) &&
				strings.Count(string(a.Body), `"drive `) == len(nd.Dirs)-n
		}
	}
	nd.Eventually("the loss shows in health", online(3))
	check(t, nd, "first")
	nd.Want(200, http.MethodPut, "/first/while-away", []byte("new"))
	nd.Want(200, http.MethodPut, "/first/object-100", []byte("overwritten"))
	nd.Want(204, http.MethodDelete, "/first/object-1", nil)
	nd.Want(200, http.MethodPut, "/second", nil)
	nd.Show(1)
	nd.Eventually("the return shows in health", online(4))
	// With the returned drive needed for every quorum its old rows must be outvoted.
	nd.Hide(0)
	nd.Eventually("the second loss shows in health", online(3))
	for key, want := range map[string]string{"while-away": "new", "object-100": "overwritten"} {
		if a := nd.Want(200, http.MethodGet, "/first/"+key, nil); string(a.Body) != want {
			t.Errorf("%s = %q, want %q", key, a.Body, want)
		}
	}
	nd.Want(404, http.MethodGet, "/first/object-1", nil)
	nd.Want(200, http.MethodHead, "/second", nil)
}

// TestStartWithAFIFOInPlaceOfALabel: the drive is absent with the reason, and returns when its label is
// back. The same in place of generated credentials is passed over.
func TestStartWithAFIFOInPlaceOfALabel(t *testing.T) {
	nd := nodetest.New(t, 4)
	nd.MustStart()
	fill(nd, "first")
	nd.Stop()
	label := filepath.Join(nd.Dirs[1], "FORMAT")
	if err := errors.Join(os.Rename(label, label+".kept"), unix.Mkfifo(label, 0o600), unix.Mkfifo(filepath.Join(nd.Dirs[0], "CREDENTIALS"), 0o600)); err != nil {
		t.Fatal(err)
	}
	nd.MustStart()
	check(t, nd, "first")
	nd.Want(200, http.MethodPut, "/first/while-away", []byte("new"))
	health := nd.Want(200, http.MethodGet, "/-/health/cluster", nil)
	for what, text := range map[string]string{"greeting": nd.Greeting.String(), "log": nd.Log.String()} {
		if !strings.Contains(text, nd.Dirs[1]) || !strings.Contains(text, "FORMAT is a named pipe") {
			t.Errorf("%s does not tell what is wrong with %s: %s", what, nd.Dirs[1], text)
		}
	}
	// Health names it by the identity that stands in the log beside the path.
	id := regexp.MustCompile(`"drive absent" drive=(\S+) path=` + nd.Dirs[1]).FindStringSubmatch(nd.Log.String())
	if id == nil || !strings.Contains(string(health.Body), id[1]) {
		t.Errorf("log names %q, health is %s", id, health.Body)
	}
	if err := os.Rename(label+".kept", label); err != nil {
		t.Fatal(err)
	}
	nd.Eventually("the drive returns", func() bool {
		a, err := nd.Do(http.MethodGet, "/-/health/cluster", nil)
		return err == nil && a.Status == 200 && !strings.Contains(string(a.Body), "absent")
	})
}

func TestRefusedStartWritesNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, nd *nodetest.Node)
		want  error
	}{
		"same drive twice":   {func(_ *testing.T, nd *nodetest.Node) { nd.Dirs[1] = nd.Dirs[0] }, node.ErrDriveRefused},
		"one inside another": {func(_ *testing.T, nd *nodetest.Node) { nd.Dirs[1] = nd.Dirs[0] + "/2" }, node.ErrDriveRefused},
		"a file":             {func(t *testing.T, nd *nodetest.Node) { write(t, nd.Dirs[1], "x") }, node.ErrDriveRefused},
		"foreign": {func(t *testing.T, nd *nodetest.Node) {
			if err := os.MkdirAll(nd.Dirs[1], 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(nd.Dirs[1], "holiday.jpg"), "x")
		}, node.ErrDriveRefused},
		"two drives": {func(_ *testing.T, nd *nodetest.Node) { nd.Dirs = nd.Dirs[:2] }, node.ErrDriveCount},
	} {
		t.Run(name, func(t *testing.T) {
			nd := nodetest.New(t, 4)
			tc.spoil(t, nd)
			err := nd.Start()
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), nd.Dirs[1]) && name != "two drives" {
				t.Fatalf("start: %v; want %v that names %s", err, tc.want, nd.Dirs[1])
			}
			for i, dir := range nd.Dirs {
				if _, err := os.Stat(filepath.Join(dir, "FORMAT")); err == nil {
					t.Errorf("drive %d was formatted", i)
				}
			}
		})
	}
}

// TestOtherNumberOfDrivesIsRefused: a majority of fewer drives is none of the store's, so a bucket made
// on one drive of four would be forgotten by the other three.
func TestOtherNumberOfDrivesIsRefused(t *testing.T) {
	nd := nodetest.New(t, 5)
	nd.MustStart()
	nd.Stop()
	all := nd.Dirs
	for given := range 7 {
		nd.Dirs = append(slices.Clone(all), all[0]+"-new")[:given]
		if given == 0 || given == len(all) {
			continue
		}
		err := nd.Start()
		if !errors.Is(err, node.ErrDriveCount) || !strings.Contains(err.Error(), fmt.Sprintf("%d given, the store was born on 5", given)) {
			t.Fatalf("start on %d drives: %v; want ErrDriveCount that tells both numbers", given, err)
		}
	}
	nd.Dirs = slices.Clone(all)
	nd.Dirs[0] = filepath.Join(t.TempDir(), "gone") // one that is gone is still named
	nd.MustStart()
	nd.Want(200, http.MethodPut, "/first", nil)
}

func TestGeneratedRootAndItsReplacement(t *testing.T) {
	nd := nodetest.New(t, 4)
	nd.Config.Root = config.Root{}
	nd.MustStart()
	nd.Stop()
	kept := filepath.Join(nd.Dirs[0], "CREDENTIALS")
	info, err := os.Stat(kept)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("kept credentials: %v, %v; want mode 0600", info, err)
	}
	if !strings.Contains(nd.Greeting.String(), "Password") || strings.Contains(nd.Log.String(), "password=") {
		t.Fatalf("greeting %q, log %q: the password belongs in the greeting only", nd.Greeting, nd.Log)
	}
	nd.MustStart() // with what was kept
	nd.Stop()
	nd.Config.Root = nodetest.Root // an operator's choice replaces it
	nd.MustStart()
	nd.Want(200, http.MethodGet, "/", nil)
	if _, err := os.Stat(kept); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("generated credentials are still on the drive: %v", err)
	}
	nd.Stop()
	nd.Config.Root = config.Root{User: "someone", Password: "else-entirely"}
	if err := nd.Start(); err == nil || !strings.Contains(err.Error(), "HOLDFAST_ROOT_USER_OLD") {
		t.Fatalf("start with other credentials: %v; want an error that tells the way", err)
	}
	nd.Config.RootOld = nodetest.Root
	nd.MustStart()
	nd.Stop()
	nd.Config.Root, nd.Config.RootOld = config.Root{}, config.Root{}
	if err := nd.Start(); !errors.Is(err, node.ErrNoRoot) {
		t.Fatalf("start without credentials: %v; want ErrNoRoot", err)
	}
}

func TestBucketDeletion(t *testing.T) {
	nd := nodetest.New(t, 4)
	nd.MustStart()
	fill(nd, "first")
	nd.Want(409, http.MethodDelete, "/first", nil)
	nd.Want(200, http.MethodPut, "/first/more", []byte("the seal was lifted"))
	for _, s := range sizes {
		nd.Want(204, http.MethodDelete, fmt.Sprintf("/first/object-%d", s), nil)
	}
	nd.Want(204, http.MethodDelete, "/first/more", nil)
	nd.Want(204, http.MethodDelete, "/first", nil)
	nd.Want(404, http.MethodGet, "/first/object-1", nil)
	nd.Want(200, http.MethodPut, "/first", nil)
	nd.Want(404, http.MethodGet, "/first/object-1", nil)
}

// TestFileSystemAndClockAreTheCallers puts a file system that counts below the drives and sets the clock.
func TestFileSystemAndClockAreTheCallers(t *testing.T) {
	const ahead = 5 * time.Minute // signatures may be a quarter of an hour old
	var writes atomic.Int64
	nd := nodetest.New(t, 4)
	nd.FS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			writes.Add(1)
		}
		return nil
	}))
	nd.Clock = func() time.Time { return time.Now().Add(ahead) }
	nd.MustStart()
	before := writes.Load()
	nd.Want(200, http.MethodPut, "/first", nil)
	nd.Want(200, http.MethodPut, "/first/object", []byte("x"))
	if before == 0 || writes.Load() == before {
		t.Errorf("%d writes passed before the first request, %d in all", before, writes.Load())
	}
	at, err := http.ParseTime(nd.Want(200, http.MethodHead, "/first/object", nil).Header.Get("Last-Modified"))
	if err != nil || time.Until(at) < ahead-time.Minute {
		t.Errorf("last modified at %v, %v; want about %v from now", at, err, ahead)
	}
	nd.Stop()
	// Another clock, far behind what the drives have seen.
	nd.Clock = func() time.Time { return time.Now().Add(-ahead) }
	nd.MustStart()
	nd.Want(200, http.MethodPut, "/first/object", []byte("newer"))
	if a := nd.Want(200, http.MethodGet, "/first/object", nil); string(a.Body) != "newer" {
		t.Errorf("a node whose clock went back serves %q", a.Body)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
