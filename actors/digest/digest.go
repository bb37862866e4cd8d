// Package digest computes the MD5 and SHA-256 of many streams in fewer cycles than one digest after
// the other takes: what has to be hashed at the same moment is hashed in step. See DESIGN.md for
// figures. Where a processor has nothing to offer, the standard library does it.
//
// A Hash is used by one goroutine; a Pool by any number. Write borrows its argument until it
// returns. Nothing here starts goroutines, and no Hash has to be closed.
package digest

import (
	"crypto/md5"
	"crypto/sha256"
	"runtime"
)

// Pool is where streams meet.
type Pool struct{ md5, both engine }

// New returns a pool.
func New() *Pool {
	p := &Pool{}
	p.md5.init(md5Kernels(), md5Form())
	p.both.init(bothKernels(), md5Form(), sha256Form())
	return p
}

// MD5 begins a stream of which the MD5 is wanted.
func (p *Pool) MD5() *Hash { return p.md5.stream() }

// MD5SHA256 begins a stream of which both are wanted. It costs little more than MD5.
func (p *Pool) MD5SHA256() *Hash { return p.both.stream() }

func (e *engine) init(k kernels, forms ...*form) {
	e.k, e.forms, e.max = k, forms, runtime.NumCPU()
}

func (e *engine) stream() *Hash {
	h := &Hash{e: e, job: job{wake: make(chan bool, 1)}}
	for i, f := range e.forms {
		h.job.sums[i] = f.init
	}
	return h
}

// Hash is one stream.
type Hash struct {
	e      *engine
	job    job // its sums are the state after all whole blocks
	length uint64
	buf    [blockSize]byte // the length%blockSize bytes that make no block yet
}

// Write implements io.Writer. It never fails.
func (h *Hash) Write(p []byte) (int, error) {
	n, have := len(p), int(h.length%blockSize)
	h.length += uint64(n)
	if have > 0 {
		k := copy(h.buf[have:], p)
		if p = p[k:]; have+k < blockSize {
			return n, nil
		}
		h.blocks(h.buf[:])
	}
	if whole := len(p) &^ (blockSize - 1); whole > 0 {
		h.blocks(p[:whole])
		p = p[whole:]
	}
	copy(h.buf[:], p)
	return n, nil
}

// blocks hashes whole blocks.
func (h *Hash) blocks(p []byte) {
	h.job.data = p
	if len(p) < smallWrite {
		h.e.one(&h.job, len(p))
	} else {
		h.e.hash(&h.job)
	}
	h.job.data = nil
}

// MD5 is the MD5 of what was written until now.
func (h *Hash) MD5() (sum [md5.Size]byte) {
	h.sum(0, sum[:0])
	return sum
}

// SHA256 is the SHA-256 of what was written until now to a Hash made by MD5SHA256.
func (h *Hash) SHA256() (sum [sha256.Size]byte) {
	h.sum(1, sum[:0])
	return sum
}

func (h *Hash) sum(i int, b []byte) {
	h.e.forms[i].standard(&h.job.sums[i], h.buf[:h.length%blockSize], h.length).Sum(b)
}
