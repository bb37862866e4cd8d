package main

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/scripts/torture/stub"
)

// build makes the binary of a package of the product's module, or of this one.
func build(t *testing.T, dir, name string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-o", binary, ".")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v: %s", dir, err, out)
	}
	return binary
}

// TestWrongServersAreFound runs the whole tool against stores that are wrong, and one that is not.
func TestWrongServersAreFound(t *testing.T) {
	tool, judge := build(t, "..", "torture"), build(t, ".", "judge")
	for name, c := range map[string]struct {
		wrong stub.Wrong
		says  string // "" if nothing is to be found
	}{
		"correct":                {stub.Wrong{}, ""},
		"loses a write in eight": {stub.Wrong{Lose: 8}, "NOT LINEARIZABLE"},
		"keeps what is deleted":  {stub.Wrong{Keep: true}, "NOT LINEARIZABLE"},
		"hides a key from lists": {stub.Wrong{Hide: true}, "NOT LINEARIZABLE"},
		"judges before it acts":  {stub.Wrong{Race: true}, "NOT LINEARIZABLE"},
		"flips bits":             {stub.Wrong{Rot: true}, "its bytes are not those that its ETag stands for"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Two endpoints of one store.
			store := stub.New(c.wrong)
			a, b := httptest.NewServer(store), httptest.NewServer(store)
			defer a.Close()
			defer b.Close()
			dir := t.TempDir()
			cmd := exec.Command(tool, "--endpoint", a.URL, "--endpoint", b.URL, "--judge", judge, "--dir", dir, "--seed", "4711", "--duration", "2s")
			out, err := cmd.CombinedOutput()
			if (err == nil) != (c.says == "") || !strings.Contains(string(out), c.says) {
				t.Fatalf("%v, want a report that says %q:\n%s", err, c.says, out)
			}
			if c.says == "" {
				return
			}
			if !strings.Contains(string(out), "--seed 4711 ") {
				t.Errorf("no way to repeat the run:\n%s", out)
			}
			if _, err := os.Stat(filepath.Join(dir, "run-4711", "history.json")); err != nil {
				t.Error(err)
			}
		})
	}
}
