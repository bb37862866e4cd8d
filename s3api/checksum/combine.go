package checksum

import (
	"encoding/binary"
	"strconv"

	"holdfast/actors/ondisk"
)

// The generator polynomials, bit-reversed as the algorithms use them.
const (
	polyCRC32     = 0xedb88320
	polyCRC32C    = 0x82f63b78
	polyCRC64NVME = 0x9a6c9329ac4bc9b5
)

// Combiner makes the checksum of an object from those of its parts, in order.
type Combiner struct {
	algo      ondisk.ChecksumAlgo
	composite bool
	parts     int
	sums      []byte // composite: the parts' values one after the other
	crc       uint64 // full object: so far

	// Parts mostly have one length, so the last power of x is kept.
	length int64
	shift  uint64
}

// NewCombiner returns a Combiner. The pair must be Allowed.
func NewCombiner(a ondisk.ChecksumAlgo, composite bool) *Combiner {
	if !Allowed(a, composite) {
		panic("checksum: " + Name(a) + " of type " + TypeName(composite) + " does not exist (algorithm " + strconv.Itoa(int(a)) + ")")
	}
	return &Combiner{algo: a, composite: composite}
}

// Add takes the checksum of the next part and its plain length. It reports false, and takes
// nothing, when value has the wrong length.
func (c *Combiner) Add(value []byte, length int64) bool {
	if len(value) != Size(c.algo) || length < 0 {
		return false
	}
	c.parts++
	switch {
	case c.composite:
		c.sums = append(c.sums, value...)
	case c.algo == ondisk.ChecksumCRC64NVME:
		c.addCRC(binary.BigEndian.Uint64(value), length, polyCRC64NVME, 64)
	case c.algo == ondisk.ChecksumCRC32C:
		c.addCRC(uint64(binary.BigEndian.Uint32(value)), length, polyCRC32C, 32)
	default:
		c.addCRC(uint64(binary.BigEndian.Uint32(value)), length, polyCRC32, 32)
	}
	return true
}

// addCRC makes the CRC of A followed by B from those of A and B: crc(A) times x^(8*len(B)), plus
// crc(B), in the field of the polynomial.
func (c *Combiner) addCRC(crc uint64, length int64, poly uint64, width uint) {
	if c.shift == 0 || length != c.length {
		c.length, c.shift = length, power(uint64(length), poly, width)
	}
	c.crc = multiply(c.shift, c.crc, poly, width) ^ crc
}

// Parts is how many were added.
func (c *Combiner) Parts() int { return c.parts }

// Checksum is the checksum of the object so far.
func (c *Combiner) Checksum() ondisk.Checksum {
	out := ondisk.Checksum{Algo: c.algo, Composite: c.composite}
	switch {
	case c.composite:
		h := New(c.algo)
		h.Write(c.sums)
		out.Value = h.Sum(nil)
	case Size(c.algo) == 8:
		out.Value = binary.BigEndian.AppendUint64(nil, c.crc)
	default:
		out.Value = binary.BigEndian.AppendUint32(nil, uint32(c.crc))
	}
	return out
}

// power is x^(8*n) modulo poly, by squaring; it is never 0.
func power(n, poly uint64, width uint) uint64 {
	result := uint64(1) << (width - 1) // x^0
	square := uint64(1) << (width - 2) // x^1
	for range 3 {
		square = multiply(square, square, poly, width) // in the end x^8
	}
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			result = multiply(result, square, poly, width)
		}
		square = multiply(square, square, poly, width)
	}
	return result
}

// multiply is a*b modulo poly; the highest bit is the coefficient of x^0.
func multiply(a, b, poly uint64, width uint) (p uint64) {
	for m := uint64(1) << (width - 1); m != 0; m >>= 1 {
		if a&m != 0 {
			p ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ poly
		} else {
			b >>= 1
		}
	}
	return p
}
