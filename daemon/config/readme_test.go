package config

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the settings table of README.md")

// TestReadmeTable keeps README's table of settings equal to the code.
func TestReadmeTable(t *testing.T) {
	const path, begin, end = "../../README.md", "<!-- settings -->\n", "<!-- /settings -->"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lost its marks %q and %q", path, begin, end)
	}
	want := head + begin + settingsTable() + end + tail
	if string(b) == want {
		return
	}
	if !*update {
		t.Fatalf("%s: the settings table differs from the code; run go test ./daemon/config -update", path)
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func settingsTable() string {
	c := Default()
	var b strings.Builder
	b.WriteString("| flag | environment | default | meaning |\n|---|---|---|---|\n")
	for _, k := range Knobs(&c) {
		row := []string{"", "`" + strings.Join(k.Env, "`, `") + "`", "", k.Help}
		if k.Flag != "" {
			row[0] = "`--" + k.Flag + "`"
		}
		if k.Default != "" {
			row[2] = "`" + k.Default + "`"
		}
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
	return b.String()
}
