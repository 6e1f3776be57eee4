package mutate

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// pool is what else a file says: the mistakes that people make are not "x~" in place
// of "x" but the name of the neighbour.
type pool struct {
	strings []string
	// keys holds the last keys of references by what stands before them.
	keys map[string][]string
}

func newPool(module *ast.Module) *pool {
	p := &pool{keys: map[string][]string{}}
	ast.WalkTerms(module, func(term *ast.Term) bool {
		switch value := term.Value.(type) {
		case ast.String:
			if term.Location != nil && len(term.Location.Text) > 0 && term.Location.Text[0] == '"' {
				p.strings = appendNew(p.strings, string(term.Location.Text))
			}
		case ast.Ref:
			if prefix, last, ok := split(value); ok {
				p.keys[prefix] = appendNew(p.keys[prefix], last)
			}
		}
		return false
	})
	return p
}

// nextString is the string constant after this one, in the order of the file.
func (p *pool) nextString(literal string) string { return after(p.strings, literal) }

// sibling is another last key that the file uses of the same object.
func (p *pool) sibling(ref ast.Ref) string {
	prefix, last, ok := split(ref)
	if !ok {
		return ""
	}
	return after(p.keys[prefix], last)
}

func split(ref ast.Ref) (prefix, last string, ok bool) {
	key, isString := ref[len(ref)-1].Value.(ast.String)
	if len(ref) < 2 || !isString || ref[len(ref)-1].Location == nil {
		return "", "", false
	}
	// A name that needs quotes stands in brackets.
	return ref[:len(ref)-1].String(), string(key), string(ref[len(ref)-1].Location.Text) == string(key)
}

func after(all []string, one string) string {
	at := slices.Index(all, one)
	if at < 0 || len(all) < 2 {
		return ""
	}
	return all[(at+1)%len(all)]
}

func appendNew(all []string, one string) []string {
	if slices.Contains(all, one) {
		return all
	}
	return append(all, one)
}
