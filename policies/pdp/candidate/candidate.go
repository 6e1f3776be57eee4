// Package candidate loads a policy that nobody has signed yet, to ask it what it
// would decide. It is for questions about the past and the planned; a decision
// point never decides by what is loaded here.
package candidate

import (
	"errors"
	"fmt"
	"os"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/util"
)

// Policy is a compiled policy and the data that came with it.
type Policy struct {
	Compiler *ast.Compiler
	data     map[string]any
}

// Load reads a directory or a packed bundle. Its signature is not looked at.
// What change may do to each module, before they are compiled; nil for nothing.
func Load(path string, change func(*ast.Module)) (*Policy, error) {
	loader, done, err := open(path)
	if err != nil {
		return nil, err
	}
	defer done()
	loaded, err := bundle.NewCustomReader(loader).WithSkipBundleVerification(true).WithProcessAnnotations(false).Read()
	if err != nil {
		return nil, fmt.Errorf("%s is no policy bundle: %w", path, err)
	}
	modules := make(map[string]*ast.Module, len(loaded.Modules))
	for _, module := range loaded.Modules {
		if change != nil {
			change(module.Parsed)
		}
		modules[module.Path] = module.Parsed
	}
	if len(modules) == 0 {
		return nil, fmt.Errorf("%s holds no Rego", path)
	}
	compiler := ast.NewCompiler().WithStrict(true)
	if compiler.Compile(modules); compiler.Failed() {
		return nil, fmt.Errorf("%s does not compile: %w", path, compiler.Errors)
	}
	return &Policy{Compiler: compiler, data: loaded.Data}, nil
}

func open(path string) (bundle.DirectoryLoader, func(), error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if info.IsDir() {
		return bundle.NewDirectoryLoader(path), func() {}, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	return bundle.NewTarballLoader(file), func() { file.Close() }, nil
}

// Environment is data.paymesh.environment as the bundle brought it, nil if it
// brought none.
func (p *Policy) Environment() map[string]any {
	environment, _ := p.paymesh()["environment"].(map[string]any)
	return environment
}

func (p *Policy) paymesh() map[string]any {
	paymesh, _ := p.data["paymesh"].(map[string]any)
	return paymesh
}

// Store holds the policy's data with another environment in the place of its own;
// nil for none. The policy's own data stay as they are.
func (p *Policy) Store(environment map[string]any) storage.Store {
	paymesh := make(map[string]any, len(p.paymesh())+1)
	for key, value := range p.paymesh() {
		paymesh[key] = value
	}
	delete(paymesh, "environment")
	if environment != nil {
		paymesh["environment"] = environment
	}
	data := make(map[string]any, len(p.data)+1)
	for key, value := range p.data {
		data[key] = value
	}
	data["paymesh"] = paymesh
	var plain any = data
	if err := util.RoundTrip(&plain); err != nil {
		panic(fmt.Sprintf("data of a bundle are JSON: %v", err))
	}
	return inmem.NewFromObjectWithOpts(plain.(map[string]any), inmem.OptReturnASTValuesOnRead(true), inmem.OptRoundTripOnWrite(false))
}

// ErrNotRecorded is what a question gets whose answer no record holds.
var ErrNotRecorded = errors.New("its result is not recorded, so a decision that depends on it cannot be repeated")

// Isolate takes the builtins from this process that reach out of it or differ at
// each call: a repeated decision must neither do something nor guess.
func Isolate() {
	for _, name := range []string{
		ast.HTTPSend.Name, ast.NetLookupIPAddr.Name, ast.OPARuntime.Name, ast.RandIntn.Name, ast.UUIDRFC4122.Name,
	} {
		topdown.RegisterBuiltinFunc(name, func(topdown.BuiltinContext, []*ast.Term, func(*ast.Term) error) error {
			return topdown.Halt{Err: fmt.Errorf("%s: %w", name, ErrNotRecorded)}
		})
	}
}
