package sim

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// calm names a piece of bad luck that a Cut switches off.
type calm uint16

const (
	calmLoss calm = 1 << iota
	calmDup
	calmSlow
	calmSync
	calmClocks
	calmDeath
	calmAll = 1<<iota - 1
)

// Cut is what is taken out of a seed's plan: operations and faults by their index, and kinds of luck.
// The zero Cut takes nothing. Its text, "seed" or "seed/ops/faults/calm", is all that a replay needs; a b
// before the seed stands for BucketSeeds, a d for DenseSeeds, an s for SkewedSeeds.
type Cut struct {
	Seed   uint64
	ops    [maxPlanned / 8]byte
	faults [maxPlanned / 64]byte
	calm   calm
}

// maxPlanned is how many operations a plan may have; it may have an eighth as many faults.
const maxPlanned = 512

func bit(m []byte, i int) bool { return m[i>>3]>>(i&7)&1 != 0 }
func flip(m []byte, i int)     { m[i>>3] ^= 1 << (i & 7) }

// String is the text that ParseCut reads.
func (c *Cut) String() string {
	trim := func(b []byte) string { return strings.TrimRight(hex.EncodeToString(b), "0") }
	ops, faults := trim(c.ops[:]), trim(c.faults[:])
	seed := strconv.FormatUint(c.Seed%BucketSeeds, 10)
	for _, k := range worldKinds() {
		if c.Seed >= k.first {
			seed = k.letter + seed
			break
		}
	}
	if ops == "" && faults == "" && c.calm == 0 {
		return seed
	}
	return fmt.Sprintf("%s/%s/%s/%x", seed, ops, faults, uint16(c.calm))
}

// ParseCut reads a seed, or a Cut's text.
func ParseCut(text string) (Cut, error) {
	var c Cut
	f := strings.Split(text, "/")
	var err error
	digits, first := "", uint64(0)
	for _, k := range worldKinds() {
		if rest, ok := strings.CutPrefix(f[0], k.letter); ok {
			digits, first = rest, k.first
			break
		}
	}
	c.Seed, err = strconv.ParseUint(digits, 10, 48)
	c.Seed += first
	if err != nil || len(f) != 1 && len(f) != 4 {
		return c, fmt.Errorf("%q is neither SEED nor SEED/OPS/FAULTS/CALM", text)
	}
	if len(f) == 1 {
		return c, nil
	}
	fill := func(dst []byte, digits string) error {
		if len(digits) > 2*len(dst) {
			return fmt.Errorf("%q is too long a mask", digits)
		}
		b, err := hex.DecodeString(digits + strings.Repeat("0", 2*len(dst)-len(digits)))
		copy(dst, b)
		return err
	}
	if err := fill(c.ops[:], f[1]); err != nil {
		return c, err
	}
	if err := fill(c.faults[:], f[2]); err != nil {
		return c, err
	}
	n, err := strconv.ParseUint(f[3], 16, 16)
	c.calm = calm(n) & calmAll
	return c, err
}

// apply takes out of a plan what the cut names. The identities of the rest stay what they were.
func (c *Cut) apply(p *Plan) {
	for i := range p.ops {
		p.ops[i].off = bit(c.ops[:], i)
	}
	for i := range p.faults {
		p.faults[i].off = bit(c.faults[:], i)
	}
	if c.calm&calmLoss != 0 {
		p.luck.loss = 0
	}
	if c.calm&calmDup != 0 {
		p.luck.dup = 0
	}
	if c.calm&calmSlow != 0 {
		p.luck.slow = 0
	}
	if c.calm&calmDeath != 0 {
		p.luck.die = 0
	}
	if c.calm&calmSync != 0 {
		p.luck.syncSlow = 0
	}
	if c.calm&calmClocks != 0 {
		p.clockOff, p.clockDrift = [maxNodes]int64{}, [maxNodes]int64{}
	}
}

// minimise takes out of a failing plan whatever it fails without, in ever smaller pieces, and returns
// the smallest cut found. fails runs a cut; budget is how often it may.
func minimise(c Cut, ops, faults int, budget int, fails func(Cut) bool) Cut {
	try := func(next Cut) bool {
		if budget--; budget >= 0 && fails(next) {
			c = next
			return true
		}
		return false
	}
	for again := true; again && budget > 0; {
		again = false
		for bit := calm(1); bit < calmAll; bit <<= 1 {
			if c.calm&bit == 0 {
				next := c
				next.calm |= bit
				again = try(next) || again
			}
		}
		again = shrink(&c, faults, func(c *Cut) []byte { return c.faults[:] }, try) || again
		again = shrink(&c, ops, func(c *Cut) []byte { return c.ops[:] }, try) || again
	}
	return c
}

// shrink tries to take out runs of what is left, from half of it down to single ones.
func shrink(c *Cut, total int, mask func(*Cut) []byte, try func(Cut) bool) (some bool) {
	for size := (total + 1) / 2; size > 0; size /= 2 {
		for from := 0; from < total; from += size {
			next, changed := *c, false
			for i := from; i < min(from+size, total); i++ {
				if !bit(mask(&next), i) {
					flip(mask(&next), i)
					changed = true
				}
			}
			if changed && try(next) {
				some = true
			}
		}
	}
	return some
}
