package main

import (
	"bufio"
	"strings"
	"testing"
)

// Writes, discards and requests under way tell that a disk works; reads do not matter.
func TestDiskWork(t *testing.T) {
	const idle = " 254 0 vda 10 0 80 4 20 1 160 9 0 5 13 7 0 56 2 3 1\n"
	work := func(s string) string { return readDiskWork(bufio.NewScanner(strings.NewReader(s))) }
	if work(idle) != work(strings.Replace(idle, "vda 10", "vda 11", 1)) {
		t.Error("a read counts")
	}
	for name, line := range map[string]string{
		"write":             strings.Replace(idle, " 20 1", " 21 1", 1),
		"discard":           strings.Replace(idle, " 7 0 56", " 8 0 56", 1),
		"request under way": strings.Replace(idle, " 9 0 5", " 9 1 5", 1),
		"other disk":        idle + strings.Replace(idle, "vda", "vdb", 1),
		"without discards":  " 254 0 vda 10 0 80 4 20 1 160 9 0 5 13\n",
	} {
		if work(line) == work(idle) {
			t.Errorf("%s does not count", name)
		}
	}
}
