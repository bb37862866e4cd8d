package segment

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"holdfast/actors/ondisk"
)

const (
	// UnitSize is what a run segment is divided into: one frame of 1 MiB, two of 512 KiB or four of
	// 256 KiB with their headers, with at most 1.2 % left over.
	UnitSize = 1<<20 + 16<<10
	// PackLimit is the largest shard that goes to a pack segment.
	PackLimit = 1 << 20

	page       = 4096
	chunkUnits = 8  // most units that a stream of unknown length takes at a time
	knownUnits = 64 // ... and one of known length

	// wideFrame is the size from which on frames of a pack segment, too, have a header of a page and
	// begin and end on one: they can then be written past the page cache, for at most 3 % of space.
	// Shorter ones lie close together and are gathered for one write. It is part of the format.
	wideFrame = 128 << 10

	// longShard is the size from which on a shard's reader has descriptors of its own.
	longShard = 4 << 20

	minSegment = 16 << 20
	maxSegment = 1 << 30
	minUnits   = 2
)

// SizeFor is the size of segments on a drive of so many bytes: about capacity/256, between 16 MiB
// and 1 GiB, so that a run segment is a header and whole units.
func SizeFor(capacity int64) int64 {
	want := min(max(capacity/256, minSegment), maxSegment)
	return page + (want+UnitSize/2)/UnitSize*UnitSize
}

// unitsIn is the number of units of a segment of size bytes.
func unitsIn(size int64) int { return int((size - page) / UnitSize) }

func checkSize(size int64) error {
	if n := unitsIn(size); size%page != 0 || n < minUnits {
		return fmt.Errorf("segment size %d: a header and at least %d units of %d bytes are needed", size, minUnits, UnitSize)
	}
	return nil
}

// alignUp rounds up to a page.
func alignUp(n int64) int64 { return (n + page - 1) &^ (page - 1) }

// frameOf recovers the size of a shard's full frames from one of its extents: full frames of a
// shard of several are powers of two, and frames * full >= data > (frames-1) * full has at most one
// such solution.
func frameOf(e *ondisk.Extent) int {
	if e.Frames <= 1 {
		return int(e.Data)
	}
	least := (e.Data + int64(e.Frames) - 1) / int64(e.Frames)
	return 1 << bits.Len64(uint64(least-1))
}

// FrameBytes is the size of all frames but the last of the shard that lies in extents.
func FrameBytes(extents []ondisk.Extent) int {
	n := 0
	for i := range extents {
		n = max(n, frameOf(&extents[i]))
	}
	return n
}

// ShardBytes is the length of the shard that lies in extents.
func ShardBytes(extents []ondisk.Extent) (n int64) {
	for i := range extents {
		n += extents[i].Data
	}
	return n
}

func fileName(no uint32) string { return fmt.Sprintf("%08d.seg", no) }

func parseName(name string) (uint32, bool) {
	digits, ok := strings.CutSuffix(name, ".seg")
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil && fileName(uint32(n)) == name
}

// bitmap has a bit per unit of a run segment.
type bitmap []uint64

func newBitmap(n int) bitmap      { return make(bitmap, (n+63)/64) }
func (b bitmap) has(i int) bool   { return b[i/64]&(1<<(i%64)) != 0 }
func (b bitmap) set(i int)        { b[i/64] |= 1 << (i % 64) }
func (b bitmap) clear(i int)      { b[i/64] &^= 1 << (i % 64) }
func (b bitmap) setAll(r units)   { r.each(b.set) }
func (b bitmap) clearAll(r units) { r.each(b.clear) }
func (b bitmap) count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// units is a run of adjacent units.
type units struct{ first, n int }

func (r units) each(f func(int)) {
	for i := r.first; i < r.first+r.n; i++ {
		f(i)
	}
}

func (r units) start() int64 { return page + int64(r.first)*UnitSize }
func (r units) end() int64   { return page + int64(r.first+r.n)*UnitSize }

// unitsOf are the units that a piece of a run segment touches.
func unitsOf(off, length int64) units {
	first := (off - page) / UnitSize
	last := (off + length - 1 - page) / UnitSize
	return units{int(first), int(last - first + 1)}
}
