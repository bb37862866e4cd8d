package drive

import (
	"context"
	"errors"
	"time"

	"holdfast/actors"
)

// message is one change on its way through the mailbox. A message owns all bytes it needs: its
// caller may have left before the loop gets to it.
type message interface {
	isMsg()
	// weight is about how many bytes of rows the message will write.
	weight() int
	// apply decides and writes rows into the batch. An error is this operation's answer and means
	// that it wrote nothing; errors of the index itself are reported with b.fail.
	apply(b *batch) error
	// answer is where the answer goes.
	answer() *reply
	// deliver gives the answer. The loop calls it when the batch is durable, and not again.
	deliver(a *Actor)
	// refuse gives err as the answer instead, of a drive that has failed or ended. It does not touch
	// what the loop may be writing.
	refuse(err error)
}

// reply is the way back of one message.
type reply struct {
	done chan error // capacity 1: the loop never waits for a caller
	err  error      // owned by loop until it is sent
}

func newReply() reply { return reply{done: make(chan error, 1)} }

func (r *reply) answer() *reply { return r }

func (r *reply) deliver(*Actor) { r.done <- r.err }

func (r *reply) refuse(err error) { r.done <- err }

// put sends a message, whose answer then comes in any case.
func (a *Actor) put(m message) error {
	if err := a.usable(); err != nil {
		return err
	}
	if err := a.mail.Put(m); err != nil {
		if errors.Is(err, actors.ErrFull) {
			return a.wrap(ErrBusy)
		}
		return a.wrap(ErrOffline)
	}
	if a.down.Load() { // it may have been put behind the last look into the mailbox
		a.refuseMail(a.usable())
	} else if a.pulse.silent() {
		a.refuseMail(a.unanswered())
	}
	return nil
}

// do sends a message and waits for its answer. When it returns anything but an answer, or one that
// says that the drive is silent, the loop may still be holding the message.
func (a *Actor) do(ctx context.Context, m message) (answered bool, err error) {
	if err := a.put(m); err != nil {
		return false, err
	}
	select {
	case err := <-m.answer().done:
		return true, err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// conclude is do for jobs that look up what they change: where the drive fell silent it returns only
// when the loop cannot apply m any more, so that what is looked up next is not about to change.
func (a *Actor) conclude(ctx context.Context, m message) error {
	_, err := a.do(ctx, m)
	if !errors.Is(err, errSilent) {
		return err
	}
	for behind := err; errors.Is(behind, errSilent) || errors.Is(behind, ErrBusy); {
		select {
		case <-time.After(concludeEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
		_, behind = a.do(ctx, &flushMsg{newReply()}) // messages are taken in order
	}
	return err
}

// concludeEvery is how often a job asks whether a silent drive is back.
const concludeEvery = 100 * time.Millisecond
