package input

import (
	"net/url"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// parsePath splits a path as the official plugin does: unescaped as a whole,
// leading slashes trimmed, then cut at each slash. It is lossy ("/a%2Fb" and
// "/a/b" are the same here), so a policy compares the raw path and uses this for
// nothing that grants.
func parsePath(target string) (parts []string, query url.Values, err error) {
	path, rawQuery, _ := strings.Cut(target, "?")
	path, err = url.PathUnescape(path)
	if err != nil {
		return nil, nil, err
	}
	query, err = url.ParseQuery(rawQuery)
	if err != nil {
		return nil, nil, err
	}
	return strings.Split(strings.TrimLeft(path, "/"), "/"), query, nil
}

var emptyObject = ast.ObjectTerm()

func stringArray(values []string) *ast.Term {
	terms := make([]*ast.Term, len(values))
	for i, value := range values {
		terms[i] = ast.InternedTerm(value)
	}
	return ast.ArrayTerm(terms...)
}

func multimap(values map[string][]string) *ast.Term {
	if len(values) == 0 {
		return emptyObject
	}
	items := make([][2]*ast.Term, 0, len(values))
	for key, list := range values {
		items = append(items, [2]*ast.Term{ast.StringTerm(key), stringArray(list)})
	}
	return ast.NewTerm(ast.NewObject(items...))
}
