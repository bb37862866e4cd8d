package drive

import (
	"context"
	"fmt"

	"holdfast/actors/ondisk"
)

// CommitStarter is a Drive whose commits need no goroutine that waits in them. A coordinator that
// offers a version to n drives would otherwise wake and be woken by n of them.
type CommitStarter interface {
	// StartCommit is Commit without the wait. It copies what it needs of req and returns at once. If
	// it says that the commit was started, to.Committed is called once with the answer, by any
	// goroutine; the errors are Commit's, but no deadline is kept: a drive that hangs answers when that
	// is noticed. Else nothing was done and to is not called: with an error that is the answer, without
	// one the drive cannot say at once, and Commit is to be called.
	StartCommit(req *Commit, to CommitReceiver, tag int) (started bool, err error)
}

// CommitReceiver takes the answers of started commits.
type CommitReceiver interface {
	// Committed brings the answer of the commit that was started with tag. It must not block: the
	// drive's writer calls it.
	Committed(tag int, reply CommitReply, err error)
}

var _ CommitStarter = (*Actor)(nil)

// StartCommit implements CommitStarter.
func (a *Actor) StartCommit(req *Commit, to CommitReceiver, tag int) (started bool, err error) {
	if req.Kind == ondisk.KindObject && !req.Staged {
		if full, inDoubt := a.space.seems(); full || inDoubt {
			return false, nil // it may have to wait for room, or for the file system to tell
		}
	}
	err = a.offer(req, to, tag)
	return err == nil, err
}

// offer puts a commit into the mailbox.
func (a *Actor) offer(req *Commit, to CommitReceiver, tag int) error {
	if req.Kind != ondisk.KindObject && a.space.wasFull.Load() {
		a.space.hope.raise()
	}
	m := a.commits.get()
	if err := m.encode(a, req); err != nil {
		return a.wrap(fmt.Errorf("commit: %w", err))
	}
	m.to, m.tag = to, tag
	err := a.put(m)
	if err != nil {
		m.recycle(a)
	}
	return err
}

// Commit implements Committer.
func (a *Actor) Commit(ctx context.Context, req *Commit) (CommitReply, error) {
	if req.Kind == ondisk.KindObject && !req.Staged {
		if err := a.awaitRoom(ctx); err != nil {
			return CommitReply{}, err
		}
	}
	w := a.commits.wait()
	if err := a.offer(req, w, 0); err != nil {
		return CommitReply{}, err
	}
	select {
	case got := <-w.got:
		a.commits.waits.Put(w)
		return got.reply, got.err
	case <-ctx.Done():
		return CommitReply{}, ctx.Err() // the answer may still come, so w is not used again
	}
}

// commitWait is who waits for one commit.
type commitWait struct{ got chan committed } // capacity 1

type committed struct {
	reply CommitReply
	err   error
}

// Committed implements CommitReceiver.
func (w *commitWait) Committed(_ int, reply CommitReply, err error) { w.got <- committed{reply, err} }

// deliver implements message. A repetition wrote nothing: the number of a batch that was never
// written must not become somebody's watermark of this drive.
func (m *commitMsg) deliver(a *Actor) {
	to, tag, reply, err := m.to, m.tag, m.out, m.err
	reply.Batch = min(reply.Batch, a.gate.durable.Load())
	m.recycle(a)
	to.Committed(tag, reply, err)
}

// refuse implements message. The loop may still be working on m, so it is not used again.
func (m *commitMsg) refuse(err error) { m.to.Committed(m.tag, CommitReply{}, err) }

// workOn notes what the loop works on, so that it is answered if the drive fails meanwhile: a sync
// that hangs never returns.
func (a *Actor) workOn(msgs []message) {
	a.holding.Lock()
	a.held = msgs
	a.holding.Unlock()
	// Whoever answers for the loop may have looked before this was there, and looks only once.
	if a.down.Load() {
		a.refuseWaiting(a.usable())
	} else if a.pulse.silent() {
		a.refuseWaiting(a.unanswered())
	}
}

// worked says whether the loop may answer what it holds.
func (a *Actor) worked() bool {
	a.holding.Lock()
	defer a.holding.Unlock()
	mine := a.held != nil
	a.held = nil
	return mine
}

// refuseAll answers everything that the loop holds or will never take, when the actor has failed or
// ended. Whatever is put from then on is refused by its sender (put).
func (a *Actor) refuseAll() {
	a.down.Store(true)
	a.refuseWaiting(a.usable())
}

// refuseWaiting answers everything that the loop holds or has not taken yet. What it holds may still
// be applied.
func (a *Actor) refuseWaiting(err error) {
	a.holding.Lock()
	for _, m := range a.held {
		m.refuse(err)
	}
	a.held = nil
	a.holding.Unlock()
	a.refuseMail(err)
}

// refuseMail answers what is in the mailbox. Messages are received by one, so several may call it.
func (a *Actor) refuseMail(err error) {
	for _, m := range a.mail.Drain(nil, a.mail.Limit(), nil) {
		m.refuse(err)
	}
}
