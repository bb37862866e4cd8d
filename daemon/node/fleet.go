package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/guardfs"
	"holdfast/raftfsm/cluster"
)

const (
	// watchInterval is how often the fleet looks for drives that went or came back.
	watchInterval = time.Second
	// answerLimit is how long the start and the watch wait for what a path shows: as long as a drive in
	// service may be silent before it is out.
	answerLimit = 5 * time.Second
)

// errSilent is returned when a path did not show in time what lies there.
var errSilent = fmt.Errorf("%w: its path does not answer (for %v nothing that was asked of it came back)", drive.ErrOffline, answerLimit)

// silent stands for what a path shows that does not answer.
func silent(path string) drive.Found {
	return drive.Found{Kind: drive.FoundUnusable, Err: fmt.Errorf("drive %s: %w", path, errSilent)}
}

// fleet is the node's drives by identity. A drive that is absent is an Offline one, so callers
// never meet a nil; one that comes back while the node runs takes its place again.
type fleet struct {
	cluster cluster.ID
	open    func(ctx context.Context, path string, label drive.Found) (*drive.Actor, error)
	joined  func(ctx context.Context, a *drive.Actor) error // called before a returning drive serves
	left    func(cluster.DriveID)                           // called after a drive was taken out of service
	log     *slog.Logger
	berths  map[cluster.DriveID]*berth // fixed after newFleet
	paths   []string                   // every path of the command line

	probe  func(path string) drive.Found        // what lies at a path; drive.Probe
	inode  func(path string) ([2]uint64, error) // of the FORMAT at a path
	answer time.Duration                        // answerLimit
	asked  sync.Map                             // paths that were asked and have not answered

	mu     sync.Mutex
	absent map[string]error // by path, why; guarded by mu

	stop context.CancelFunc
	done sync.WaitGroup
}

// berth is the place of one drive of the topology.
type berth struct {
	id  cluster.DriveID
	cur atomic.Pointer[occupant]
	// coming is a drive on its way into the berth, which is open and not in service yet.
	coming atomic.Pointer[drive.Actor]

	// turn is held by the one path whose drive is being taken in or out.
	turn  sync.Mutex
	tries int       // guarded by turn: how often it ran out of space
	rest  time.Time // guarded by turn: not opened again for want of space before
}

// occupant is what a berth holds now.
type occupant struct {
	drive drive.Drive
	actor *drive.Actor // nil while absent
	path  string
	inode [2]uint64 // device and inode of FORMAT when it was opened
}

// newFleet makes a berth for each drive of the topology, all absent.
func newFleet(drives []cluster.Drive, paths []string, id cluster.ID, log *slog.Logger) *fleet {
	f := &fleet{
		cluster: id, log: log, paths: paths, berths: map[cluster.DriveID]*berth{}, absent: map[string]error{},
		probe: drive.Probe, inode: formatInode, answer: answerLimit,
	}
	for _, d := range drives {
		b := &berth{id: d.ID}
		b.cur.Store(&occupant{drive: drive.NewOffline(d.ID, drive.ErrOffline), path: d.Path})
		f.berths[d.ID] = b
	}
	return f
}

// Drive returns the drive of an identity, an offline one if it is absent or unknown.
func (f *fleet) Drive(id cluster.DriveID) drive.Drive {
	if b := f.berths[id]; b != nil {
		return b.cur.Load().drive
	}
	return drive.NewOffline(id, drive.ErrOffline)
}

// actors lists the local drives in service.
func (f *fleet) actors() []*drive.Actor {
	var out []*drive.Actor
	for _, b := range f.berths {
		if o := b.cur.Load(); o.actor != nil {
			out = append(out, o.actor)
		}
	}
	slices.SortFunc(out, func(a, b *drive.Actor) int {
		x, y := a.ID(), b.ID()
		return slices.Compare(x[:], y[:])
	})
	return out
}

// opened lists the local drives in service and those that are about to be.
func (f *fleet) opened() []*drive.Actor {
	out := f.actors()
	for _, b := range f.berths {
		if a := b.coming.Load(); a != nil {
			out = append(out, a)
		}
	}
	return out
}

// admit puts an opened drive into its berth.
func (f *fleet) admit(a *drive.Actor, path string) error {
	b := f.berths[a.ID()]
	if b == nil {
		return fmt.Errorf("%w: %s: drive %s is not part of this store's topology", ErrDriveRefused, path, a.ID())
	}
	inode, err := formatInode(path)
	if err != nil {
		return err
	}
	b.cur.Store(&occupant{drive: a, actor: a, path: path, inode: inode})
	f.setAbsent(path, nil)
	return nil
}

// setAbsent records why a path is not served; nil strikes it off. It reports whether that is news.
func (f *fleet) setAbsent(path string, why error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	old, known := f.absent[path]
	if why == nil {
		delete(f.absent, path)
		return known
	}
	f.absent[path] = why
	return !known || old.Error() != why.Error()
}

// lastAt is the drive that was last found at a path, by which the health page names it; zero if none was.
func (f *fleet) lastAt(path string) (id cluster.DriveID) {
	for _, b := range f.berths {
		if b.cur.Load().path == path {
			return b.id
		}
	}
	return id
}

// missing describes every path that is not served, in order of path.
func (f *fleet) missing() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for path, why := range f.absent {
		out = append(out, fmt.Sprintf("%s: %v", path, why))
	}
	slices.Sort(out)
	return out
}

// why returns the reason why a path is not served, nil if it is.
func (f *fleet) why(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.absent[path]
}

// watch starts what notices drives going and coming, a goroutine for each path, so that none waits for
// a drive that hangs, or replays its log, at another; stopWatch ends them.
func (f *fleet) watch() {
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	for _, path := range f.paths {
		f.done.Go(func() {
			tick := time.NewTicker(watchInterval)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					f.attend(ctx, path)
				}
			}
		})
	}
}

// attend is one round of the watch at a path. No two run for one path at the same time.
func (f *fleet) attend(ctx context.Context, path string) {
	for _, b := range f.berths {
		if o := b.cur.Load(); o.actor != nil && o.path == path {
			if !f.tend(ctx, b, o) {
				return
			}
			break
		}
	}
	f.tryReturn(ctx, path)
}

// tend looks after a drive in service. It reports whether its berth is free for a return at once.
func (f *fleet) tend(ctx context.Context, b *berth, o *occupant) (free bool) {
	b.turn.Lock() // whoever else comes for this berth finds it taken and gives it up
	defer b.turn.Unlock()
	if err, _ := inTime(ctx, f, o.path, func() error { return f.lost(o) }); err != nil {
		o.actor.Abandon(err)
		if err := o.actor.Close(); err != nil { // gives the lock back, so that the drive may return
			f.log.Warn("lost drive does not close", keyDrive, b.id, keyErr, err)
		}
		b.cur.Store(&occupant{drive: drive.NewOffline(b.id, err), path: o.path})
		f.setAbsent(o.path, err)
		f.left(b.id)
		f.log.Error("drive lost", keyDrive, b.id, keyPath, o.path, keyErr, err)
		return false
	}
	h := o.actor.Health()
	if h.State != drive.Failed { // one that does not answer says so itself, and is named for as long as that lasts
		f.setAbsent(o.path, h.Err)
		return false
	}
	if f.setAbsent(o.path, h.Err) {
		f.log.Error("drive failed", keyDrive, b.id, keyPath, o.path, keyErr, h.Err)
		b.ranOut(h.Err)
	}
	return f.vacate(ctx, b, o)
}

// vacate takes a drive that failed for want of space out of its berth when there is space again, so
// that it returns like one that was away.
func (f *fleet) vacate(ctx context.Context, b *berth, o *occupant) bool {
	if time.Now().Before(b.rest) || !o.actor.Revivable() {
		return false
	}
	limit, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	if err := o.actor.Quiesce(limit); err != nil {
		f.log.Warn("failed drive does not rest", keyDrive, b.id, keyPath, o.path, keyErr, err)
		return false
	}
	why := o.actor.Health().Err
	if err := o.actor.Close(); err != nil { // it says so for ever; without its lock it is not opened anew
		f.log.Warn("failed drive does not close", keyDrive, b.id, keyPath, o.path, keyErr, err)
	}
	b.cur.Store(&occupant{drive: drive.NewOffline(b.id, why), path: o.path})
	f.left(b.id)
	f.log.Info("drive has space again: it is opened anew", keyDrive, b.id, keyPath, o.path)
	return true
}

// Each failure for want of space leaves a few goroutines and the memtables of an index behind that
// can never be closed (guardfs), so one that comes again and again is given ever more time.
const (
	restMin = time.Second
	restMax = 5 * time.Minute
)

// ranOut notes why a drive failed, or did not open.
func (b *berth) ranOut(err error) {
	if guardfs.IsNoSpace(err) {
		b.rest = time.Now().Add(min(restMin<<min(b.tries, 10), restMax))
		b.tries++
	}
}

// tryReturn takes a drive back into service if path shows one of ours whose berth is empty.
func (f *fleet) tryReturn(ctx context.Context, path string) {
	found, known := inTime(ctx, f, path, func() drive.Found { return f.probe(path) })
	if !known {
		found = silent(path)
	}
	err := f.check(found)
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, drive.ErrInUse) && errors.Is(f.why(path), errSlowOpen):
		return // by our own attempt to open it, which has not ended
	case err == nil:
		b := f.berths[found.Label.Drive]
		if !b.turn.TryLock() {
			return // it is being taken in from another path, or out
		}
		defer b.turn.Unlock()
		if time.Now().Before(b.rest) {
			return
		}
		if err = f.check(found); err == nil { // another path may have been quicker
			err = f.takeIn(ctx, b, path, found)
		}
		b.ranOut(err)
	}
	if err == nil {
		f.log.Info("drive returned", keyDrive, found.Label.Drive, keyPath, path)
		return
	}
	if f.setAbsent(path, err) {
		f.log.Warn("drive absent", keyDrive, f.lastAt(path), keyPath, path, keyErr, err)
	}
}

// takeIn opens a drive and puts it into its empty berth, whose turn is held.
func (f *fleet) takeIn(ctx context.Context, b *berth, path string, found drive.Found) error {
	a, err := f.open(ctx, path, found)
	if err != nil {
		return err
	}
	b.coming.Store(a)
	defer b.coming.Store(nil)
	if err = f.joined(ctx, a); err == nil {
		err = f.admit(a, path)
	}
	if err != nil {
		err = errors.Join(err, a.Close())
	}
	return err
}

// check says why what was found cannot take a berth now.
func (f *fleet) check(found drive.Found) error {
	switch found.Kind {
	case drive.FoundFresh:
		return fmt.Errorf("%w: the directory is missing or empty (not mounted?); it is left untouched", drive.ErrOffline)
	case drive.FoundStore:
	default:
		return found.Err
	}
	if found.Label.Cluster != f.cluster {
		return fmt.Errorf("%w: it belongs to cluster %s, not to %s", ErrDriveRefused, found.Label.Cluster, f.cluster)
	}
	b := f.berths[found.Label.Drive]
	if b == nil {
		return fmt.Errorf("%w: drive %s is not part of this store", ErrDriveRefused, found.Label.Drive)
	}
	if o := b.cur.Load(); o.actor != nil {
		return fmt.Errorf("%w: drive %s is already in service at %s: one is a copy of the other", ErrDriveRefused, found.Label.Drive, o.path)
	}
	return nil
}

// lost reports that the drive's own FORMAT is no longer at its path: the directory was removed,
// replaced or unmounted. Open files would go on taking writes that no restart could find.
func (f *fleet) lost(o *occupant) error {
	inode, err := f.inode(o.path)
	switch {
	case err != nil:
		return fmt.Errorf("%w: its FORMAT is gone: %w", drive.ErrOffline, err)
	case inode != o.inode:
		return fmt.Errorf("%w: another directory lies in its place", drive.ErrOffline)
	}
	return nil
}

// inTime asks the disk below a path something and says whether it answered in time. One that hangs
// keeps a goroutine, and is not asked again before that is back. What a drive in service is worth
// meanwhile says its own pulse.
func inTime[T any](ctx context.Context, f *fleet, path string, ask func() T) (answer T, known bool) {
	if _, waits := f.asked.LoadOrStore(path, true); waits {
		return answer, false
	}
	done := make(chan T, 1)
	go func() {
		answer := ask()
		f.asked.Delete(path)
		done <- answer
	}()
	late := time.NewTimer(f.answer)
	defer late.Stop()
	select {
	case answer = <-done:
		return answer, true
	case <-late.C:
	case <-ctx.Done():
	}
	return answer, false
}

func formatInode(path string) ([2]uint64, error) {
	info, err := os.Stat(filepath.Join(path, drive.FormatFile))
	if err != nil {
		return [2]uint64{}, err
	}
	return drive.PlaceOf(info), nil
}

// stopWatch ends the watch, after which no drive joins or leaves any more.
func (f *fleet) stopWatch() {
	if f.stop != nil {
		f.stop()
		f.done.Wait()
	}
}

// Close closes every drive in service. The watch must have been stopped.
func (f *fleet) Close() error { return closeDrives(f.actors(), f.log) }
