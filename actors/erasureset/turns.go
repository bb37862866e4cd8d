package erasureset

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"holdfast/actors/object"
)

// turns puts the changes that this store makes to a key in one order, first come first served.
type turns struct {
	shards [64]struct {
		mu    sync.Mutex
		lines map[object.Key][]*ticket // guarded by mu: first = the holder
	}
}

type ticket struct{ turn chan struct{} }

// take waits for the key's turn; who got it gives it back with the ticket.
func (l *turns) take(ctx context.Context, t *target) (*ticket, error) {
	s := &l.shards[t.id%64]
	me := &ticket{}
	s.mu.Lock()
	if s.lines == nil {
		s.lines = map[object.Key][]*ticket{}
	}
	line := append(s.lines[t.key], me)
	s.lines[t.key] = line
	if len(line) == 1 {
		s.mu.Unlock()
		return me, nil
	}
	me.turn = make(chan struct{})
	s.mu.Unlock()
	select {
	case <-me.turn:
		return me, nil
	case <-ctx.Done():
		l.give(t, me)
		return nil, fmt.Errorf("wait for the key's turn: %w", ctx.Err())
	}
}

// give takes a ticket out of the line, whether it waits or had its turn.
func (l *turns) give(t *target, me *ticket) {
	s := &l.shards[t.id%64]
	s.mu.Lock()
	defer s.mu.Unlock()
	line := s.lines[t.key]
	i := slices.Index(line, me)
	switch {
	case i < 0:
	case len(line) == 1:
		delete(s.lines, t.key)
	default:
		line = slices.Delete(line, i, i+1)
		s.lines[t.key] = line
		if i == 0 {
			close(line[0].turn)
		}
	}
}
