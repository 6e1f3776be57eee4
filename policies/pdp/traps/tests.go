package traps

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/tester"
)

// loopInTest: a test with `some case in cases` passes as soon as one case does. Either
// `every` is meant, or each case is a test of its own, named by the key of the rule:
// then each loop has to show in the key, or the cases of one name stand in for each
// other.
func loopInTest(_ *policyPackage, module *ast.Module, found report) {
	for _, rule := range module.Rules {
		if !strings.HasPrefix(nameOf(rule), tester.TestPrefix) {
			continue
		}
		named := inKey(rule)
		for _, expr := range rule.Body {
			some, ok := expr.Terms.(*ast.SomeDecl)
			if !ok {
				continue
			}
			loop, shows := map[string]bool{}, false
			declared(some, loop)
			for name := range loop {
				shows = shows || named[name]
			}
			if !shows {
				found(expr.Location, "passes as soon as one element does: write `every`, or name the element in the key, `%s[note]`", nameOf(rule))
			}
		}
	}
}

// inKey are the variables that a test's cases are named by, and those that these are
// made of.
func inKey(rule *ast.Rule) map[string]bool {
	named := map[string]bool{}
	for _, term := range rule.Head.Ref()[1:] {
		variables(term, func(name string) { named[name] = true })
	}
	for _, expr := range rule.Body {
		if !expr.IsAssignment() {
			continue
		}
		if target, ok := expr.Operand(0).Value.(ast.Var); ok && named[string(target)] {
			variables(expr.Operand(1), func(name string) { named[name] = true })
		}
	}
	return named
}
