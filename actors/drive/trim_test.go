package drive

import (
	"testing"
	"time"
)

func TestTrimSlice(t *testing.T) {
	const reserve = 100
	for _, c := range []struct {
		name  string
		left  int64
		busy  bool
		slice time.Duration
		all   bool
	}{
		{"an idle drive with room has time", 1000, false, trimEvery * 4 / 5, false},
		{"a busy one does one step", 1000, true, 0, false},
		{"with little left the drive does not wait to be idle", 150, true, trimEvery / 2, true},
		{"with nothing left it does little else", 99, true, trimEvery, true},
	} {
		if slice, all := trimSlice(c.left, reserve, c.busy); slice != c.slice || all != c.all {
			t.Errorf("%s: %v, %t, want %v, %t", c.name, slice, all, c.slice, c.all)
		}
	}
}
