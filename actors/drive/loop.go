package drive

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// loop is the writer: it alone changes the index. It takes what is in the mailbox without waiting,
// writes it as one batch with one sync, and answers. What arrives during a sync forms the next
// batch; there is no timer on this way. Marks have no sync of their own: they ride with the next
// batch, or after MarkDelay with one that is not synced.
func (a *Actor) loop() error {
	var (
		msgs     []message
		lateMark = newAlarm() // marks are waiting for a batch
		lateSync = newAlarm() // an unsynced batch is waiting for a sync
		crowd    bool         // the last batch had several operations: as many may come again at about the same time
	)
	defer close(a.ended)
	defer lateMark.stop()
	defer lateSync.stop()
	for {
		a.sat.Waiting(time.Now())
		msgs = msgs[:0]
		sync := true
		select {
		case m := <-a.mail.C():
			msgs = append(msgs, m)
			if crowd {
				a.gather()
			}
		case <-a.marks.wake:
			lateMark.set(a.o.Limits.MarkDelay)
			continue
		case <-lateMark.c():
			lateMark.fired()
			sync = false
		case <-lateSync.c():
			lateSync.fired()
		case <-a.act.Stopping():
			return a.finish(msgs)
		}
		a.sat.Working(time.Now())
		msgs = a.drain(msgs)
		sync = sync || len(msgs) > 0
		if err := a.write(msgs, sync); err != nil {
			return err
		}
		crowd = len(msgs) > 1
		lateMark.stop()
		if sync {
			lateSync.stop()
		} else {
			lateSync.set(a.o.Limits.IdleSync)
		}
	}
}

// maxYields bounds how often the loop lets others go first.
const maxYields = 8

// gather lets the other goroutines run as long as that fills the mailbox. Called behind a batch of
// several, whose callers come back at about the same time: else the first of them gets a sync of its
// own and all others wait for it.
func (a *Actor) gather() {
	for i, n := 0, -1; i < maxYields && a.mail.Depth() > n; i++ {
		n = a.mail.Depth()
		runtime.Gosched()
	}
}

// drain adds what is waiting, up to the limits of one batch.
func (a *Actor) drain(msgs []message) []message {
	weight := 0
	for _, m := range msgs {
		weight += m.weight()
	}
	return a.mail.Drain(msgs, a.o.Limits.BatchOps-len(msgs), func(m message) bool {
		weight += m.weight()
		return weight < a.o.Limits.BatchBytes
	})
}

// finish writes what is left when the actor stops. Senders are already refused.
func (a *Actor) finish(msgs []message) error {
	a.mail.Shut()
	for {
		msgs = a.drain(msgs[:0])
		if len(msgs) == 0 && a.marks.len() == 0 {
			return nil
		}
		if err := a.write(msgs, true); err != nil {
			return err
		}
	}
}

// write makes a batch of msgs and the marks that are waiting, or several: some messages write far more rows
// than they can know before.
func (a *Actor) write(msgs []message, sync bool) error {
	if slices.ContainsFunc(msgs, goesFirst) {
		slices.SortStableFunc(msgs, func(x, y message) int { return cmp.Compare(turn(x), turn(y)) })
	}
	for {
		n, err := a.writeSome(msgs, sync)
		if msgs = msgs[n:]; err != nil || len(msgs) == 0 {
			return err
		}
	}
}

// writeSome makes one batch of the first of msgs, and returns how many are done with. Answers are given when
// the batch is durable; if it cannot be written the drive fails and nobody is told that it was.
func (a *Actor) writeSome(msgs []message, sync bool) (n int, err error) {
	a.workOn(msgs)
	b := a.newBatch()
	defer b.close()
	marks := maxMarks
	if len(msgs) > 0 && goesFirst(msgs[0]) {
		marks = a.o.Limits.Marks
	}
	b.applyMarks(marks)
	n = b.apply(msgs)
	if b.err != nil {
		return n, fmt.Errorf("batch %d: %w", b.num, b.err)
	}
	if err := b.commit(sync); err != nil {
		return n, fmt.Errorf("batch %d: %w", b.num, err)
	}
	a.m.batch(n)
	if !a.worked() {
		return len(msgs), nil // all were told meanwhile that the outcome is unknown
	}
	for _, m := range msgs[:n] {
		m.deliver(a)
	}
	return n, nil
}

// apply runs the operations of a batch until it is large, at least one, and returns how many. All of them are
// still unanswered, so their order is free: collections go first (see collectMsg).
func (b *batch) apply(msgs []message) int {
	defer b.a.noteEnds()
	for i, m := range msgs {
		if b.err != nil || i > 0 && b.size() >= b.a.o.Limits.BatchBytes {
			return i
		}
		m.answer().err = m.apply(b)
	}
	return len(msgs)
}

// goesFirst tells collections, and what moves payloads, from other messages.
func goesFirst(m message) bool {
	_, first := m.(interface{ first() })
	return first
}

func turn(m message) int {
	if goesFirst(m) {
		return 0
	}
	return 1
}

// commit writes the batch and, if sync, waits until it and all before it are durable.
func (b *batch) commit(sync bool) error {
	a := b.a
	if b.pb.Empty() && len(b.late) == 0 && !b.aged {
		if !sync || a.gate.durable.Load() == a.batchNo {
			return nil
		}
		// Only the sync of earlier, unsynced batches is wanted.
		if err := a.journal.Sync(); err != nil {
			return err
		}
		a.gate.advance(a.batchNo)
		return nil
	}
	b.setMarks()
	a.batchNo = b.num
	start := time.Now()
	// The journal comes first: what the index shows, or flushes, refers to payloads that are there.
	size, err := a.journal.Append(b.num, b.pb.Repr(), sync)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := a.db.Apply(b.pb, pebble.NoSync); err != nil {
		return err
	}
	a.recent.add(b.names, uint64(b.pb.SeqNum()))
	if sync {
		a.gate.advance(b.num)
		a.m.synced(time.Since(start), size)
		if b.journal.kept {
			a.store.SmallSynced()
		}
	}
	a.space.grew(int64(size))
	for _, f := range b.durable {
		f()
	}
	if b.garbage {
		a.reclaim.wakeUp()
	}
	return nil
}
