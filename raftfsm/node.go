// Package raftfsm is the control plane of one node: what the cluster agreed on (buckets,
// credentials, topology), kept by raft and, in full, on every local drive.
//
// It is the state machine (package state) behind hashicorp/raft, with the log in one directory on
// one drive, and a mirror that writes each applied state to the copies on the drives. A state is in
// force, and a change is answered, once W copies hold it durably; so any drive may be lost, the one
// with the log among them, and the rest knows everything that was answered. The raft directory can
// always be rebuilt: whatever is missing, damaged or out of date there is set aside and founded anew
// from the newest copy. DESIGN.md beside this file has the reasons.
//
// Readers call State, or a method that looks into it, from any goroutine and take no lock. What they
// get is immutable. The package writes nothing but its directory, and to the copies it was given;
// it never imports the data plane.
package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/command"
	"holdfast/raftfsm/seal"
	"holdfast/raftfsm/state"
)

// Options say what a node is made of.
type Options struct {
	// Cluster is the identity on the drives' labels.
	Cluster cluster.ID
	// Dir is the raft directory: a place on one of the drives whose parent exists. It may name
	// another drive than the last time; what is missing there is rebuilt from the copies.
	Dir string
	// Copies are the drives that are in service. More can join and leave (AddCopy, RemoveCopy).
	Copies []Copy
	// W is the number of copies that must hold a change before it is answered: n/2+1 of the n local
	// drives, present or not.
	W int
	// Birth makes a new cluster if there is no state. Without it a missing state is ErrNoState.
	Birth *Birth
	// Root are the root credentials; OldRoot those of before, if they changed.
	Root    seal.Credentials
	OldRoot *seal.Credentials
	Logger  *slog.Logger
	Metrics prometheus.Registerer // nil = none
	// Timeout is raft's heartbeat and election timeout. 0 = 50 ms, which is for one voter.
	Timeout time.Duration
}

// Birth describes a cluster that is to be made.
type Birth struct {
	Node     string // name of this node; may be empty
	Topology cluster.Topology
	Settings cluster.Settings
}

// limits bound how long things may take. They are fields so that tests need not wait.
type limits struct {
	load      time.Duration // reading one copy
	copyWrite time.Duration // writing one copy
	copyRetry time.Duration // until a failed write is tried again
	catchUp   time.Duration // bringing the copies up to date at start
	change    time.Duration // one change, when the caller sets no earlier deadline
}

func defaultLimits() limits {
	return limits{
		load: 10 * time.Second, copyWrite: 10 * time.Second, copyRetry: time.Second,
		catchUp: 5 * time.Second, change: 15 * time.Second,
	}
}

// Node is a running control plane.
type Node struct {
	o      Options
	limits limits
	log    *slog.Logger
	key    *seal.Key
	rewrap []byte // cluster key wrapped for changed root credentials; nil = none
	id     identity
	// complete says that enough copies were read at start to have seen everything that was ever answered.
	complete bool

	dir     *directory
	raft    *raft.Raft
	trans   *raft.InmemTransport
	mirror  *mirror
	metrics *metrics
	stop    chan struct{}
	wg      sync.WaitGroup

	mu     sync.Mutex
	closed bool // guarded by mu
}

// Open starts the control plane of a node. When it returns, the newest state that the copies hold is
// in force, whether or not raft has a leader yet; a cluster that was to be born is born.
func Open(ctx context.Context, o Options) (*Node, error) {
	return open(ctx, o, defaultLimits())
}

func open(ctx context.Context, o Options, l limits) (*Node, error) {
	if o.W < 1 || o.Cluster == (cluster.ID{}) || o.Logger == nil {
		return nil, fmt.Errorf("control plane: options lack a write quorum, a cluster or a logger")
	}
	if o.Timeout == 0 {
		o.Timeout = 50 * time.Millisecond
	}
	n := &Node{o: o, limits: l, log: o.Logger, stop: make(chan struct{})}
	loadCtx, cancel := context.WithTimeout(ctx, l.load)
	all := survey(loadCtx, o.Cluster, o.Copies)
	cancel()
	first, err := n.prepare(all)
	if err != nil {
		return nil, fmt.Errorf("control plane: %w", err)
	}
	birth, err := n.unlock(first)
	if err == nil {
		err = n.start(ctx, all, first)
	}
	if err != nil {
		n.dir.close() // the first error is the one that tells
		return nil, fmt.Errorf("control plane: %w", err)
	}
	if birth != nil {
		_, err = n.Apply(ctx, birth, By{Who: "server", Why: "the store is new"})
		if errors.Is(err, state.ErrBorn) { // by an entry that the last run could not mirror
			err = nil
		}
		n.complete = err == nil
	}
	if err == nil {
		err = n.rotate(ctx)
	}
	if err == nil {
		err = n.register()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("control plane: %w", err), n.Close())
	}
	return n, nil
}

// prepare opens the raft directory, after rebuilding it if it has to be, and returns the state that
// is to be in force first.
func (n *Node) prepare(all []found) (*state.State, error) {
	best := newest(all)
	var damaged error
	whole := 0
	for _, f := range all {
		switch {
		case f.state != nil:
			whole++
		case errors.Is(f.err, state.ErrNewer):
			return nil, f.err
		case !errors.Is(f.err, ErrNoCopy):
			n.log.Warn("copy of the control state cannot be used", "drive", f.copy.ID().String(), "err", f.err)
			damaged = errors.Join(damaged, f.err)
		}
	}
	quiet := raftLogger(n.log)
	var conflict bool
	d, err := openDirectory(n.o.Dir, n.o.Cluster, quiet, func(s *state.State) {
		if best.state != nil && s.Index() == best.state.Index() && s.Term() == best.state.Term() && s.RowDigest() != best.state.RowDigest() {
			conflict = true
		}
	})
	switch {
	case err == nil && conflict:
		err = fmt.Errorf("%w: it differs from the copies at entry %d", errDoubt, best.state.Index())
	case err == nil && best.state != nil && newer(best.state, d.state):
		err = fmt.Errorf("%w: it ends before entry %d that the copies hold", errDoubt, best.state.Index())
	case err == nil && best.state == nil && !d.state.Born() && (n.o.Birth == nil || damaged != nil):
		d.close() // it holds nothing yet
		return nil, errors.Join(ErrNoState, damaged)
	}
	if err == nil {
		n.dir, n.id = d, d.id
	} else {
		if d != nil {
			d.close() // it is given up
		}
		if err := n.found(best, damaged, err); err != nil {
			return nil, err
		}
		if n.dir, err = openDirectory(n.o.Dir, n.o.Cluster, quiet, func(*state.State) {}); err != nil {
			return nil, err
		}
	}
	if best.state == nil {
		best.state = n.dir.state
	}
	n.complete = whole > 0 && whole+n.o.W > len(best.state.Topology().Drives)
	return best.state, nil
}

// found makes a new raft directory, why being the reason the old one cannot be used.
func (n *Node) found(best found, damaged, why error) error {
	missing := errors.Is(why, fs.ErrNotExist)
	switch {
	case !doubtful(why):
		return why
	case best.state == nil && (damaged != nil || !missing && n.o.Birth == nil):
		return fmt.Errorf("%w: %w", ErrDamaged, errors.Join(why, damaged))
	case best.state == nil && n.o.Birth == nil:
		return ErrNoState
	}
	n.id = identity{cluster: n.o.Cluster, node: best.node, server: cluster.NewID()}
	if best.state == nil {
		n.id.node = cluster.NewID()
	}
	aside, err := setAside(n.o.Dir)
	if err != nil {
		return fmt.Errorf("raft directory %s: set aside: %w", n.o.Dir, err)
	}
	if aside != "" {
		n.log.Warn("raft directory set aside", "dir", n.o.Dir, "to", aside, "err", why)
	}
	if err := foundDirectory(n.o.Dir, n.id, best.state, raftLogger(n.log)); err != nil {
		return fmt.Errorf("raft directory %s: found: %w", n.o.Dir, err)
	}
	if best.state != nil {
		n.log.Info("raft founded from a copy of the control state", "dir", n.o.Dir,
			"drive", best.copy.ID().String(), "index", best.state.Index())
	}
	return nil
}

// unlock finds the cluster key, or makes one together with the command that begins the cluster.
func (n *Node) unlock(s *state.State) (birth *command.Birth, err error) {
	defer debug.FreeOSMemory() // argon2's 19 MiB would stay resident while the node idles
	if !s.Born() {
		n.key = seal.NewKey()
		birth = &command.Birth{
			Cluster: n.o.Cluster, Nodes: []cluster.Node{{ID: n.id.node, Name: n.o.Birth.Node}},
			Topology: n.o.Birth.Topology, Settings: n.o.Birth.Settings,
			Wrapped: seal.Stretch(n.o.Cluster, n.o.Root).Wrap(n.key),
		}
		birth.Topology.Drives = append([]cluster.Drive(nil), birth.Topology.Drives...)
		for i := range birth.Topology.Drives {
			birth.Topology.Drives[i].Node = n.id.node
		}
		return birth, nil
	}
	n.key, err = seal.Unwrap(n.o.Cluster, n.o.Root, s.Wrapped())
	if errors.Is(err, seal.ErrRootMismatch) && n.o.OldRoot != nil {
		n.key, err = seal.Unwrap(n.o.Cluster, *n.o.OldRoot, s.Wrapped())
		if err == nil {
			n.rewrap = seal.Stretch(n.o.Cluster, n.o.Root).Wrap(n.key)
		}
	}
	return nil, err
}

// start brings up mirror and raft.
func (n *Node) start(ctx context.Context, all []found, first *state.State) error {
	n.mirror = newMirror(n.id.node, n.o.W, n.limits, n.log, first)
	for _, f := range all {
		n.mirror.add(f.copy, f.state)
	}
	if first.Born() {
		catchUp, cancel := context.WithTimeout(ctx, n.limits.catchUp)
		if err := n.mirror.caughtUp(catchUp); err != nil {
			n.log.Warn("copies of the control state are behind", "err", err)
		}
		cancel()
	}
	c := raft.DefaultConfig()
	c.LocalID = n.id.serverID()
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = n.o.Timeout, n.o.Timeout, n.o.Timeout
	c.CommitTimeout = min(c.CommitTimeout, n.o.Timeout)
	c.ShutdownOnRemove = false
	c.SnapshotThreshold, c.TrailingLogs = 1024, 1024
	c.Logger = raftLogger(n.log)
	_, n.trans = raft.NewInmemTransport(address(c.LocalID))
	f := &fsm{current: state.New(), offer: n.mirror.offer}
	r, err := raft.NewRaft(c, f, n.dir.log, n.dir.log, n.dir.snaps, n.trans)
	if err != nil {
		n.mirror.close()
		return fmt.Errorf("start raft: %w", err)
	}
	n.raft, n.metrics = r, newMetrics(n)
	n.wg.Add(1)
	go n.watch()
	return nil
}

// watch says once that the log has failed.
func (n *Node) watch() {
	defer n.wg.Done()
	select {
	case <-n.dir.log.Failed():
		n.log.Error("raft log failed, configuration cannot change until the node is opened again",
			"dir", n.o.Dir, "err", n.dir.log.Err())
	case <-n.stop:
	}
}

// Failed is closed when the raft log can no longer be written. What is in force stays in force, but
// nothing can be changed until the node is closed and opened again, with Dir on another drive.
func (n *Node) Failed() <-chan struct{} { return n.dir.log.Failed() }

// Close stops raft first (it offers nothing more to the mirror), then the mirror (whose writers
// finish or give up), then closes the log. Stop the subscribers of OnApply after it, and the drives
// after that. It is idempotent.
func (n *Node) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	n.closed = true
	n.unregister()
	close(n.stop)
	stopped := n.raft.Shutdown()
	n.dir.log.Release() // raft may be waiting in a log that failed
	err := stopped.Error()
	n.wg.Wait()
	n.mirror.close()
	if err = errors.Join(err, n.trans.Close(), n.dir.close()); err != nil {
		return fmt.Errorf("control plane: close: %w", err)
	}
	return nil
}

// AddCopy puts a drive's copy in service and returns when it is up to date. Call it before the drive
// takes data: a change is in force once W copies hold it, and a drive that serves must not lack one.
func (n *Node) AddCopy(ctx context.Context, c Copy) error {
	f := load(ctx, n.o.Cluster, c)
	if f.state != nil && !n.complete && newer(f.state, n.State()) {
		return fmt.Errorf("drive %s: %w", c.ID(), ErrNewerCopy)
	}
	if errors.Is(f.err, state.ErrNewer) {
		return f.err
	}
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return ErrClosed
	}
	n.mirror.add(c, f.state)
	n.mu.Unlock()
	return n.mirror.joined(ctx, c.ID())
}

// RemoveCopy takes a drive's copy out of service and returns when nothing is written to it any more.
func (n *Node) RemoveCopy(id cluster.DriveID) { n.mirror.remove(id) }

// OnApply adds a hook that is called with each state that came into force and the one before, one
// after the other, from one goroutine, before the change is answered. It returns the state in force,
// from which the hook's first step begins. A hook may call the drives; it must not change the
// configuration. States that come together are seen as one step.
func (n *Node) OnApply(f func(old, new *state.State)) *state.State { return n.mirror.onApply(f) }
