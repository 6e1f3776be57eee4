package policy

import (
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Ref turns a path as OPA's configuration writes it, "a/b/0", into data.a.b[0].
func Ref(path string) ast.Ref {
	ref := ast.Ref{ast.DefaultRootDocument}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" {
			continue
		}
		if index, err := strconv.Atoi(part); err == nil {
			ref = append(ref, ast.IntNumberTerm(index))
		} else {
			ref = append(ref, ast.StringTerm(part))
		}
	}
	return ref
}

// Body makes the query that asks for one document.
func Body(path string) ast.Body {
	return ast.NewBody(ast.NewExpr(ast.NewTerm(Ref(path))))
}
