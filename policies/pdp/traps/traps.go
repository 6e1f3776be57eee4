// Package traps finds what Rego does not mean although it reads as if it did.
//
// Each trap compiles, passes `opa check --strict`, and lets somebody in, or keeps
// everybody out, on the day when a field is missing or a name has a longer namesake. In
// a test file only one is looked for: the test that passes when one of its cases does.
package traps

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

const testSuffix = "_test.rego"

// Problem is one trap at one place.
type Problem struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Rule     string `json:"rule"`
	Sentence string `json:"sentence"`
}

func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s: %s", p.File, p.Line, p.Column, p.Rule, p.Sentence)
}

// A check looks for one trap in one file of a package.
type check struct {
	name string
	find func(*policyPackage, *ast.Module, report)
}

// report says that the trap is there, and what to write instead.
type report func(at *ast.Location, sentence string, values ...any)

// checks are all there are, by the name that an exemption uses.
var checks = []check{
	{"missing-default", missingDefault},
	{"not-on-body", notOnBody},
	{"no-delimiter", noDelimiter},
	{"unanchored-regex", unanchoredRegex},
	{"not-equal-in-loop", notEqualInLoop},
	{"spiffe-prefix", spiffePrefix},
	{"nondeterministic", nondeterministic},
}

// testChecks are those of test files.
var testChecks = []check{{"loop-in-test", loopInTest}}

// Find looks for every trap in parsed modules, which need their annotations and
// comments, and answers in the order of files and lines. A trap with a good exemption
// is no problem; an exemption that exempts nothing, or does not say why, is one.
func Find(modules map[string]*ast.Module) []Problem {
	var problems []Problem
	packages := packagesOf(modules)
	for file, module := range modules {
		exempt := exemptionsOf(file, module)
		applicable := checks
		if strings.HasSuffix(file, testSuffix) {
			applicable = testChecks
		}
		for _, one := range applicable {
			one.find(packages[module.Package.Path.String()], module, func(at *ast.Location, sentence string, values ...any) {
				if !exempt.covers(one.name, at.Row) {
					problems = append(problems, Problem{file, at.Row, at.Col, one.name, fmt.Sprintf(sentence, values...)})
				}
			})
		}
		problems = append(problems, exempt.problems()...)
	}
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), a.Line-b.Line, a.Column-b.Column, cmp.Compare(a.Rule, b.Rule))
	})
	return slices.Compact(problems)
}
