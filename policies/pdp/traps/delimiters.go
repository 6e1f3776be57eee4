package traps

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// delimits says whether a character ends a name. A hyphen, a dot and an underscore stand
// within one, too.
func delimits(character byte) bool {
	isLetter := 'a' <= character|0x20 && character|0x20 <= 'z'
	isDigit := '0' <= character && character <= '9'
	return !isLetter && !isDigit && !strings.ContainsRune("-._", rune(character))
}

// ends says which end of a constant has to be a delimiter.
var ends = map[string]struct {
	operand     int
	first, last bool
}{
	"startswith":               {1, false, true},
	"endswith":                 {1, true, false},
	"contains":                 {1, true, true},
	"strings.any_prefix_match": {1, false, true},
	"strings.any_suffix_match": {1, true, false},
}

// noDelimiter: "/admin" is also how "/administrators" begins.
func noDelimiter(p *policyPackage, module *ast.Module, found report) {
	calls(module, func(c call) {
		want, ok := ends[c.name]
		if !ok || len(c.operands) <= want.operand || anySpiffe(c.operands) {
			return
		}
		texts, all := p.fragments(c.operands[want.operand])
		if !all {
			found(c.at, "%s of what is no constant: nobody sees where a name ends; compare with `==` or split at the delimiter", c.name)
			return
		}
		for _, text := range texts {
			if text == "" || want.first && !delimits(text[0]) ||
				want.last && !delimits(text[len(text)-1]) {
				found(c.at, "%s without a delimiter: %q is also part of longer names; end it with a delimiter, or compare with `==`", c.name, text)
			}
		}
	})
}

// fragments are constants, or the constant ends of a text that is put together.
func (p *policyPackage) fragments(term *ast.Term) ([]string, bool) {
	parts, ok := concatenated(term)
	if !ok {
		return p.constants(term)
	}
	first, knownFirst := p.constants(parts[0])
	last, knownLast := p.constants(parts[len(parts)-1])
	switch {
	case knownFirst && knownLast:
		return []string{first[0] + last[0]}, true
	case knownLast:
		return last, true
	}
	return nil, false
}

// concatenated are the parts of `concat("", [...])`.
func concatenated(term *ast.Term) ([]*ast.Term, bool) {
	inner, ok := term.Value.(ast.Call)
	if !ok || len(inner) != 3 || inner[0].Value.String() != "concat" || !inner[1].Equal(ast.StringTerm("")) {
		return nil, false
	}
	array, ok := inner[2].Value.(*ast.Array)
	if !ok || array.Len() == 0 {
		return nil, false
	}
	return arrayTerms(array), true
}
