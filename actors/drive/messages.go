package drive

import (
	"context"
	"errors"

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
}

// reply is the way back of one message.
type reply struct {
	done chan error // capacity 1: the loop never waits for a caller
	err  error      // owned by loop until it is sent
}

func newReply() reply { return reply{done: make(chan error, 1)} }

func (r *reply) answer() *reply { return r }

// do sends a message and waits for its answer. When it returns anything but the loop's own answer,
// the loop may still be holding the message.
func (a *Actor) do(ctx context.Context, m message) (answered bool, err error) {
	if err := a.usable(); err != nil {
		return false, err
	}
	if err := a.mail.Put(m); err != nil {
		if errors.Is(err, actors.ErrFull) {
			return false, a.wrap(ErrBusy)
		}
		return false, a.wrap(ErrOffline)
	}
	done := m.answer().done
	select {
	case err := <-done:
		return true, err
	case <-ctx.Done():
		return false, ctx.Err()
	case <-a.health.Failed():
		return false, a.usable()
	case <-a.ended:
	}
	// The loop answered all it took before it ended; what it did not take was not done.
	select {
	case err := <-done:
		return true, err
	default:
		return false, a.usable()
	}
}
