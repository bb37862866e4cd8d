package main

import (
	"bytes"
	"crypto/md5" // an ETag of S3 is an MD5
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
)

// minPart is the least size of all parts of an upload but the last.
const minPart = 5 << 20

// content is the body of one write. Its bytes follow from the run's seed and its number.
type content struct {
	seed, number uint64
	size         int
	parts        int // 0: written at once
}

// bytes makes the content. ChaCha is fast enough to make it anew for each comparison.
func (c content) bytes() []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], c.seed)
	binary.LittleEndian.PutUint64(seed[8:], c.number)
	b := make([]byte, c.size)
	rand.NewChaCha8(seed).Read(b)
	return b
}

// part is the i-th of c.parts of body b.
func (c content) part(b []byte, i int) []byte {
	if i == c.parts-1 {
		return b[i*minPart:]
	}
	return b[i*minPart : (i+1)*minPart]
}

func (c content) etag(b []byte) string {
	if c.parts == 0 {
		sum := md5.Sum(b)
		return hex.EncodeToString(sum[:])
	}
	all := md5.New()
	for i := range c.parts {
		sum := md5.Sum(c.part(b, i))
		all.Write(sum[:])
	}
	return fmt.Sprintf("%x-%d", all.Sum(nil), c.parts)
}

// Errors of a body that was read.
var (
	errForeign = errors.New("its ETag is of nothing that was ever written here")
	errBytes   = errors.New("its bytes are not those that its ETag stands for")
)

// library knows the content that each ETag stands for. It is safe for concurrent use.
type library struct {
	seed  uint64
	mu    sync.Mutex
	next  uint64             // guarded by mu
	books map[string]content // guarded by mu, by ETag
}

func newLibrary(seed uint64) *library { return &library{seed: seed, books: map[string]content{}} }

// add makes a new content and its body and knows it from now on.
func (l *library) add(size, parts int) (body []byte, etag string) {
	l.mu.Lock()
	l.next++
	c := content{l.seed, l.next, size, parts}
	l.mu.Unlock()
	body = c.bytes()
	etag = c.etag(body)
	l.mu.Lock()
	l.books[etag] = c
	l.mu.Unlock()
	return body, etag
}

// size checks what a HEAD or a LIST says of an object.
func (l *library) size(etag string, size int64) error {
	l.mu.Lock()
	c, ok := l.books[etag]
	l.mu.Unlock()
	switch {
	case !ok:
		return errForeign
	case int64(c.size) != size:
		return fmt.Errorf("%w: %d bytes, want %d", errBytes, size, c.size)
	}
	return nil
}

// body checks what a GET brought, which began at byte from of the object.
func (l *library) body(etag string, from int, b []byte, whole bool) error {
	l.mu.Lock()
	c, ok := l.books[etag]
	l.mu.Unlock()
	if !ok {
		return errForeign
	}
	want := c.bytes()
	if from > len(want) || whole && len(b) != len(want) || !bytes.HasPrefix(want[from:], b) {
		return fmt.Errorf("%w: %d bytes from %d, of %d in %d parts", errBytes, len(b), from, c.size, c.parts)
	}
	return nil
}
