package mutate

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Mutants are all breaks of one file, in the order of the file. Not all of them
// compile: what makes a variable unsafe is found out later and cheaply.
func Mutants(file string, text []byte) ([]Mutant, error) {
	module, err := ast.ParseModule(file, string(text))
	if err != nil {
		return nil, err
	}
	b := &breaker{text: text, pool: newPool(module)}
	for _, rule := range module.Rules {
		b.rule = rule.Head.Ref().String()
		for branch := rule; branch != nil; branch = branch.Else {
			b.branch(branch)
		}
	}
	slices.SortStableFunc(b.edits, func(x, y edit) int { return x.start - y.start })
	seen := map[string]bool{string(text): true}
	var mutants []Mutant
	for _, e := range b.edits {
		mutant := e.mutant(file, text)
		if !seen[mutant.text] {
			seen[mutant.text] = true
			mutants = append(mutants, mutant)
		}
	}
	return mutants, nil
}

// breaker collects the edits of one file.
type breaker struct {
	text  []byte
	pool  *pool
	rule  string
	edits []edit
}

func (b *breaker) add(operator string, at span, replacement string) {
	b.edits = append(b.edits, edit{operator, b.rule, at.start, at.end, replacement})
}

func (b *breaker) source(at span) string { return string(b.text[at.start:at.end]) }

// branch breaks one rule, or one `else` of it.
func (b *breaker) branch(rule *ast.Rule) {
	if rule.Default {
		end := spanOf(rule.Head.Value.Location).end
		b.add("drop default", span{rule.Location.Offset, end}, "")
	} else {
		b.never(rule)
	}
	for _, term := range slices.Concat[[]*ast.Term](rule.Head.Reference, rule.Head.Args) {
		b.terms(term)
	}
	if rule.Head.Key != nil && rule.Head.Key.Location != nil {
		b.terms(rule.Head.Key)
	}
	if value := writtenValue(rule.Head); value != nil {
		b.terms(value)
	}
	if hasBody(rule) {
		b.body(rule.Body)
	}
}

// never makes a branch one that is not taken.
func (b *breaker) never(rule *ast.Rule) {
	end := headEnd(rule)
	if !hasBody(rule) {
		b.add("drop rule", span{end, end}, " if false")
		return
	}
	first := spanOf(rule.Body[0].Location)
	if strings.Contains(withoutComments(b.source(span{end, first.start})), "{") {
		b.add("drop rule", span{first.start, first.start}, "false; ")
	} else {
		b.add("drop rule", first, "false")
	}
}

// hasBody tells a body that was written from the `true` that the parser adds.
func hasBody(rule *ast.Rule) bool {
	return !rule.Default && spanOf(rule.Body[0].Location).start >= headEnd(rule)
}

func headEnd(rule *ast.Rule) int {
	value := writtenValue(rule.Head)
	end := rule.Location.Offset
	for _, term := range slices.Concat[[]*ast.Term](rule.Head.Reference, rule.Head.Args, []*ast.Term{rule.Head.Key, value}) {
		if term != nil && term.Location != nil {
			end = max(end, spanOf(term.Location).end)
		}
	}
	if len(rule.Head.Args) > 0 && value == nil {
		end++ // the closing parenthesis of `f(x) if …`
	}
	return end
}

// writtenValue is the value of a rule, but for the `true` that the parser adds.
func writtenValue(head *ast.Head) *ast.Term {
	value := head.Value
	if value == nil || value.Location == nil ||
		value.Equal(ast.InternedTerm(true)) && string(value.Location.Text) != "true" {
		return nil
	}
	return value
}

func withoutComments(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		before, _, _ := strings.Cut(line, "#")
		kept.WriteString(before)
	}
	return kept.String()
}

// body breaks each expression of a body, and what stands in it.
func (b *breaker) body(body ast.Body) {
	for _, expr := range body {
		b.expression(expr)
	}
}

func (b *breaker) expression(expr *ast.Expr) {
	at := spanOf(expr.Location)
	binds := expr.IsAssignment() || expr.IsEquality()
	switch terms := expr.Terms.(type) {
	case *ast.SomeDecl: // without it nothing compiles
		for _, symbol := range terms.Symbols {
			if in, ok := symbol.Value.(ast.Call); ok {
				b.call(in)
			}
		}
		return
	case *ast.Every:
		b.add("drop expression", at, "true")
		b.terms(terms.Domain)
		b.body(terms.Body)
		return
	case *ast.Term:
		b.terms(terms)
	case []*ast.Term:
		b.call(terms)
	}
	if binds {
		return
	}
	b.add("drop expression", at, "true")
	if expr.Negated {
		b.add("negate", at, strings.TrimSpace(strings.TrimPrefix(b.source(at), "not")))
	} else {
		b.add("negate", span{at.start, at.start}, "not ")
	}
}

// call breaks an operator or function call: `terms` are its name and its operands.
func (b *breaker) call(terms []*ast.Term) {
	operator := spanOf(terms[0].Location)
	for _, other := range swapped[b.source(operator)] {
		b.add("swap operator", operator, other)
	}
	for _, operand := range terms[1:] {
		b.terms(operand)
	}
}

// swapped is what an infix operator is taken for. A name of a function is none.
var swapped = map[string][]string{
	"==": {"!="},
	"!=": {"=="},
	"<":  {"<=", ">"},
	"<=": {"<", ">="},
	">":  {">=", "<"},
	">=": {">", "<="},
	"+":  {"-"},
	"-":  {"+"},
	"*":  {"/"},
	"/":  {"*"},
	"&":  {"|"},
	"|":  {"&"},
}
