package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	for arg, want := range map[string]string{
		"/mnt/drive":              "/mnt/drive",
		"/mnt/drive{1...4}":       "/mnt/drive1 /mnt/drive2 /mnt/drive3 /mnt/drive4",
		"/mnt/{01...03}/x":        "/mnt/01/x /mnt/02/x /mnt/03/x",
		"/mnt/{8...11}":           "/mnt/8 /mnt/9 /mnt/10 /mnt/11",
		"/mnt/{08...11}":          "/mnt/08 /mnt/09 /mnt/10 /mnt/11",
		"/mnt/sd{a...d}":          "/mnt/sda /mnt/sdb /mnt/sdc /mnt/sdd",
		"/r{1...2}/d{a...b}":      "/r1/da /r1/db /r2/da /r2/db",
		"{1...2}{3...4}":          "13 14 23 24",
		"http://n{1...2}:9000/d1": "http://n1:9000/d1 http://n2:9000/d1",
		"/one/{5...5}":            "/one/5",
	} {
		got, err := Expand(arg)
		if err != nil || !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("Expand(%q) = %q, %v; want %q", arg, got, err, want)
		}
	}
}

func TestExpandRefuses(t *testing.T) {
	for _, arg := range []string{
		"/d{1...", "/d1...4}", "/d{}", "/d{1..4}", "/d{4...1}", "/d{a...4}", "/d{d...a}", "/d{a...D}", "/d{1...99999999}",
		"/d{1...100}{1...100}", "/d{-1...4}", "/d}1...4{", "/d{{1...2}}", "/d{1...2...3}", "/d{ab...cd}", "/d{99999999999999999999...3}",
	} {
		if got, err := Expand(arg); !errors.Is(err, ErrEllipsis) || !strings.Contains(err.Error(), arg) {
			t.Errorf("Expand(%q) = %d members, %v; want ErrEllipsis that names the argument", arg, len(got), err)
		}
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("/mnt/{1...4}/d{a...b}")
	f.Add("{01...16}")
	f.Fuzz(func(t *testing.T, arg string) {
		got, err := Expand(arg)
		if err == nil && (len(got) == 0 || len(got) > maxExpansion) {
			t.Fatalf("Expand(%q) gave %d members", arg, len(got))
		}
	})
}
