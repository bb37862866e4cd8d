package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	root     = "../.."
	fileCap  = 600 // lines
	funcCap  = 70
	tableCap = 150 // a test function may hold a long table
)

// topLevel is all that may lie in the root; dotfiles are looked at apart.
var topLevel = map[string]bool{
	"daemon": true, "actors": true, "raftfsm": true, "s3api": true, "scripts": true,
	"go.mod": true, "go.sum": true, "Taskfile.yml": true, "README.md": true, "LICENSE": true,
}

func tracked(t *testing.T, patterns ...string) []string {
	t.Helper()
	out, err := exec.Command("git", append([]string{"-C", root, "ls-files", "-z", "--"}, patterns...)...).Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
}

func TestTopLevelIsFixed(t *testing.T) {
	for _, f := range tracked(t) {
		first, _, _ := strings.Cut(f, "/")
		if !topLevel[first] && !strings.HasPrefix(first, ".") {
			t.Errorf("%s: %s has no place in the root", f, first)
		}
	}
}

func TestFileNames(t *testing.T) {
	bad := regexp.MustCompile(`(^|/)(utils?|common|helpers?|misc)(_test)?(\.go|/)`)
	for _, f := range tracked(t, "*.go") {
		if bad.MatchString(f) || strings.Contains(path.Base(f), "-") || path.Base(f) != strings.ToLower(path.Base(f)) {
			t.Errorf("%s: name a file after what it holds, in lower case, words joined by _", f)
		}
	}
}

func TestSizesAndPackageComments(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range tracked(t, "*.go") {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, filepath.Join(root, f), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		lines := func(a, b token.Pos) int { return fset.Position(b).Line - fset.Position(a).Line + 1 }
		if n := lines(file.FileStart, file.FileEnd); n > fileCap && !ast.IsGenerated(file) {
			t.Errorf("%s: %d lines, cap %d", f, n, fileCap)
		}
		test := strings.HasSuffix(f, "_test.go")
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || ast.IsGenerated(file) {
				continue
			}
			limit := funcCap
			if test {
				limit = tableCap
			}
			if n := lines(fn.Pos(), fn.End()); n > limit {
				t.Errorf("%s: func %s has %d lines, cap %d", f, fn.Name.Name, n, limit)
			}
			if fn.Name.Name == "init" && fn.Recv == nil {
				t.Errorf("%s: func init", f)
			}
		}
		if dir := path.Dir(f); !test || file.Doc != nil {
			documented[dir] = documented[dir] || file.Doc != nil
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: no package comment", dir)
		}
	}
}

// TestNothingOfOneMachine keeps paths of a workplace and addresses of registries out of the repository.
func TestNothingOfOneMachine(t *testing.T) {
	bad := regexp.MustCompile(`/(work|home/[a-z]+|Users|root)/(main|shared|go|src|wt)\b|/tmp/wt/|https?://[^/" ]*(registry|artifactory|nexus|pypi)[^/" ]*/`)
	for _, f := range tracked(t) {
		if strings.HasPrefix(f, "scripts/house/") {
			continue
		}
		out, err := exec.Command("git", "-C", root, "grep", "-InE", "-e", bad.String(), "--", f).Output()
		if len(out) > 0 {
			t.Errorf("%s", out)
		} else if err == nil {
			t.Errorf("%s: git grep says it matches, and shows nothing", f)
		}
	}
}

// TestArrows keeps imports pointing one way: daemon -> s3api -> actors -> raftfsm/cluster.
func TestArrows(t *testing.T) {
	forbidden := map[string][]string{
		"actors":  {"holdfast/s3api", "holdfast/daemon", "holdfast/scripts"},
		"s3api":   {"holdfast/daemon", "holdfast/scripts"},
		"raftfsm": {"holdfast/actors", "holdfast/s3api", "holdfast/daemon", "holdfast/scripts"},
		"daemon":  {"holdfast/scripts"},
	}
	for _, f := range tracked(t, "*.go") {
		dir, rest, _ := strings.Cut(f, "/")
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, f), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range file.Imports {
			p := strings.Trim(imp.Path.Value, `"`)
			for _, no := range forbidden[dir] {
				if p == no || strings.HasPrefix(p, no+"/") {
					t.Errorf("%s imports %s", f, p)
				}
			}
			concrete := strings.HasPrefix(p, "holdfast/raftfsm") && p != "holdfast/raftfsm/cluster"
			if concrete && dir != "raftfsm" && !strings.HasPrefix(f, "daemon/node/") && !strings.HasPrefix(f, "daemon/nodetest/") {
				t.Errorf("%s (%s) imports %s: only daemon/node sees the concrete control plane", f, rest, p)
			}
		}
	}
}
