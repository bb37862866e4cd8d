package quorum

import (
	"iter"
	"math/bits"
)

// Slots is a set of slots of an erasure set, bit i for slot i.
type Slots uint32

// AllSlots holds the slots 0..n-1.
func AllSlots(n int) Slots { return 1<<n - 1 }

// Slot holds slot i alone.
func Slot(i int) Slots { return 1 << i }

// Has reports whether slot i is in the set.
func (s Slots) Has(i int) bool { return s>>i&1 != 0 }

// Len is the number of slots.
func (s Slots) Len() int { return bits.OnesCount32(uint32(s)) }

// All yields the slots in rising order.
func (s Slots) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for s != 0 {
			i := bits.TrailingZeros32(uint32(s))
			if !yield(i) {
				return
			}
			s &= s - 1
		}
	}
}

// First holds the lowest m slots of s, or all if there are fewer.
func (s Slots) First(m int) Slots {
	var out Slots
	for ; m > 0 && s != 0; m-- {
		low := s & -s
		out |= low
		s &^= low
	}
	return out
}

// Shape is the arithmetic of a set: n slots, K answers make evidence, W accepts an acknowledgement.
type Shape struct{ N, K, W int }

// ShapeOf is the shape of a set of n slots; k + W > n holds for each.
func ShapeOf(n int) Shape {
	if n == 1 {
		return Shape{N: 1, K: 1, W: 1}
	}
	return Shape{N: n, K: n / 2, W: n/2 + 1}
}

// Lowest is the lowest slot of s, which is not empty.
func (s Slots) Lowest() int { return bits.TrailingZeros32(uint32(s)) }
