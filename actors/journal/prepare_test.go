package journal_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast/actors/await"
)

// refusing refuses, while it is armed, one call for want of space: the one with the number that it counts
// down to.
type refusing struct {
	left    atomic.Int64
	refused atomic.Int64
}

func (*refusing) String() string { return "refusing" }

func (r *refusing) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpCreate, errorfs.OpRename, errorfs.OpOpen, errorfs.OpOpenDir:
		if r.left.Add(-1) == 0 {
			r.refused.Add(1)
			return syscall.ENOSPC
		}
	}
	return nil
}

// TestNoFileIsForgottenThatCouldNotBePrepared: whichever call on the way to the next file is refused, all
// files of the directory stay in the account, and the journal goes on.
func TestNoFileIsForgottenThatCouldNotBePrepared(t *testing.T) {
	for call := range int64(12) { // one file takes nine
		t.Run(fmt.Sprintf("call %d", call+1), func(t *testing.T) {
			t.Parallel() // Run rests for a second after each
			refuseOne(t, call+1)
		})
	}
}

func refuseOne(t *testing.T, call int64) {
	mem := vfs.NewMem()
	inject := &refusing{}
	r := newRig(t, errorfs.Wrap(mem, inject), 64<<10)
	r.fill(4)
	for batch := range r.put { // the next files are dead ones
		r.drop(batch)
	}
	r.write(0, true)
	r.flushed = r.batch
	r.j.Flushed(r.flushed)
	inject.left.Store(call)
	await.True(t, "the call was refused, and the journal goes on", func() bool {
		refused := inject.refused.Load()
		r.write(8000, true)
		in := map[uint32]bool{}
		for _, p := range r.put {
			in[p.at.File] = true
		}
		return refused > 0 && len(in) > 4
	})
	j := r.j
	r.close()
	var want []string
	for _, f := range j.Files() {
		want = append(want, fmt.Sprintf("%08d.log", f.Number))
	}
	names, err := mem.List(testDir)
	slices.Sort(names)
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("there are %q, in the account %q, %v", names, want, err)
	}
	r.open()
	r.check()
}
