// Package node is the composition root: it opens the drives, the control plane, the coordinator and
// the S3 server, in this order, and closes them in reverse. It alone knows the concrete types of
// all rooms. A Node owns every goroutine that it starts; Close waits for them.
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"holdfast/actors/drive"
	"holdfast/actors/erasureset"
	"holdfast/actors/segment"
	"holdfast/actors/slab"
	"holdfast/daemon/admin"
	"holdfast/daemon/config"
	"holdfast/raftfsm"
	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/seal"
	"holdfast/s3api"
)

// Bounds of starting and stopping.
const (
	openLimit   = 60 * time.Second // opening one drive, log replay included
	openGrace   = 15 * time.Second // how long the start waits for the others once enough drives are open to write
	openSlow    = 5 * time.Second  // opening that takes longer is worth a line in the log
	joinLimit   = 30 * time.Second // bringing a returning drive's control state up to date
	certRefresh = 10 * time.Second // how often the certificate files are looked at

	connectionMemory = 64 << 10 // what one client connection may take of the memory budget, buffers and stacks
)

// Face is how the node meets the outside besides its listener.
type Face struct {
	Version string
	Out     io.Writer // the greeting
	Log     io.Writer

	// FS is the file system that the drives are reached through, nil for the operating system's. It
	// is for tests that put faults below drives; the raft log and the look at a place before its drive
	// is opened do not go through it.
	FS vfs.FS
	// Clock is the wall clock of drives, stamps and signatures; nil is time.Now.
	Clock func() time.Time
}

// Node is a running server.
type Node struct {
	cfg      config.Config
	face     Face
	log      *slog.Logger
	registry *prometheus.Registry
	memory   memoryPlan
	heap     *heapLimit
	paces    segment.Paces
	undo     func()
	cache    *pebble.Cache

	actors  []*drive.Actor // opened at the start, until the fleet owns them
	fleet   *fleet
	raft    *raftfsm.Node
	slabs   [2]*slab.Pool // bodies on their way in, and out
	store   *erasureset.Store
	control *control
	server  *s3api.Server
	certs   *certificates
	pprof   *admin.Profiler

	listener net.Listener
	serving  chan error // result of Serve
	root     rootChoice
	addr     net.Addr
}

// Run serves until ctx ends, then drains within the configured limit.
func Run(ctx context.Context, cfg config.Config, face Face) error {
	n, err := startUnless(ctx, settleLimit, func() (*Node, error) { return Start(ctx, cfg, face) })
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		n.log.Info("stopping", "why", context.Cause(ctx).Error(), "drain_limit", cfg.DrainLimit.String())
	case err = <-n.serving:
		n.serving <- nil
		n.log.Error("listener ended", keyErr, err)
	}
	return errors.Join(err, n.Close())
}

// errStartCut is returned when a start that was told to stop did not end by itself.
var errStartCut = errors.New("the start was interrupted and did not end: it waits for something that hangs, which is left behind")

// startUnless is start, but when ctx ends it waits no longer than limit: a call that is stuck in the
// kernel looks at no context.
func startUnless(ctx context.Context, limit time.Duration, start func() (*Node, error)) (n *Node, err error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n, err = start()
	}()
	select {
	case <-ended:
		return n, err
	case <-ctx.Done():
	}
	select {
	case <-ended:
		return n, err
	case <-time.After(limit):
		return nil, fmt.Errorf("%w: %w", errStartCut, context.Cause(ctx))
	}
}

// Start opens everything and begins to serve. Nothing is left running when it returns an error.
func Start(ctx context.Context, cfg config.Config, face Face) (_ *Node, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	paths, err := cfg.DrivePaths()
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, face: face, log: newLogger(face.Log, cfg), registry: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	// The port comes first: an address in use must not cost a replay of the logs, nor a birth.
	if n.listener, err = net.Listen("tcp", cfg.Address); err != nil {
		return nil, fmt.Errorf("--address %q: %w", cfg.Address, err)
	}
	if n.certs, err = loadCertificates(cfg, n.log); err != nil {
		return nil, err
	}
	if cfg.Pprof != "" {
		if n.pprof, err = admin.StartProfiler(cfg.Pprof); err != nil {
			return nil, err
		}
	}
	adm, err := survey(ctx, paths)
	if err != nil {
		return nil, err
	}
	n.memory = planMemory(int64(cfg.Memory), len(paths))
	if least := leastMemory(len(paths)); n.memory.Total < least {
		n.log.Warn("memory budget is too small to be kept under load", "budget_bytes", n.memory.Total, "least_bytes", least)
	}
	n.heap, n.undo = n.memory.apply(len(paths))
	n.cache = pebble.NewCache(n.memory.cacheSize(len(paths)))
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registerMemory(n.registry, n.memory)
	if err := n.openControl(ctx, &adm, paths); err != nil {
		return nil, err
	}
	if err := n.openData(ctx, adm, paths); err != nil {
		return nil, err
	}
	if err := n.serve(); err != nil {
		return nil, err
	}
	return n, n.greet(face)
}

// survey looks at every place and decides, before anything is opened or written.
func survey(ctx context.Context, paths []string) (admission, error) {
	cands, err := probeAll(ctx, paths, drive.Probe, answerLimit)
	if err != nil {
		return admission{}, err
	}
	return admit(cands)
}

// probeAll looks at all places at once. One that does not answer within the limit is unusable, and left
// to a goroutine that waits for it.
func probeAll(ctx context.Context, paths []string, probe func(path string) drive.Found, limit time.Duration) ([]candidate, error) {
	answers := make([]chan drive.Found, len(paths))
	for i, p := range paths {
		answers[i] = make(chan drive.Found, 1)
		go func() { answers[i] <- probe(p) }()
	}
	late, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cands := make([]candidate, len(paths))
	for i, p := range paths {
		cands[i].path = p
		select {
		case cands[i].found = <-answers[i]:
			continue
		case <-late.Done():
		}
		select { // it may have answered while another was waited for
		case cands[i].found = <-answers[i]:
		default:
			cands[i].found = silent(p)
		}
	}
	return cands, interrupted(ctx)
}

// interrupted is why a start is not to go on.
func interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("the start was interrupted: %w", context.Cause(ctx))
}

// errSlowOpen is returned when a drive was not open in time.
var errSlowOpen = fmt.Errorf("%w: opening it takes too long (does it hang?)", drive.ErrOffline)

// openDrive opens one drive with this node's share of memory.
func (n *Node) openDrive(ctx context.Context, path string, found drive.Found) (*drive.Actor, error) {
	ctx, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	a, err := drive.Open(ctx, drive.Options{
		Path: path, Label: found.Label, Cache: n.cache, MemTable: n.memory.MemTable,
		Paces: &n.paces, Log: n.log, Registry: n.registry, FS: n.face.FS, Clock: n.face.Clock,
	})
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("drive %s: %w", path, errSlowOpen)
	}
	return a, err
}

// openPresent opens the drives that were admitted, at the same time. One that does not open is
// absent from now on, as is one that takes long when enough others are open to serve without it.
func (n *Node) openPresent(ctx context.Context, adm *admission, known int) error {
	opening, stop := context.WithCancel(ctx)
	defer stop()
	results := make(chan opened, len(adm.present))
	waiting := map[string]bool{}
	for _, c := range adm.present {
		waiting[c.path] = true
		go func() {
			a, err := n.openDrive(opening, c.path, c.found)
			results <- opened{c, a, err}
		}()
	}
	slow := time.NewTimer(openSlow)
	defer slow.Stop()
	var grace <-chan time.Time
	var inUse error
	given := adm.present
	adm.present = nil
	for len(waiting) > 0 {
		select {
		case r := <-results:
			delete(waiting, r.path)
			switch {
			case r.err == nil:
				n.actors = append(n.actors, r.actor)
				adm.present = append(adm.present, r.candidate)
			case errors.Is(r.err, drive.ErrInUse):
				inUse = errors.Join(inUse, fmt.Errorf("%w: %w", ErrDriveRefused, r.err))
			default:
				n.log.Error("drive does not open", keyPath, r.path, keyErr, r.err)
				adm.absent = append(adm.absent, absentDrive{r.path, r.err})
			}
		case <-slow.C:
			for path := range waiting {
				n.log.Warn("drive takes long to open", keyPath, path)
			}
		case <-grace:
			stop()
		}
		if grace == nil && !adm.birth && len(n.actors) >= controlQuorum(known) {
			grace = time.After(openGrace)
		}
	}
	if err := interrupted(ctx); err != nil {
		return err
	}
	n.sortAs(given)
	n.leaveOutForgetful(adm)
	return inUse
}

// sortAs brings the opened drives into the order in which they were given.
func (n *Node) sortAs(given []candidate) {
	at := func(a *drive.Actor) int {
		return slices.IndexFunc(given, func(c candidate) bool { return c.path == a.Path() })
	}
	slices.SortFunc(n.actors, func(a, b *drive.Actor) int { return at(a) - at(b) })
}

// opened is the outcome of opening a candidate.
type opened struct {
	candidate
	actor *drive.Actor
	err   error
}

// leaveOutForgetful closes drives that lack acknowledged writes; they are absent from now on.
func (n *Node) leaveOutForgetful(adm *admission) {
	all := n.actors
	n.actors = nil
	for _, a := range all {
		err := amnesia(a, all)
		if err == nil {
			n.actors = append(n.actors, a)
			continue
		}
		n.log.Error("drive left out", keyDrive, a.ID(), keyPath, a.Path(), keyErr, err)
		adm.absent = append(adm.absent, absentDrive{a.Path(), errors.Join(err, a.Close())})
	}
}

// openControl opens drives and control plane, giving birth to the store if there is none.
func (n *Node) openControl(ctx context.Context, adm *admission, paths []string) (err error) {
	var birth *raftfsm.Birth
	if adm.birth {
		if birth, err = n.formatAll(adm); err != nil {
			return err
		}
	}
	known := len(paths)
	if err := n.openPresent(ctx, adm, known); err != nil {
		return err
	}
	if adm.birth && len(n.actors) < known {
		return fmt.Errorf("%w: a store is born on all of its drives: %w", ErrDriveRefused, adm.absent[0].why)
	}
	if len(n.actors) < controlEvidence(known) {
		return fmt.Errorf("%w: %d of %d are there, %d are needed to know the newest state: %w", ErrTooFewDrives, len(n.actors), known, controlEvidence(known), describeAbsent(adm.absent))
	}
	if n.root, err = chooseRoot(n.cfg, adm.birth, n.actorPaths()); err != nil {
		return err
	}
	if adm.birth {
		err = n.root.keep(n.actorPaths())
	}
	if err == nil {
		err = n.openRaft(ctx, adm.cluster, birth, known)
	}
	if err == nil {
		err = n.root.settle(n.actorPaths())
	}
	// From here on the store exists: a drive that is provisional still was caught by a crash in between.
	for _, a := range n.actors {
		if err == nil {
			err = a.Confirm()
		}
	}
	return err
}

// openRaft starts the control plane with each credentials that may be the right ones.
func (n *Node) openRaft(ctx context.Context, id cluster.ID, birth *raftfsm.Birth, known int) (err error) {
	o := raftfsm.Options{
		Cluster: id, Dir: n.raftDir(), W: controlQuorum(known), Birth: birth,
		Root: n.root.inForce(), Logger: n.log, Metrics: n.registry, Elsewhere: raftDirs(slices.Clone(n.actors)),
		Accept: func(t *cluster.Topology) error { return sameCount(known, len(t.Drives)) },
	}
	for _, a := range n.actors {
		o.Copies = append(o.Copies, controlCopy{a})
	}
	for _, old := range n.root.former() {
		o.OldRoot = old
		if n.raft, err = raftfsm.Open(ctx, o); err == nil || !errors.Is(err, seal.ErrRootMismatch) {
			return err
		}
	}
	return fmt.Errorf("%w: start with the credentials that the store was last started with, or give them as HOLDFAST_ROOT_USER_OLD and HOLDFAST_ROOT_PASSWORD_OLD beside the new ones", err)
}

// raftDir is the raft directory: where one lies already, else on the first drive.
func (n *Node) raftDir() string {
	for _, a := range n.actors {
		dir := filepath.Join(a.Path(), raftDirName)
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
	}
	return filepath.Join(n.actors[0].Path(), raftDirName)
}

// raftDirs lists where the raft directory may move: to the drives that are in service by then.
func raftDirs(actors []*drive.Actor) func() []string {
	return func() []string {
		var dirs []string
		for _, a := range actors {
			if a.Health().State == drive.Online {
				dirs = append(dirs, filepath.Join(a.Path(), raftDirName))
			}
		}
		return dirs
	}
}

// raftDirName is the directory of the raft log on the drive that holds it.
const raftDirName = "raft"

func (n *Node) actorPaths() []string {
	var out []string
	for _, a := range n.actors {
		out = append(out, a.Path())
	}
	return out
}

// openData puts the drives in service and starts the coordinator above them.
func (n *Node) openData(ctx context.Context, adm admission, paths []string) (err error) {
	n.fleet = newFleet(n.raft.Topology().Drives, paths, n.raft.Cluster(), n.log)
	n.fleet.open, n.fleet.joined, n.fleet.left = n.openDrive, n.join, n.raft.RemoveCopy
	for _, absent := range adm.absent {
		n.fleet.setAbsent(absent.path, absent.why)
		n.log.Warn("drive absent", keyDrive, n.fleet.lastAt(absent.path), keyPath, absent.path, keyErr, absent.why)
	}
	for len(n.actors) > 0 {
		a := n.actors[0]
		err := n.fence(ctx, a)
		if err == nil {
			err = n.fleet.admit(a, a.Path())
		}
		if stop := interrupted(ctx); stop != nil || errors.Is(err, ErrDriveRefused) {
			return errors.Join(stop, err)
		}
		if err == nil {
			n.locate(ctx, a)
		} else { // it was lost since it was opened; the watch takes it back
			n.log.Error("drive left out", keyDrive, a.ID(), keyPath, a.Path(), keyErr, err)
			n.raft.RemoveCopy(a.ID())
			n.fleet.setAbsent(a.Path(), errors.Join(err, a.Close()))
		}
		n.actors = n.actors[1:]
	}
	n.raft.OnApply(n.applied)
	for i := range n.slabs {
		n.slabs[i] = slab.New(slab.Config{Budget: n.memory.Slabs / 2, Mapped: n.heap.pool(i)})
	}
	n.store, err = erasureset.New(erasureset.Options{
		Drives: n.fleet.Drive, Topology: n.raft.Topology, Buckets: n.raft.Buckets, Bucket: n.bucketOf(), Slabs: n.slabs[0], ReadSlabs: n.slabs[1],
		Logger: n.log, Registry: n.registry, InlineLimit: int(n.cfg.InlineLimit), Clock: n.face.Clock,
	})
	if err != nil {
		return err
	}
	for _, a := range n.fleet.actors() {
		n.store.Observe(a.Highest())
	}
	n.control = newControl(n.raft, n.store, n.log)
	n.control.finishDeletions(ctx)
	n.fleet.watch()
	return nil
}

// serve starts the S3 server on the listener.
func (n *Node) serve() (err error) {
	n.server, err = s3api.New(s3api.Options{
		Objects: n.store, Control: n.control, Health: &probe{n.fleet, n.raft}, Logger: n.log,
		Registry: n.registry, Gatherer: n.registry, Clock: n.face.Clock,
		Buffers: n.slabs[1], Uploads: n.slabs[0], Region: n.cfg.Region, Domains: n.cfg.Domains, Version: n.face.Version,
		Limits: s3api.Limits{Connections: int(n.memory.Total / connectionMemory)},
	})
	if err != nil {
		return err
	}
	n.serving = make(chan error, 1)
	ln := n.listener
	n.addr = ln.Addr()
	go func() {
		if n.certs != nil {
			n.serving <- n.server.ServeTLS(ln, n.certs.Certificates)
			return
		}
		n.serving <- n.server.Serve(ln)
	}()
	return nil
}

// Addr is where S3 is served.
func (n *Node) Addr() net.Addr { return n.addr }
