package reads

import (
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
)

// body goes through the expressions in the order in which they are evaluated, which
// the compiler has settled: a variable has a value after the first expression that can
// give it one, and whatever comes later compares.
func (a *analysis) body(body ast.Body, s scope) {
	for _, expression := range body {
		if len(expression.With) > 0 {
			a.lost = true
			return
		}
		switch terms := expression.Terms.(type) {
		case *ast.Term:
			a.use(a.term(terms, s), Truth)
		case *ast.Every:
			a.every(terms, s.closure())
		case []*ast.Term:
			if expression.Negated {
				a.call(terms, s.closure())
			} else {
				a.call(terms, s)
			}
		case *ast.SomeDecl:
		default:
			a.lost = true
		}
	}
}

func (a *analysis) every(every *ast.Every, s scope) {
	domain := a.term(every.Domain, s)
	a.bind(every.Value, a.step(domain, ast.Var("")), s)
	if every.Key != nil {
		a.bind(every.Key, &value{}, s)
	}
	a.body(every.Body, s)
}

func (a *analysis) bind(term *ast.Term, v *value, s scope) {
	name, ok := term.Value.(ast.Var)
	if !ok {
		a.lost = true
		return
	}
	s.bound[name] = true
	a.changed = a.variable(name, s).add(v) || a.changed
}

func (a *analysis) call(terms []*ast.Term, s scope) {
	operator, ok := terms[0].Value.(ast.Ref)
	if !ok {
		a.lost = true
		return
	}
	operands := terms[1:]
	if operator.HasPrefix(ast.DefaultRootRef) {
		a.function(operator, operands, s)
		return
	}
	switch name := operator.String(); name {
	case ast.Equality.Name, ast.Assign.Name:
		a.unify(operands[0], operands[1], s)
	default:
		a.builtin(name, operands, s)
	}
}

func (a *analysis) function(operator ast.Ref, operands []*ast.Term, s scope) {
	result := &value{}
	arity := len(operands)
	for _, rule := range a.all {
		if !rule.Ref().Equal(operator) {
			continue
		}
		a.reach(rule)
		arity = len(rule.Head.Args)
		for i := range min(arity, len(operands)) {
			parameter := a.parameter(rule, i)
			a.changed = parameter.add(a.term(operands[i], s)) || a.changed
		}
		result.add(a.result(rule))
	}
	a.output(operands, arity, result, s)
}

// output gives a call's result to the term that takes it, which may also compare it.
func (a *analysis) output(operands []*ast.Term, arity int, result *value, s scope) {
	if len(operands) > arity {
		a.unifyWith(operands[arity], result, s)
	} else { // it must not be false
		a.use(result, Truth)
	}
}

// unify gives a value to a variable that has none, or compares.
func (a *analysis) unify(left, right *ast.Term, s scope) {
	switch {
	case a.isFree(left, s) && a.isFree(right, s):
		a.lost = true // two names for one value: nothing that people write
	case a.isPattern(left, s):
		a.unifyWith(left, a.term(right, s), s)
	case a.isPattern(right, s):
		a.unifyWith(right, a.term(left, s), s)
	default:
		a.use(a.term(left, s), Whole)
		a.use(a.term(right, s), Whole)
	}
}

func (a *analysis) isFree(term *ast.Term, s scope) bool {
	name, ok := term.Value.(ast.Var)
	return ok && !s.bound[name]
}

// isPattern says whether a variable in the term gets its value here.
func (a *analysis) isPattern(term *ast.Term, s scope) (found bool) {
	switch t := term.Value.(type) {
	case ast.Var:
		return !s.bound[t]
	case *ast.Array:
		t.Foreach(func(element *ast.Term) { found = found || a.isPattern(element, s) })
	case ast.Object:
		t.Foreach(func(_, member *ast.Term) { found = found || a.isPattern(member, s) })
	}
	return found
}

// unifyWith takes a value apart by a pattern.
func (a *analysis) unifyWith(pattern *ast.Term, v *value, s scope) {
	switch t := pattern.Value.(type) {
	case ast.Var:
		if !s.bound[t] {
			a.bind(pattern, v, s)
			return
		}
	case *ast.Array:
		a.takeApart(v)
		for i := range t.Len() {
			a.unifyWith(t.Elem(i), a.step(v, ast.Number(strconv.Itoa(i))), s)
		}
		return
	case ast.Object:
		a.takeApart(v)
		t.Foreach(func(key, member *ast.Term) {
			if !isConstant(key) {
				a.use(a.term(key, s), Whole)
			}
			a.unifyWith(member, a.step(v, key.Value), s)
		})
		return
	}
	a.use(v, Whole)
	a.use(a.term(pattern, s), Whole)
}

// takeApart notes that a pattern fits only what has as many members.
func (a *analysis) takeApart(v *value) {
	for place := range v.places {
		a.each(place)
	}
	a.use(&value{derived: v.derived}, Whole)
}
