package drive

import (
	"context"
	"path"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

// Place is where byte off of a shard lies: the segment's file and the offset in it.
func (a *Actor) Place(oid object.OID, off int64) (file string, at int64, err error) {
	m, err := a.manifest(oid)
	if err != nil {
		return "", 0, err
	}
	for _, e := range m.Extents {
		if off >= e.Data {
			off -= e.Data
			continue
		}
		// Frames of a run are padded to pages, and so is the whole extent.
		run := e.Length%ondisk.FrameHeaderRoom == 0
		frame := int64(ondisk.MaxFrameData)
		if e.Frames > 1 {
			for frame/2*int64(e.Frames) >= e.Data {
				frame /= 2
			}
		}
		n := off / frame
		size := min(frame, e.Data-n*frame)
		at = e.Offset + n*int64(ondisk.FrameSize(int(frame), run)) + int64(ondisk.FrameHeaderSize(int(size), run)) + off%frame
		name := strconv.Itoa(int(e.Segment))
		return path.Join(a.path, segmentDir, "00000000"[len(name):]+name+".seg"), at, nil
	}
	return "", 0, ErrNoShard
}

// Flush writes the memtable to a table.
func (a *Actor) Flush() error { return a.db.Flush() }

// Merge compacts all tables.
func (a *Actor) Merge() error {
	return a.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false)
}

// panicMsg is an assertion that fails in the loop.
type panicMsg struct{ reply }

func (*panicMsg) isMsg()             {}
func (*panicMsg) weight() int        { return 0 }
func (*panicMsg) apply(*batch) error { panic("assertion") }

// Panic lets the loop panic.
func (a *Actor) Panic(ctx context.Context) error {
	_, err := a.do(ctx, &panicMsg{reply: newReply()})
	return err
}

// Forge writes rows behind the actor's back; they count from the next open on. Tests make drives
// with it that are larger than any machine they run on.
func (a *Actor) Forge(write func(set func(key, value []byte))) error {
	b := a.db.NewBatch()
	defer b.Close()
	var first error
	write(func(key, value []byte) {
		if err := b.Set(key, value, nil); err != nil && first == nil {
			first = err
		}
	})
	if first != nil {
		return first
	}
	return b.Commit(pebble.Sync)
}

// Look asks the file system for its free bytes now.
func (a *Actor) Look() { a.space.look() }
