package traps

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// partial look at a part of a text.
var partial = map[string]bool{
	"startswith": true, "endswith": true, "contains": true, "indexof": true, "substring": true,
	"strings.any_prefix_match": true, "strings.any_suffix_match": true,
	"trim_prefix": true, "trim_suffix": true, "trim_left": true, "trim_right": true,
	"regex.match": true, "glob.match": true,
}

// spiffeNames are names of what holds a SPIFFE ID.
var spiffeNames = map[string]bool{"principal": true, "spiffe_id": true, "caller": true}

// spiffePrefix: a SPIFFE ID is the same byte for byte or it is another. `…/sa/pay` is how
// `…/sa/payments` begins, and `spiffe://mesh` how `spiffe://mesh.evil.test` does.
func spiffePrefix(_ *policyPackage, module *ast.Module, found report) {
	calls(module, func(c call) {
		if partial[c.name] && anySpiffe(c.operands) {
			found(c.at, "a part of a SPIFFE ID is nobody's identity: compare the whole ID with `==`, or its parts after `split(id, \"/\")`")
		}
	})
}

func anySpiffe(operands []*ast.Term) bool {
	for _, operand := range operands {
		if isSpiffe(operand) {
			return true
		}
	}
	return false
}

func isSpiffe(term *ast.Term) (is bool) {
	ast.WalkTerms(term, func(term *ast.Term) bool {
		switch value := term.Value.(type) {
		case ast.String:
			is = is || strings.Contains(string(value), "spiffe:")
		case ast.Var:
			is = is || spiffeNames[strings.TrimLeft(string(value), "_")]
		case ast.Ref:
			last, ok := value[len(value)-1].Value.(ast.String)
			is = is || ok && spiffeNames[strings.TrimLeft(string(last), "_")]
		}
		return is
	})
	return is
}
