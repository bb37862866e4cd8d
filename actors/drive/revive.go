package drive

import (
	"context"
	"path"

	"holdfast/actors/guardfs"
)

// Revivable says that the drive has failed for want of space alone, and that there is enough again
// to open it anew: for the replay of its log and the flushes behind it. The ballast counts, as
// opening gives it up if need be. Nothing acknowledged is lost by such a failure, since what the
// file system refused was never answered.
func (a *Actor) Revivable() bool {
	if !isClosed(a.health.Failed()) || !guardfs.IsNoSpace(a.health.Err()) {
		return false
	}
	_, free, err := a.space.usage()
	if err != nil {
		return false
	}
	if a.space.hasBallast() {
		free += a.space.ballast
	}
	return free >= a.space.needed()
}

// Quiesce returns when a failed drive changes nothing on its file system any more, so that it may
// be closed and opened anew in this process.
func (a *Actor) Quiesce(ctx context.Context) error { return a.wrap(a.health.Quiesce(ctx)) }

// needed is how much room the index needs to be opened, and to go on with deletes: a few flushes and
// some log.
func (s *space) needed() int64 { return maxMemTables*s.memTable + min(s.journal, minJournal) }

func (s *space) hasBallast() bool {
	_, err := s.a.o.FS.Stat(path.Join(s.a.path, ballastFile))
	return err == nil
}
