package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// What answers to a socket reaches none of the packages that are only for the command
// line, and these do nothing before they are called: to have them in the program opens
// nothing to whoever can connect to it.
func TestNothingServedReachesTheTools(t *testing.T) {
	const module = "paymesh.internal/pdp/"
	tools := map[string]bool{"benchdecisions": true, "decide": true, "mutate": true, "replay": true, "traps": true}
	reached := map[string]bool{}
	var visit func(name string, then func(*ast.File))
	visit = func(name string, then func(*ast.File)) {
		if reached[name] {
			return
		}
		reached[name] = true
		for _, file := range parsed(t, name) {
			then(file)
			for _, imported := range file.Imports {
				if below, isOurs := strings.CutPrefix(strings.Trim(imported.Path.Value, `"`), module); isOurs {
					visit(below, then)
				}
			}
		}
	}
	for _, served := range []string{"extauthz", "decisionlog", "shadow", "ship", "footprint"} {
		visit(served, func(*ast.File) {})
	}
	for tool := range tools {
		if reached[tool] {
			t.Errorf("%s can be reached from a socket", tool)
		}
	}
	if !reached["policy"] {
		t.Error("imports are not followed")
	}
	for tool := range tools {
		visit(tool, func(file *ast.File) {
			for _, declared := range file.Decls {
				if function, ok := declared.(*ast.FuncDecl); ok && function.Recv == nil && function.Name.Name == "init" {
					t.Errorf("%s does something when the program starts", tool)
				}
			}
			for _, imported := range file.Imports {
				if path := imported.Path.Value; path == `"net"` || strings.HasPrefix(path, `"net/http`) || strings.HasPrefix(path, `"google.golang.org/grpc`) {
					t.Errorf("%s imports %s", tool, path)
				}
			}
		})
	}
}

// parsed are the sources of a package of this module.
func parsed(t *testing.T, name string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(filepath.FromSlash(name), "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %v, %v", name, names, err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}
