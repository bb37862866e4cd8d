package erasureset

import (
	"crypto/md5"
	"hash"
	"sync"

	md5simd "github.com/minio/md5-simd"
)

// simdSize is the body size from which a stream may be hashed in lanes.
const simdSize = 1 << 20

// hashes hands out MD5 states. With enough streams at once the lanes of one server hash faster per
// core than each stream for itself; with few they are slower (DESIGN.md beside this file).
type hashes struct {
	min    int
	mu     sync.Mutex
	active int            // guarded by mu: streams of simdSize and more
	server md5simd.Server // guarded by mu: started when first needed
}

type md5Hash struct {
	hash.Hash
	done func()
}

// get returns a state for a body of size bytes; done must be called in the end.
func (h *hashes) get(size int64) md5Hash {
	if size < simdSize {
		return md5Hash{md5.New(), func() {}}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active++
	if h.active < h.min {
		return md5Hash{md5.New(), h.leave}
	}
	if h.server == nil {
		h.server = md5simd.NewServer()
	}
	lane := h.server.NewHash()
	return md5Hash{lane, func() { lane.Close(); h.leave() }}
}

func (h *hashes) leave() {
	h.mu.Lock()
	h.active--
	h.mu.Unlock()
}

func (h *hashes) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.server != nil {
		h.server.Close()
		h.server = nil
	}
}
