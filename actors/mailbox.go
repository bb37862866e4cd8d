package actors

import "sync/atomic"

// Mailbox is a bounded queue of messages of one type: many senders, one receiver (the loop). It is
// built on a channel, so a loop can wait for mail and for other things in one select.
type Mailbox[M any] struct {
	ch      chan M
	refused atomic.Uint64
	closed  atomic.Bool
}

// NewMailbox returns a mailbox that holds at most limit messages.
func NewMailbox[M any](limit int) *Mailbox[M] {
	return &Mailbox[M]{ch: make(chan M, limit)}
}

// Put offers a message. It never waits: ErrFull if there is no room, ErrStopped after Shut.
//
// A message that is put while the actor ends may never be taken, so whoever waits for a reply also
// waits for the end of the actor.
func (m *Mailbox[M]) Put(msg M) error {
	if m.closed.Load() {
		return ErrStopped
	}
	select {
	case m.ch <- msg:
		return nil
	default:
		m.refused.Add(1)
		return ErrFull
	}
}

// C is the receiving side, for the loop's select.
func (m *Mailbox[M]) C() <-chan M { return m.ch }

// Drain appends to dst the messages that are there now, at most limit of them, without waiting.
// It stops early, after the message for which more returned false; nil takes everything.
func (m *Mailbox[M]) Drain(dst []M, limit int, more func(M) bool) []M {
	for range limit {
		select {
		case msg := <-m.ch:
			dst = append(dst, msg)
			if more != nil && !more(msg) {
				return dst
			}
		default:
			return dst
		}
	}
	return dst
}

// Shut makes all later Puts fail with ErrStopped. What is in the mailbox stays for the loop to drain.
func (m *Mailbox[M]) Shut() { m.closed.Store(true) }

// Depth is the number of messages waiting.
func (m *Mailbox[M]) Depth() int { return len(m.ch) }

// Limit is the number of messages that fit.
func (m *Mailbox[M]) Limit() int { return cap(m.ch) }

// Refused counts the messages that found no room since the mailbox was made.
func (m *Mailbox[M]) Refused() uint64 { return m.refused.Load() }
