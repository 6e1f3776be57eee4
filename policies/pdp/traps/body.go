package traps

import "github.com/open-policy-agent/opa/v1/ast"

var (
	parsedBody    = ast.MustParseRef("input.parsed_body")
	truncatedBody = ast.MustParseRef("input.truncated_body")
)

// notOnBody: a message that cannot be read has no fields, and `not` of what is undefined
// is true. `not input.parsed_body.dangerous` lets every unreadable message through.
func notOnBody(p *policyPackage, module *ast.Module, found report) {
	ast.WalkExprs(module, func(expr *ast.Expr) bool {
		if !expr.Negated {
			return false
		}
		if term, ok := expr.Terms.(*ast.Term); ok && p.isBody(term.Value) {
			return false // whether there is a message is just what is asked
		}
		if name := p.undefinedWithoutBody(expr); name != "" {
			found(expr.Location, "true when %s is undefined, as for every unreadable message: "+
				"ask for the field first, or compare with `==` and refuse otherwise", name)
		}
		return false
	})
}

// findBody finds the names that the message goes by.
func (p *policyPackage) findBody() {
	for name, rules := range p.rules {
		is := len(rules) > 0
		for _, rule := range rules {
			value := rule.Head.Value
			is = is && !rule.Default && rule.Else == nil && value != nil && value.Equal(ast.NewTerm(parsedBody))
		}
		p.body[name] = is
	}
}

// findBodily finds, until there are no more, the rules that look at the message and may
// be undefined.
func (p *policyPackage) findBodily() {
	for grown := true; grown; {
		grown = false
		for name, rules := range p.rules {
			if p.bodily[name] || alwaysDefined(rules) {
				continue
			}
			for _, rule := range rules {
				if p.undefinedWithoutBody(rule) != "" {
					p.bodily[name], grown = true, true
				}
			}
		}
	}
}

// alwaysDefined: with a default, a set or an object of its own, or a last branch that is
// a constant.
func alwaysDefined(rules []*ast.Rule) bool {
	for _, rule := range rules {
		all := branches(rule)
		last := all[len(all)-1]
		constant := last.Head.Value != nil && last.Head.Value.IsGround() && ast.IsConstant(last.Head.Value.Value)
		if rule.Default || rule.Head.DocKind() != ast.CompleteDoc || (!hasBody(last) && constant) {
			return true
		}
	}
	return false
}

// undefinedWithoutBody is what in a node has no value when the message is unreadable.
func (p *policyPackage) undefinedWithoutBody(node any) (name string) {
	visit := func(value ast.Value) bool {
		switch value := value.(type) {
		case ast.Ref:
			if value.HasPrefix(parsedBody) || value.HasPrefix(truncatedBody) {
				name = value.String()
			}
			if p.bodily[value[0].Value.String()] || p.body[value[0].Value.String()] {
				name = value.String()
			}
		case ast.Var:
			if p.bodily[value.String()] || p.body[value.String()] {
				name = value.String()
			}
		}
		return name != ""
	}
	ast.NewGenericVisitor(func(node any) bool {
		if rule, ok := node.(*ast.Head); ok {
			// The name of the rule itself is no question.
			if rule.Value != nil {
				ast.WalkTerms(rule.Value, func(term *ast.Term) bool { return visit(term.Value) })
			}
			return true
		}
		if term, ok := node.(*ast.Term); ok {
			return visit(term.Value)
		}
		return name != ""
	}).Walk(node)
	return name
}

// isBody recognises the whole message.
func (p *policyPackage) isBody(value ast.Value) bool {
	switch value := value.(type) {
	case ast.Ref:
		return value.Equal(parsedBody)
	case ast.Var:
		return p.body[value.String()]
	}
	return false
}
