package traps

import (
	"regexp/syntax"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// unanchoredRegex: without `^` and `$` a pattern matches whatever has a match somewhere.
func unanchoredRegex(p *policyPackage, module *ast.Module, found report) {
	calls(module, func(c call) {
		switch {
		case c.name == "glob.match" && len(c.operands) > 1:
			if c.operands[1].Equal(ast.ArrayTerm()) || c.operands[1].Equal(ast.NullTerm()) {
				found(c.at, "glob.match without delimiters: `*` goes past every `/`; name the delimiters")
			}
		case c.name == "regex.match" && len(c.operands) > 0:
			patterns, all := p.constants(c.operands[0])
			if !all {
				found(c.at, "regex.match with a pattern that is no constant: nobody can review what it matches; write it here")
			}
			for _, pattern := range patterns {
				if !anchored(pattern) {
					found(c.at, "%q matches in the middle of other texts: begin every alternative with `^` and end it with `$`", pattern)
				}
			}
		}
	})
}

// anchored says whether a pattern can match nothing but a whole text.
func anchored(pattern string) bool {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	return err == nil && begins(parsed) && finishes(parsed)
}

func begins(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginText:
		return true
	case syntax.OpConcat, syntax.OpCapture:
		return begins(re.Sub[0])
	case syntax.OpAlternate:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !begins(sub) })
	}
	return false
}

func finishes(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpEndText:
		return true
	case syntax.OpConcat, syntax.OpCapture:
		return finishes(re.Sub[len(re.Sub)-1])
	case syntax.OpAlternate:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !finishes(sub) })
	}
	return false
}
