package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"holdfast/actors/drive"
)

// Bounds of what follows the drain of a stop. Whatever hangs longer is left behind: the process ends.
const (
	// settleLimit is for each of the steps above the drives. It exceeds the time after which a drive
	// that hangs is given up (5 s), so that only calls which are stuck in the kernel are left behind.
	settleLimit = 6 * time.Second
	// driveLimit is for all drives, which close at the same time. They bound themselves (drive.Limits);
	// it is for what lies outside of their reach, the file of a lock for example.
	driveLimit = 15 * time.Second
)

// Close drains requests within the configured limit, then closes in the reverse order of the start. A
// drive that hangs is left behind, with a line in the log, and the others are closed in order all the
// same. It is used once.
func (n *Node) Close() error {
	var errs []error
	if n.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), n.cfg.DrainLimit)
		if err := n.server.Shutdown(ctx); err != nil {
			n.log.Warn("requests were cut", keyErr, err)
		}
		cancel()
	}
	// A shutdown that overtook Serve does not know the listener yet.
	if n.listener != nil {
		if err := n.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if n.serving != nil {
		errs = append(errs, <-n.serving)
	}
	if n.certs != nil {
		n.certs.close()
	}
	if n.pprof != nil {
		errs = append(errs, n.pprof.Close())
	}
	if n.fleet != nil {
		errs = append(errs, n.step("watch of the drives", settleLimit, func() error { n.fleet.stopWatch(); return nil }))
	}
	if n.store != nil {
		errs = append(errs, n.step("coordinator", settleLimit, n.store.Close))
	}
	if n.raft != nil {
		errs = append(errs, n.step("control plane", settleLimit, n.raft.Close))
	}
	errs = append(errs, n.step("drives", driveLimit, func() error {
		var err error
		if n.fleet != nil {
			err = n.fleet.Close()
		}
		return errors.Join(err, closeDrives(n.actors, n.log)) // these are of a start that did not get far
	}))
	for _, pool := range n.slabs {
		if pool != nil {
			pool.Close() // buffers that something stuck holds stay until it lets them go
		}
	}
	if n.cache != nil {
		n.cache.Unref()
	}
	if n.undo != nil {
		n.undo()
	}
	return errors.Join(errs...)
}

// step does one step of a stop, and goes on without its end when that takes longer than limit.
func (n *Node) step(what string, limit time.Duration, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		n.log.Error("stop goes on without waiting any longer", "for", what, "after", limit)
		return nil
	}
}

// closeDrives closes drives at the same time, and names those that could not be closed.
func closeDrives(actors []*drive.Actor, log *slog.Logger) error {
	errs := make([]error, len(actors))
	var closing sync.WaitGroup
	for i, a := range actors {
		closing.Go(func() {
			before := a.Health().State
			if errs[i] = a.Close(); before != drive.Failed && isFailed(a) {
				log.Error("drive left behind: it does not answer", keyDrive, a.ID(), keyPath, a.Path())
			}
		})
	}
	closing.Wait()
	return errors.Join(errs...)
}

func isFailed(a *drive.Actor) bool {
	select {
	case <-a.Failed():
		return true
	default:
		return false
	}
}
