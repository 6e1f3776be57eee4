package reads

import (
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/types"
)

// Same is `==` as a builtin of its own.
const Same = "paymesh.same"

// DeclareSame makes the builtin known to this process; it has to come before the
// modules that need it are compiled.
func DeclareSame() {
	ast.RegisterBuiltin(&ast.Builtin{
		Name: Same,
		Decl: types.NewFunction(types.Args(types.A, types.A), types.B),
	})
	topdown.RegisterBuiltinFunc(Same, func(_ topdown.BuiltinContext, operands []*ast.Term, iter func(*ast.Term) error) error {
		return iter(ast.InternedTerm(operands[0].Equal(operands[1])))
	})
}

// ShowComparisons exchanges each `==` of a module that is not compiled yet for the
// builtin. OPA compiles `==` to a unification, which nobody can watch; both sides of
// it have to have a value, so the builtin answers the same.
func ShowComparisons(module *ast.Module) {
	ast.WalkExprs(module, func(expression *ast.Expr) bool {
		if terms, ok := expression.Terms.([]*ast.Term); ok {
			exchange(terms)
		}
		return false
	})
	ast.WalkTerms(module, func(term *ast.Term) bool {
		if call, ok := term.Value.(ast.Call); ok {
			exchange(call)
		}
		return false
	})
}

func exchange(call []*ast.Term) {
	if ref, ok := call[0].Value.(ast.Ref); ok && ref.Equal(ast.Equal.Ref()) {
		call[0] = ast.NewTerm(same).SetLocation(call[0].Location)
	}
}

var same = ast.Ref{ast.VarTerm("paymesh"), ast.StringTerm("same")}
