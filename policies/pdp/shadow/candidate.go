package shadow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/cache"

	"paymesh.internal/pdp/policy"
)

// entryPoints that can be shadowed, by the package as the bundle names it.
var entryPoints = map[string]string{
	"paymesh.authz":   "paymesh/authz/decision",
	"paymesh.objects": "paymesh/objects/decision",
}

// forbidden builtins reach out of the process: the candidate is asked about real
// calls, with real tokens in them.
var forbidden = []string{ast.HTTPSend.Name, ast.NetLookupIPAddr.Name}

// tokensRemembered is how many verified tokens a candidate's cache holds.
const tokensRemembered = 1000

// question asks a candidate's entry point; its time.now_ns is the given time.
type question func(ctx context.Context, input ast.Value, at time.Time) (ast.Value, error)

// candidate is a policy that nobody enforces. It shares nothing with the live one:
// neither compiler, nor store, nor caches.
type candidate struct {
	revision string
	packages []string
	// questions by policy path; those of packages that are off are missing.
	questions map[string]question
}

// compile makes a candidate of a verified bundle. An empty list of packages is a
// candidate that is asked nothing.
func compile(ctx context.Context, b *bundle.Bundle) (*candidate, error) {
	packages, err := packagesOf(b.Data)
	if err != nil {
		return nil, err
	}
	c := &candidate{revision: b.Manifest.Revision, packages: packages, questions: map[string]question{}}
	if len(packages) == 0 {
		return c, nil
	}
	compiler, err := compileModules(b.Modules)
	if err != nil {
		return nil, err
	}
	options := []func(*rego.Rego){
		rego.Compiler(compiler),
		rego.Store(inmem.NewFromObjectWithOpts(b.Data, inmem.OptRoundTripOnWrite(false))),
		rego.GenerateJSON(func(term *ast.Term, _ *rego.EvalContext) (any, error) { return term.Value, nil }),
	}
	values := cache.NewInterQueryValueCache(ctx, cacheConfig())
	for _, name := range packages {
		path := entryPoints[name]
		if len(compiler.GetRules(policy.Ref(path))) == 0 {
			return nil, fmt.Errorf("it does not define data.%s", strings.ReplaceAll(path, "/", "."))
		}
		query, err := rego.New(append(options, rego.ParsedQuery(policy.Body(path)))...).PrepareForEval(ctx)
		if err != nil {
			return nil, err
		}
		c.questions[path] = ask(query, values)
	}
	return c, nil
}

func compileModules(files []bundle.ModuleFile) (*ast.Compiler, error) {
	modules := make(map[string]*ast.Module, len(files))
	for _, file := range files {
		modules[file.Path] = file.Parsed
	}
	allowed := ast.CapabilitiesForThisVersion()
	allowed.Builtins = slices.DeleteFunc(slices.Clone(allowed.Builtins), func(b *ast.Builtin) bool {
		return slices.Contains(forbidden, b.Name)
	})
	// What a candidate prints is left out by the compiler.
	compiler := ast.NewCompiler().WithCapabilities(allowed)
	if compiler.Compile(modules); compiler.Failed() {
		return nil, compiler.Errors
	}
	return compiler, nil
}

// packagesOf reads data.paymesh.shadow.packages, sorted and each once.
func packagesOf(data map[string]any) ([]string, error) {
	paymesh, _ := data["paymesh"].(map[string]any)
	shadow, _ := paymesh["shadow"].(map[string]any)
	list, ok := shadow["packages"].([]any)
	if !ok {
		return nil, errors.New("data.paymesh.shadow.packages is no list")
	}
	packages := make([]string, 0, len(list))
	for _, element := range list {
		name, _ := element.(string)
		if entryPoints[name] == "" {
			return nil, fmt.Errorf("data.paymesh.shadow.packages: %.64q has no decision that can be shadowed", fmt.Sprint(element))
		}
		packages = append(packages, name)
	}
	slices.Sort(packages)
	return slices.Compact(packages), nil
}

func ask(query rego.PreparedEvalQuery, values cache.InterQueryValueCache) question {
	return func(ctx context.Context, input ast.Value, at time.Time) (ast.Value, error) {
		cancel := topdown.NewCancel()
		defer context.AfterFunc(ctx, cancel.Cancel)()
		results, err := query.Eval(ctx,
			rego.EvalParsedInput(input),
			rego.EvalTime(at),
			rego.EvalInterQueryBuiltinValueCache(values),
			rego.EvalExternalCancel(cancel),
		)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			return nil, err
		case len(results) == 0:
			return nil, policy.ErrUndefined
		}
		value, ok := results[0].Expressions[0].Value.(ast.Value)
		if !ok {
			return nil, fmt.Errorf("illegal evaluation result %T", results[0].Expressions[0].Value)
		}
		return value, nil
	}
}

func cacheConfig() *cache.Config {
	entries := tokensRemembered
	return &cache.Config{InterQueryBuiltinValueCache: cache.InterQueryBuiltinValueCacheConfig{
		MaxNumEntries:     &entries,
		NamedCacheConfigs: map[string]*cache.NamedValueCacheConfig{"io_jwt": {MaxNumEntries: &entries}},
	}}
}
