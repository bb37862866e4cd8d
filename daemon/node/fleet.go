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
	// placeLimit is how long it waits for what a path shows.
	placeLimit = time.Second
)

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

	probe func(path string) drive.Found        // what lies at a path; drive.Probe
	inode func(path string) ([2]uint64, error) // of the FORMAT at a path
	asked sync.Map                             // paths that were asked and have not answered

	mu     sync.Mutex
	absent map[string]error // by path, why; guarded by mu

	stop context.CancelFunc
	done sync.WaitGroup
}

// berth is the place of one drive of the topology.
type berth struct {
	id  cluster.DriveID
	cur atomic.Pointer[occupant]

	tries int       // how often it ran out of space; owned by the watch
	rest  time.Time // not opened again for want of space before; owned by the watch
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
		probe: drive.Probe, inode: formatInode,
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

// watch starts the goroutine that notices drives going and coming; Close ends it.
func (f *fleet) watch() {
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.done.Go(func() {
		tick := time.NewTicker(watchInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				f.look(ctx)
			}
		}
	})
}

// look is one round of the watch.
func (f *fleet) look(ctx context.Context) {
	held := map[string]bool{}
	for _, b := range f.berths {
		o := b.cur.Load()
		if o.actor == nil {
			continue
		}
		held[o.path] = true
		err, _ := inTime(f, o.path, func() error { return f.lost(o) })
		if err != nil {
			o.actor.Abandon(err)
			if err := o.actor.Close(); err != nil { // gives the lock back, so that the drive may return
				f.log.Warn("lost drive does not close", keyDrive, b.id, keyErr, err)
			}
			b.cur.Store(&occupant{drive: drive.NewOffline(b.id, err), path: o.path})
			f.setAbsent(o.path, err)
			f.left(b.id)
			f.log.Error("drive lost", keyDrive, b.id, keyPath, o.path, keyErr, err)
		} else if h := o.actor.Health(); h.State == drive.Failed {
			if f.setAbsent(o.path, h.Err) {
				f.log.Error("drive failed", keyDrive, b.id, keyPath, o.path, keyErr, h.Err)
				b.ranOut(h.Err)
			}
			if f.vacate(ctx, b, o) {
				delete(held, o.path)
			}
		} else { // one that does not answer says so itself, and is named for as long as that lasts
			f.setAbsent(o.path, h.Err)
		}
	}
	for _, path := range f.paths {
		if !held[path] {
			f.tryReturn(ctx, path)
		}
	}
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
	if err := o.actor.Close(); err != nil {
		f.log.Warn("failed drive does not close", keyDrive, b.id, keyPath, o.path, keyErr, err)
		return false
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
	found, known := inTime(f, path, func() drive.Found { return f.probe(path) })
	if !known {
		return
	}
	err := f.check(found)
	if err == nil {
		b := f.berths[found.Label.Drive]
		if time.Now().Before(b.rest) {
			return
		}
		defer func() { b.ranOut(err) }()
		var a *drive.Actor
		if a, err = f.open(ctx, path, found); err == nil {
			if err = f.joined(ctx, a); err == nil {
				err = f.admit(a, path)
			}
			if err != nil {
				err = errors.Join(err, a.Close())
			}
		}
	}
	if err == nil {
		f.log.Info("drive returned", keyDrive, found.Label.Drive, keyPath, path)
		return
	}
	if f.setAbsent(path, err) {
		f.log.Warn("drive absent", keyPath, path, keyErr, err)
	}
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
// keeps a goroutine, and is not asked again before that is back; the watch goes on to the other drives.
// What is to be thought of it says the drive's own pulse.
func inTime[T any](f *fleet, path string, ask func() T) (answer T, known bool) {
	if _, waits := f.asked.LoadOrStore(path, true); waits {
		return answer, false
	}
	done := make(chan T, 1)
	go func() {
		answer := ask()
		f.asked.Delete(path)
		done <- answer
	}()
	late := time.NewTimer(placeLimit)
	defer late.Stop()
	select {
	case answer = <-done:
		return answer, true
	case <-late.C:
		return answer, false
	}
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
