package drive

import "sync"

// maxMarks bounds the marks of one batch, so that commits do not wait long behind those of many
// overwrites. A batch with a collection takes all: it answers for the marks before it.
const maxMarks = 4096

// markQueue holds stable marks until a batch takes them. They have no mailbox of their own places:
// thousands may ride with one batch, and nobody waits for them.
type markQueue struct {
	wake  chan struct{} // capacity 1
	limit int

	mu    sync.Mutex
	marks []Mark // guarded by mu
	spare []Mark // guarded by mu: the slice of the last batch, for reuse
}

func (q *markQueue) init(limit int) {
	q.wake = make(chan struct{}, 1)
	q.limit = limit
}

// put queues marks, all or none.
func (q *markQueue) put(marks []Mark) bool {
	q.mu.Lock()
	if len(q.marks)+len(marks) > q.limit {
		q.mu.Unlock()
		return false
	}
	q.marks = append(q.marks, marks...)
	q.mu.Unlock()
	q.signal()
	return true
}

// take returns the oldest marks, at most limit of them; the slice is valid until the next take.
func (q *markQueue) take(limit int) []Mark {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.marks) <= limit {
		marks := q.marks
		q.marks, q.spare = q.spare[:0], marks
		return marks
	}
	q.spare = append(q.spare[:0], q.marks[:limit]...)
	rest := copy(q.marks, q.marks[limit:])
	clear(q.marks[rest:])
	q.marks = q.marks[:rest]
	q.signal()
	return q.spare
}

func (q *markQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *markQueue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.marks)
}

// Mark implements Doer.
func (a *Actor) Mark(marks []Mark) error {
	if err := a.usable(); err != nil {
		return err
	}
	if len(marks) > 0 && !a.marks.put(marks) {
		return a.wrap(ErrBusy)
	}
	return nil
}

// applyMarks writes what the queued marks say, before the operations of the batch: they speak of
// versions of earlier ones.
func (b *batch) applyMarks(limit int) {
	marks := b.a.marks.take(limit)
	if len(marks) > 0 {
		b.a.marked.Store(b.num)
	}
	for i := range marks {
		b.mark(&marks[i])
		if b.err != nil {
			return
		}
	}
	b.a.noteEnds()
	clear(marks) // lets go of the names
}
