package segment

import (
	"container/list"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/guardfs"
	"holdfast/actors/ondisk"
)

// files keeps a bounded number of segment files open. A writer holds on to the file it wrote until
// it has synced: Linux may forget a writeback error once no descriptor is left to report it to.
type files struct {
	s   *Store
	max int

	mu    sync.Mutex
	open  map[fileKey]*handle // guarded by mu
	idle  *list.List          // guarded by mu: *handle without users, least recently used first
	count int                 // guarded by mu: handles that are open
}

type fileKey struct {
	no   uint32
	mode fileMode
}

// fileMode says what a descriptor is for. Readers do not get one for writing: opening for writing
// creates what is missing.
type fileMode uint8

const (
	forRead fileMode = iota
	forWrite
	forDirect // writing past the page cache
)

// handle is one open file with its users.
type handle struct {
	key  fileKey
	file vfs.File
	refs int           // guarded by files.mu
	elem *list.Element // guarded by files.mu: place in idle, nil while used
	drop bool          // guarded by files.mu: close when the last user is gone
}

func newFiles(s *Store, max int) *files {
	return &files{s: s, max: max, open: map[fileKey]*handle{}, idle: list.New()}
}

// get returns an open file; put gives it back. Two goroutines that miss at once both open it, and
// one of the two handles is closed after use.
func (fs *files) get(no uint32, mode fileMode) (*handle, error) {
	key := fileKey{no, mode}
	fs.mu.Lock()
	if h := fs.open[key]; h != nil {
		fs.use(h)
		fs.mu.Unlock()
		return h, nil
	}
	fs.mu.Unlock()

	f, err := fs.s.openFile(no, mode)
	if err != nil {
		return nil, err
	}
	fs.mu.Lock()
	h := &handle{key: key, file: f, refs: 1}
	if other := fs.open[key]; other != nil {
		fs.use(other)
		fs.mu.Unlock()
		_ = f.Close() // nothing was written through it
		return other, nil
	}
	fs.open[key] = h
	fs.count++
	evict := fs.evict()
	fs.mu.Unlock()
	closeAll(evict, fs.s.log)
	return h, nil
}

// use counts one more user. fs.mu is held.
func (fs *files) use(h *handle) {
	h.refs++
	if h.elem != nil {
		fs.idle.Remove(h.elem)
		h.elem = nil
	}
}

// put gives a file back.
func (fs *files) put(h *handle) {
	fs.mu.Lock()
	h.refs--
	var evict []*handle
	if h.refs == 0 {
		if h.drop {
			fs.count--
			evict = []*handle{h}
		} else {
			h.elem = fs.idle.PushBack(h)
			evict = fs.evict()
		}
	}
	fs.mu.Unlock()
	closeAll(evict, fs.s.log)
}

// evict takes out the handles that are too many. fs.mu is held; the caller closes them after.
func (fs *files) evict() (out []*handle) {
	for fs.count > fs.max && fs.idle.Len() > 0 {
		h := fs.idle.Remove(fs.idle.Front()).(*handle)
		h.elem = nil
		delete(fs.open, h.key)
		fs.count--
		out = append(out, h)
	}
	return out
}

// drop forgets a segment's files, which are about to be removed.
func (fs *files) drop(no uint32) {
	var evict []*handle
	fs.mu.Lock()
	for _, mode := range []fileMode{forRead, forWrite, forDirect} {
		key := fileKey{no, mode}
		h := fs.open[key]
		if h == nil {
			continue
		}
		delete(fs.open, key)
		if h.elem != nil {
			fs.idle.Remove(h.elem)
			h.elem = nil
			fs.count--
			evict = append(evict, h)
		} else {
			h.drop = true
		}
	}
	fs.mu.Unlock()
	closeAll(evict, fs.s.log)
}

// close closes all files without users and sees to it that the others go with their last one.
func (fs *files) close() {
	fs.mu.Lock()
	var out []*handle
	for key, h := range fs.open {
		delete(fs.open, key)
		if h.refs == 0 {
			out = append(out, h)
			fs.count--
		} else {
			h.drop = true
		}
	}
	fs.idle.Init()
	fs.mu.Unlock()
	closeAll(out, fs.s.log)
}

func closeAll(hs []*handle, log *slog.Logger) {
	for _, h := range hs {
		if err := h.file.Close(); err != nil {
			log.Warn("closing a segment file", "segment", h.key.no, "err", err)
		}
	}
}

// openFile opens a segment file and refuses one that belongs elsewhere. A header that fails its
// checksum is no reason to refuse: every frame says itself whose it is.
func (s *Store) openFile(no uint32, mode fileMode) (vfs.File, error) {
	name := s.path(no)
	if mode != forRead {
		f, err := s.fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
		if err == nil && mode == forDirect && !guardfs.SetDirect(f) {
			s.direct.Store(false)
		}
		return f, err
	}
	f, err := s.fs.Open(name)
	if err != nil {
		return nil, err
	}
	var b [ondisk.SegmentHeaderSize]byte
	if _, err := f.ReadAt(b[:], 0); err == nil {
		h, err := ondisk.DecodeSegmentHeader(b[:])
		switch {
		case err != nil:
			s.log.Warn("damaged segment header", "segment", no, "err", err)
		case h.Drive != s.drive || h.Segment != no:
			_ = f.Close()
			return nil, fmt.Errorf("%w: segment file %s is segment %d of drive %s", ondisk.ErrCorrupt, name, h.Segment, h.Drive)
		}
	}
	return f, nil
}
