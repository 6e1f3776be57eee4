package compileserver

import (
	"bytes"
	"io"
	"path"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/loader/filter"
)

// File is one of a bundle that is going to be: its path there and its content.
type File struct {
	Path    string
	Content []byte
}

// Compiler remembers the rules that it compiled last: most edits change data alone, and
// then no more is to be seen to than that none of the rules stands where data is now.
type Compiler struct {
	rules []File
	last  *ast.Compiler
}

// Compile is `check --strict --bundle` of files that are in no directory: modules
// are parsed with their annotations, compiled together, and none of their rules may
// stand where the data is.
func (c *Compiler) Compile(files []File) error {
	rules, data := split(files)
	if c.last == nil || !slices.EqualFunc(rules, c.rules, equal) {
		return c.compile(files, rules)
	}
	read, err := readAll(data)
	if err != nil {
		return err
	}
	if found := ast.CheckPathConflicts(c.last, finder(read.Data)); len(found) > 0 {
		return found
	}
	return nil
}

func (c *Compiler) compile(files, rules []File) error {
	c.last = nil
	read, err := readAll(files)
	if err != nil {
		return err
	}
	compiler := ast.NewCompiler().
		WithCapabilities(capabilities).
		WithEnablePrintStatements(true).
		WithStrict(true).
		WithUseTypeCheckAnnotations(true).
		WithPathConflictsCheck(finder(read.Data))
	if compiler.Compile(read.ParsedModules("")); compiler.Failed() {
		return compiler.Errors
	}
	c.rules, c.last = rules, compiler
	return nil
}

var capabilities = ast.CapabilitiesForThisVersion(ast.CapabilitiesRegoVersion(ast.DefaultRegoVersion))

func readAll(files []File) (bundle.Bundle, error) {
	return bundle.NewCustomReader(&loader{files: files}).
		WithSkipBundleVerification(true).
		WithProcessAnnotations(true).
		WithCapabilities(capabilities).
		WithRegoVersion(ast.DefaultRegoVersion).
		Read()
}

// split tells rules from what could change how they are compiled without being one.
func split(files []File) (rules, data []File) {
	for _, file := range files {
		if path.Base(file.Path) == "data.json" {
			data = append(data, file)
		} else {
			rules = append(rules, file)
		}
	}
	return rules, data
}

func equal(a, b File) bool { return a.Path == b.Path && bytes.Equal(a.Content, b.Content) }

func finder(data map[string]any) func([]string) (bool, error) {
	return func(path []string) (bool, error) { return stands(data, path), nil }
}

// stands reports whether there is data at a path, or a value on the way to it.
func stands(data map[string]any, path []string) bool {
	if len(path) == 0 || len(data) == 0 {
		return false
	}
	for _, key := range path {
		value, ok := data[key]
		if !ok {
			return false
		}
		if data, ok = value.(map[string]any); !ok {
			return true
		}
	}
	return true
}

// loader is a bundle's files in memory, as OPA reads them.
type loader struct {
	files []File
	limit int64
}

func (l *loader) NextFile() (*bundle.Descriptor, error) {
	if len(l.files) == 0 {
		return nil, io.EOF
	}
	file := l.files[0]
	l.files = l.files[1:]
	return bundle.NewDescriptor(file.Path, file.Path, bytes.NewReader(file.Content)).
		WithCloser(io.NopCloser(nil)), nil
}

func (l *loader) WithFilter(filter.LoaderFilter) bundle.DirectoryLoader   { return l }
func (l *loader) WithPathFormat(bundle.PathFormat) bundle.DirectoryLoader { return l }
func (l *loader) WithSizeLimitBytes(int64) bundle.DirectoryLoader         { return l }
func (l *loader) WithFollowSymlinks(bool) bundle.DirectoryLoader          { return l }
