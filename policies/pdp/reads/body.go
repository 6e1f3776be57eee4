package reads

import (
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"

	"paymesh.internal/pdp/recorded"
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

func (a *analysis) builtin(name string, operands []*ast.Term, s scope) {
	declared := ast.BuiltinMap[name]
	if declared == nil {
		a.lost = true
		return
	}
	arity := declared.Decl.Arity()
	values := make([]*value, min(arity, len(operands)))
	for i := range values {
		values[i] = a.term(operands[i], s)
	}
	result := a.known(name, operands, values)
	if result == nil {
		result = a.unknown(declared, values)
	}
	a.output(operands, arity, result, s)
}

// known are the builtins of which more is known than that they read their operands;
// nil for the others.
func (a *analysis) known(name string, operands []*ast.Term, values []*value) *value {
	switch name {
	case ast.NowNanos.Name:
		return at(a.time)
	case ast.JWTDecode.Name:
		a.token(values[0])
		return a.decoded
	case ast.JWTDecodeVerify.Name:
		a.token(values[0])
		a.verify(values[1])
		return a.verified
	case ast.IsArray.Name, ast.IsObject.Name, ast.IsSet.Name, ast.IsString.Name,
		ast.IsNumber.Name, ast.IsBoolean.Name, ast.IsNull.Name, ast.TypeNameBuiltin.Name:
		return &value{} // the kind is always known
	case ast.ObjectGet.Name:
		if key, ok := operands[1].Value.(ast.String); ok {
			found := a.step(values[0], key)
			found.add(values[2])
			return found
		}
	case ast.ObjectKeys.Name:
		a.takeApart(values[0])
		return &value{}
	case Same, ast.NotEqual.Name:
		if isConstant(operands[0]) || isConstant(operands[1]) {
			// An object or an array is no scalar, whatever is in it.
			a.use(values[0], Measure)
			a.use(values[1], Measure)
			return &value{}
		}
	case ast.Minus.Name: // of sets too, but their elements are read whole already
		a.use(values[0], Test)
		a.use(values[1], Test)
		return derived(values)
	case ast.Count.Name:
		a.takeApart(values[0])
		a.use(values[0], Measure)
		return derived(values)
	}
	if strings.HasPrefix(name, "io.jwt.") {
		a.mark(a.header, Whole)
		a.mark(a.claims, Whole)
	}
	return nil
}

// token is where a token is decoded. Of the one in the authorization header it is known
// what it says; any other is a string like others.
func (a *analysis) token(v *value) {
	authorization := a.input
	for _, name := range recorded.AuthorizationPath() {
		authorization = a.member(authorization, name)
	}
	for _, places := range []map[*Place]bool{v.places, v.derived} {
		for place := range places {
			if place != authorization {
				a.mark(place, Whole)
			}
		}
	}
}

// verify is what io.jwt.decode_verify compares (RFC 7515, 7519), other than the times,
// which it only compares with the clock.
func (a *analysis) verify(constraints *value) {
	for _, name := range []string{"alg", "kid"} {
		a.mark(a.member(a.header, name), Verify)
	}
	for _, name := range []string{"iss", "aud"} {
		a.mark(a.member(a.claims, name), Verify)
	}
	for _, name := range []string{"exp", "nbf"} {
		a.mark(a.member(a.claims, name), Test)
	}
	for c := range constraints.built {
		for name, member := range c.members {
			if name == ".time" {
				a.use(member, Test)
			} else {
				a.use(member, Whole)
			}
		}
		a.use(c.each, Whole)
	}
	a.use(&value{places: constraints.places, derived: constraints.derived}, Whole)
}

// unknown reads all operands. Of what it answers no more is known than whether it is
// true, or that it is a string or a number; anything else is too much to follow.
func (a *analysis) unknown(declared *ast.Builtin, values []*value) *value {
	result := declared.Decl.Result()
	use := Whole
	switch result.(type) {
	case nil, types.Boolean, types.String, types.Number:
		use = Test
	}
	if declared.Relation {
		use = Whole
	}
	for _, v := range values {
		a.use(v, use)
	}
	if _, ok := result.(types.Boolean); ok || use == Whole {
		return &value{}
	}
	return derived(values)
}

func derived(values []*value) *value {
	sources := &value{}
	for _, v := range values {
		merge(&sources.derived, v.places)
		merge(&sources.derived, v.derived)
	}
	return sources
}
