package drive

import (
	"sync"

	"holdfast/actors/object"
	"holdfast/actors/quorum"
)

// pins are the shards that readers hold under a name (I21), so that a reader whose answer was lost can
// be told to let go of what it never saw. A reader that is closed is no pin any more.
type pins struct {
	mu    sync.Mutex
	named map[quorum.PinID][]*pinnedShard // guarded by mu
}

// pinnedShard is a ShardReader that a pin holds too.
type pinnedShard struct {
	ShardReader
	of   *pins
	id   quorum.PinID
	ref  object.VersionRef
	once sync.Once
	err  error
}

// add names a reader.
func (p *pins) add(id quorum.PinID, ref object.VersionRef, r ShardReader) ShardReader {
	s := &pinnedShard{ShardReader: r, of: p, id: id, ref: ref}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.named == nil {
		p.named = map[quorum.PinID][]*pinnedShard{}
	}
	p.named[id] = append(p.named[id], s)
	return s
}

// Close ends the pin too. It is idempotent.
func (s *pinnedShard) Close() error {
	s.once.Do(func() {
		s.of.mu.Lock()
		list := s.of.named[s.id]
		for i := range list {
			if list[i] == s {
				list = append(list[:i:i], list[i+1:]...)
				break
			}
		}
		if len(list) == 0 {
			delete(s.of.named, s.id)
		} else {
			s.of.named[s.id] = list
		}
		s.of.mu.Unlock()
		s.err = s.ShardReader.Close()
	})
	return s.err
}

var _ WarmReader = (*pinnedShard)(nil)

// ReadWarm implements WarmReader, if the reader does.
func (s *pinnedShard) ReadWarm(buf []byte, off int64, n int) ([]byte, bool) {
	if r, ok := s.ShardReader.(WarmReader); ok {
		return r.ReadWarm(buf, off, n)
	}
	return nil, false
}

// pinned answers what concerns pins alone: ReqFetch, whether a shard is pinned, and ReqUnpin.
func (a *Actor) pinned(req *Request, reply *Reply) error {
	if err := a.usable(); err != nil {
		return err
	}
	reply.Kind, reply.Judge = req.Kind, a.set(req.Set).State == quorum.SlotInSync
	p := &a.pins
	p.mu.Lock()
	if req.Kind == quorum.ReqFetch {
		for _, list := range p.named {
			for _, s := range list {
				reply.OK = reply.OK || s.ref == req.Version.Ref
			}
		}
		p.mu.Unlock()
		return nil
	}
	list := append([]*pinnedShard(nil), p.named[req.Pin]...)
	p.mu.Unlock()
	reply.OK = true
	for _, s := range list {
		_ = s.Close() // nothing was written through it
	}
	return nil
}
