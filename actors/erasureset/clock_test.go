package erasureset

import (
	"testing"
	"time"

	"holdfast/actors/object"
)

// TestStampsExceedWhatDrivesHaveSeen: the wall clock was set back by an hour between two runs.
func TestStampsExceedWhatDrivesHaveSeen(t *testing.T) {
	now := time.Now()
	s := &Store{clock: clock{wall: func() time.Time { return now.Add(-time.Hour) }}}
	seen := object.StampAt(now)
	s.Observe(seen)
	if first := s.clock.next(); first <= seen {
		t.Errorf("stamp %d is not above %d, which a drive has seen", first, seen)
	}
}
