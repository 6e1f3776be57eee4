package traps

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// An exemption is a comment `# trap: ok, <rule>: <why>` on the line of the trap or above
// it, with no other code between them.
var exemptionForm = regexp.MustCompile(`^\s*trap:\s*ok,\s*([a-z-]+):\s*(\S.*)$`)

const exemptionExample = "`# trap: ok, <rule>: <why>`"

type exemption struct {
	comment *ast.Location
	rule    string
	// line is the line of code that it speaks of.
	line int
	used bool
}

type exemptions struct {
	file  string
	found []*exemption
	wrong []Problem
}

func exemptionsOf(file string, module *ast.Module) *exemptions {
	e := &exemptions{file: file}
	for _, comment := range module.Comments {
		text := string(comment.Text)
		if !strings.HasPrefix(strings.TrimSpace(text), "trap:") {
			continue
		}
		match := exemptionForm.FindStringSubmatch(text)
		switch {
		case match == nil:
			e.complain(comment.Location, "an exemption reads "+exemptionExample)
		case !slices.ContainsFunc(slices.Concat(checks, testChecks), func(c check) bool { return c.name == match[1] }):
			e.complain(comment.Location, fmt.Sprintf("there is no rule %s: mend its name", match[1]))
		default:
			e.found = append(e.found, &exemption{comment.Location, match[1], lineOf(module, comment.Location), false})
		}
	}
	return e
}

// lineOf is the line of code that a comment speaks of: its own, or the next one.
func lineOf(module *ast.Module, comment *ast.Location) int {
	own, next := false, math.MaxInt
	ast.WalkNodes(module, func(node ast.Node) bool {
		switch node.(type) {
		case *ast.Annotations, *ast.Comment:
			return true
		}
		at := node.Loc()
		switch {
		case at == nil:
		case at.Row == comment.Row && at.Col < comment.Col:
			own = true
		case at.Row > comment.Row:
			next = min(next, at.Row)
		}
		return false
	})
	if own {
		return comment.Row
	}
	return next
}

// covers notes that an exemption was needed.
func (e *exemptions) covers(rule string, line int) bool {
	covered := false
	for _, one := range e.found {
		if one.rule == rule && one.line == line {
			one.used, covered = true, true
		}
	}
	return covered
}

func (e *exemptions) problems() []Problem {
	for _, one := range e.found {
		if !one.used {
			e.complain(one.comment, fmt.Sprintf("nothing here needs an exemption from %s: remove the comment", one.rule))
		}
	}
	return e.wrong
}

func (e *exemptions) complain(at *ast.Location, sentence string) {
	e.wrong = append(e.wrong, Problem{e.file, at.Row, at.Col, "exemption", sentence})
}
