package erasure

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/reedsolomon"
)

var (
	// ErrTooFewShards is returned when fewer than k shards are present.
	ErrTooFewShards = errors.New("too few shards to reconstruct")
	// ErrSelfTest is returned when the code of this build and processor gives other parity than the released one.
	ErrSelfTest = errors.New("erasure code self-test failed")
)

// smallShard is the shard size below which coding stays in the calling goroutine: requests run in
// parallel already, and handing 256 KiB to another core costs more than it saves.
const smallShard = 256 << 10

// Codec encodes and reconstructs for any geometry, keeping one encoder per shape.
type Codec struct {
	mu       sync.RWMutex
	encoders map[shape]*encoders // guarded by mu
}

type shape struct{ k, m int }

type encoders struct{ small, large reedsolomon.Encoder }

// NewCodec returns a codec that has shown to produce the parity of the golden sums.
func NewCodec() (*Codec, error) {
	c := &Codec{encoders: map[shape]*encoders{}}
	if err := c.selfTest(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Codec) get(k, m int) (*encoders, error) {
	s := shape{k, m}
	c.mu.RLock()
	e := c.encoders[s]
	c.mu.RUnlock()
	if e != nil {
		return e, nil
	}
	small, err := reedsolomon.New(k, m, reedsolomon.WithMaxGoroutines(1))
	if err != nil {
		return nil, fmt.Errorf("erasure code %d+%d: %w", k, m, err)
	}
	large, err := reedsolomon.New(k, m, reedsolomon.WithAutoGoroutines(1<<20))
	if err != nil {
		return nil, fmt.Errorf("erasure code %d+%d: %w", k, m, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e = c.encoders[s]; e == nil {
		e = &encoders{small: small, large: large}
		c.encoders[s] = e
	}
	return e, nil
}

// Encode fills shards[k:] with the parity of shards[:k]. All have one length.
func (c *Codec) Encode(k int, shards [][]byte) error {
	m := len(shards) - k
	if m == 0 || len(shards[0]) == 0 {
		return nil
	}
	e, err := c.get(k, m)
	if err != nil {
		return err
	}
	enc := e.large
	if len(shards[0]) <= smallShard {
		enc = e.small
	}
	if err := enc.Encode(shards); err != nil {
		return fmt.Errorf("erasure code %d+%d: encode: %w", k, m, err)
	}
	return nil
}

// Reconstruct fills those shards that are wanted and missing. A missing shard has length 0; its
// capacity is used if it suffices. At least k others must be present, all of one length.
func (c *Codec) Reconstruct(k int, shards [][]byte, want []bool) error {
	m, have := len(shards)-k, 0
	for _, s := range shards {
		if len(s) > 0 {
			have++
		}
	}
	if have < k {
		return fmt.Errorf("%w: %d of %d", ErrTooFewShards, have, k)
	}
	if m == 0 {
		return nil
	}
	e, err := c.get(k, m)
	if err != nil {
		return err
	}
	if err := e.small.ReconstructSome(shards, want); err != nil {
		return fmt.Errorf("erasure code %d+%d: reconstruct: %w", k, m, err)
	}
	return nil
}

// golden holds, for k = m = 1..8, the CRC32C of the parity of the pattern of selfTest. These
// numbers are a disk format: whatever computes other ones cannot read what is stored.
var golden = [...]uint32{
	0x95463951, 0xf296d73a, 0x7fbe633f, 0x2ee31890, 0xce71457e, 0x6e91ce6a, 0xd0901275, 0x0d33197d,
}

// selfTest encodes a fixed pattern with every supported shape, compares the parity, and
// reconstructs the data from parity alone.
func (c *Codec) selfTest() error {
	for i, want := range golden {
		k := i + 1
		if got := c.patternSum(k); got != want {
			return fmt.Errorf("%w: %d+%d gives %08x, want %08x", ErrSelfTest, k, k, got, want)
		}
		shards := pattern(k)
		if err := c.Encode(k, shards); err != nil {
			return err
		}
		need := make([]bool, 2*k)
		for j := range k {
			shards[j], need[j] = nil, true
		}
		if err := c.Reconstruct(k, shards, need); err != nil {
			return err
		}
		for j, s := range pattern(k)[:k] {
			if !bytes.Equal(s, shards[j]) {
				return fmt.Errorf("%w: %d+%d reconstructs other data", ErrSelfTest, k, k)
			}
		}
	}
	return nil
}

// patternSum is the CRC32C of the parity of pattern(k), 0 on any error.
func (c *Codec) patternSum(k int) uint32 {
	shards := pattern(k)
	if err := c.Encode(k, shards); err != nil {
		return 0
	}
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	for _, s := range shards[k:] {
		sum.Write(s)
	}
	return sum.Sum32()
}

// pattern is k data shards of 1031 bytes (prime, so that vector code has a tail) and k empty ones.
func pattern(k int) [][]byte {
	const size = 1031
	shards := make([][]byte, 2*k)
	for i := range shards {
		shards[i] = make([]byte, size)
		for j := range shards[i] {
			if i < k {
				shards[i][j] = byte(i*31 + j*7 + j>>8)
			}
		}
	}
	return shards
}
