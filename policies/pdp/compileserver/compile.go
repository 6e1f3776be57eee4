package compileserver

import (
	"bytes"
	"io"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/loader/filter"
)

// File is one of a bundle that is going to be: its path there and its content.
type File struct {
	Path    string
	Content []byte
}

// Compile is `check --strict --bundle` of files that are in no directory: modules
// are parsed with their annotations, compiled together, and none of their rules may
// stand where the data is.
func Compile(files []File) error {
	capabilities := ast.CapabilitiesForThisVersion(ast.CapabilitiesRegoVersion(ast.DefaultRegoVersion))
	read, err := bundle.NewCustomReader(&loader{files: files}).
		WithSkipBundleVerification(true).
		WithProcessAnnotations(true).
		WithCapabilities(capabilities).
		WithRegoVersion(ast.DefaultRegoVersion).
		Read()
	if err != nil {
		return err
	}
	compiler := ast.NewCompiler().
		WithCapabilities(capabilities).
		WithEnablePrintStatements(true).
		WithStrict(true).
		WithUseTypeCheckAnnotations(true).
		WithPathConflictsCheck(func(path []string) (bool, error) { return stands(read.Data, path), nil })
	if compiler.Compile(read.ParsedModules("")); compiler.Failed() {
		return compiler.Errors
	}
	return nil
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
