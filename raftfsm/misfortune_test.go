package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast/raftfsm/cluster"
)

// trial is a node under misfortunes that its promises cover, and what its clients were told.
type trial struct {
	t      *testing.T
	rnd    *rand.Rand
	o      Options
	copies []*memCopy
	node   *Node
	// what each bucket must be: true there, false not there; missing = nobody knows
	told map[string]bool
	// what lay on the drives at some earlier time
	oldDir    string
	oldCopies []*memCopy
}

// TestAnyMisfortune: whatever happens to the raft directory, and to at most as many copies as may be
// lost, what was answered holds, and what was refused did not happen.
func TestAnyMisfortune(t *testing.T) {
	t.Parallel()
	for run := range 2 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(run), func(t *testing.T) {
			t.Logf("seed %d", seed)
			copies := newCopies(4)
			r := &trial{t: t, rnd: rand.New(rand.NewPCG(seed, 0)), copies: copies, told: map[string]bool{}}
			r.o = testOptions(t, filepath.Join(t.TempDir(), "raft"), copies)
			r.open()
			r.o.Birth = nil
			r.remember()
			for range 6 {
				for range 4 {
					r.work()
				}
				r.trouble()
			}
		})
	}
}

// open starts the node and checks it.
func (r *trial) open() {
	r.t.Helper()
	r.node = openNode(r.t, r.o)
	for _, c := range r.copies {
		if err := r.node.mirror.joined(r.t.Context(), c.id); err != nil {
			r.t.Fatal(err)
		}
	}
	r.check()
}

func (r *trial) check() {
	r.t.Helper()
	for name, want := range r.told {
		if _, err := r.node.Bucket(cluster.BucketName(name)); errors.Is(err, cluster.ErrNoBucket) == want {
			r.t.Fatalf("bucket %s: there should be %v, is: %v", name, want, err)
		}
	}
}

// work asks for one change, now and then with drives failing.
func (r *trial) work() {
	r.t.Helper()
	failing := r.rnd.IntN(3)
	for _, i := range r.rnd.Perm(4)[:failing] {
		r.copies[i].setFail(errors.New("input/output error"))
	}
	name := fmt.Sprintf("bucket-%d", r.rnd.IntN(5))
	ctx, cancel := context.WithCancel(r.t.Context())
	if failing == 2 { // it cannot be answered before they work again
		ctx, cancel = context.WithTimeout(ctx, 20*time.Millisecond)
	}
	b, err := r.node.Bucket(cluster.BucketName(name))
	there := err == nil
	if there {
		if b, err = r.node.SealBucket(ctx, b, 7, By{}); err == nil {
			err = r.node.RemoveBucket(ctx, b, 7, By{})
		}
	} else if errors.Is(err, cluster.ErrNoBucket) {
		_, err = r.node.CreateBucket(ctx, cluster.BucketName(name), "alice", "")
	}
	cancel()
	for _, c := range r.copies {
		c.setFail(nil)
	}
	_, known := r.told[name]
	switch {
	case err == nil:
		r.told[name] = !there
	case errors.Is(err, cluster.ErrBucketOwned) && !known: // made by a change whose outcome was unknown
		r.told[name] = true
	case errors.Is(err, cluster.ErrOutcomeUnknown), errors.Is(err, cluster.ErrBucketSealed), there:
		delete(r.told, name)
	case errors.Is(err, cluster.ErrControlQuorum), errors.Is(err, cluster.ErrNoLeader): // nothing was done
	default:
		r.t.Fatal(err)
	}
	for _, c := range r.copies { // so that at most W-1 of the drives can lack a change
		err := r.node.mirror.wait(r.t.Context(), func() bool {
			w := r.node.mirror.workers[c.id]
			return w.err == nil && w.synced == r.node.mirror.target
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	if err := r.node.mirror.settle(r.t.Context(), r.node.mirror.newest().Index()); err != nil {
		r.t.Fatal(err)
	}
	for _, b := range r.node.Buckets() { // a deletion that got stuck is finished by the next who looks
		if b.Sealing != 0 {
			if err := r.node.RemoveBucket(r.t.Context(), b, b.Sealing, By{}); err != nil {
				r.t.Fatal(err)
			}
			delete(r.told, string(b.Name))
		}
	}
	r.check()
}

// remember keeps what lies on the drives, to bring it back later.
func (r *trial) remember() {
	closeNode(r.t, r.node)
	r.oldDir, r.oldCopies = cloneDir(r.t, r.o.Dir), cloneCopies(r.copies)
	r.open()
}

// trouble stops the node, does harm and starts it again.
func (r *trial) trouble() {
	r.t.Helper()
	closeNode(r.t, r.node)
	for _, i := range r.rnd.Perm(4)[:r.rnd.IntN(3)] { // n - W + 1 copies may be lost when none is failing
		switch r.rnd.IntN(3) {
		case 0:
			r.copies[i] = &memCopy{id: r.copies[i].id, rows: map[string][]byte{}}
		case 1:
			r.copies[i] = r.oldCopies[i].clone()
		case 2:
			r.copies[i].meta.Digest[r.rnd.IntN(32)] ^= 1 << r.rnd.IntN(8)
		}
	}
	r.o.Copies = asCopies(r.copies)
	switch r.rnd.IntN(5) {
	case 0:
		os.RemoveAll(r.o.Dir)
	case 1:
		r.o.Dir = cloneDir(r.t, r.oldDir)
	case 2:
		r.damage()
	case 3:
		if err := os.Rename(r.o.Dir, r.o.Dir+".new"); err != nil { // a founding that was cut off
			r.t.Fatal(err)
		}
	}
	r.open()
	if r.rnd.IntN(2) == 0 {
		r.remember()
	}
}

// damage flips a bit of, or cuts, some file of the raft directory.
func (r *trial) damage() {
	r.t.Helper()
	var files []string
	filepath.WalkDir(r.o.Dir, func(path string, e os.DirEntry, _ error) error {
		if !e.IsDir() {
			files = append(files, path)
		}
		return nil
	})
	path := files[r.rnd.IntN(len(files))]
	b, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.rnd.IntN(2) == 0 {
		b = b[:r.rnd.IntN(len(b))]
	} else {
		b[r.rnd.IntN(len(b))] ^= 1 << r.rnd.IntN(8)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		r.t.Fatal(err)
	}
}
