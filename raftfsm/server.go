package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"holdfast/raftfsm/state"
)

// server is a running raft server on its directory.
type server struct {
	dir   *directory
	raft  *raft.Raft
	trans *raft.InmemTransport
	// close stops the server; it is idempotent.
	close func() error
}

// serve starts raft on an open directory.
func (n *Node) serve(d *directory) (*server, error) {
	c := raft.DefaultConfig()
	c.LocalID = d.id.serverID()
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = n.o.Timeout, n.o.Timeout, n.o.Timeout
	c.CommitTimeout = min(c.CommitTimeout, n.o.Timeout)
	c.ShutdownOnRemove = false
	c.SnapshotThreshold, c.TrailingLogs = 1024, 1024
	c.Logger = raftLogger(n.log)
	_, trans := raft.NewInmemTransport(address(c.LocalID))
	f := &fsm{current: state.New(), offer: n.mirror.offer}
	r, err := raft.NewRaft(c, f, d.log, d.log, d.snaps, trans)
	if err != nil {
		return nil, fmt.Errorf("start raft in %s: %w", d.path, err)
	}
	return &server{dir: d, raft: r, trans: trans, close: sync.OnceValue(func() error {
		stopped := r.Shutdown()
		d.log.Release() // raft may be waiting in a log that failed
		return errors.Join(stopped.Error(), trans.Close(), d.close())
	})}, nil
}

// leads reports whether the server can take changes.
func (s *server) leads() bool { return s.raft.State() == raft.Leader }

// watch moves the raft directory to another drive when its log has failed.
func (n *Node) watch(s *server) {
	defer n.wg.Done()
	if n.o.Elsewhere == nil {
		n.watchOnly(s)
		return
	}
	retry := time.NewTimer(0)
	defer retry.Stop()
	failed := map[string]bool{} // places where it failed before
	for {
		select {
		case <-s.dir.log.Failed():
		case <-n.stop:
			return
		}
		n.log.Error("raft log failed, configuration cannot change until it has moved to another drive",
			"dir", s.dir.path, "err", s.dir.log.Err())
		failed[s.dir.path] = true
		for moved := (*server)(nil); moved == nil; {
			select {
			case <-retry.C:
			case <-n.stop:
				return
			}
			if moved = n.move(s, failed); moved != nil {
				s = moved
			}
			retry.Reset(n.limits.moveRetry)
		}
	}
}

// watchOnly says that the log has failed.
func (n *Node) watchOnly(s *server) {
	select {
	case <-s.dir.log.Failed():
		n.log.Error("raft log failed, configuration cannot change until the node is opened again",
			"dir", s.dir.path, "err", s.dir.log.Err())
	case <-n.stop:
	}
}

// move founds a new raft server on another drive, in place of one whose log has failed. What that
// one had applied is what the new one begins with; what it had only logged was not answered. It
// returns nil if no place will do now.
func (n *Node) move(from *server, failed map[string]bool) *server {
	places := n.o.Elsewhere()
	slices.SortStableFunc(places, func(a, b string) int { return rank(failed[a]) - rank(failed[b]) })
	for _, path := range places {
		if path == from.dir.path {
			continue
		}
		if err := from.close(); err != nil { // expected of a failed one
			n.log.Debug("failed raft server closed", "dir", from.dir.path, "err", err)
		}
		s, err := n.take(path)
		if err != nil {
			n.log.Warn("raft directory cannot move there", "dir", path, "err", err)
			continue
		}
		n.server.Store(s)
		n.log.Info("raft directory moved", "from", from.dir.path, "dir", path)
		return s
	}
	return nil
}

// rank puts places where the log failed before behind the others.
func rank(failed bool) int {
	if failed {
		return 1
	}
	return 0
}

// take starts a new server at the newest state that was applied.
func (n *Node) take(path string) (*server, error) {
	newest := n.mirror.newest()
	if !newest.Born() {
		return nil, ErrNoState
	}
	d, err := n.found(path, n.id.node, newest, errors.New("it was left behind by an earlier move"))
	if err != nil {
		return nil, err
	}
	s, err := n.serve(d)
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return s, nil
}

// awaitLeader returns the server when it leads. It looks every few milliseconds while there is no
// leader, because raft's channel of notices may skip some.
func (n *Node) awaitLeader(ctx context.Context) (*server, error) {
	if s := n.server.Load(); s.leads() {
		return s, nil
	}
	look := time.NewTicker(max(n.o.Timeout/10, time.Millisecond))
	defer look.Stop()
	for {
		select {
		case <-look.C:
			s := n.server.Load()
			if s.leads() {
				return s, nil
			}
			if err := s.dir.log.Err(); err != nil && n.o.Elsewhere == nil {
				return nil, err // it will not come back
			}
		case <-n.stop:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
