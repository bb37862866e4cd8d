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
	"slices"
	"sync"
	"sync/atomic"
	"time"

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
	// Elsewhere lists where the directory may move when Dir cannot be written any more: a place on
	// each other drive that is in service now, best first. nil = nowhere.
	Elsewhere func() []string
	// Copies are the drives that are in service. More can join and leave (AddCopy, RemoveCopy).
	Copies []Copy
	// W is the number of copies that must hold a change before it is answered: n/2+1 of the n local
	// drives, present or not.
	W int
	// Accept judges the topology of a state that exists, before anything is written; its error ends
	// Open. nil = any will do.
	Accept func(*cluster.Topology) error
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
	moveRetry time.Duration // until moving the raft directory is tried again
}

func defaultLimits() limits {
	return limits{
		load: 10 * time.Second, copyWrite: 10 * time.Second, copyRetry: time.Second,
		catchUp: 5 * time.Second, change: 15 * time.Second, moveRetry: 5 * time.Second,
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

	server  atomic.Pointer[server] // the raft server in service; replaced by move
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
	d, first, err := n.prepare(all)
	if err != nil {
		return nil, fmt.Errorf("control plane: %w", err)
	}
	birth, err := n.unlock(first)
	if err == nil {
		err = n.start(ctx, d, all, first)
	}
	if err != nil {
		d.close() // the first error is the one that tells
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

// prepare judges the copies and opens the raft directory, after rebuilding it if it has to be. It
// returns the state that is to be in force first.
func (n *Node) prepare(all []found) (d *directory, first *state.State, err error) {
	best := newest(all)
	var damaged error
	whole := 0
	for _, f := range all {
		switch {
		case f.state != nil:
			whole++
		case errors.Is(f.err, state.ErrNewer):
			return nil, nil, f.err
		case !errors.Is(f.err, ErrNoCopy):
			n.log.Warn("copy of the control state cannot be used", "drive", f.copy.ID().String(), "err", f.err)
			damaged = errors.Join(damaged, f.err)
		}
	}
	if err := n.accept(best.state); err != nil {
		return nil, nil, err
	}
	for _, path := range n.places() {
		if d, err = n.directory(path, best, damaged); !errors.Is(err, ErrDirectory) {
			break
		}
		n.log.Error("raft directory cannot be used", "err", err)
	}
	if err != nil {
		return nil, nil, err
	}
	if first = best.state; first == nil {
		first = d.state
		if err := n.accept(first); err != nil {
			d.close() // the first error is the one that tells
			return nil, nil, err
		}
	}
	n.id = d.id
	n.complete = whole > 0 && whole+n.o.W > len(first.Topology().Drives)
	return d, first, nil
}

// accept asks the caller whether it can work with a state; one that is not born yet always will do.
func (n *Node) accept(s *state.State) error {
	if n.o.Accept == nil || s == nil || !s.Born() {
		return nil
	}
	return n.o.Accept(s.Topology())
}

// places lists where the raft directory may be, without repetition.
func (n *Node) places() []string {
	all := []string{n.o.Dir}
	if n.o.Elsewhere != nil {
		for _, path := range n.o.Elsewhere() {
			if !slices.Contains(all, path) {
				all = append(all, path)
			}
		}
	}
	return all
}

// directory opens one raft directory, if it is at least as new as the newest copy, or founds it afresh.
func (n *Node) directory(path string, best found, damaged error) (*directory, error) {
	quiet := raftLogger(n.log)
	var conflict bool
	d, err := openDirectory(path, n.o.Cluster, quiet, func(s *state.State) {
		if best.state != nil && s.Index() == best.state.Index() && s.Term() == best.state.Term() && s.RowDigest() != best.state.RowDigest() {
			conflict = true
		}
	})
	if err == nil {
		switch {
		case conflict:
			err = fmt.Errorf("%w: it differs from the copies at entry %d", errForeign, best.state.Index())
		case best.state != nil && newer(best.state, d.state):
			err = fmt.Errorf("%w: it ends before entry %d, which the copies hold", errStale, best.state.Index())
		case best.state == nil && !d.state.Born() && (n.o.Birth == nil || damaged != nil):
			d.close() // it holds nothing yet
			return nil, errors.Join(ErrNoState, damaged)
		default:
			return d, nil
		}
		d.close() // it is given up
	}
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case !doubtful(err):
		return nil, err
	case best.state == nil && (damaged != nil || !missing && n.o.Birth == nil):
		return nil, fmt.Errorf("%w: %w", ErrDamaged, errors.Join(err, damaged))
	case best.state == nil && n.o.Birth == nil:
		return nil, ErrNoState
	}
	if best.state == nil {
		best.node = cluster.NewID()
	}
	return n.found(path, best.node, best.state, err)
}

// found makes a new raft directory that begins at a state (nil: before birth) and opens it. why is
// the reason that what lies there cannot be used. All its errors are ErrDirectory: another place may do.
func (n *Node) found(path string, node cluster.NodeID, from *state.State, why error) (*directory, error) {
	id := identity{cluster: n.o.Cluster, node: node, server: cluster.NewID()}
	aside, err := setAside(path)
	if aside != "" {
		n.log.Warn("raft directory set aside", "dir", path, "to", aside, "err", why)
	}
	quiet := raftLogger(n.log)
	if err == nil {
		err = foundDirectory(path, id, from, quiet)
	}
	var d *directory
	if err == nil {
		d, err = openDirectory(path, n.o.Cluster, quiet, func(*state.State) {})
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDirectory, path, err)
	}
	if from != nil {
		n.log.Info("raft founded from the control state of the drives", "dir", path, "index", from.Index())
	}
	return d, nil
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
func (n *Node) start(ctx context.Context, d *directory, all []found, first *state.State) error {
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
	s, err := n.serve(d)
	if err != nil {
		n.mirror.close()
		return err
	}
	n.server.Store(s)
	n.metrics = newMetrics(n)
	n.wg.Add(1)
	go n.watch(s)
	return nil
}

// Close stops raft and its log first (it offers nothing more to the mirror), then the mirror, whose
// writers finish or give up. Stop what hangs on OnApply after it, and the drives after that. It is
// idempotent.
func (n *Node) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	n.closed = true
	n.unregister()
	close(n.stop)
	n.wg.Wait() // a move in progress ends first
	err := n.server.Load().close()
	n.mirror.close()
	if err != nil {
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
