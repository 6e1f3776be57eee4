package mutate

import (
	"context"
	"maps"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
)

const shapes = `package p_test

test_true if input == input

test_true if 1 == 1

test_false if 1 == 2

test_undefined if data.nothing

test_value := 7

test_error := 1 if 1 == 1

test_error := 2 if 1 == 1

test_table[note] if {
	some note, x in {"a": 1, "b": 1}
	x == 1
}

test_one_fails[note] if {
	some note, x in {"a": 1, "b": 2}
	x == 1
}

test_all_fail[note] if {
	some note, x in {"a": 2}
	x == 1
}

test_odd_keys[key] if {
	some key in [1, null, ["a"], {"b": "<c>"}, "d"]
	key != 2
}

test_one_odd_key_fails[key] if {
	some key in [1, null, ["a"], {"b": "<c>"}, "d"]
	key != {"b": "<c>"}
}

test_two_keys[x][y] if {
	some x in ["a", "b"]
	some y in ["c", "d"]
	x != y
}

test_one_of_two_keys_fails[x][y] if {
	some x in ["a", "b"]
	some y in ["b", "c"]
	x != y
}

test_no_case[x] if {
	some x in []
}

todo_test_later if false

no_test if false
`

var shapeModules = map[string]*ast.Module{"p_test.rego": ast.MustParseModule(shapes)}

// opaSays which tests pass. Asked before any test runs, because `listen` takes OPA's
// tester its ears.
var opaSays = func() map[string]bool {
	results, err := tester.NewRunner().SetModules(shapeModules).RunTests(context.Background(), nil)
	if err != nil {
		panic(err)
	}
	passed := map[string]bool{}
	for result := range results {
		if !result.Skip {
			passed[result.Package+"."+result.Name] = result.Pass()
		}
	}
	return passed
}()

// The verdict on each test has to be that of OPA's own tester, which is much slower.
func TestATestPassesAsItDoesForOPA(t *testing.T) {
	listen()
	compiler, err := compile(shapeModules)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, one := range tests(compiler) {
		passed, err := one.passes(context.Background(), compiler, inmem.New())
		ref := ast.MustParseRef(one.query)
		name := string(ref[len(ref)-1].Value.(ast.String)) // with quotes or without
		got["data.p_test."+name] = passed && err == nil
	}
	if len(got) < 10 || countTrue(got) < 3 || countTrue(got) == len(got) {
		t.Fatalf("the tests do not differ: %v", got)
	}
	if !maps.Equal(got, opaSays) {
		t.Errorf("got %v\nwant %v", got, opaSays)
	}
}

func countTrue(all map[string]bool) (n int) {
	for _, one := range all {
		if one {
			n++
		}
	}
	return n
}
