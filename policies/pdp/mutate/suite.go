package mutate

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// testTimeout ends a test that a mutant made endless. A test takes milliseconds.
const testTimeout = 20 * time.Second

// test is one rule `test_…` of the policies.
type test struct {
	file  string
	query string
	// table: the rule has a case for each key, and fails when one of them has no value.
	table bool
}

// tests finds the tests of compiled policies, in the order of their names.
func tests(compiler *ast.Compiler) []test {
	var found []test
	for file, module := range compiler.Modules {
		for _, rule := range module.Rules {
			ref := rule.Head.Ref().GroundPrefix()
			if strings.HasPrefix(string(ref[0].Value.(ast.Var)), tester.TestPrefix) {
				found = append(found, test{
					file:  file,
					query: module.Package.Path.Extend(ref).String(),
					table: rule.Head.DocKind() == ast.PartialObjectDoc,
				})
			}
		}
	}
	slices.SortFunc(found, func(a, b test) int { return strings.Compare(a.query, b.query) })
	return found
}

// noticing are the tests that can see the rules of a file, its own directory's first:
// they notice most.
func (p *Policies) noticing(tests []test, file string) []test {
	see, _ := p.packages.around(file)
	var near, far []test
	for _, one := range tests {
		switch {
		case !see[one.file]:
		case sameDirectory(one.file, file):
			near = append(near, one)
		default:
			far = append(far, one)
		}
	}
	return append(near, far...)
}

// casesKey finds the recorder of a test's cases in the context of its evaluation.
type casesKey struct{}

// noteCase replaces the builtin by which OPA's tester learns of a table's cases. The
// tester listens to a trace of every step, which takes twenty times as long as the
// test itself.
func noteCase(bctx topdown.BuiltinContext, operands []*ast.Term, iter func(*ast.Term) error) error {
	if cases, ok := bctx.Context.Value(casesKey{}).(*[]*ast.Array); ok {
		if path, ok := operands[0].Value.(*ast.Array); ok {
			*cases = append(*cases, path)
		}
	}
	return iter(ast.InternedTerm(true))
}

// listen makes the tests of this process tell their cases to `passes`, not to OPA's
// tester.
func listen() { topdown.RegisterBuiltinFunc(ast.InternalTestCase.Name, noteCase) }

// passes says whether a test passes, as `opa test` would.
func (t test) passes(ctx context.Context, compiler *ast.Compiler, store storage.Store) (bool, error) {
	var cases []*ast.Array
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, casesKey{}, &cases), testTimeout)
	defer cancel()
	results, err := rego.New(rego.Compiler(compiler), rego.Store(store), rego.Query(t.query)).Eval(ctx)
	if err != nil {
		return false, err
	}
	if len(results) == 0 {
		return false, nil
	}
	value := results[0].Expressions[0].Value
	if !t.table {
		return value == true, nil
	}
	if !allTrue(value) {
		return false, nil
	}
	for _, path := range cases {
		if !has(value, path) {
			return false, nil
		}
	}
	return true, nil
}

func allTrue(value any) bool {
	object, ok := value.(map[string]any)
	if !ok {
		return value == true
	}
	for _, below := range object {
		if !allTrue(below) {
			return false
		}
	}
	return true
}

func has(value any, path *ast.Array) bool {
	for i := range path.Len() {
		object, ok := value.(map[string]any)
		if !ok {
			return false
		}
		if value, ok = object[keyOf(path.Elem(i))]; !ok {
			return false
		}
	}
	return true
}

// keyOf is a case's name as a key of the answer: a name that is no string is its JSON.
func keyOf(term *ast.Term) string {
	value, err := ast.JSON(term.Value)
	if err != nil {
		return ""
	}
	if text, ok := value.(string); ok {
		return text
	}
	text, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(text)
}
