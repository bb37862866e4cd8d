package segment

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

// diskRig is a rig on the real file system, whose files a test can change.
func diskRig(t *testing.T, drive cluster.DriveID) *rig {
	dir := t.TempDir()
	return newRig(t, vfs.Default, func(o *Options) { o.Dir, o.Drive = dir+"/seg", drive })
}

// raw is what lies in an extent.
func (r *rig) raw(e ondisk.Extent) []byte {
	r.t.Helper()
	b, err := os.ReadFile(path2(r, e.Segment))
	if err != nil {
		r.t.Fatal(err)
	}
	return bytes.Clone(b[e.Offset : e.Offset+e.Length])
}

func (r *rig) setRaw(e ondisk.Extent, b []byte) {
	r.t.Helper()
	f, err := os.OpenFile(path2(r, e.Segment), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(b, e.Offset)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) extent(seed uint64) ondisk.Extent {
	r.t.Helper()
	st := r.shards[oidOf(seed)]
	if len(st.extents) != 1 {
		r.t.Fatalf("shard %d lies in %d pieces", seed, len(st.extents))
	}
	return st.extents[0]
}

func (r *rig) wantDamage(what string, seeds ...uint64) {
	r.t.Helper()
	for _, seed := range seeds {
		if _, err := r.read(seed); !errors.Is(err, ondisk.ErrCorrupt) {
			r.t.Errorf("%s: shard %d: %v", what, seed, err)
		}
	}
}

// TestValidFramesOfOtherPlacesAreRefused puts frames whose checksums are right where they do not
// belong: none of them may be read as what should be there (reliability.md, I20).
func TestValidFramesOfOtherPlacesAreRefused(t *testing.T) {
	for name, size := range map[string]int{"gathered": 3000, "packed": 512 << 10, "run": 2 << 20} {
		const frame = 256 << 10
		two := func(t *testing.T) *rig {
			r := diskRig(t, testDrive)
			for seed := range uint64(2) {
				if err := r.put(seed, size, min(size, frame), int64(size)); err != nil {
					t.Fatal(err)
				}
			}
			return r
		}
		t.Run(name+"/of another object", func(t *testing.T) {
			r := two(t)
			a, b := r.raw(r.extent(0)), r.raw(r.extent(1))
			r.setRaw(r.extent(0), b)
			r.setRaw(r.extent(1), a)
			r.wantDamage("swapped", 0, 1)
			r.setRaw(r.extent(0), a)
			r.setRaw(r.extent(1), b)
			r.check()
		})
		t.Run(name+"/of another drive", func(t *testing.T) {
			r, other := two(t), diskRig(t, cluster.DriveID{4, 5, 6})
			for seed := range uint64(2) { // the other shard of the same object: same id, other data
				w, err := other.s.Writer(Shard{OID: oidOf(seed), Frame: min(size, frame), Size: int64(size)})
				if err != nil {
					t.Fatal(err)
				}
				for data := content(seed+70, size); len(data) > 0; data = data[min(len(data), frame):] {
					if err := w.WriteFrame(append(make([]byte, ondisk.FrameHeaderRoom), data[:min(len(data), frame)]...)); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
				other.commit(seed, size, min(size, frame), w)
			}
			if r.extent(0) != other.extent(0) {
				t.Fatalf("%+v and %+v", r.extent(0), other.extent(0))
			}
			r.setRaw(r.extent(0), other.raw(other.extent(0)))
			r.wantDamage("from another drive", 0)
		})
		t.Run(name+"/of an older write", func(t *testing.T) {
			r := two(t)
			old := r.extent(0)
			was := r.raw(old)
			r.remove(0)
			r.remove(1)
			// Emptied by a store that knows of no writer in it, the segment is used again.
			if err := r.s.Close(); err != nil {
				t.Fatal(err)
			}
			r.open(vfs.Default)
			if err := r.put(2, size, min(size, frame), int64(size)); err != nil {
				t.Fatal(err)
			}
			now := r.extent(2)
			if now.Segment != old.Segment || now.Offset != old.Offset || now.Generation == old.Generation {
				t.Fatalf("%+v is not in the place of %+v", now, old)
			}
			r.setRaw(now, was)
			r.wantDamage("replayed", 2)
		})
		t.Run(name+"/cut off", func(t *testing.T) {
			r := two(t)
			last := r.extent(1)
			if err := os.Truncate(path2(r, last.Segment), last.Offset+last.Length-4200); err != nil {
				t.Fatal(err)
			}
			r.wantDamage("cut off", 1)
		})
	}
	t.Run("of another place in the shard", func(t *testing.T) {
		r := diskRig(t, testDrive)
		r.mustPut(0, 3<<20)
		e := r.extent(0)
		n := ondisk.FrameSize(1<<20, true)
		b := r.raw(e)
		r.setRaw(e, append(append(bytes.Clone(b[n:2*n]), b[:n]...), b[2*n:]...))
		r.wantDamage("frames 0 and 1 swapped", 0)
	})
}
