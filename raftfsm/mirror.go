package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/state"
)

// mirror carries applied states to the drives' copies and puts a state in force once W of them hold
// it durably. One goroutine per copy writes whatever is newest when it is free, so states that come
// while it writes go out together; a slow or failing drive holds nobody up. One goroutine publishes.
type mirror struct {
	node   cluster.NodeID
	w      int
	limits limits
	log    *slog.Logger

	visible atomic.Pointer[state.State] // in force; never nil; stored with mu held

	ctx    context.Context // ends the goroutines; the mirror's lifetime, not a request's
	cancel context.CancelFunc
	wg     sync.WaitGroup
	wake   chan struct{} // to the publisher: some copy got on

	mu      sync.Mutex
	target  *state.State                    // newest applied; guarded by mu
	workers map[cluster.DriveID]*copyWriter // guarded by mu
	settled *state.State                    // visible and all hooks have returned; guarded by mu
	changed chan struct{}                   // closed and replaced when settled or a worker changes; guarded by mu
	hooks   []func(old, new *state.State)   // guarded by mu
}

// copyWriter is the goroutine of one copy.
type copyWriter struct {
	copy   Copy
	cancel context.CancelFunc
	done   chan struct{}
	wake   chan struct{}

	// guarded by mirror.mu:
	synced *state.State // what the copy holds durably, as far as known; nil = nothing
	err    error        // why the last write failed; nil = in service
	tried  bool         // wrote, or tried to, since it joined
}

func newMirror(node cluster.NodeID, w int, l limits, log *slog.Logger, first *state.State) *mirror {
	ctx, cancel := context.WithCancel(context.Background())
	m := &mirror{
		node: node, w: w, limits: l, log: log, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1),
		target: first, settled: first, workers: map[cluster.DriveID]*copyWriter{}, changed: make(chan struct{}),
	}
	m.visible.Store(first)
	m.wg.Add(1)
	go m.publish()
	return m
}

func (m *mirror) close() {
	m.cancel()
	m.wg.Wait()
}

// onApply adds a hook. It sees every state that comes into force after the one returned.
func (m *mirror) onApply(f func(old, new *state.State)) *state.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hooks = append(m.hooks, f)
	return m.visible.Load()
}

// offer takes a state that was applied. Raft replays entries after a start; what is not newer than
// the state in force is passed over.
func (m *mirror) offer(s *state.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !newer(s, m.target) {
		return
	}
	m.target = s
	for _, w := range m.workers {
		notify(w.wake)
	}
}

// newest is the newest state that was applied.
func (m *mirror) newest() *state.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.target
}

func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default: // it is awake, or will be
	}
}

// add starts the writer of a copy that is known to hold the state have (nil: not known). A writer
// for the same drive is replaced.
func (m *mirror) add(c Copy, have *state.State) {
	m.remove(c.ID())
	ctx, cancel := context.WithCancel(m.ctx)
	w := &copyWriter{copy: c, cancel: cancel, done: make(chan struct{}), wake: make(chan struct{}, 1), synced: have}
	w.wake <- struct{}{}
	m.mu.Lock()
	m.workers[c.ID()] = w
	m.mu.Unlock()
	m.wg.Add(1)
	go m.write(ctx, w)
}

// remove stops the writer of a drive and waits for it.
func (m *mirror) remove(id cluster.DriveID) {
	m.mu.Lock()
	w := m.workers[id]
	delete(m.workers, id)
	m.broadcast()
	m.mu.Unlock()
	if w != nil {
		w.cancel()
		<-w.done
	}
}

// broadcast wakes everyone who waits for the mirror. mu is held.
func (m *mirror) broadcast() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// available counts the copies in service.
func (m *mirror) available() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, w := range m.workers {
		if w.err == nil {
			n++
		}
	}
	return n
}

// write is the goroutine of one copy.
func (m *mirror) write(ctx context.Context, w *copyWriter) {
	defer m.wg.Done()
	defer close(w.done)
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-retry.C:
		}
		for {
			m.mu.Lock()
			next, have, failed := m.target, w.synced, w.err != nil
			m.mu.Unlock()
			if !next.Born() || have == next && !failed {
				m.note(w, have, nil)
				break
			}
			err := m.store(ctx, w, have, next, failed)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				m.note(w, have, err)
				retry.Reset(m.limits.copyRetry)
				break
			}
			m.note(w, next, nil)
		}
	}
}

func (m *mirror) store(ctx context.Context, w *copyWriter, have, next *state.State, failed bool) error {
	ctx, cancel := context.WithTimeout(ctx, m.limits.copyWrite)
	defer cancel()
	meta := metaOf(next, m.node)
	if have == nil || failed { // after a failure the batch may or may not be there
		return replace(ctx, w.copy, meta, next)
	}
	put, del := state.Diff(have, next)
	if len(put)+len(del) == 0 && have.Index() == next.Index() && have.Term() == next.Term() {
		return nil
	}
	return w.copy.StoreControl(ctx, meta, put, del)
}

// note records how a write ended.
func (m *mirror) note(w *copyWriter, synced *state.State, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err != nil && w.err == nil:
		m.log.Warn("control state not stored on a drive", "drive", w.copy.ID().String(), "err", err)
	case err == nil && w.err != nil:
		m.log.Info("control state stored on a drive again", "drive", w.copy.ID().String())
	}
	w.synced, w.err, w.tried = synced, err, true
	m.broadcast()
	notify(m.wake)
}

// publish is the goroutine that puts states in force.
func (m *mirror) publish() {
	defer m.wg.Done()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.wake:
		}
		m.mu.Lock()
		next, hooks := m.chosen(), slices.Clone(m.hooks)
		old := m.visible.Load()
		come := next != nil && newer(next, old)
		if come {
			m.visible.Store(next)
		}
		m.mu.Unlock()
		if !come {
			continue
		}
		for _, f := range hooks {
			f(old, next)
		}
		m.mu.Lock()
		m.settled = next
		m.broadcast()
		m.mu.Unlock()
	}
}

// chosen is the newest state that W copies hold durably: of those in service, the W-th newest. mu is held.
func (m *mirror) chosen() *state.State {
	var held []*state.State
	for _, w := range m.workers {
		if w.synced != nil && w.err == nil {
			held = append(held, w.synced)
		}
	}
	if len(held) < m.w {
		return nil
	}
	slices.SortFunc(held, func(a, b *state.State) int {
		switch {
		case newer(a, b):
			return -1
		case newer(b, a):
			return 1
		}
		return 0
	})
	return held[m.w-1]
}

// wait returns when cond holds, which is looked at, with mu held, after each change.
func (m *mirror) wait(ctx context.Context, cond func() bool) error {
	for {
		m.mu.Lock()
		ok, changed := cond(), m.changed
		m.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-m.ctx.Done():
			return ErrClosed
		}
	}
}

// settle returns when the change at index is in force and its hooks have returned.
func (m *mirror) settle(ctx context.Context, index uint64) error {
	err := m.wait(ctx, func() bool { return m.settled.Index() >= index })
	if errors.Is(err, context.DeadlineExceeded) && m.available() < m.w {
		return fmt.Errorf("%w: %w", err, m.shortage())
	}
	return err
}

// shortage says that too few copies are in service.
func (m *mirror) shortage() error {
	return fmt.Errorf("%w: %d of the %d needed", cluster.ErrControlQuorum, m.available(), m.w)
}

// caughtUp returns when the copies hold the target: W of them, or all that could be written to.
func (m *mirror) caughtUp(ctx context.Context) error {
	return m.wait(ctx, func() bool {
		held, pending := 0, 0
		for _, w := range m.workers {
			switch {
			case w.tried && w.err == nil && w.synced == m.target:
				held++
			case !w.tried || w.err == nil:
				pending++
			}
		}
		return held >= m.w || pending == 0
	})
}

// joined returns when one drive's copy holds the target, or its write failed.
func (m *mirror) joined(ctx context.Context, id cluster.DriveID) error {
	var failed error
	err := m.wait(ctx, func() bool {
		w := m.workers[id]
		if w == nil {
			failed = fmt.Errorf("drive %s: copy was taken out of service", id)
			return true
		}
		failed = w.err
		return w.err != nil || w.tried && w.synced == m.target
	})
	return errors.Join(err, failed)
}
