// Package erasure knows how an object becomes shards: the geometry of stripes, units and frames,
// and the Reed-Solomon code over them. It does no I/O and keeps no buffers; whoever calls owns
// every slice. A Codec is safe for concurrent use, a Geometry is a value.
//
// An object is cut into stripes of K units of Unit bytes; unit i of every stripe belongs to data
// shard i. The last stripe is as wide as the others but lower: its units have ceil(rest/K) bytes,
// zeros filling up the last. A shard is thus Unit bytes of each stripe, one behind the other. It
// travels and lies on a drive in frames of Frame bytes; the frames with one number of all n shards
// are a row, and a row is what is read, coded and written at a time.
//
//	object   |u0 u1|u2 u3|u4 u5|..     K = 2
//	shard 0  |u0 u2 u4 ..|             frame 0 = Frame/Unit units
//	shard 1  |u1 u3 u5 ..|
//	shard 2  | parity    |
package erasure

// Unit is the stripe unit of objects of at least one full stripe.
const Unit = 256 << 10

// Geometry is how one object is coded.
type Geometry struct {
	N, K  int // shards, data shards
	Unit  int // bytes of one shard in a full stripe
	Frame int // bytes of shard data in a full frame, a multiple of Unit or more than the shard
}

// FrameSize is the frame size for sets of n: a row of n frames is at most 4 MiB.
func FrameSize(n int) int {
	switch {
	case n <= 4:
		return 1 << 20
	case n <= 8:
		return 512 << 10
	}
	return 256 << 10
}

// ForSize is the geometry of a new object of size bytes on a set of n slots, k of them data.
// Objects smaller than one stripe of full units are a single stripe of ceil(size/k). The part
// tables of multipart objects hold no geometry: for parts, this function is a disk format.
func ForSize(n, k int, size int64) Geometry {
	g := Geometry{N: n, K: k, Unit: Unit, Frame: FrameSize(n)}
	if size < int64(k)*Unit {
		g.Unit = int(max(1, (size+int64(k)-1)/int64(k)))
	}
	return g
}

// Valid says whether the geometry can be worked with; one that was read from a drive must be asked.
func (g Geometry) Valid() bool {
	return g.K >= 1 && g.N >= g.K && g.N <= 32 && g.Unit >= 1 && g.Unit <= Unit &&
		g.Frame >= g.Unit && g.Frame <= 1<<20 && (g.Frame%g.Unit == 0 || g.Unit < Unit)
}

func (g Geometry) stripe() int64 { return int64(g.K) * int64(g.Unit) }

// ShardSize is the length of every shard of an object of size bytes.
func (g Geometry) ShardSize(size int64) int64 {
	full, rest := size/g.stripe(), size%g.stripe()
	return full*int64(g.Unit) + (rest+int64(g.K)-1)/int64(g.K)
}

// perRow is the number of stripes in a full row.
func (g Geometry) perRow() int64 { return int64(max(1, g.Frame/g.Unit)) }

// rowShard is the number of shard bytes in a full row.
func (g Geometry) rowShard() int64 { return g.perRow() * int64(g.Unit) }

// FrameBytes is the number of shard bytes in every frame but the last; what a drive is told.
func (g Geometry) FrameBytes() int { return int(g.rowShard()) }

// Rows is the number of rows (frames of each shard) of an object of size bytes.
func (g Geometry) Rows(size int64) int {
	return int((g.ShardSize(size) + g.rowShard() - 1) / g.rowShard())
}

// RowOf is the row that holds byte off of an object.
func (g Geometry) RowOf(off int64) int { return int(off / (g.perRow() * g.stripe())) }

// RowStart is the first object byte of a row.
func (g Geometry) RowStart(row int) int64 { return int64(row) * g.perRow() * g.stripe() }

// RowBytes is the number of object bytes in a row.
func (g Geometry) RowBytes(size int64, row int) int64 {
	return min(size-g.RowStart(row), g.perRow()*g.stripe())
}

// RowLen is the number of shard bytes in a row, the same for every shard.
func (g Geometry) RowLen(size int64, row int) int {
	return int(min(g.ShardSize(size)-int64(row)*g.rowShard(), g.rowShard()))
}

// Piece is a run of object bytes that lies whole in one shard of a row.
type Piece struct {
	Shard int
	Off   int // in the row's frame of that shard
	Len   int
}

// Pieces appends the pieces of a row that hold the object bytes [from, to), in object order. The
// interval is clipped to the row.
func (g Geometry) Pieces(dst []Piece, size int64, row int, from, to int64) []Piece {
	start := g.RowStart(row)
	from, to = max(from, start), min(to, start+g.RowBytes(size, row))
	for from < to {
		in := from - start
		stripe := in / g.stripe()
		base := start + stripe*g.stripe()
		unit := g.unitAt(size, base)
		shard := (from - base) / unit
		off := (from - base) % unit
		n := min(unit-off, to-from)
		dst = append(dst, Piece{Shard: int(shard), Off: int(stripe*int64(g.Unit) + off), Len: int(n)})
		from += n
	}
	return dst
}

// unitAt is the height of the stripe that begins at object byte base.
func (g Geometry) unitAt(size, base int64) int64 {
	if rest := size - base; rest < g.stripe() {
		return (rest + int64(g.K) - 1) / int64(g.K)
	}
	return int64(g.Unit)
}

// Interval is a half-open run of bytes of a frame.
type Interval struct{ From, To int }

// Empty reports whether nothing is in the interval.
func (i Interval) Empty() bool { return i.From >= i.To }

// Hull is the smallest interval that holds both.
func (i Interval) Hull(o Interval) Interval {
	switch {
	case i.Empty():
		return o
	case o.Empty():
		return i
	}
	return Interval{min(i.From, o.From), max(i.To, o.To)}
}

// Needs adds to dst (one per data shard) what the pieces take of each shard.
func Needs(dst []Interval, pieces []Piece) {
	for _, p := range pieces {
		dst[p.Shard] = dst[p.Shard].Hull(Interval{p.Off, p.Off + p.Len})
	}
}
