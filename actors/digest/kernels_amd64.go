//go:build !purego

package digest

import (
	"unsafe"

	"github.com/klauspost/cpuid/v2"
)

// md5x2 hashes as many blocks of two streams, md5x8 of eight.

//go:noescape
func md5x2(s0, s1 *state, p0, p1 *byte, blocks int)

//go:noescape
func md5x8(s *[4][8]uint32, p *[8]*byte, blocks int)

// bothx2 computes MD5 and SHA-256 of two streams.
//
//go:noescape
func bothx2(m0, m1, s0, s1 *state, p0, p1 *byte, blocks int)

// md5Kernels are what this processor can do.
func md5Kernels() kernels {
	k := kernels{width: 2, two: func(a, b *job, blocks int) {
		md5x2(&a.sums[0], &b.sums[0], unsafe.SliceData(a.data), unsafe.SliceData(b.data), blocks)
	}}
	if cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512VL, cpuid.AVX2) {
		k.width, k.eight = 8, md5Eight
	}
	return k
}

func bothKernels() kernels {
	if !cpuid.CPU.Supports(cpuid.SHA, cpuid.SSSE3, cpuid.SSE4) {
		return kernels{width: 1}
	}
	return kernels{width: 2, alone: true, two: func(a, b *job, blocks int) {
		bothx2(&a.sums[0], &b.sums[0], &a.sums[1], &b.sums[1], unsafe.SliceData(a.data), unsafe.SliceData(b.data), blocks)
	}}
}

// md5Eight hashes blocks of at most eight streams. What no stream needs repeats the first one.
func md5Eight(jobs []*job, blocks int) {
	var s [4][8]uint32
	var p [8]*byte
	for i := range p {
		p[i] = unsafe.SliceData(jobs[0].data)
		if i < len(jobs) {
			p[i] = unsafe.SliceData(jobs[i].data)
			for w := range s {
				s[w][i] = jobs[i].sums[0][w]
			}
		}
	}
	md5x8(&s, &p, blocks)
	for i, j := range jobs {
		for w := range s {
			j.sums[0][w] = s[w][i]
		}
	}
}
