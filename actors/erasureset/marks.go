package erasureset

import (
	"errors"
	"sync"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// maxMarks is how many marks may wait for one drive. Those beyond are dropped: the resolver finds
// what is left unmarked.
const maxMarks = 64 << 10

// marker sends stable marks, those of one interval together.
type marker struct {
	s    *Store
	mu   sync.Mutex
	todo map[cluster.DriveID]*driveMarks // guarded by mu
	kick chan struct{}                   // capacity 1: todo went from empty to not empty
}

type driveMarks struct {
	d     drive.Drive
	marks []drive.Mark
	spare []drive.Mark // memory of marks that were sent
}

func newMarker(s *Store) *marker {
	return &marker{s: s, todo: map[cluster.DriveID]*driveMarks{}, kick: make(chan struct{}, 1)}
}

// add queues one mark for the drives of some slots.
func (m *marker) add(t *target, slots quorum.Slots, mark drive.Mark) {
	m.mu.Lock()
	for i := range slots.All() {
		q := m.todo[t.set.Members[i]]
		if q == nil {
			q = &driveMarks{}
			m.todo[t.set.Members[i]] = q
		}
		q.d = t.drives[i]
		if len(q.marks) < maxMarks {
			q.marks = append(q.marks, mark)
		}
	}
	m.mu.Unlock()
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

func (m *marker) loop() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-m.kick:
		case <-m.s.closing.Done():
			return
		}
		timer.Reset(m.s.opt.MarkInterval)
		select {
		case <-timer.C:
		case <-m.s.closing.Done():
			return
		}
		m.flush()
	}
}

// flush sends everything that waits.
func (m *marker) flush() {
	m.mu.Lock()
	batch := make([]*driveMarks, 0, len(m.todo))
	for _, q := range m.todo {
		if len(q.marks) > 0 {
			batch = append(batch, &driveMarks{d: q.d, marks: q.marks})
			q.marks, q.spare = q.spare[:0], nil
		}
	}
	m.mu.Unlock()
	heard := m.s.watermarks.take()
	for _, b := range batch {
		if w, ok := b.d.(drive.Watermarker); ok && heard != nil {
			w.Heard(heard) // before the marks, whose batch keeps it
		}
		err := b.d.Mark(b.marks)
		if errors.Is(err, drive.ErrBusy) {
			m.again(b)
			continue
		}
		m.sent(b)
		if err != nil && !errors.Is(err, drive.ErrOffline) {
			m.s.log.Warn("marks were not taken", "drive", b.d.ID(), "count", len(b.marks), "err", err)
		}
	}
}

// sent keeps the memory of marks, of which a drive has its own copy.
func (m *marker) sent(b *driveMarks) {
	clear(b.marks) // lets go of the names
	m.mu.Lock()
	defer m.mu.Unlock()
	if q := m.todo[b.d.ID()]; q != nil && cap(b.marks) <= maxMarks/64 {
		q.spare = b.marks
	}
}

// again queues marks that a busy drive did not take.
func (m *marker) again(b *driveMarks) {
	m.mu.Lock()
	if q := m.todo[b.d.ID()]; q != nil && len(q.marks)+len(b.marks) <= maxMarks {
		q.marks = append(b.marks, q.marks...)
	}
	m.mu.Unlock()
	select {
	case m.kick <- struct{}{}:
	default:
	}
}
