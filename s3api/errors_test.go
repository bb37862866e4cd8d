package s3api

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/s3api/s3err"
)

// TestEveryDomainErrorHasAnAnswer finds the exported Err* variables of the packages below us in
// their source and asks for each in the table.
func TestEveryDomainErrorHasAnAnswer(t *testing.T) {
	known := make(map[string]bool)
	for _, e := range slices.Concat(domainErrors(), innerErrors()) {
		if known[e.name] {
			t.Errorf("%s is listed twice", e.name)
		}
		known[e.name] = true
	}
	found := make(map[string]bool)
	for _, root := range []string{"../actors", "../raftfsm/cluster"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, decl := range file.Decls {
				g, ok := decl.(*ast.GenDecl)
				if !ok || g.Tok != token.VAR {
					continue
				}
				for _, spec := range g.Specs {
					for _, name := range spec.(*ast.ValueSpec).Names {
						if strings.HasPrefix(name.Name, "Err") {
							found[file.Name.Name+"."+name.Name] = true
						}
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range found {
		if !known[name] {
			t.Errorf("%s has no S3 error", name)
		}
	}
	for name := range known {
		if !found[name] {
			t.Errorf("%s is mapped but does not exist", name)
		}
	}
}

func TestErrorsKeepTheirMeaningWhenWrapped(t *testing.T) {
	m := newErrorMap()
	for _, e := range slices.Concat(domainErrors(), innerErrors()) {
		wrapped := fmt.Errorf("put bucket/key: %w", fmt.Errorf("set 3: %w", e.err))
		got := m.find(wrapped)
		if got.Code != e.s3.Code || got.Cause != wrapped {
			t.Errorf("%s: %v", e.name, got)
		}
	}
	if got := m.find(errors.New("surprise")); got.Code != s3err.InternalError || strings.Contains(string(got.AppendXML(nil, "", "", "")), "surprise") {
		t.Errorf("an unknown error shows: %v", got)
	}
	if got := m.find(fmt.Errorf("x: %w", s3err.NoSuchTagSet)); got.Code != s3err.NoSuchTagSet {
		t.Errorf("a code in a chain: %v", got)
	}
	if got := m.find(fmt.Errorf("x: %w", s3err.InvalidTag.With("a", "b"))); len(got.Fields) != 1 {
		t.Errorf("an error in a chain: %v", got)
	}
}
