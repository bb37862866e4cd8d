package main

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets whose width is 1/64 of their power of two, so that a
// percentile is off by at most 1.6 %. One worker owns one; they are merged when the load has ended.
type histogram struct {
	count [64 * subBuckets]uint64
	total uint64
}

const (
	subBits    = 6
	subBuckets = 1 << subBits
)

func (h *histogram) add(d time.Duration) {
	h.count[bucketOf(uint64(max(d, 0)))]++
	h.total++
}

func bucketOf(v uint64) int {
	if v < subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - subBits
	return (shift+1)*subBuckets + int(v>>shift) - subBuckets
}

// upper is the largest duration that falls into bucket i.
func upper(i int) time.Duration {
	if i < subBuckets {
		return time.Duration(i)
	}
	shift := i/subBuckets - 1
	return time.Duration((uint64(i%subBuckets+subBuckets+1) << shift) - 1)
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.count {
		h.count[i] += n
	}
	h.total += o.total
}

// percentile returns the duration that p (0..1) of all counted ones do not exceed.
func (h *histogram) percentile(p float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(p * float64(h.total))
	seen := uint64(0)
	for i, n := range h.count {
		seen += n
		if n > 0 && seen > rank {
			return upper(i)
		}
	}
	return h.max()
}

func (h *histogram) max() time.Duration {
	for i := len(h.count) - 1; i >= 0; i-- {
		if h.count[i] > 0 {
			return upper(i)
		}
	}
	return 0
}
