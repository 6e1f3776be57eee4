package policy

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// OPA's builtins for tokens take it for granted that `iss` and `cty` are strings and
// panic where they are not: a token that anybody can make up would look like a policy
// engine that fails. Here it is what it is, a token that is not one: the builtin has no
// answer, as for any other that it cannot read.
func init() {
	for _, builtin := range []*ast.Builtin{ast.JWTDecode, ast.JWTDecodeVerify} {
		topdown.RegisterBuiltinFunc(builtin.Name, withoutPanic(topdown.GetBuiltin(builtin.Name)))
	}
}

func withoutPanic(builtin topdown.BuiltinFunc) topdown.BuiltinFunc {
	return func(bctx topdown.BuiltinContext, operands []*ast.Term, iter func(*ast.Term) error) error {
		found, err := answers(builtin, bctx, operands)
		if err != nil {
			return err
		}
		// What the policy makes of them is no business of this one's.
		for _, term := range found {
			if err := iter(term); err != nil {
				return err
			}
		}
		return nil
	}
}

func answers(builtin topdown.BuiltinFunc, bctx topdown.BuiltinContext, operands []*ast.Term) (found []*ast.Term, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			found, err = nil, fmt.Errorf("a token that cannot be read: %v", cause)
		}
	}()
	err = builtin(bctx, operands, func(term *ast.Term) error {
		found = append(found, term)
		return nil
	})
	return found, err
}
