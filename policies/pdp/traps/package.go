package traps

import (
	"github.com/open-policy-agent/opa/v1/ast"
)

// policyPackage is what the rules of one package are, across its files.
type policyPackage struct {
	// rules holds them by their first name; an `else` is in its rule.
	rules map[string][]*ast.Rule
	// body holds the names of rules that are the message itself, `_body := input.parsed_body`.
	body map[string]bool
	// bodily holds the names of rules that are undefined when the message is unreadable.
	bodily map[string]bool
}

func packagesOf(modules map[string]*ast.Module) map[string]*policyPackage {
	packages := map[string]*policyPackage{}
	for _, module := range modules {
		name := module.Package.Path.String()
		if packages[name] == nil {
			packages[name] = &policyPackage{map[string][]*ast.Rule{}, map[string]bool{}, map[string]bool{}}
		}
		for _, rule := range module.Rules {
			rules := packages[name].rules
			rules[nameOf(rule)] = append(rules[nameOf(rule)], rule)
		}
	}
	for _, one := range packages {
		one.findBody()
		one.findBodily()
	}
	return packages
}

func nameOf(rule *ast.Rule) string { return rule.Head.Ref()[0].Value.String() }

// branches are a rule and its `else`s.
func branches(rule *ast.Rule) []*ast.Rule {
	var all []*ast.Rule
	for branch := rule; branch != nil; branch = branch.Else {
		all = append(all, branch)
	}
	return all
}

// hasBody tells a body that was written from the `true` that the parser adds.
func hasBody(rule *ast.Rule) bool {
	if len(rule.Body) != 1 {
		return true
	}
	term, ok := rule.Body[0].Terms.(*ast.Term)
	return !ok || !term.Equal(ast.InternedTerm(true)) || string(term.Location.Text) == "true"
}

// constants are the strings that a term may stand for, and whether those are all.
func (p *policyPackage) constants(term *ast.Term) (texts []string, all bool) {
	switch value := term.Value.(type) {
	case ast.String:
		return []string{string(value)}, true
	case *ast.Array:
		return p.constantsOf(arrayTerms(value))
	case ast.Set:
		return p.constantsOf(value.Slice())
	case ast.Object:
		var values []*ast.Term
		value.Foreach(func(_, below *ast.Term) { values = append(values, below) })
		return p.constantsOf(values)
	case ast.Var:
		return p.constantsOfRule(value.String())
	case ast.Ref:
		return p.constantsOfRule(value[0].Value.String())
	}
	return nil, false
}

func (p *policyPackage) constantsOf(terms []*ast.Term) (texts []string, all bool) {
	all = len(terms) > 0
	for _, term := range terms {
		some, known := p.constants(term)
		texts, all = append(texts, some...), all && known
	}
	return texts, all
}

// constantsOfRule follows a name to a rule without conditions, such as `_uuid := "…"`.
func (p *policyPackage) constantsOfRule(name string) ([]string, bool) {
	rules := p.rules[name]
	if len(rules) != 1 || hasBody(rules[0]) || rules[0].Head.Value == nil || len(rules[0].Head.Args) > 0 {
		return nil, false
	}
	if value := rules[0].Head.Value; value.Value.String() != name {
		return p.constants(value)
	}
	return nil, false
}

func arrayTerms(array *ast.Array) []*ast.Term {
	terms := make([]*ast.Term, 0, array.Len())
	array.Foreach(func(term *ast.Term) { terms = append(terms, term) })
	return terms
}

// call is a function or operator at work, as an expression or inside of one.
type call struct {
	name     string
	at       *ast.Location
	operands []*ast.Term
}

// calls finds every call in a node.
func calls(node any, visit func(call)) {
	found := func(terms []*ast.Term, at *ast.Location) {
		if ref, ok := terms[0].Value.(ast.Ref); ok {
			visit(call{ref.String(), at, terms[1:]})
		}
	}
	ast.NewGenericVisitor(func(node any) bool {
		switch node := node.(type) {
		case *ast.Expr:
			if terms, ok := node.Terms.([]*ast.Term); ok {
				found(terms, node.Location)
			}
		case *ast.Term:
			if inner, ok := node.Value.(ast.Call); ok {
				found(inner, node.Location)
			}
		}
		return false
	}).Walk(node)
}
