package raftfsm

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// floors of the house: a package may import its own floor and those below. raftfsm itself stands
// aside: only daemon/node sees it, and of the house it sees nothing but itself.
var floors = map[string]int{"raftfsm/cluster": 0, "actors": 1, "s3api": 2, "daemon": 3}

// rooms of the floor actors: a room may see those below and its neighbours. Rooms that are not
// listed are leaves for everyone.
var rooms = map[string]int{
	"actors/object": 0, "actors/ondisk": 1, "actors/erasure": 1, "actors/quorum": 1, "actors/segment": 2,
	"actors/drive": 3, "actors/peer": 4, "actors/erasureset": 5, "actors/heal": 6,
}

type pkg struct {
	ImportPath string
	Imports    []string
}

// TestArrows enforces which package may import which, over the whole module.
func TestArrows(t *testing.T) {
	t.Parallel()
	const module = "holdfast/"
	for _, p := range list(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, path := range p.Imports {
			to, ours := strings.CutPrefix(path, module)
			switch {
			case from == "raftfsm/cluster" && strings.Contains(path, "."):
				t.Errorf("%s imports %s: the ground floor has the standard library only", from, path)
			case !ours:
			case !allowed(from, to):
				t.Errorf("%s must not import %s", from, to)
			}
		}
	}
}

func allowed(from, to string) bool {
	switch { // tools and the simulator are no part of the product; one tool runs the simulator, one a server with faults
	case from == "scripts/torture/server" && (to == "daemon/node" || to == "daemon/config"):
		return true
	case from == "scripts/sim":
		return to == "actors/sim" || to == "actors/quorum" || to == "actors/object"
	case to == "actors/sim":
		return false
	case inside(to, "scripts"):
		return inside(from, "scripts")
	}
	if inside(from, "daemon") {
		return from == "daemon/node" || !concreteRaft(to) || from == "daemon/nodetest"
	}
	if concreteRaft(from) { // of the house it knows itself and the ground floor
		return inside(to, "raftfsm")
	}
	if concreteRaft(to) || height(to, floors) > height(from, floors) {
		return false
	}
	if from == "actors" { // the mailbox runtime knows no drives
		return false
	}
	at := height(from, rooms)
	return at < 0 || height(to, rooms) <= at
}

// height is that of the place that a package lies in, or -1.
func height(path string, heights map[string]int) int {
	for place, h := range heights {
		if inside(path, place) {
			return h
		}
	}
	return -1
}

func inside(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func concreteRaft(path string) bool { return inside(path, "raftfsm") && path != "raftfsm/cluster" }

func list(t *testing.T) (all []pkg) {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "holdfast/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestArrowsAreJudged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"daemon/node", "raftfsm", true},
		{"daemon/node", "s3api", true},
		{"daemon/cli", "raftfsm", false},
		{"scripts/sim", "actors/sim", true},
		{"scripts/sim", "actors/drive", false},
		{"scripts/bench", "actors/quorum", false},
		{"scripts/bench", "scripts/s3light", true},
		{"daemon/node", "actors/sim", false},
		{"daemon/node", "scripts/s3light", false},
		{"s3api", "raftfsm", false},
		{"s3api", "actors/erasureset", true},
		{"s3api/sigv4", "raftfsm/cluster", true},
		{"actors/drive", "s3api", false},
		{"actors/drive", "daemon/config", false},
		{"actors/drive", "raftfsm/cluster", true},
		{"actors/drive", "raftfsm/state", false},
		{"actors/drive", "actors/erasureset", false},
		{"actors/erasureset", "actors/drive", true},
		{"actors/segment", "actors/drive", false},
		{"actors", "actors/drive", false},
		{"actors/quorum", "actors/ondisk", true},
		{"actors/quorum", "actors/drive", false},
		{"raftfsm", "raftfsm/state", true},
		{"raftfsm", "actors/drive", false},
		{"raftfsm/cluster", "raftfsm/state", false},
	} {
		if got := allowed(c.from, c.to); got != c.want {
			t.Errorf("%s -> %s: allowed %v, want %v", c.from, c.to, got, c.want)
		}
	}
}
