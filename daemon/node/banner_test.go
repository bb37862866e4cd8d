package node

import (
	"strings"
	"testing"
)

func TestToleranceSaysWhatIsLeft(t *testing.T) {
	for name, tc := range map[string]struct {
		g    greeting
		want string
	}{
		"one drive":       {greeting{Drives: 1, Online: 1, SetSize: 1}, "none: one drive alone"},
		"all there":       {greeting{Drives: 4, Online: 4, SetSize: 4, Parity: 2}, "loss of 2 more drive(s), writes of 1"},
		"one absent":      {greeting{Drives: 4, Online: 3, SetSize: 4, Parity: 2}, "loss of 1 more drive(s), writes of 0"},
		"half absent":     {greeting{Drives: 4, Online: 2, SetSize: 4, Parity: 2}, "NONE LEFT: objects are read, but writes lack"},
		"too many absent": {greeting{Drives: 5, Online: 2, SetSize: 4, Parity: 2}, "NONE LEFT: 3 drives are absent"},
	} {
		if got := tc.g.tolerance(); !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
