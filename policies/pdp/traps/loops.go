package traps

import "github.com/open-policy-agent/opa/v1/ast"

// notEqualInLoop: `some x in xs; x != y` holds as soon as one element differs, which is
// nearly always; meant is that none is equal. A comprehension and a partial rule filter,
// and mean what they say.
func notEqualInLoop(_ *policyPackage, module *ast.Module, found report) {
	for _, rule := range module.Rules {
		if rule.Head.DocKind() != ast.CompleteDoc && len(rule.Head.Args) == 0 {
			continue
		}
		for _, branch := range branches(rule) {
			inBody(branch.Body, found)
		}
	}
}

func inBody(body ast.Body, found report) {
	loops := map[string]bool{}
	for _, expr := range body {
		if some, ok := expr.Terms.(*ast.SomeDecl); ok {
			declared(some, loops)
		}
		if expr.IsAssignment() && iterates(expr.Operand(1), loops) {
			variables(expr.Operand(0), func(name string) { loops[name] = true })
		}
	}
	for _, expr := range body {
		if terms, ok := expr.Terms.([]*ast.Term); ok && expr.Operator().String() == "neq" && !expr.Negated {
			if iterates(terms[1], loops) || iterates(terms[2], loops) {
				found(expr.Location, "true as soon as one element differs: write `not y in xs`, or `every x in xs { x != y }`")
			}
		}
	}
}

// declared notes the variables of `some x in xs`, of `some k, v in xs` and of `some i`.
func declared(some *ast.SomeDecl, loops map[string]bool) {
	for _, symbol := range some.Symbols {
		in, ok := symbol.Value.(ast.Call)
		if !ok {
			variables(symbol, func(name string) { loops[name] = true })
			continue
		}
		for _, term := range in[1 : len(in)-1] {
			variables(term, func(name string) { loops[name] = true })
		}
	}
}

// iterates says whether a term stands for one element after another: it has a variable of
// a loop, or `_` as a key. What a comprehension does inside is its own affair.
func iterates(term *ast.Term, loops map[string]bool) (does bool) {
	ast.NewGenericVisitor(func(node any) bool {
		switch value := node.(type) {
		case *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension:
			return true
		case ast.Var:
			does = does || loops[string(value)] || value.IsWildcard()
		}
		return does
	}).Walk(term)
	return does
}

func variables(term *ast.Term, visit func(string)) {
	ast.WalkVars(term, func(name ast.Var) bool {
		if !name.IsWildcard() {
			visit(string(name))
		}
		return false
	})
}
