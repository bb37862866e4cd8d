package sim

import "math/bits"

// rng is SplitMix64: one word of state, a few cycles per draw, and every seed is a good one.
type rng struct{ s uint64 }

func (r *rng) next() uint64 {
	r.s += 0x9e3779b97f4a7c15
	return mix(r.s)
}

// n is uniform in [0, n).
func (r *rng) n(n int) int {
	hi, _ := bits.Mul64(r.next(), uint64(n))
	return int(hi)
}

// between is uniform in [lo, hi].
func (r *rng) between(lo, hi int64) int64 { return lo + int64(r.n(int(hi-lo)+1)) }

// chance is true in p of 1000.
func (r *rng) chance(p int) bool { return r.n(1000) < p }

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// fate is the generator of one message's or sync's luck. It depends on what the message is and not on
// how many came before it, so that a schedule keeps its shape when the minimiser takes parts out.
func fate(seed, a, b, c uint64) rng {
	return rng{mix(mix(mix(seed^a*0x9e3779b97f4a7c15)^b*0xc2b2ae3d27d4eb4f) ^ c*0x165667b19e3779f9)}
}
