package erasureset

import (
	"sync"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/quorum"
)

// roundEvent is one answer of a drive on its way to the machine of a round.
type roundEvent struct {
	attempt int
	free    bool // of a call that nobody waits in
	at      time.Time
	batch   uint64 // of an acceptance: where it lies
	err     error  // why the slot did not take it
	ev      quorum.WriteEvent
}

// inbox collects the answers of a round and wakes its runner when it has something to decide. It
// outlives the round if a drive never answers.
type inbox struct {
	wake chan struct{} // capacity 1

	mu      sync.Mutex
	events  []roundEvent // guarded by mu
	awaited int          // guarded by mu: acceptances that the runner waits for; it is woken for the last, and for anything else
}

// push adds an answer.
func (in *inbox) push(e roundEvent) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.events = append(in.events, e)
	in.awaited--
	if in.awaited <= 0 || e.ev.Kind != quorum.WriteAccepted {
		select {
		case in.wake <- struct{}{}:
		default:
		}
	}
}

// take appends the answers there are to dst.
func (in *inbox) take(dst []roundEvent) []roundEvent {
	in.mu.Lock()
	defer in.mu.Unlock()
	dst = append(dst, in.events...)
	clear(in.events)
	in.events = in.events[:0]
	return dst
}

// await sets how many acceptances the runner waits for.
func (in *inbox) await(n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.awaited = n
}

// Committed implements drive.CommitReceiver.
func (in *inbox) Committed(tag int, reply drive.CommitReply, err error) {
	e := answered(tag%maxSlots, reply, err)
	e.attempt, e.free = tag/maxSlots, true
	in.push(e)
}

// answered turns a drive's answer into an event.
func answered(slot int, reply drive.CommitReply, err error) roundEvent {
	e := roundEvent{at: time.Now(), err: err, ev: quorum.WriteEvent{Slot: slot}}
	switch {
	case err != nil:
		e.ev.Kind, e.ev.Reason = quorum.WriteFailed, reasonOf(err)
	case reply.Accepted:
		e.ev.Kind, e.batch = quorum.WriteAccepted, reply.Batch
	default:
		e.ev.Kind, e.ev.Highest = quorum.WriteRefused, reply.Highest
	}
	return e
}
