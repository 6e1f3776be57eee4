package mutate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/util"
)

// roots are the directories of the policies that a bundle has.
var roots = []string{"paymesh", "system"}

// Policies are the rules, their tests and the data beside them.
type Policies struct {
	modules map[string]*ast.Module
	texts   map[string][]byte
	data    map[string]any

	packages *packages
}

// Load reads the policies below a directory.
func Load(directory string) (*Policies, error) {
	p := &Policies{modules: map[string]*ast.Module{}, texts: map[string][]byte{}, data: map[string]any{}}
	for _, root := range roots {
		err := filepath.WalkDir(filepath.Join(directory, root), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			return p.read(directory, path)
		})
		if err != nil {
			return nil, err
		}
	}
	p.packages = newPackages(p.modules)
	return p, nil
}

func (p *Policies) read(directory, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	switch {
	case filepath.Ext(path) == ".rego":
		p.texts[path] = text
		p.modules[path], err = ast.ParseModule(path, string(text))
		return err
	case filepath.Base(path) == "data.yaml":
		var document any
		if err := util.Unmarshal(text, &document); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		below, err := filepath.Rel(directory, filepath.Dir(path))
		if err != nil {
			return err
		}
		put(p.data, strings.Split(filepath.ToSlash(below), "/"), document)
	}
	return nil
}

// put sets a value in nested objects.
func put(object map[string]any, path []string, value any) {
	for _, key := range path[:len(path)-1] {
		below, ok := object[key].(map[string]any)
		if !ok {
			below = map[string]any{}
			object[key] = below
		}
		object = below
	}
	object[path[len(path)-1]] = value
}

// Rules are the files that are broken, sorted: all but the tests.
func (p *Policies) Rules() []string {
	files := slices.Sorted(maps.Keys(p.texts))
	return slices.DeleteFunc(files, func(file string) bool { return strings.HasSuffix(file, "_test.rego") })
}

// compileAll compiles the policies as they are.
func (p *Policies) compileAll() (*ast.Compiler, error) { return compile(p.modules) }

// compileWith compiles what a file can change, with another module in its place.
func (p *Policies) compileWith(file string, module *ast.Module) (*ast.Compiler, error) {
	_, need := p.packages.around(file)
	modules := map[string]*ast.Module{file: module}
	for other, unchanged := range p.modules {
		if need[other] && other != file {
			modules[other] = unchanged
		}
	}
	return compile(modules)
}

// compile compiles as `opa test` does.
func compile(modules map[string]*ast.Module) (*ast.Compiler, error) {
	compiler := ast.NewCompiler()
	// The tester has two stages of its own, and no way to them but a run. This run is
	// over before it begins.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	results, err := tester.NewRunner().SetCompiler(compiler).SetModules(modules).RunTests(ctx, nil)
	if err != nil {
		return nil, err
	}
	for range results {
		return nil, errors.New("a test ran while compiling")
	}
	return compiler, nil
}
